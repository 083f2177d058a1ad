"""Cut a measure at its own quantiles: the best tenth of a score, or CCNet's head, middle and tail of perplexity."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from pipeline.core.shards import read_table, write_table
from pipeline.core.stage import Decision, Exchange, Global, Share, Sketches, write_facts
from pipeline.core.verdict import Reason, Verdict

_FILE = "cuts.arrow"


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
        from pipeline.kernels.quantiles import cut_values

        found = cut_values(sketches.files, self._cuts, exchange)
        write_table(out / _FILE, found)
        told = [
            {
                "language": lang or ("none" if self.per_language else "all"),
                "documents": n,
                "cut": cut,
                "quantile": self._cuts[cut],
                "value": value if isfinite(value) else str(value),
            }
            for lang, n, cut, value in zip(*found.to_pydict().values(), strict=True)
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
        found = read_table(decision.folder / _FILE).to_pylist()
        known = {(row["lang"], row["cut"]): row["value"] for row in found}
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
