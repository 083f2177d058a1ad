"""Cut a measure at its own quantiles: the best tenth of a score, or CCNet's head, middle and tail of perplexity.

Quantiles are exact and of each language by itself. They are found by radix: the values are mapped to 64-bit numbers in
the same order, and four rounds of counting fix 16 bits of each cut; memory is bounded by the number of cuts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import ceil, floor, isfinite
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from pipeline.core.shards import read_table
from pipeline.core.stage import Decision, Exchange, Global, Share, Sketches, write_facts
from pipeline.core.verdict import Reason, Verdict

_BITS, _ROUNDS = 16, 4
_FILE = "cuts.arrow"
_ROUNDING = 1e-9
"""0.1 of 30 is 3, not a little more."""


class Quantile(Global):
    """Drops documents outside of quantiles of a column, or names the part that each is in; per language.

    `above: 0.9` keeps the highest tenth of the values, `below: 0.6` the lowest six tenths; those equal to the last one
    that is kept are kept too. With `parts`, the column `into` names the part: up to which quantile the value belongs.
    What was not measured (null or NaN) is in no part, and is dropped where there is a limit.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ("lang",)
    reasons: ClassVar[tuple[str, ...]] = ("not_measured", "below_quantile", "above_quantile")
    example: ClassVar[Mapping[str, Any]] = {"column": "offset", "above": 0.25, "parts": {"head": 0.5, "tail": 1.0}}

    column: str = Field(min_length=1, description="column with numbers, written by an earlier stage")
    above: Share | None = Field(None, description="quantile below which values are dropped")
    below: Share | None = Field(None, description="quantile above which values are dropped")
    parts: dict[str, Share] = Field({}, description="names of parts, each up to its quantile, from the least to 1")
    into: str = Field("bucket", min_length=1, description="column for the name of the part")
    per_language: bool = Field(True, description="cut each language at its own quantiles, or all at the same values")

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.above is None and self.below is None and not self.parts:
            raise ValueError("give `above`, `below` or `parts`")
        if self.above is not None and self.below is not None and self.above > self.below:
            raise ValueError(f"above {self.above} is more than below {self.below}: nothing would be kept")
        shares = list(self.parts.values())
        if shares and (shares[-1] != 1 or sorted(set(shares)) != shares):
            raise ValueError("parts: quantiles must ascend to 1, such as {head: 0.3, middle: 0.6, tail: 1}")
        return self

    def columns_read(self) -> tuple[str, ...]:
        """The column that is named."""
        return (self.column,)

    def columns_written(self) -> Mapping[str, pa.DataType]:
        """The column for parts, where there are any."""
        return {self.into: pa.string()} if self.parts else {}

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The language and the value of every document that was measured."""
        value = pc.cast(batch.column(self.column), pa.float64())
        lang = pc.fill_null(batch.column("lang"), "") if self.per_language else pa.array([""] * len(value), pa.string())
        rows = pa.record_batch({"lang": lang, "value": value})
        measured: pa.RecordBatch = rows.filter(pc.invert(pc.is_null(value, nan_is_null=True)))
        return measured

    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        """The value of every cut in every language."""
        found = _found(sketches.files, self._cuts, exchange)
        found.write_ipc(out / _FILE)
        told = [
            {
                "language": lang or ("none" if self.per_language else "all"),
                "documents": n,
                "cut": cut,
                "quantile": self._cuts[cut],
                "value": value if isfinite(value) else str(value),
            }
            for lang, n, cut, value in found.iter_rows()
        ]
        write_facts({"column": self.column, "cuts": told}, out)

    @property
    def _cuts(self) -> dict[str, float]:
        """Quantiles by name; parts have theirs in quotation marks."""
        limits = {"above": self.above, "below": self.below}
        named = {name: limit for name, limit in limits.items() if limit is not None}
        return {**named, **{_part(name): quantile for name, quantile in self.parts.items()}}

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """Compare each value with the cuts of its language."""
        known = {(lang, cut): value for lang, _, cut, value in pl.read_ipc(decision.folder / _FILE).iter_rows()}
        values = pc.cast(batch.column(self.column), pa.float64()).to_pylist()
        langs = [(lang or "") if self.per_language else "" for lang in batch.column("lang").to_pylist()]
        rows = list(zip(langs, values, strict=True))
        columns = {self.into: pa.array([self._named(*row, known) for row in rows], pa.string())} if self.parts else {}
        return Verdict.of([self._reason(*row, known) for row in rows], columns)

    def _named(self, lang: str, value: float | None, known: Mapping[tuple[str, str], float]) -> str | None:
        if value is None or value != value:
            return None
        return next(name for name in self.parts if value <= known[lang, _part(name)])

    def _reason(self, lang: str, value: float | None, known: Mapping[tuple[str, str], float]) -> Reason | None:
        if self.above is None and self.below is None:
            return None
        if value is None or value != value:
            return Reason("not_measured", detail=self.column)
        if self.above is not None and value < (limit := known[lang, "above"]):
            return Reason("below_quantile", value, limit, detail=self.column)
        if self.below is not None and value > (limit := known[lang, "below"]):
            return Reason("above_quantile", value, limit, detail=self.column)
        return None


def _part(name: str) -> str:
    return f"'{name}'"


def _rank(cut: str, quantile: float, n: int) -> int:
    """Which of n values in order a cut is, counted from one: the least that is kept, or the greatest."""
    if cut == "above":
        return min(n, floor(quantile * n + _ROUNDING) + 1)
    return max(1, ceil(quantile * n - _ROUNDING))


def _found(files: Sequence[Path], cuts: Mapping[str, float], exchange: Exchange) -> pl.DataFrame:
    """Columns lang, documents, cut, value; one row a language and cut."""
    wanted = pl.DataFrame(schema={"lang": pl.String, "cut": pl.String, "prefix": pl.UInt64, "rank": pl.Int64})
    sizes = pl.DataFrame(schema={"lang": pl.String, "documents": pl.Int64})
    for done in range(_ROUNDS):
        prefixes = frozenset(wanted.select("lang", "prefix").iter_rows()) if done else None
        added = exchange(files, partial(_counted, prefixes=prefixes, done=done), _added)
        counts = pl.concat([pl.from_arrow(read_table(file)) for file in added]) if added else pl.DataFrame()
        if counts.is_empty():
            break
        if not done:
            sizes = counts.group_by("lang").agg(documents=pl.col("count").sum()).sort("lang")
            rows = [(lang, cut, 0, _rank(cut, q, n)) for lang, n in sizes.iter_rows() for cut, q in cuts.items()]
            wanted = pl.DataFrame(rows, schema=wanted.schema, orient="row")
        wanted = _narrowed(wanted, counts)
    value = pl.Series(_values(wanted["prefix"].to_numpy()), dtype=pl.Float64)
    found = wanted.with_columns(value=value).join(sizes, on="lang", maintain_order="left")
    return found.select("lang", "documents", "cut", "value")


def _narrowed(wanted: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    """Every prefix 16 bits longer, and the rank among the values that have it."""
    rows = []
    for lang, cut, prefix, rank in wanted.iter_rows():
        here = counts.filter((pl.col("lang") == lang) & (pl.col("prefix") == prefix)).sort("next")
        upto = here["count"].cum_sum().to_numpy()
        at = int(np.searchsorted(upto, rank))
        below = int(upto[at - 1]) if at else 0
        rows.append((lang, cut, (prefix << _BITS) | here["next"][at], rank - below))
    return pl.DataFrame(rows, schema=wanted.schema, orient="row")


def _counted(table: pa.Table, prefixes: frozenset[tuple[str, int]] | None, done: int) -> pa.Table:
    """How many values of a file have each of the next 16 bits, by language and the bits before, if these matter."""
    ordered = _ordered(table["value"].to_numpy())
    shift = np.uint64(64 - _BITS * (done + 1))
    bits = ordered >> shift
    prefix = bits >> np.uint64(_BITS) if done else np.zeros(len(bits), np.uint64)
    rows = pl.DataFrame({"lang": pl.from_arrow(table["lang"]), "prefix": prefix, "next": bits & np.uint64(0xFFFF)})
    if prefixes is not None:
        listed = pl.DataFrame(list(prefixes), schema={"lang": pl.String, "prefix": pl.UInt64}, orient="row")
        rows = rows.join(listed, on=["lang", "prefix"], how="semi")
    counts = rows.group_by("lang", "prefix", "next").agg(count=pl.len().cast(pl.Int64))
    # A hash that is the same in every process: the exchange wants keys that are evenly spread.
    spread = (counts["next"].to_numpy() * np.uint64(0x9E3779B97F4A7C15)) ^ counts["prefix"].to_numpy()
    return counts.to_arrow().append_column("key", pa.array(spread))


def _added(table: pa.Table) -> pa.Table:
    """The counts of all files, added up."""
    rows = pl.DataFrame(pl.from_arrow(table))
    return rows.group_by("lang", "prefix", "next").agg(pl.col("count").sum()).to_arrow()


def _ordered(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Numbers that are in the order of the values: negative ones with all bits turned, others with the first one."""
    bits = (values + 0.0).view(np.uint64)
    return np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(1 << 63))


def _values(ordered: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Inverse of `_ordered`."""
    first = np.uint64(1 << 63)
    return np.where(ordered & first, ordered ^ first, ~ordered).view(np.float64)
