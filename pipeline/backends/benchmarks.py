"""Benchmark files as questions and answers: JSON lines, JSON, Parquet or Arrow, plain or gzip, by fields or a preset.

A field that a row lacks is left out, so that one preset fits the layouts in which a benchmark is handed on. Texts
inside lists and maps (choices) are joined.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import GristmillError

MOST_BYTES = 1 << 30
"""Largest file that is read, unpacked."""


class Item(NamedTuple):
    """One entry of a benchmark: its id (or number in the file) and what it asks and answers."""

    id: str
    question: str
    answer: str


class Layout(NamedTuple):
    """Which fields are the question, the answer and the id."""

    question: tuple[str, ...]
    answer: tuple[str, ...] = ()
    id: str | None = None


@cache
def presets() -> Mapping[str, Layout]:
    """The layouts of known benchmarks, by name."""
    listed = json.loads(files("pipeline.backends").joinpath("benchmarks.json").read_text(encoding="utf-8"))
    return {name: Layout(tuple(m["question"]), tuple(m["answer"]), m.get("id")) for name, m in listed.items()}


def items(path: Path, layout: Layout) -> list[Item]:
    """The entries of a file, in order; GristmillError where it is no such file or has none of the question's fields."""
    found = [
        Item(str(row.get(layout.id or "", number)), _joined(row, layout.question), _joined(row, layout.answer))
        for number, row in enumerate(_rows(path))
    ]
    if not any(item.question for item in found):
        wanted = ", ".join(layout.question)
        raise GristmillError(f"{path}: no row has text in {wanted}; name the fields with question and answer")
    return found


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    raw = _read(path)
    try:
        if raw[:4] == b"PAR1":
            import pyarrow.parquet as pq

            yield from pq.read_table(path).to_pylist()
        elif raw[:6] == b"ARROW1":
            import pyarrow as pa

            yield from pa.ipc.open_file(raw).read_all().to_pylist()
        elif raw.lstrip()[:1] == b"[":
            yield from json.loads(raw)
        else:
            for number, line in enumerate(raw.splitlines(), 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise GristmillError(f"{path}: line {number} is no JSON object")
                    yield row
    except (ValueError, OSError) as error:
        raise GristmillError(f"{path}: neither JSON lines, JSON, Parquet nor Arrow ({error})") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise GristmillError(f"{path}: cannot be read ({error}); get the file again or correct the path") from None
    if len(raw) > MOST_BYTES:
        raise GristmillError(f"{path}: more than {MOST_BYTES >> 20} MiB; cut it into several files")
    return raw


def _joined(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return "\n".join(text for name in names for text in _texts(row.get(name)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
