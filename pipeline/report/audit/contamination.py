"""The sampled check for benchmarks: those that the recipe names, and those that the auditor brings."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pipeline.backends.benchmark_files import BenchmarkFiles
from pipeline.backends.benchmarks import items
from pipeline.core.errors import GristmillError
from pipeline.report.audit.evidence import Evidence
from pipeline.report.audit.outcome import Outcome, fails, holds, unknown
from pipeline.report.audit.samples import residual
from pipeline.report.facts import wilson
from pipeline.report.recipe_text import of_word

_CONTAMINATED = 0.0005
"""Share of documents that may hold a run of a benchmark all the same."""

_SPAN, _SHORT = 13, 8
_TEMPLATE = 10
"""Items of a benchmark that share a run of words: from so many on it is a phrase of the benchmark, no question."""

Spans = frozenset[tuple[str, ...]]


def contamination(evidence: Evidence) -> Outcome:
    """Runs of words of a benchmark in the documents: 13 of them, or a whole item that has at least 8."""
    stages = list(of_word(evidence.manifest.recipe, "contamination"))
    benchmarks, missing = _named(evidence, stages)
    benchmarks |= {path.name: _file_spans(path) for path in evidence.benchmarks}
    if not benchmarks:
        why = "; ".join(missing) or "no benchmark was given: name its JSON lines with --benchmark FILE"
        return unknown(why, sampled=True)
    texts = evidence.texts()
    hits: dict[str, int] = {}
    seen: dict[str, str] = {}
    for name, spans in benchmarks.items():
        rows = [row for row, text in enumerate(texts) if _holds_span(text, spans)]
        hits[name] = len(rows)
        seen |= {name: evidence.sample["id"][rows[0]].as_py()} if rows else {}
    grid = residual("Benchmark", hits, len(texts))
    said = "; ".join(f"{name} in {n:,} of {len(texts):,}" for name, n in hits.items())
    odd = [name for name, n in hits.items() if wilson(n, len(texts))[0] > _CONTAMINATED]
    if not stages:
        return unknown(f"the card claims nothing; seen: {said}", evidence.scope, grid, sampled=True)
    if odd:
        return fails(f"{said}; such as {seen[odd[0]]}", evidence.scope, grid, sampled=True)
    if missing:
        return unknown("; ".join([*missing, f"seen: {said}"]), evidence.scope, grid, sampled=True)
    return holds(said, evidence.scope, grid, sampled=True)


def _named(evidence: Evidence, stages: Iterable[dict[str, Any]]) -> tuple[dict[str, Spans], list[str]]:
    """The benchmarks that the recipe names, by name, and which of them are not at hand."""
    found: dict[str, Spans] = {}
    missing = []
    for stage in stages:
        span = int(stage.get("run", _SPAN))
        if own := stage.get("written"):
            found["written in the recipe"] = _spans_of([own], span)
        for entry in stage.get("against") or []:
            named = BenchmarkFiles.model_validate_json(json.dumps(entry))
            try:
                with evidence.place.active() if evidence.place else nullcontext():
                    listed = [item for asset in named.assets() for item in items(asset.path, named.layout)]
            except GristmillError as error:
                missing.append(f"{named.name} is not at hand: {' '.join(str(error).split())}")
            else:
                found[named.name] = _spans_of([[item.question, item.answer] for item in listed], span)
    return found, missing


def _file_spans(path: Path) -> Spans:
    """The spans of a benchmark in JSON lines; every text in a line is one of its item."""
    lines = []
    with path.open("rb") as raw, gzip.open(raw) if path.suffix == ".gz" else raw as stream:
        for number, line in enumerate(stream, 1):
            try:
                lines.append(json.loads(line) if line.strip() else {})
            except ValueError:
                raise GristmillError(f"{path}: line {number} is not JSON; a benchmark is JSON lines") from None
    return _spans_of(lines)


def _spans_of(benchmark: Iterable[object], span: int = _SPAN) -> Spans:
    """All runs of `span` words of its items, short items whole; not those that many items share."""
    counts: Counter[tuple[str, ...]] = Counter()
    for item in benchmark:
        counts.update({run for text in _strings(item) for run in _spans(_words(text), span)})
    return frozenset(run for run, n in counts.items() if n < _TEMPLATE)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff"


def _words(text: str) -> list[str]:
    """Words without case and marks; a character of a script without spaces is by itself."""
    return re.findall(f"[{_UNSPACED}]|[^\\W_{_UNSPACED}]+", text.lower())


def _spans(words: Sequence[str], span: int) -> Iterator[tuple[str, ...]]:
    """Runs of `span` words; where most are characters of a script without spaces, two of them count as a word."""
    by_character = 2 * sum(re.match(f"[{_UNSPACED}]", word) is not None for word in words) > len(words)
    short, span = (2 * _SHORT, 2 * span) if by_character else (_SHORT, span)
    if short <= len(words) < span:
        yield tuple(words)
    for at in range(len(words) - span + 1):
        yield tuple(words[at : at + span])


def _holds_span(text: str, spans: Spans) -> bool:
    words = _words(text)
    sizes = {len(span) for span in spans}
    return any(tuple(words[at : at + size]) in spans for size in sizes for at in range(len(words) - size + 1))
