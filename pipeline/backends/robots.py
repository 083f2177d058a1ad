"""robots.txt as a crawl has captured it: which agents that gather text for training it shuts out of a page (RFC 9309).

Only groups that name such an agent are looked at. A group for `*` speaks of crawling at large, and says nothing of what
a page that was fetched all the same may be used for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pipeline.core.errors import GristmillError

AGENTS = (
    *("ai2bot", "amazonbot", "anthropic-ai", "applebot-extended", "bytespider", "ccbot", "claude-web", "claudebot"),
    *("cohere-ai", "cohere-training-data-crawler", "diffbot", "google-extended", "gptbot", "meta-externalagent"),
    *("omgili", "omgilibot", "perplexitybot", "timpibot", "webzio-extended"),
)
"""Agents of which it is known that they gather text for the training of models; names are compared without case."""

MOST_BYTES = 512 * 1024
"""As much of a robots.txt as RFC 9309 asks a crawler to read."""


class Robots(NamedTuple):
    """By agent, the rules of its groups: pattern of a path, and whether it allows."""

    rules: Mapping[str, tuple[tuple[str, bool], ...]]

    def shut_out(self, path: str) -> list[str]:
        """The agents that may not fetch this path: the longest rule that matches decides, and allows if two do."""
        return sorted(agent for agent, rules in self.rules.items() if not _allowed(rules, path))


def parse(text: str) -> Robots:
    """The groups that name one of `AGENTS`."""
    rules: dict[str, list[tuple[str, bool]]] = {}
    named: list[str] = []
    open_group = False
    for line in text.splitlines():
        key, _, value = line.split("#", 1)[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if key == "user-agent":
            named = [*(named if open_group else []), value.lower()]
            open_group = True
            for agent in set(named).intersection(AGENTS):
                rules.setdefault(agent, [])
        elif key in ("allow", "disallow"):
            open_group = False
            for agent in set(named).intersection(AGENTS) if value else ():
                rules[agent].append((unquote(value), key == "allow"))
    return Robots({agent: tuple(listed) for agent, listed in rules.items() if listed})


def read_robots(path: Path) -> dict[str, Robots]:
    """By host, what was captured last, of every `/robots.txt` in a WARC file that names one of the agents."""
    found: dict[str, Robots] = {}
    for host, text in _captured(path):
        robots = parse(text)
        if robots.rules:
            found[host] = robots
        else:
            found.pop(host, None)
    return found


def place_of(url: str) -> tuple[str, str]:
    """Host (with its port) and path of a page, as they are looked up."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    query = f"?{parts.query}" if parts.query else ""
    return parts.netloc.rpartition("@")[2].lower(), unquote(f"{parts.path or '/'}{query}")


def _captured(path: Path) -> Iterator[tuple[str, str]]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    try:
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
                host, place = place_of((record.headers.get("WARC-Target-URI") or "").strip("<> "))
                if place == "/robots.txt" and record.http_headers and record.http_headers.status_code == 200:
                    yield host, record.reader.read(MOST_BYTES).decode("utf-8-sig", "replace")
    except OSError as error:
        raise GristmillError(f"{path}: cannot be read to its end ({error}); get the file again") from None


def _allowed(rules: tuple[tuple[str, bool], ...], path: str) -> bool:
    met = [(len(pattern), allows) for pattern, allows in rules if _pattern(pattern).match(path)]
    return max(met)[1] if met else True


@lru_cache(maxsize=4096)
def _pattern(rule: str) -> re.Pattern[str]:
    """A rule as a pattern: `*` is anything, `$` at the end is the end."""
    ends = rule.endswith("$")
    parts = re.split(r"\*+", rule.removesuffix("$"))
    return re.compile(".*?".join(map(re.escape, parts)) + ("$" if ends else ""), re.DOTALL)
