"""What stages tell of themselves beyond the funnel, as tables: counts found, facts decided, detectors on trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any

from pipeline.core.manifest import StageCount, Trial
from pipeline.report.grid import Cell, Columns, Grid

_LANGUAGES = 8
"""Columns of languages in a table of counts; the others are added up in one."""


def found(count: StageCount) -> Grid:
    """Kinds by language, the most frequent first."""
    kinds: dict[str, Counter[str]] = {}
    for name, n in count.found.items():
        kind, _, lang = name.partition("/")
        kinds.setdefault(kind, Counter())[lang] += n
    totals = sum(kinds.values(), Counter())
    ordered = [lang for lang, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0])) if lang]
    shown, others = ordered[:_LANGUAGES], ordered[_LANGUAGES:]
    more: Columns = (("other languages", "count"),) if others else ()
    head: Columns = (("Found", "name"), ("In all", "count"), *((lang, "count") for lang in shown), *more)
    rows: list[tuple[Cell, ...]] = [
        (kind, counts.total(), *(counts[lang] for lang in shown), *([sum(counts[o] for o in others)] if others else []))
        for kind, counts in sorted(kinds.items(), key=lambda item: (-item[1].total(), item[0]))
    ]
    return Grid(columns=head, rows=tuple(rows))


def decided(facts: Mapping[str, Any]) -> tuple[Grid, ...]:
    """Nested JSON as tables: one of single values, one for each list or map of records."""
    singles: list[tuple[Cell, ...]] = []
    grids: list[Grid] = []
    for path, value in _walk(facts, ""):
        if (records := _records(value)) is not None:
            grids.append(_of_records(path, records))
        else:
            singles.append((path, value if isinstance(value, int | float) else "" if value is None else str(value)))
    first = [Grid(columns=(("Fact", "name"), ("Value", "value")), rows=tuple(singles))] if singles else []
    return (*first, *grids)


def trials(held: tuple[Trial, ...]) -> Grid:
    """Recall and precision by kind and language, each with its 95% interval."""
    head: Columns = (
        *(("Planted", "name"), ("Language", "name"), ("Texts", "count"), ("Detected", "count")),
        *(("Recall", "share"), ("95% interval", "interval"), ("Clean texts", "count"), ("False alarms", "count")),
        *(("Precision", "share"), ("95% interval", "interval")),
    )
    return Grid(columns=head, rows=tuple(_trial(trial) for trial in held))


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95% interval of a share of which `hits` of `n` were seen (Wilson 1927): sensible at 0 and at 1 too."""
    if n == 0:
        return 0.0, 1.0
    share, square = hits / n, z * z
    middle, spread = share + square / (2 * n), z * sqrt(share * (1 - share) / n + square / (4 * n * n))
    low, high = (middle - spread) / (1 + square / n), (middle + spread) / (1 + square / n)
    return (0.0 if hits == 0 else low), (1.0 if hits == n else high)


def _trial(trial: Trial) -> tuple[Cell, ...]:
    hits = trial.found + trial.false_alarms
    recall = (trial.recall, wilson(trial.found, trial.planted)) if trial.planted else (None, None)
    precision = (trial.precision, wilson(trial.found, hits)) if hits else (None, None)
    counts = (trial.kind, trial.lang or "", trial.planted, trial.found)
    return (*counts, *recall, trial.clean, trial.false_alarms, *precision)


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Leaves by dotted path; lists of plain values are one leaf, lists and maps of flat records stay whole."""
    if isinstance(value, Mapping) and value and _records(value) is None:
        for name, inner in value.items():
            yield from _walk(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value and _records(value) is None:
        if any(isinstance(inner, list | Mapping) for inner in value):
            for number, inner in enumerate(value):
                yield from _walk(inner, f"{path}.{number}")
        else:
            yield path, ", ".join(str(inner) for inner in value)
    elif not isinstance(value, list | Mapping) or _records(value) is not None:
        yield path, value


def _records(value: Any) -> list[tuple[str, Mapping[str, Any]]] | None:
    """Named records where the value is a list or a map of flat records, two or more of a kind."""
    named = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    rows = [(str(name), record) for name, record in named]
    flat = all(
        isinstance(record, Mapping) and record and not any(isinstance(v, list | Mapping) for v in record.values())
        for _, record in rows
    )
    return rows if rows and flat else None


def _of_records(path: str, records: list[tuple[str, Mapping[str, Any]]]) -> Grid:
    names = list(dict.fromkeys(name for _, record in records for name in record))
    head: Columns = ((path or "name", "name"), *((name, "value") for name in names))
    rows = [(name, *(record.get(column) for column in names)) for name, record in records]
    return Grid(columns=head, rows=tuple(rows))
