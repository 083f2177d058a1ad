"""What a family of rules is: measures of texts, and limits on them that may differ by language.

The measures know no limits and the limits compute nothing. All families measure by the columns of `kernels.textstats`,
which are computed once for a batch, whatever the number of families that follow one another.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, NamedTuple, Self, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from pipeline.backends.language import normalise
from pipeline.core.stage import Evidence, Judgement, Local
from pipeline.core.verdict import Verdict
from pipeline.filters.published import Table, published
from pipeline.kernels.textstats import Columns, recent

Measure = npt.NDArray[np.float64]


class Bound(NamedTuple):
    """Drop with `reason` where `measure` is beyond the limit in `field`; `least`: below it, else above it."""

    reason: str
    measure: str
    field: str
    least: bool = False


class Limits(Local):
    """A family: fields are limits (None switches one off), judged in the order of `bounds`; the first one met drops."""

    optional: ClassVar[tuple[str, ...]] = ("lang",)
    bounds: ClassVar[tuple[Bound, ...]] = ()

    by_language: dict[str, dict[str, float | None]] = Field(
        {}, description="limits that differ for documents of a language, over those of the published table"
    )

    @abstractmethod
    def measures(self, counted: Columns) -> dict[str, Measure]:
        """The numbers that `bounds` name, one a text; NaN where one cannot be said."""

    def counted(self, texts: pa.LargeStringArray, langs: list[str | None]) -> Columns:
        """What the measures are made of."""
        return recent(texts, langs)

    def measure(self, text: str, lang: str | None) -> dict[str, float]:
        """The measures of one text."""
        counted = self.counted(pa.array([text], pa.large_string()), [lang])
        return {name: float(values[0]) for name, values in self.measures(counted).items()}

    @model_validator(mode="before")
    @classmethod
    def _over_the_table(cls, given: Any) -> Any:
        """Write the published limits out, so that a stage's identity holds every limit that it judges by."""
        if "published" not in cls.model_fields or not isinstance(given, dict):
            return given
        name = given.get("published", cls.model_fields["published"].default)
        table = published(name, cls.word) if name in get_args(Table) else {}
        own = given.get("by_language", {})
        if not isinstance(own, dict) or not all(isinstance(limits, dict) for limits in own.values()):
            return given
        merged = {lang: {**table.get(lang, {}), **own.get(lang, {})} for lang in sorted({*table, *own})}
        return {**given, "by_language": merged}

    @model_validator(mode="after")
    def _limits_by_language_are_limits(self) -> Self:
        known = {bound.field for bound in self.bounds}
        for lang, overrides in self.by_language.items():
            if normalise(lang) != lang:
                raise ValueError(f"by_language.{lang}: no document is labelled so; did you mean {normalise(lang)!r}?")
            for name, value in overrides.items():
                place = f"by_language.{lang}.{name}"
                if name not in known:
                    raise ValueError(f"{place}: no such limit; known: {', '.join(sorted(known))}")
                try:
                    _adapter(type(self), name).validate_python(value)
                except ValidationError as error:
                    raise ValueError(f"{place}: {error.errors()[0]['msg']}") from None
        return self

    def limits(self, lang: str | None) -> dict[str, float | None]:
        """Every limit, as it holds for documents of a language."""
        return {bound.field: getattr(self, bound.field) for bound in self.bounds} | self.by_language.get(lang or "", {})

    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """The first bound that a text is beyond, with the measure and the limit."""
        langs = batch.column("lang").to_pylist()
        measures = self.measures(self.counted(batch.column("text").cast(pa.large_string()), langs))
        different = {lang: place for place, lang in enumerate(dict.fromkeys(langs))}
        limits = [self.limits(lang) for lang in different]
        allowed = np.array([[one[bound.field] for one in limits] for bound in self.bounds], np.float64)
        allowed = allowed[:, [different[lang] for lang in langs]]
        found = np.array([measures[bound.measure] for bound in self.bounds])
        least = np.array([[bound.least] for bound in self.bounds])
        beyond = np.where(least, found < allowed, found > allowed)
        kept, first, rows = ~beyond.any(axis=0), beyond.argmax(axis=0), np.arange(len(langs))
        return Verdict(
            reason=pa.array(np.array([bound.reason for bound in self.bounds], object)[first], pa.string(), mask=kept),
            value=pa.array(found[first, rows], mask=kept),
            limit=pa.array(allowed[first, rows], mask=kept),
        )

    def measuring(self) -> dict[str, Any]:
        """All but the limits: another limit changes no measure."""
        limits = {"by_language", "published", *(bound.field for bound in self.bounds)}
        return {name: value for name, value in self.fields().items() if name not in limits}

    def evidence(self, batch: pa.RecordBatch) -> Evidence:
        """Every measure of every text, and the language that its limits go by."""
        texts, langs = batch.column("text").cast(pa.large_string()), batch.column("lang").to_pylist()
        found = self.measures(self.counted(texts, langs))
        names = dict.fromkeys(bound.measure for bound in self.bounds)
        measures = {name: pa.array(found[name], pa.float64()) for name in names}
        return Evidence({}, {**measures, "lang": batch.column("lang")})

    def rules(self, measures: Mapping[str, pa.Array]) -> tuple[Judgement, ...]:
        """Every bound on its own, not only the first that a text is beyond."""
        langs = measures["lang"].dictionary_encode(null_encoding="encode")
        limits = [self.limits(lang) for lang in langs.dictionary.to_pylist()]
        found = []
        for reason, measure, field, least in self.bounds:
            value = measures[measure]
            limit = pa.array([each[field] for each in limits], pa.float64()).take(langs.indices)
            beyond = pc.less(value, limit) if least else pc.greater(value, limit)
            found.append(Judgement(reason, pc.fill_null(beyond, False), value, limit, field, least))
        return tuple(found)


def ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> Measure:
    """Part by whole; 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


@cache
def _adapter(family: type[Limits], name: str) -> TypeAdapter[Any]:
    info = family.model_fields[name]
    limit: Any = Annotated[info.annotation, Field(), *info.metadata]
    return TypeAdapter(limit)
