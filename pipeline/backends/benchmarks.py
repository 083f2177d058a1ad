"""Benchmark files as questions and answers: JSON lines, JSON, Parquet or Arrow, plain or gzip, by fields or a preset.

A field that a row lacks is left out, so that one preset fits the layouts in which a benchmark is handed on. Texts
inside lists and maps (choices) are joined.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.core.errors import GristmillError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_BYTES = 256 << 20
"""Largest file that is read, unpacked, and the most text that a table may hold."""

_AT_ONCE = 16


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
    try:
        found = [
            Item(str(row.get(layout.id or "", number)), _joined(row, layout.question), _joined(row, layout.answer))
            for number, row in enumerate(_rows(path))
        ]
    except RecursionError:
        raise GristmillError(f"{path}: lists in lists, too deep to be read") from None
    if not any(item.question for item in found):
        wanted = ", ".join(layout.question)
        raise GristmillError(f"{path}: no row has text in {wanted}; name the fields with question and answer")
    return found


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    raw = _read(path)
    try:
        if raw[:4] == b"PAR1":
            import pyarrow.parquet as pq

            yield from _bounded(pq.ParquetFile(path).iter_batches(_AT_ONCE, use_threads=False), path)
        elif raw[:6] == b"ARROW1":
            import pyarrow as pa

            table = pa.ipc.open_file(raw)
            yield from _bounded((table.get_batch(index) for index in range(table.num_record_batches)), path)
        elif raw.lstrip()[:1] == b"[":
            rows = json.loads(raw)
            if not all(isinstance(row, dict) for row in rows):
                raise GristmillError(f"{path}: a list of what is no JSON object")
            yield from rows
        else:
            for number, line in enumerate(raw.splitlines(), 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise GristmillError(f"{path}: line {number} is no JSON object")
                    yield row
    except (ValueError, OSError, LookupError, NotImplementedError, RecursionError) as error:
        raise GristmillError(f"{path}: neither JSON lines, JSON, Parquet nor Arrow ({error})") from None


def _bounded(batches: Iterable[pa.RecordBatch], path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a table, a few at a time: they may share one text that is stored once."""
    n_read = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _AT_ONCE):
            for row in batch.slice(start, _AT_ONCE).to_pylist():
                n_read += sum(len(text) for text in _texts(row))
                if n_read > MOST_BYTES:
                    raise GristmillError(f"{path}: more than {MOST_BYTES >> 20} MiB of text; cut it into several files")
                yield row


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
