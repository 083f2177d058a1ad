"""A shard that kills its worker, done document by document: what did it goes to the ledger, all else is kept.

A parser's fault or the OOM killer ends a process and says nothing. So the shard is done in a child that notes, before
each call, what it is about to do: where the child dies, the batch is done again row by row, and where it dies at the
same row again, that row is dropped as `crashed_worker` and the shard begun anew. Stages are row-local, so what is kept
is what any other run keeps; what is dropped can differ between machines, and the card says so. A document that cannot
be packed stays among the documents: it has no tokens, and the ledger of the packing says why.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

import pyarrow as pa

from pipeline.core.errors import WorkerDied
from pipeline.core.manifest import Receipt
from pipeline.core.mirror import Remote
from pipeline.core.schema import documents, record_id
from pipeline.core.shards import TEMPORARY, shard_name
from pipeline.core.stage import Part, Slice
from pipeline.core.verdict import CRASHED, Reason, Verdict
from pipeline.run.executors import Failed, attempt, child_context, ending, start_worker, told_of
from pipeline.run.plan import ReadPart, read_label
from pipeline.run.sweep import LAYOUT, SKETCH, ShardJob, run_shard

J = TypeVar("J")
R = TypeVar("R")

MOST = 32
"""Documents of one shard that may kill their worker; more are a defect of the machine or of a stage."""


def run_alone(job: ShardJob) -> Receipt:
    """Do a shard in the process of the build itself: carefully where an earlier build ended within this very shard."""
    if isinstance(job.folder.path, Remote):
        return run_shard(job)
    begun = job.folder.path / f"{shard_name(job.index)}.begun"
    begun.parent.mkdir(parents=True, exist_ok=True)
    careful = begun.exists()
    begun.touch()
    try:
        return run_carefully(job) if careful else run_shard(job)
    finally:  # which a crash does not come to
        begun.unlink()


def run_carefully(job: ShardJob) -> Receipt:
    """Do a shard whose worker died; WorkerDied where it is not documents that it dies of."""
    with TemporaryDirectory() as folder:
        care, before, how = Care(Path(folder) / "doing"), None, ""
        for _ in range(4 * MOST):
            given = in_child(partial(run_shard, care=care), job)
            if not isinstance(given, str):
                return given
            how = given
            _sweep_away(job)
            doing = care.done_last()
            if doing and doing == before:
                care = _avoiding(doing, how, job, care)
            elif doing and doing.rows > 1:
                care = replace(care, alone=(*care.alone, (doing.first, doing.rows)))
            before = doing
            if len(care.crashed) + len(care.cut) > MOST:
                break
    raise WorkerDied(f"more than {MOST} of its documents kill their worker, the last time {told_of(how)}")


class Doing(NamedTuple):
    """What a child is about to do: read on in a slice of the part, or let a stage see some rows of the shard."""

    what: str
    first: int
    rows: int
    piece: int = -1


READ = "its reading"


@dataclass(frozen=True)
class Care:
    """What is known of a shard's crashes, and where the child writes down what it is about to do.

    `alone` are runs of rows to be done one by one, `crashed` the stage at which a row is dropped and why, `cut` the
    number of rows after which a slice of the part is not read on and why.
    """

    trace: Path
    alone: tuple[tuple[int, int], ...] = ()
    crashed: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    cut: Mapping[int, tuple[int, str]] = field(default_factory=dict)

    def doing(self, what: str, first: int, rows: int, piece: int = -1) -> None:
        """Write down the next call."""
        with self.trace.open("w") as stream:
            json.dump(Doing(what, first, rows, piece), stream)

    def done_last(self) -> Doing | None:
        """What was written down last; None where nothing was, or the child died in writing it."""
        try:
            doing = Doing(*json.loads(self.trace.read_text()))
        except (FileNotFoundError, ValueError):
            return None
        self.trace.unlink()
        return doing

    def verdict(self, label: str, row: int) -> Verdict | None:
        """The verdict on a row that is known to crash at this stage."""
        where, how = self.crashed.get(row, ("", ""))
        return Verdict.of([Reason(CRASHED, detail=how)]) if where == label else None

    def cautious(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same rows; those that may crash each in a batch of its own."""
        first = 0
        for batch in batches:
            ends = {row - first for run in self.alone for row in range(run[0], run[0] + run[1] + 1)}
            cuts = sorted({0, batch.num_rows, *(at for at in ends if 0 < at < batch.num_rows)})
            for start, stop in pairwise(cuts):
                yield batch.slice(start, stop - start)
            first += batch.num_rows

    def read(self, read: ReadPart) -> Iterator[pa.RecordBatch]:
        """The batches of a part, slice by slice; of a slice that kills its reader, what came before."""
        for number, piece in enumerate(read.part.slices):
            stop, how = self.cut.get(number, (None, ""))
            batches, rows = iter(read.source.read(Part((piece,)))), 0
            while stop is None or rows < stop:
                self.doing(READ, rows, 0, number)
                if (batch := next(batches, None)) is None:
                    break
                rows += batch.num_rows
                yield batch
            if stop is not None:
                yield documents([_unread(read, piece, stop, how)])


def _avoiding(doing: Doing, how: str, job: ShardJob, care: Care) -> Care:
    """How to go on where a child died twice of the same thing."""
    if doing.what == READ:
        return replace(care, cut={**care.cut, doing.piece: (doing.first, how)})
    if doing.what == LAYOUT:
        raise WorkerDied(f"its worker died twice after all of its documents were read, {told_of(how)}")
    if doing.what == SKETCH:
        read = (read_label(job.read.source.name),) if job.read else ()
        last = (*read, *job.sweep.counted)[-1]
        return replace(care, crashed={**care.crashed, doing.first: (last, f"{doing.what}: {how}")})
    return replace(care, crashed={**care.crashed, doing.first: (doing.what, how)})


def _sweep_away(job: ShardJob) -> None:
    """Remove what a child that died was writing of this shard."""
    if isinstance(job.folder.path, Remote):
        return
    for folder in (job.folder.path, *job.folder.path.glob("*/"), *((job.sketches,) if job.sketches else ())):
        for stray in folder.glob(f"{TEMPORARY}*-{shard_name(job.index)}.*"):
            stray.unlink(missing_ok=True)


def in_child(fn: Callable[[J], R], job: J) -> R | str:
    """What a child gives for the job; how it ended, where it did before it could give anything."""
    context = child_context()
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_serve, args=(theirs, dict(os.environ), fn, job))
    child.start()
    theirs.close()
    with ours:
        try:
            result: R | Failed = ours.recv()
        except EOFError:
            child.join()
            return ending(child.exitcode or 0)
    child.join()
    if isinstance(result, Failed):
        raise result.error
    return result


def _serve(answer: Connection, environment: dict[str, str], fn: Callable[[J], R], job: J) -> None:
    start_worker(environment)
    answer.send(attempt(fn, job))


def _unread(read: ReadPart, piece: Slice, rows: int, how: str) -> dict[str, object]:
    source, problem = read.source, f"killed its reader ({how}); nothing after {rows} documents is read"
    row = {"id": record_id(source.name, f"{piece.name}\0crashed", rows), "source": source.name, "file": piece.name}
    return {**row, "license": source.license, "terms": source.terms, "offset": rows, "unreadable": problem}
