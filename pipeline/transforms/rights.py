"""What is known of the rights in each document: its licence, on what that rests, and reservations that were found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from pipeline.backends.lists import find_list
from pipeline.backends.rights import Evidence, licenses, reservations
from pipeline.backends.robots import Robots, place_of, read_robots
from pipeline.core.asset import Asset
from pipeline.core.schema import conform
from pipeline.core.stage import Local
from pipeline.core.verdict import Verdict

_UNKNOWN = frozenset({None, "", "unknown"})


class Rights(Local):
    """Records licence evidence and opt-out signals of each page; drops nothing (`licenses` and `opt_out` do).

    Belongs right behind `extract`, in the sweep that still has the page. The licence of a page that names exactly one
    in a place that speaks of the page is that one, as an SPDX identifier in lower case where it is a Creative Commons
    licence; where it names several, or another than the source declares, all are kept as evidence and the document is
    marked. Counts are of signals found: that there is none does not mean that a use is allowed.
    """

    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ("html", "http_headers", "license", "lang", "url")
    writes: ClassVar[Mapping[str, pa.DataType]] = {
        "license": pa.string(),
        "license_evidence": pa.string(),
        "license_conflict": pa.bool_(),
        "opt_out": pa.string(),
    }

    robots: tuple[str, ...] = Field(
        (),
        description="WARC files with the robots.txt of the hosts, as crawls keep them beside the pages: agents that "
        "gather text for training and may not fetch a page become signals",
    )

    def assets(self) -> tuple[Asset, ...]:
        """The captured robots.txt, by content."""
        return tuple(map(find_list, self.robots))

    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """Look at markup and headers; a row without a page keeps what its source declares."""
        types = {"html": pa.large_binary(), **dict.fromkeys(("http_headers", "license", "lang", "url"), pa.string())}
        columns = [column.to_pylist() for column in conform(batch, types).columns]
        captured = _captured(self.assets())
        found: Counter[str] = Counter()
        rows = []
        for html, headers, declared, lang, url in zip(*columns, strict=True):
            # Markup is ASCII in every charset that pages have: decoding by the right one would change no answer.
            page, said = (html or b"").decode("latin-1"), headers or ""
            host, path = place_of(url or "")
            shut_out = captured[host].shut_out(path) if host in captured else []
            evidence, signals = licenses(page, said), reservations(page, said)
            signals += [f"{agent} robots.txt" for agent in shut_out]
            license, conflict = _license(evidence, declared)
            found.update(f"{signal}/{lang or 'und'}" for signal in signals)
            found.update({f"licences that contradict each other/{lang or 'und'}": int(conflict)} if conflict else {})
            told = [*([Evidence("declared", declared)] if declared not in _UNKNOWN else []), *evidence]
            rows.append((license, "; ".join(map(": ".join, told)) or None, conflict, ", ".join(signals) or None))
        arrays = {
            name: pa.array([row[place] for row in rows], dtype)
            for place, (name, dtype) in enumerate(self.writes.items())
        }
        return Verdict(columns=arrays, found=dict(found))


@cache
def _captured(files: tuple[Asset, ...]) -> Mapping[str, Robots]:
    """By host; of several captures the last file's counts."""
    return {host: robots for asset in files for host, robots in read_robots(asset.path).items()}


def _license(evidence: list[Evidence], declared: str | None) -> tuple[str | None, bool]:
    """The licence of a document, and whether what is said of it contradicts itself."""
    stated = {license for place, license in evidence if place != "mention"}
    if len(stated) > 1:
        return declared, True
    if not stated:
        return declared, False
    [license] = stated
    return license, declared not in _UNKNOWN and declared.lower() != license  # type: ignore[union-attr]
