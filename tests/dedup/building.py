"""A build in small: sketches of shards, a decision, and the verdicts, without the engine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from pipeline.core.schema import documents
from pipeline.core.shards import rebatch, write_table
from pipeline.core.stage import Decision, Global, Sketches
from pipeline.core.verdict import Verdict
from pipeline.dedup import against
from pipeline.run.exchange import PARTITION_BYTES, FileExchange
from pipeline.run.executors import Executor, Serial
from pipeline.run.judging import visible

Row = dict[str, object]


class Drop(NamedTuple):
    """A ledger entry in short."""

    reason: str
    twin: str
    value: float
    limit: float | None


def document(id: str, text: str | None, **columns: object) -> Row:
    return {"id": id, "text": text, "source": "first", "file": f"{id}.jsonl", "offset": 0, **columns}


def decided(
    stage: Global,
    shards: Sequence[Sequence[Row]],
    folder: Path,
    *,
    lists: str = "drops-",
    sources: tuple[str, ...] = ("first", "second"),
    partitions: int | None = None,
    batch_rows: int = 3,
    executor: Executor | None = None,
    extra: Mapping[str, pa.DataType] | None = None,
    older: Sequence[Sequence[Sequence[Row]]] = (),
    partition_bytes: int = PARTITION_BYTES,
) -> Path:
    """The folder of the stage's decision on these shards, in which only `lists` (and facts) may remain.

    `older` are the shards of builds to compare with, the oldest first; build n is called `n` and has the source `n`.
    """
    folder = Path(tempfile.mkdtemp(dir=folder))
    sketches = _sketches(stage, shards, sources, folder, batch_rows, extra)
    builds = []
    for number, past in enumerate(older):
        (folder / f"{number}").mkdir()
        there = _sketches(stage, past, (f"{number}",), folder / f"{number}", batch_rows, extra)
        builds.append(against.Build(f"{number}", there.files, there.rows, there.sources))
    out = folder / "decision"
    out.mkdir()
    exchange = FileExchange(executor or Serial(), folder / "work", partitions, partition_bytes)
    with pytest.MonkeyPatch.context() as patch:
        if older:
            patch.setattr(against, "_chain", lambda *_: builds)
            stage = stage.model_copy(update={"against": "older"})
        stage.decide(sketches, out, exchange)
    assert all(file.name.startswith((lists, "facts")) for file in out.iterdir()), f"only {lists} remain"
    if older:
        told = json.loads((out / "facts.json").read_text())
        assert [name.rpartition(" ")[2] for name in told] == [f"{number}" for number in range(len(older))]
    return out


def _sketches(
    stage: Global,
    shards: Sequence[Sequence[Row]],
    sources: tuple[str, ...],
    folder: Path,
    batch_rows: int,
    extra: Mapping[str, pa.DataType] | None,
) -> Sketches:
    files = []
    for index, rows in enumerate(shards):
        files.append(folder / f"sketch-{index}.arrow")
        write_table(files[-1], sketched(stage, rows, batch_rows, extra))
    return Sketches(tuple(files), tuple(map(len, shards)), sources)


def dropped(
    stage: Global, shards: Sequence[Sequence[Row]], folder: Path, *, name: str = "id", **options: Any
) -> dict[object, Drop]:
    """By id (or another column that names them), the documents of these shards that the stage drops."""
    found: dict[object, Drop] = {}
    for row, verdict, place in judged(stage, shards, folder, lists="drops-", **options):
        if verdict.reason is not None and verdict.reason[place].is_valid:
            found[row[name]] = Drop(*(getattr(verdict, field)[place].as_py() for field in Drop._fields))
    return found


def edited(stage: Global, shards: Sequence[Sequence[Row]], folder: Path, **options: Any) -> dict[object, str | None]:
    """By id, the texts that the stage leaves; None for a document that it drops."""
    found: dict[object, str | None] = {}
    for row, verdict, place in judged(stage, shards, folder, **options, lists="places-"):
        is_dropped = verdict.reason is not None and verdict.reason[place].is_valid
        text = verdict.columns["text"][place].as_py() if "text" in verdict.columns else row["text"]
        assert not is_dropped or text == row["text"], "the ledger has the whole text"
        found[row["id"]] = None if is_dropped else text
    return found


def judged(
    stage: Global, shards: Sequence[Sequence[Row]], folder: Path, *, batch_rows: int = 3, **options: Any
) -> Iterator[tuple[Row, Verdict, int]]:
    """Every document with the verdict on its batch and its place in it."""
    out = decided(stage, shards, folder, batch_rows=batch_rows, **options)
    for index, rows in enumerate(shards):
        for start in range(0, len(rows), batch_rows):
            batch = documents(rows[start : start + batch_rows])
            verdict = stage.judge(batch, Decision(out, index, start))
            for place, row in enumerate(rows[start : start + batch_rows]):
                yield row, verdict, place


def sketched(
    stage: Global, rows: Sequence[Row], batch_rows: int = 3, extra: Mapping[str, pa.DataType] | None = None
) -> pa.Table:
    """The sketch of one shard."""
    batch = visible(stage, documents(rows, extra)).append_column("row", pa.array(range(len(rows)), pa.int64()))
    pieces = [stage.sketch(piece) for piece in (batch.slice(0, 0), *rebatch([batch], batch_rows))]
    return pa.Table.from_batches(pieces)


def cut(rows: Sequence[Row], ends: Sequence[int]) -> list[list[Row]]:
    """The rows in shards that end at these places; some may be empty."""
    places = [0, *sorted(end % (len(rows) + 1) for end in ends), len(rows)]
    return [list(rows[start:stop]) for start, stop in pairwise(places)]
