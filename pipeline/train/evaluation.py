"""What a model made of held-out texts, in all, by source and by language: for `evaluation.json` and for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import TypeAdapter

from pipeline.core.manifest import Record
from pipeline.train.held_out import Score, Scored

EVALUATION = "evaluation.json"


class Line(Record):
    """The score of some documents, with what is counted from it; `ngram` are bits a byte of the baseline."""

    score: Score
    bits_per_byte: float | None
    perplexity: float | None
    accuracy: float | None
    ngram: float | None = None


class Evaluation(Record):
    """One held-out set; `texts` is the digest of its texts."""

    texts: str
    total: Line
    by_source: dict[str, Line]
    by_lang: dict[str, Line]


def evaluations(scored: Mapping[str, Scored], baseline: Mapping[str, Scored]) -> dict[str, Evaluation]:
    """Of each held-out set, with what an n-gram model made of it where that is known."""
    return {name: _evaluation(found, baseline.get(name)) for name, found in scored.items()}


def read_evaluations(folder: Path) -> dict[str, Evaluation]:
    """What is written in a folder; nothing where none is."""
    path = folder / EVALUATION
    return TypeAdapter(dict[str, Evaluation]).validate_json(path.read_bytes()) if path.exists() else {}


def as_text(found: Mapping[str, Evaluation]) -> str:
    """A table."""
    head = ("held out", "documents", "bytes", "bits/byte", "n-gram's", "perplexity", "accuracy")
    rows = [head, *(row for name, evaluation in found.items() for row in _rows(name, evaluation))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(size) for cell, size in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _rows(name: str, evaluation: Evaluation) -> Iterable[tuple[str, ...]]:
    yield _row(name, evaluation.total)
    for lines in (evaluation.by_source, evaluation.by_lang):
        for key, line in lines.items() if len(lines) > 1 else ():
            yield _row(f"  {key or '(none)'}", line)


def _row(name: str, line: Line) -> tuple[str, ...]:
    values = (line.bits_per_byte, line.ngram, line.perplexity, line.accuracy)
    shown = [f"{value:,.4f}" if value is not None else "-" for value in values]
    return (name, f"{line.score.documents:,}", f"{line.score.bytes:,}", *shown)


def _evaluation(found: Scored, other: Scored | None) -> Evaluation:
    return Evaluation(
        texts=found.held_out.digest,
        total=_line(found.total, other.total if other else None),
        by_source=_lines(found, other, "source"),
        by_lang=_lines(found, other, "lang"),
    )


def _lines(found: Scored, other: Scored | None, column: str) -> dict[str, Line]:
    beside = other.by(column) if other else {}
    return {key: _line(score, beside.get(key)) for key, score in found.by(column).items()}


def _line(score: Score, other: Score | None) -> Line:
    return Line(
        score=score,
        bits_per_byte=score.bits_per_byte,
        perplexity=score.perplexity,
        accuracy=score.accuracy,
        ngram=other.bits_per_byte if other else None,
    )
