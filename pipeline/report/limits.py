"""Limits for another language, from the measures of trusted text in it, as YAML to paste under `by_language`.

FineWeb-2 (Penedo et al. 2025) sets the limits of each language from distributions over text like Wikipedia's instead of
translating English numbers. Three ways, for each limit on the measure x, with F the distribution of x in the language:

- `tail`: the limit that drops a given share of the trusted text: the quantile F⁻¹(share), or F⁻¹(1 - share) of an upper
  limit. Needs no other language.
- `quantile`: the limit that drops as much of the trusted text as the present limit drops of that in the language
  `like`: F⁻¹(G(limit)), with G the distribution there.
- `mean_std`: as many standard deviations from the mean as there: mean + std * (limit - mean') / std'.

Documents without a measure are left out. Whole-number limits (words, stop words) say more of documents and of lists
than of a language, and are derived only where they are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from pipeline.core.census import About, Rule, read_census
from pipeline.core.errors import GristmillError, UsageError
from pipeline.core.manifest import Record

Method = Literal["tail", "quantile", "mean_std"]

FEWEST = 100
"""Documents of a language below which its distribution is not taken for known."""


class Derived(Record):
    """A limit: `drops` is the share of the trusted text that it drops; None where nothing can be said."""

    stage: str
    field: str
    reason: str
    limit: float | None
    drops: float | None
    note: str = ""


class Limits(Record):
    """What was derived for `lang` from `documents` documents."""

    lang: str
    like: str | None
    method: Method
    documents: int
    derived: tuple[Derived, ...]


def derive(
    folder: Path, lang: str, *, method: Method = "tail", share: float = 0.01, like: str = "en", only: Sequence[str] = ()
) -> Limits:
    """Limits for `lang` from the census in `folder`, whose documents are the trusted text."""
    about, table = read_census(folder)
    rules = [rule for rule in about.rules if rule.by_language and _is_asked(rule, only)]
    _check(about, table, lang, None if method == "tail" else like, only)
    own, other = _Sample.of(table, lang), _Sample.of(table, like)
    found = [_derived(rule, own, other, method, share) for rule in rules]
    compared = None if method == "tail" else like
    return Limits(lang=lang, like=compared, method=method, documents=own.table.num_rows, derived=tuple(found))


def as_yaml(limits: Limits) -> str:
    """YAML of the stages with their `by_language`; what each limit drops of the trusted text stands beside it."""
    how = limits.method + (f", as in {limits.like}" if limits.like else "")
    lines = [f"# {limits.lang}: from {limits.documents:,} documents of trusted text ({how})"]
    for stage in dict.fromkeys(one.stage for one in limits.derived):
        lines += [f"- {stage}:", "    by_language:", f"      {yaml.safe_dump(limits.lang).split()[0]}:"]
        for one in limits.derived:
            if one.stage == stage and one.limit is not None:
                told = f"drops {one.drops:.2%}" + (f"; {one.note}" if one.note else "")
                lines.append(f"        {one.field}: {one.limit:g}  # {told}")
            elif one.stage == stage:
                lines.append(f"        # {one.field}: {one.note}")
    return "\n".join(lines) + "\n"


class _Sample(NamedTuple):
    """The trusted text of one language."""

    table: pa.Table

    @classmethod
    def of(cls, table: pa.Table, lang: str) -> _Sample:
        return cls(table.filter(pc.fill_null(pc.equal(table["lang"], lang), False)))

    def values(self, rule: Rule) -> np.ndarray:
        """What was measured for a rule."""
        values: np.ndarray = self.table[f"{rule.name}.value"].to_numpy()
        known: np.ndarray = values[~np.isnan(values)]
        return known

    def limit(self, rule: Rule) -> float | None:
        """The present limit of a rule in this language."""
        limits = pc.unique(self.table[f"{rule.name}.limit"]).drop_null().to_pylist()
        return float(limits[0]) if limits else None


def _derived(rule: Rule, own: _Sample, other: _Sample, method: Method, share: float) -> Derived:
    values, field = own.values(rule), rule.field or ""
    bare = Derived(stage=rule.stage, field=field, reason=rule.reason, limit=None, drops=None)
    if len(values) < FEWEST:
        return bare.model_copy(update={"note": f"measured in {len(values)} documents only"})
    if method == "tail":
        limit = _quantile(values, share, rule)
    else:
        present, theirs = other.limit(rule), other.values(rule)
        if present is None or len(theirs) < FEWEST:
            return bare.model_copy(update={"note": "no limit, or too few documents, in the language to follow"})
        if method == "quantile":
            limit = _quantile(values, _drops(theirs, present, rule), rule)
        elif not theirs.std():
            return bare.model_copy(update={"note": "does not vary in the language to follow"})
        else:
            limit = float(values.mean() + values.std() * (present - theirs.mean()) / theirs.std())
    limit = _rounded(max(limit, 0.0), rule)
    note = "drops none of it: the measure hardly varies" if limit == 0 and not rule.least else ""
    return bare.model_copy(update={"limit": limit, "drops": _drops(values, limit, rule), "note": note})


def _quantile(values: np.ndarray, share: float, rule: Rule) -> float:
    """The value with this share of the documents beyond it."""
    return float(np.quantile(values, share if rule.least else 1 - share))


def _drops(values: np.ndarray, limit: float, rule: Rule) -> float:
    return float(np.mean(values < limit if rule.least else values > limit))


def _rounded(limit: float, rule: Rule) -> float:
    """To three decimals, or to a whole number, towards the side that drops less."""
    step = 1.0 if rule.whole else 1000.0
    return float((np.floor if rule.least else np.ceil)(limit * step) / step)


def _is_asked(rule: Rule, only: Sequence[str]) -> bool:
    return rule.field in only if only else not rule.whole


def _check(about: About, table: pa.Table, lang: str, like: str | None, only: Sequence[str]) -> None:
    known = sorted({rule.field for rule in about.rules if rule.by_language and rule.field})
    strange = sorted(set(only) - set(known))
    if strange:
        raise UsageError(f"no stage here has the limit {strange[0]!r} by language; known: {', '.join(known)}")
    counts = {row["values"]: row["counts"] for row in pc.value_counts(table["lang"]).to_pylist() if row["values"]}
    for name in (lang, *([like] if like else [])):
        if counts.get(name, 0) < FEWEST:
            told = ", ".join(f"{key} {n:,}" for key, n in sorted(counts.items(), key=lambda item: -item[1])[:10])
            raise GristmillError(
                f"{counts.get(name, 0)} documents of {name!r}: at least {FEWEST} are needed; "
                f"the sample has {told or 'none with a language'}"
            )
