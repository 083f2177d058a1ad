"""The one shuffle: rows of many files grouped by a 64-bit key, with files as the data plane and `map` as the engine.

Each map job writes the rows of one file sorted by key, so that any range of keys is found in it by bisection; each
reduce job gathers one range from all of them. How many ranges there are follows from the size of what was mapped:
memory is bounded by `TIMES` times `partition_bytes` a worker or by the largest group, and the bytes that come out
depend on the input alone.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from pipeline.core.errors import WorkerDied
from pipeline.core.folders import discard
from pipeline.core.mirror import bring
from pipeline.core.shards import read_batches, read_schema, read_table, whole
from pipeline.run.executors import Executor, Failed

PARTITION_BYTES = 32 << 20
TIMES = 10
"""What a job holds at most of a partition: rows, sorted copy, order, and what is made of them."""

_BATCH_ROWS = 1 << 16
_KEYS = 1 << 64

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class FileExchange:
    """An `Exchange` that works in a folder; each call has a folder of its own there, for the owner to remove.

    `partitions` is for tests; it is otherwise chosen so that none holds more than `partition_bytes`, if the keys are
    spread evenly over 64 bits.
    """

    executor: Executor
    folder: Path
    partitions: int | None = None
    partition_bytes: int = PARTITION_BYTES
    _calls: Iterator[int] = field(default_factory=itertools.count, init=False, repr=False, compare=False)

    @property
    def memory(self) -> int:
        """Bytes that one job may take, and the caller while no job runs."""
        return TIMES * self.partition_bytes

    def __call__(
        self,
        files: Iterable[Path],
        key: Callable[[pa.Table], pa.Table],
        reduce: Callable[[pa.Table], pa.Table],
    ) -> list[Path]:
        """One file a partition, in order of keys, with what `reduce` made of its rows; no files for no files."""
        folder = self.folder / f"exchange-{next(self._calls):03d}"
        maps = [MapJob(index, file, key, _mapped(folder, index)) for index, file in enumerate(files)]
        if not maps:
            return []
        n_bytes = sum(self._run(map_rows, maps, "sort of file"))
        count = self.partitions or max(1, -(-n_bytes // self.partition_bytes))
        reduces = [
            ReduceJob(
                folder,
                len(maps),
                first=index * _KEYS // count,
                last=(index + 1) * _KEYS // count - 1,
                reduce=reduce,
                out=folder / f"part-{index:05d}.arrow",
            )
            for index in range(count)
        ]
        for _ in self._run(reduce_rows, reduces, "reduction of partition"):
            pass
        discard(job.out for job in maps)
        return [job.out for job in reduces]

    def _run(self, fn: Callable[[J], R], jobs: list[J], what: str) -> Iterator[R]:
        for job, result in self.executor.map(fn, jobs):
            if isinstance(result, Failed):
                if isinstance(result.error, WorkerDied):
                    raise WorkerDied(f"{what} {jobs.index(job)} of {len(jobs)} in its shuffle: {result.error}")
                raise result.error
            yield result


@dataclass(frozen=True)
class MapJob:
    """Sort the rows of one file by their keys."""

    index: int
    file: Path
    key: Callable[[pa.Table], pa.Table]
    out: Path


@dataclass(frozen=True)
class ReduceJob:
    """Reduce the rows of all map files of a folder with a key from `first` to `last`, both included."""

    folder: Path
    maps: int
    first: int
    last: int
    reduce: Callable[[pa.Table], pa.Table]
    out: Path


def _mapped(folder: Path, index: int) -> Path:
    return folder / f"map-{index:05d}.arrow"


def map_rows(job: MapJob) -> int:
    """Write the keyed rows, sorted; their size in bytes."""
    table = read_table(job.file)
    if "shard" not in table.column_names:
        table = table.append_column("shard", pa.array(np.full(table.num_rows, job.index, np.int32)))
    table = _sorted(job.key(table))
    _write(job.out, table)
    return int(table.nbytes)


def reduce_rows(job: ReduceJob) -> None:
    """Gather one range of keys, and write what `reduce` makes of it."""
    files = [_mapped(job.folder, index) for index in range(job.maps)]
    bring(files)
    pieces = [piece for file in files for piece in _range(file, job.first, job.last)]
    table = pa.Table.from_batches(pieces, schema=read_schema(files[0]))
    _write(job.out, job.reduce(_sorted(table)))


def _range(file: Path, first: int, last: int) -> Iterator[pa.RecordBatch]:
    """The rows of a map file with a key in the range; of the rest, only the keys on the way are touched."""
    for batch in read_batches(file):
        keys = batch.column("key").to_numpy()
        start = int(np.searchsorted(keys, np.uint64(first), side="left"))
        stop = int(np.searchsorted(keys, np.uint64(last), side="right"))
        if stop > start:
            yield batch.slice(start, stop - start)


def _sorted(table: pa.Table) -> pa.Table:
    """By key; ties stay in the order of their files, then of their rows."""
    keys = table["key"].to_numpy()
    if np.all(keys[1:] >= keys[:-1]):
        return table.combine_chunks()
    return table.combine_chunks().take(pa.array(stable_order(keys)))


def stable_order(keys: np.ndarray) -> np.ndarray:
    """`np.argsort(keys, kind="stable")`, in a quarter of the time where few keys are equal."""
    order = np.argsort(keys)
    equal = keys[order[1:]] == keys[order[:-1]]
    tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
    among = order[tied]
    order[tied] = among[np.lexsort((among, keys[among]))]
    return order


def _write(path: Path, table: pa.Table) -> None:
    """Without compression, so that it is read through the page cache without a copy; the folder is scratch."""
    with whole(path, sync=False) as temporary, pa.ipc.new_file(os.fspath(temporary), table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=_BATCH_ROWS)
