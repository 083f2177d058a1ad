"""What a worker does to one shard: read, judge in order, write what is kept and what is dropped, then the receipt.

Every row read is found in the shard or in the ledger; the worker asserts it before it signs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.core.asset import Place, sha256_file
from pipeline.core.errors import StoreError
from pipeline.core.manifest import FileDigest, Group, Input, Receipt, Size, StageCount, add_groups, compose
from pipeline.core.mirror import Remote
from pipeline.core.packed import Tally
from pipeline.core.schema import DOCUMENT, RAW, UNREADABLE, VERDICT, conform
from pipeline.core.shards import (
    TOKEN_LEVEL,
    ShardWriter,
    read_batches,
    rebatch,
    shard_name,
    write_text,
)
from pipeline.core.stage import Decision, Reshape
from pipeline.core.verdict import CRASHED, Verdict
from pipeline.run.judging import Judging, ledger_rows, visible
from pipeline.run.plan import PlannedSweep, ReadPart
from pipeline.run.sketching import ShardSketch
from pipeline.run.store import SweepFolder, file_digest

if TYPE_CHECKING:
    from pipeline.run.careful import Care

SKETCH, RESHAPE, LAYOUT = "its sketch", "its rows", "its last rows"
"""What a careful worker writes down that is no stage's judgement."""


@dataclass(frozen=True)
class ShardJob:
    """One shard of one sweep: a picklable record, all that a worker needs."""

    index: int
    sweep: PlannedSweep
    folder: SweepFolder
    place: Place
    batch_rows: int
    read: ReadPart | None = None
    shard: Path | None = None
    decision: Path | None = None
    sketches: Path | None = None
    receipt: Receipt | None = None
    """Of `shard`, where the sweep before has signed for it."""

    @property
    def name(self) -> str:
        """How errors and progress call it."""
        return f"{self.sweep.name}/{shard_name(self.index)}"

    @property
    def size(self) -> int:
        """Bytes to read, for progress."""
        if self.read:
            return self.read.part.size
        if self.shard and self.receipt:
            return next(file.bytes for file in self.receipt.files if file.path == self.shard.name)
        return self.shard.stat().st_size if self.shard and self.shard.exists() else 0


def run_shard(job: ShardJob, care: Care | None = None) -> Receipt:
    """Do the whole shard; afterwards its files and then its receipt are in the sweep's folder."""
    with job.place.active():
        if job.sweep.locals and isinstance(job.sweep.locals[-1].stage, Reshape):
            receipt = _reshape(job, job.sweep.locals[-1].stage, care)
        else:
            receipt = _sweep(job, care)
        write_text(job.folder.receipt_path(job.index), receipt.checked().to_json())
    return receipt


def run_sketch(job: ShardJob) -> Receipt:
    """Only sketch a shard that an earlier build has already made."""
    with job.place.active():
        receipt = job.folder.receipt(job.index)
        assert receipt
        job.folder.verify(job.index)
        with ShardSketch(job) as sketch:
            for batch in rebatch(read_batches(job.folder.shard(job.index)), job.batch_rows):
                sketch.add(batch)
    return receipt


def _sweep(job: ShardJob, care: Care | None) -> Receipt:
    stages = (*((job.sweep.opening,) if job.sweep.opening else ()), *job.sweep.locals)
    decision = Decision(job.decision or Path(), job.index)
    judging = Judging(stages, job.sweep.columns, decision, job.read.source.name if job.read else "", care)
    shard, ledger = job.folder.shard(job.index), job.folder.ledger(job.index)
    groups: list[tuple[Group, ...]] = []
    with ExitStack() as stack:
        kept_writer = stack.enter_context(ShardWriter(shard, pa.schema(list(job.sweep.columns.items()))))
        ledger_writer = stack.enter_context(ShardWriter(ledger, pa.schema(list(judging.ledger_columns.items()))))
        sketch: ShardSketch | None = None
        if job.sweep.closing and job.sketches:
            sketch = stack.enter_context(ShardSketch(job))
        for batch in _read(job, care):
            kept, dropped = judging.judge(batch)
            ledger_writer.write(dropped)
            kept = conform(kept, job.sweep.columns)
            if sketch:
                if care and kept.num_rows:
                    care.doing(SKETCH, judging.rows_in - batch.num_rows, batch.num_rows)
                sketch.add(kept)
            kept_writer.write(kept)
            groups.append(compose(kept))
    assert judging.rows_in == kept_writer.rows + ledger_writer.rows, f"{job.name}: rows were lost"
    base = job.folder.path
    return Receipt(
        shard=job.index,
        rows_in=judging.rows_in,
        rows_out=kept_writer.rows,
        stages=judging.counts(),
        files=(file_digest(shard, base, kept_writer.rows), file_digest(ledger, base, ledger_writer.rows)),
        inputs=_inputs(job),
        composition=add_groups(groups),
        seconds=judging.seconds(),
    )


