"""What is counted in all packed rows of a corpus, read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.packed import token_facts
from pipeline.core.shards import read_batches

if TYPE_CHECKING:
    import polars as pl


_PIECES = pa.schema([("split", pa.string()), ("id", pa.string()), ("length", pa.int64())])


@dataclass(frozen=True)
class Packed:
    """What is counted in all packed rows: facts by split, which ids occur, and a frame with a row a piece."""

    rows: dict[str, int]
    facts: Counter[str]
    used: np.ndarray
    """How often each id occurs, padding included."""
    frame: pl.DataFrame
    """`split`, `id`, `length` of each piece."""
    disorder: tuple[str, ...]

    @classmethod
    def read(cls, files: Sequence[tuple[str, Path]]) -> Packed:
        """Read every shard once."""
        import polars as pl

        rows: dict[str, int] = {}
        facts: Counter[str] = Counter()
        used = np.zeros(0, dtype=np.int64)
        parts = [pa.RecordBatch.from_pylist([], schema=_PIECES)]
        disorder = []
        for name, path in files:
            split, rows[name] = PurePosixPath(name).parent.name, 0
            for batch in read_batches(path):
                rows[name] += batch.num_rows
                facts.update({f"{split}_{fact}": n for fact, n in token_facts(batch).items()})
                pieces = pc.list_flatten(batch.column("documents"))
                ids, starts, lengths, _ = pieces.flatten()
                named = [pa.repeat(split, len(ids)), ids.cast(pa.string()), lengths.cast(pa.int64())]
                parts.append(pa.RecordBatch.from_arrays(named, schema=_PIECES))
                counts = np.bincount(batch.column("input_ids").flatten().to_numpy(zero_copy_only=False))
                used = np.pad(used, (0, max(0, len(counts) - len(used))))
                used[: len(counts)] += counts
                disorder += [] if _in_order(batch, starts, lengths) else [name]
        frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(parts)))
        return cls(rows, facts, used, frame, tuple(dict.fromkeys(disorder)))


def _in_order(batch: pa.RecordBatch, starts: pa.Array, lengths: pa.Array) -> bool:
    """Whether pieces follow each other from 0 in every row, and end inside of it."""
    rows, start = rows_of(batch), starts.to_numpy(zero_copy_only=False).astype(np.int64)
    size = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    first = np.append(True, rows[1:] != rows[:-1])[: len(rows)]
    end = start + size
    length = batch.schema.field("input_ids").type.list_size
    follows = bool(np.all(np.where(first, start == 0, np.append(0, end[:-1])[: len(end)] == start)))
    return follows and bool(np.all((size > 0) & (end <= length)))


def rows_of(batch: pa.RecordBatch) -> np.ndarray:
    """The row of each piece of a batch."""
    return np.repeat(np.arange(batch.num_rows), pc.list_value_length(batch.column("documents")).to_numpy())
