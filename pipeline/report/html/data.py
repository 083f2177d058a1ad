"""What a report shows of documents: columns of a sample, cut texts, measures by every limit, examples and clusters.

A function of manifest, shards and recipe: the same corpus gives the same content, whatever its shards. A row a
document, in the order of draws. Memory is about the sample times `LONG` characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.backends.domains import lineage, split_url
from pipeline.core.again import Measured, Showing
from pipeline.core.census import Rule
from pipeline.core.manifest import Manifest
from pipeline.report.html.draw import Drawn, draw, fetch
from pipeline.report.safe import one_line, plain

TEXT = 16_000_000
"""Characters of text for search in one report, shared out over its documents: `SHORTEST` to `LONGEST` of each."""
SHORTEST, LONGEST = 160, 2000

LONG = 3000
"""Characters of a document that is an example or in a cluster."""

_MARGIN = 200
"""Characters behind a cut that are looked at before they are cut off: a half address would not be recognised."""


@dataclass(frozen=True)
class Limit:
    """A limit of the recipe: for every document its `value` (float64, NaN where not measured) and its limit."""

    rule: Rule
    value: np.ndarray
    limit: np.ndarray

    @property
    def beyond(self) -> np.ndarray:
        """Documents that it drops."""
        return self.value < self.limit if self.rule.least else self.value > self.limit


@dataclass(frozen=True)
class Documents:
    """The documents of a report. `fate` 0 is kept, others number `fates`; `sampled`: not there as an example only."""

    drawn: Drawn
    total: int
    cut: int
    """Characters of each text in `texts`."""
    sampled: np.ndarray
    fate: np.ndarray
    fates: tuple[tuple[str, str], ...]
    value: np.ndarray
    limit: np.ndarray
    characters: np.ndarray
    year: np.ndarray
    """0 where there is no date."""
    labels: dict[str, list[str]]
    """`lang`, `source`, `license`, `domain`, `detail`, one a document; empty where there is none."""
    ids: list[str]
    twins: list[str]
    urls: list[str]
    texts: list[str] | None
    raw: list[str]
    """Their beginnings as they are, which nobody is shown."""
    limits: tuple[Limit, ...]

    @property
    def n(self) -> int:
        """Documents here."""
        return len(self.fate)


def documents(corpus: Path, manifest: Manifest, n: int, showing: Showing | None) -> Documents:
    """Read about `n` documents; without `showing` none of their text is shown, and nothing is measured."""
    drawn = draw(corpus, manifest, n)
    total = _total(manifest)
    cut = int(np.clip(TEXT // max(min(n, total) + len(drawn.besides), 1), SHORTEST, LONGEST))
    batches, places, texts, raw = [], [], [], []
    measured: list[Sequence[Measured]] = []
    for at, batch in fetch(corpus, manifest, drawn):
        measured.append(showing.measured(batch) if showing else ())
        beginning = pc.utf8_slice_codeunits(pc.fill_null(batch.column("text"), ""), 0, LONG + _MARGIN)
        raw += beginning.to_pylist()
        if showing:
            texts += masked(showing, beginning.to_pylist(), batch.column("lang").to_pylist(), cut)
        characters = pc.fill_null(pc.utf8_length(batch.column("text")), 0)
        batches.append(batch.select(_FEW).append_column("characters", characters))
        places.append(at)
    table = pa.Table.from_batches(batches) if batches else _empty()
    at = np.concatenate([np.empty(0), *places])
    ids = [name or "" for name in table["id"].to_pylist()]
    order = np.array(sorted(range(len(ids)), key=lambda row: (at[row], ids[row])), np.int64)
    table = table.take(pa.array(order))
    fates, fate = _fates(table)
    rows = order.tolist()
    columns = {name: [value or "" for value in table[name].to_pylist()] for name in _WORDS}
    columns["domain"] = [_domain(url) for url in columns["url"]]
    value, limit = (table[name].to_numpy().astype(np.float64) for name in ("value", "limit"))
    limits = _limits(manifest, measured, [len(batch) for batch in batches], order)
    return Documents(
        drawn=drawn,
        total=total,
        cut=cut,
        sampled=at[order] < drawn.share,
        fate=fate,
        fates=fates,
        value=value,
        limit=limit,
        characters=table["characters"].to_numpy().astype(np.int64),
        year=np.array([_year(date) for date in columns["date"]], np.int64),
        labels={name: columns[name] for name in ("lang", "source", "license", "domain", "detail")},
        ids=[ids[row] for row in rows],
        twins=columns["twin"],
        urls=columns["url"],
        texts=[texts[row] for row in rows] if showing else None,
        raw=[raw[row] for row in rows],
        limits=tuple(_as_judged(one, fate, fates, value) for one in limits),
    )


def masked(showing: Showing, texts: Sequence[str], langs: Sequence[str | None], cut: int) -> list[str]:
    """At most `cut` characters of each text, without personal data, listed words, and what turns the writing."""
    given = [text[: cut + _MARGIN] for text in texts]
    batch = pa.RecordBatch.from_pydict(
        {"text": pa.array(given, pa.large_string()), "lang": pa.array([lang or None for lang in langs], pa.string())}
    )
    found = showing.masked(batch).to_pylist()
    return [plain(text)[:cut] + ("…" if len(text) > cut else "") for text in found]


_WORDS = ("lang", "source", "license", "url", "date", "twin", "detail")
_FEW = ["id", "stage", "reason", "value", "limit", *_WORDS]


def _empty() -> pa.Table:
    names = {name: pa.string() for name in _FEW} | {"value": pa.float64(), "limit": pa.float64()}
    return pa.schema([*names.items(), ("characters", pa.int64())]).empty_table()


def _total(manifest: Manifest) -> int:
    """Documents that were read, in all."""
    gone = sum(sum(count.dropped.values()) for sweep in manifest.sweeps for count in sweep.stages)
    return gone + sum(file.rows for file in manifest.documents)


def _fates(table: pa.Table) -> tuple[tuple[tuple[str, str], ...], np.ndarray]:
    pairs = list(zip(table["stage"].to_pylist(), table["reason"].to_pylist(), strict=True))
    known = sorted({(stage, reason or "") for stage, reason in pairs if stage})
    number = {pair: at for at, pair in enumerate(known, 1)}
    return tuple(known), np.array([number.get((stage, reason or ""), 0) for stage, reason in pairs], np.int64)


def _limits(
    manifest: Manifest, measured: Sequence[Sequence[Measured]], rows: Sequence[int], order: np.ndarray
) -> list[Limit]:
    """Rule by rule over all batches; a batch that lacks a column has no value by it."""
    found: dict[str, Limit] = {}
    start = 0
    for listed, n in zip(measured, rows, strict=True):
        for one in listed:
            if one.rule.name not in found:
                found[one.rule.name] = Limit(one.rule, *(np.full(len(order), np.nan) for _ in range(2)))
            found[one.rule.name].value[start : start + n] = one.value
            found[one.rule.name].limit[start : start + n] = one.limit
        start += n
    stages = [count.stage for sweep in manifest.sweeps for count in sweep.stages]
    used = [one for one in found.values() if np.isfinite(one.limit).any()]
    used.sort(key=lambda one: stages.index(one.rule.stage) if one.rule.stage in stages else len(stages))
    return [Limit(one.rule, one.value[order], one.limit[order]) for one in used]


def _as_judged(one: Limit, fate: np.ndarray, fates: Sequence[tuple[str, str]], value: np.ndarray) -> Limit:
    """With the ledger's own value where this rule dropped a document."""
    pair = (one.rule.stage, one.rule.reason)
    if pair not in fates:
        return one
    dropped = (fate == fates.index(pair) + 1) & ~np.isnan(value)
    return Limit(one.rule, np.where(dropped, value, one.value), one.limit)


def _domain(url: str) -> str:
    """The registered domain of an http address."""
    if not url.startswith(("http://", "https://")):
        return ""
    host, _ = split_url(url)
    return one_line(lineage(host)[-1]) if host else ""


def _year(date: str) -> int:
    return int(date[:4]) if date[:4].isdecimal() else 0