def _reshape(job: ShardJob, stage: Reshape, care: Care | None) -> Receipt:
    """Rows of documents; those that kill every process are in the ledger. With care on the host, one by one."""
    assert job.decision and job.shard
    decision = Decision(job.decision, job.index)
    schema = stage.row_schema(decision)
    facts: Counter[str] = Counter()
    started = time.perf_counter()
    read = _CountedRead(job, stage, care)
    tally = Tally()
    with ExitStack() as stack:
        if care:
            stack.enter_context(replace(job.place, device="cpu").active())
        writers = {
            split: stack.enter_context(ShardWriter(job.folder.shard(job.index, split), schema, TOKEN_LEVEL))
            for split in stage.splits
        }
        for split, rows in stage.reshape(iter(read), decision, tally):
            writers[split].write(rows)
            facts.update({f"{split}_{name}": count for name, count in stage.facts(rows).items()})
    files = [
        file_digest(job.folder.shard(job.index, split), job.folder.path, writer.rows)
        for split, writer in writers.items()
    ]
    files += read.write_ledger()
    return Receipt(
        shard=job.index,
        rows_in=read.rows,
        rows_out=sum(writer.rows for writer in writers.values()),
        stages=(read.count(),),
        files=tuple(files),
        facts=dict(sorted(facts.items())),
        tally=tally.record(),
        seconds={job.sweep.name: round(time.perf_counter() - started, 3)},
    )


class _CountedRead:
    """The documents that a reshape reads, counted as they pass; those that it cannot take are held for the ledger."""

    def __init__(self, job: ShardJob, stage: Reshape, care: Care | None) -> None:
        self.job, self.stage, self.care = job, stage, care
        self.rows = 0
        self._kept, self._gone = Size(), Size()
        self._entries: list[pa.RecordBatch] = []

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in _read(self.job, self.care):
            first = self.rows
            self.rows += batch.num_rows
            if self.care:
                if verdict := self.care.verdict(RESHAPE, first):
                    self._entries.append(self._entry(verdict, batch))
                    self._gone += Size.of(batch.column("text"))
                    continue
                self.care.doing(RESHAPE, first, batch.num_rows)
            self._kept += Size.of(batch.column("text"))
            yield visible(self.stage, batch)
        if self.care:
            self.care.doing(LAYOUT, self.rows, 0)

    def _entry(self, verdict: Verdict, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = VERDICT | dict(zip(batch.schema.names, batch.schema.types, strict=True))
        return conform(ledger_rows(self.job.sweep.name, verdict, batch, columns), columns)

    def count(self) -> StageCount:
        """What was read, and what of it has rows."""
        dropped = {CRASHED: len(self._entries)} if self._entries else {}
        return StageCount(stage=self.job.sweep.name, read=self._kept + self._gone, kept=self._kept, dropped=dropped)

    def write_ledger(self) -> list[FileDigest]:
        """The ledger, where there is anything to say."""
        path = self.job.folder.ledger(self.job.index)
        if not self._entries:
            if not isinstance(path, Remote):
                path.unlink(missing_ok=True)
            return []
        with ShardWriter(path, self._entries[0].schema) as writer:
            for entry in self._entries:
                writer.write(entry)
        return [file_digest(path, self.job.folder.path, len(self._entries))]


def _read(job: ShardJob, care: Care | None) -> Iterator[pa.RecordBatch]:
    if job.shard:
        _check(job.shard, job.receipt)
        SweepFolder(job.shard.parent).verify(job.index)
        batches = rebatch(read_batches(job.shard), job.batch_rows)
    else:
        assert job.read
        batches = read_part(job.read, job.batch_rows, care)
    return care.cautious(batches) if care else batches


def _check(shard: Path, receipt: Receipt | None) -> None:
    """StoreError where a shard that came over a network is not the one that its receipt signs for."""
    if isinstance(shard, Remote) and receipt:
        found = sha256_file(shard)
        if found not in {file.sha256 for file in receipt.files}:
            mark = SweepFolder(shard.parent).receipt_path(receipt.shard)
            raise StoreError(f"{shard}: sha256 is {found}, not what its receipt says; delete {mark} and build again")


def read_part(read: ReadPart, batch_rows: int, care: Care | None = None) -> Iterator[pa.RecordBatch]:
    """What a source has in one part, with the columns of every source, as far as the limit allows."""
    columns = {**DOCUMENT, **RAW, **UNREADABLE, **read.source.columns_written()}
    given = care.read(read) if care else read.source.read(read.part)
    batches = (conform(batch, columns) for batch in given)
    yield from rebatch(_first(batches, read.limit), batch_rows)


def _first(batches: Iterator[pa.RecordBatch], limit: int | None) -> Iterator[pa.RecordBatch]:
    left = limit
    for batch in batches:
        yield batch if left is None else batch.slice(0, left)
        if left is not None:
            left -= min(left, batch.num_rows)
            if not left:
                return


def _inputs(job: ShardJob) -> tuple[Input, ...]:
    if not job.read:
        return ()
    source, part = job.read.source, job.read.part
    digests = source.digests(part)
    return tuple(
        Input(source=source.name, name=piece.name, bytes=piece.size, sha256=digests[piece.name])
        for piece in part.slices
    )
