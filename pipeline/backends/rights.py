"""What a page and its HTTP headers say of rights: licences, with the place where each stands, and reservations.

Only marks that speak of the page itself are evidence of its licence: a `Link` header, `rel=license`, JSON-LD, and
Dublin Core. A plain link to a Creative Commons licence is kept as a mention, because it often is that of a picture.
Reservations are the known signals against use for training or text and data mining. That none was found says nothing
of what is allowed.
"""

from __future__ import annotations

import html as entities
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline.backends.html import license_id

HEADERS = ("Link", "X-Robots-Tag", "TDM-Reservation", "TDM-Policy", "Content-Usage", "Content-Signal")
"""The HTTP headers that are looked at."""

STRONG = ("http-link", "rel", "json-ld", "meta")
"""Places that speak of the page, the most explicit first."""


class Evidence(NamedTuple):
    """A licence (SPDX identifier in lower case, or an address) and where it stands."""

    place: str
    license: str


_TAG = re.compile(r"<(meta|link|a)\s([^<>]{1,4000})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_JSON_LD = re.compile(
    r"<script[^<>]{0,200}application/ld\+json[^<>]{0,200}>(.{1,200000}?)</script", re.IGNORECASE | re.DOTALL
)
_LINK_HEADER = re.compile(r"<([^<>]+)>([^,]*)")
_LICENSE_METAS = frozenset({"dcterms.license", "dc.rights", "dcterms.rights", "license"})
_AGAINST = re.compile(r"\b(?:noai|noimageai|noml)\b", re.IGNORECASE)
_NO_TRAINING = re.compile(r"\b(?:train-ai|ai-train|ai|tdm|all)\s*=\s*(?:n|no)\b", re.IGNORECASE)


def licenses(page: str, headers: str) -> list[Evidence]:
    """Every licence that is named, each place and licence once, in the order of `STRONG`; then mentions."""
    found: dict[Evidence, None] = {}

    def add(place: str, link: object) -> None:
        license = license_id(entities.unescape(link)) if isinstance(link, str) else None
        if license is not None:
            found[Evidence(place, license)] = None

    for link, rest in (match for value in _header(headers, "link") for match in _LINK_HEADER.findall(value)):
        if re.search(r"rel\s*=\s*\"?[^\";]*\blicense\b", rest, re.IGNORECASE):
            add("http-link", link)
    for element, pairs in _elements(page):
        if element == "meta":
            if _named(pairs) in _LICENSE_METAS:
                add("meta", pairs.get("content"))
        elif "license" in pairs.get("rel", "").lower().split():
            add("rel", pairs.get("href"))
        elif "creativecommons.org/" in pairs.get("href", "").lower():
            add("mention", pairs.get("href"))
    for script in _JSON_LD.findall(page):
        for link in _json_licenses(script):
            add("json-ld", link)
    order = {place: number for number, place in enumerate((*STRONG, "mention"))}
    return sorted(found, key=lambda evidence: order[evidence.place])


def reservations(page: str, headers: str) -> list[str]:
    """The signals that are found, by kind and place, sorted."""
    found = set()
    for value in _header(headers, "x-robots-tag"):
        found |= {f"{word.lower()} header" for word in _AGAINST.findall(value)}
    if any(value.strip() == "1" for value in _header(headers, "tdm-reservation")):
        found.add("tdm-reservation header")
    for name in ("content-usage", "content-signal"):
        if any(_NO_TRAINING.search(value) for value in _header(headers, name)):
            found.add(f"{name} header")
    for element, pairs in _elements(page):
        if element == "meta":
            name, content = _named(pairs), pairs.get("content", "")
            if name == "tdm-reservation" and content.strip() == "1":
                found.add("tdm-reservation meta")
            elif name in ("robots", "googlebot", "ccbot", "gptbot"):
                found |= {f"{word.lower()} meta" for word in _AGAINST.findall(content)}
            elif name in ("content-usage", "content-signal") and _NO_TRAINING.search(content):
                found.add(f"{name} meta")
    return sorted(found)


def _header(headers: str, name: str) -> Iterator[str]:
    for line in headers.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() == name:
            yield value


def _elements(page: str) -> Iterator[tuple[str, dict[str, str]]]:
    for element, attributes in _TAG.findall(page):
        yield element.lower(), {name.lower(): a or b or c for name, a, b, c in _ATTRIBUTE.findall(attributes)}


def _named(pairs: dict[str, str]) -> str:
    return (pairs.get("name") or pairs.get("property") or pairs.get("http-equiv") or "").lower()


def _json_licenses(script: str) -> Iterator[object]:
    """The values of `license` in JSON-LD, at the top and in its graph: deeper ones are those of pictures and parts."""
    try:
        told = json.loads(script)
    except (ValueError, RecursionError):
        return
    graph: list[Any] = (
        told if isinstance(told, list) else [told, *_listed(told.get("@graph"))] if isinstance(told, dict) else []
    )
    for entry in graph:
        if isinstance(entry, dict):
            for license in _listed(entry.get("license")):
                yield license.get("@id") or license.get("url") if isinstance(license, dict) else license


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
