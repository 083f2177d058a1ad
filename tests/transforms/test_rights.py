from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.backends.rights import licenses, reservations
from pipeline.backends.robots import parse
from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError
from pipeline.transforms.rights import Rights

BY = "https://creativecommons.org/licenses/by/4.0/deed.en"
SA = "http://creativecommons.org/licenses/by-sa/3.0/"


def judged(html: str | None = None, headers: str | None = None, license: str | None = "unknown") -> dict[str, Any]:
    batch = pa.record_batch(
        {
            "html": pa.array([html and html.encode()], pa.large_binary()),
            "http_headers": pa.array([headers], pa.string()),
            "license": pa.array([license], pa.string()),
            "lang": pa.array(["en"]),
        }
    )
    verdict = Rights().judge(batch)
    return {**{name: column[0].as_py() for name, column in verdict.columns.items()}, "found": verdict.found}


@pytest.mark.parametrize(
    ("page", "headers", "place"),
    [
        (f'<link rel="license" href="{BY}">', "", "rel"),
        (f"<a class=x href='{BY}' rel='nofollow license'>CC</a>", "", "rel"),
        (f'<meta name="DC.rights" content="{BY}">', "", "meta"),
        (f'<script type="application/ld+json">{{"@type": "Article", "license": "{BY}"}}</script>', "", "json-ld"),
        (
            f'<script type="application/ld+json">{{"@graph": [{{"license": {{"@id": "{BY}"}}}}]}}</script>',
            "",
            "json-ld",
        ),
        ("", f'Link: <https://x.org/>; rel="next", <{BY}>; rel="license"', "http-link"),
        (f'<a href="{BY}">this picture</a>', "", "mention"),
    ],
)
def test_a_licence_is_found_with_its_place(page: str, headers: str, place: str) -> None:
    assert licenses(page, headers) == [(place, "cc-by-4.0")]


def test_a_mention_is_no_licence_and_a_statement_is() -> None:
    mentioned = judged(f'<a href="{BY}">picture</a>')
    assert (mentioned["license"], mentioned["license_evidence"]) == ("unknown", "mention: cc-by-4.0")
    stated = judged(f'<a rel="license" href="{BY}">text</a> <a href="{SA}">picture</a>')
    assert (stated["license"], stated["license_conflict"]) == ("cc-by-4.0", False)
    assert stated["license_evidence"] == "rel: cc-by-4.0; mention: cc-by-sa-3.0"


def test_contradictions_are_kept() -> None:
    two = judged(f'<link rel=license href="{BY}"><meta name="dc.rights" content="{SA}">', license="odc-by")
    assert (two["license"], two["license_conflict"]) == ("odc-by", True)
    assert two["license_evidence"] == "declared: odc-by; rel: cc-by-4.0; meta: cc-by-sa-3.0"
    other = judged(f'<link rel=license href="{BY}">', license="cc0-1.0")
    assert (other["license"], other["license_conflict"]) == ("cc-by-4.0", True)
    assert other["found"] == {"licences that contradict each other/en": 1}
    assert not judged(f'<link rel=license href="{BY}">', license="CC-BY-4.0")["license_conflict"]


@pytest.mark.parametrize(
    ("page", "headers", "signal"),
    [
        ('<meta name="robots" content="index, NOAI, noimageai">', "", ["noai meta", "noimageai meta"]),
        ('<META content="1" NAME="tdm-reservation">', "", ["tdm-reservation meta"]),
        ("", "x-robots-tag: noindex, noai", ["noai header"]),
        ("", "TDM-Reservation: 1\nTDM-Policy: https://x.org/p", ["tdm-reservation header"]),
        ("", "Content-Usage: train-ai=n", ["content-usage header"]),
        ("", "Content-Signal: search=yes, ai-train=no", ["content-signal header"]),
        ('<meta name="robots" content="noindex, nofollow">', "TDM-Reservation: 0", []),
        ("<p>noai tdm-reservation</p>", "Content-Signal: ai-train=yes", []),
    ],
)
def test_reservations(page: str, headers: str, signal: list[str]) -> None:
    assert reservations(page, headers) == signal
    told = judged(page, headers)
    assert told["opt_out"] == (", ".join(signal) or None)
    assert told["found"] == {f"{name}/en": 1 for name in signal}


def test_text_without_a_page_keeps_what_its_source_declares() -> None:
    assert judged(license="cc0-1.0") == {
        "license": "cc0-1.0",
        "license_evidence": "declared: cc0-1.0",
        "license_conflict": False,
        "opt_out": None,
        "found": {},
    }
    assert judged(license=None)["license_evidence"] is None


ROBOTS = """
User-agent: *
Disallow: /

User-agent: GPTBot
User-agent: ccbot  # two agents, one group
Disallow: /
Allow: /open/*.html$

User-agent: ClaudeBot
Disallow: /private
"""


def test_robots_shut_out_the_agents_that_they_name() -> None:
    robots = parse(ROBOTS)
    assert robots.shut_out("/a") == ["ccbot", "gptbot"]
    assert robots.shut_out("/open/a.html") == [] and robots.shut_out("/open/a.html?x") == ["ccbot", "gptbot"]
    assert robots.shut_out("/private/b") == ["ccbot", "claudebot", "gptbot"]
    assert parse("User-agent: *\nDisallow: /").rules == {} and parse("User-agent: GPTBot\nDisallow:").rules == {}


def warc(*captures: tuple[str, str]) -> bytes:
    records = b""
    for url, body in captures:
        http = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n{body}".encode()
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Type: application/http\r\n"
        records += f"{head}Content-Length: {len(http)}\r\n\r\n".encode() + http + b"\r\n\r\n"
    return records


def test_captured_robots_become_signals(tmp_path: Path) -> None:
    (tmp_path / "robots.warc").write_bytes(
        warc(
            ("https://a.org/robots.txt", ROBOTS), ("https://a.org/page", "x"), ("https://b.org/robots.txt", "Allow: /")
        )
    )
    urls = ["https://A.org/private/x", "https://a.org/open/x.html", "https://b.org/", None]
    batch = pa.record_batch({"url": pa.array(urls, pa.string())})
    with Place(base=tmp_path).active():
        verdict = Rights(robots=("robots.warc",)).judge(batch)
        with pytest.raises(GristmillError, match="no such list"):
            Rights(robots=("nothing.warc",)).assets()
    signals = "ccbot robots.txt, claudebot robots.txt, gptbot robots.txt"
    assert verdict.columns["opt_out"].to_pylist() == [signals, None, None, None]
    assert verdict.found == {f"{agent} robots.txt/und": 1 for agent in ("ccbot", "claudebot", "gptbot")}
