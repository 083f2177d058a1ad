"""What the deduplications share: who is kept of a cluster, which documents are connected, and the lists of the others.

Of a cluster the document is kept that is worth most, where a sketch has the column `worth`; then the one whose source
comes first in the recipe; then by id; then, where ids are the same, by a hash of where it was read. None of these
depends on how the documents are cut into shards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.schema import VERDICT
from pipeline.core.stage import DROPS, Exchange, write_drops
from pipeline.core.verdict import Verdict
from pipeline.kernels.minhash import mix64

IDENTITY = ("id", "source", "file", "offset")
"""The columns that `identity` reads."""


def identity(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """The columns that every sketch starts with: `row`, `id`, `source`, and `place`, a hash of `file` and `offset`."""
    files = batch.column("file").dictionary_encode()
    hashes = [hashlib.blake2b((name or "").encode(), digest_size=8).digest() for name in files.dictionary.to_pylist()]
    by_file = np.frombuffer(b"".join([*hashes, bytes(8)]), dtype="<u8")
    file = by_file[files.indices.fill_null(len(hashes)).to_numpy(zero_copy_only=False)]
    offset = batch.column("offset").fill_null(-1).to_numpy(zero_copy_only=False).astype(np.uint64)
    place = pa.array(mix64(file ^ mix64(offset)))
    return {"row": batch.column("row"), "id": batch.column("id"), "source": batch.column("source"), "place": place}


def ranked(table: pa.Table, sources: tuple[str, ...]) -> pa.Table:
    """With `rank`, the position of the source in the recipe, instead of `source`; unknown sources come last."""
    rank = pc.index_in(table["source"], value_set=pa.array(sources, pa.string())).fill_null(len(sources))
    return table.drop_columns(["source"]).append_column("rank", rank)


def by_precedence(table: pa.Table) -> pa.Table:
    """The rows in the order in which they are to be kept; those of older builds (column `build`) come first."""
    keys = [(name, "ascending") for name in ("rank", "id", "place")]
    build = [("build", "ascending")] if "build" in table.column_names else []
    worth = [("worth", "descending")] if "worth" in table.column_names else []
    return table.take(pc.sort_indices(table, sort_keys=[*build, *worth, *keys])).combine_chunks()


def components(left: np.ndarray, right: np.ndarray, n: int) -> np.ndarray:
    """For each of n nodes the smallest node that it is connected with by the edges from `left` to `right`."""
    root = np.arange(n)
    join(root, left, right)
    while not np.array_equal(above := root[root], root):
        root = above
    return root


def join(root: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """Add edges to a forest, in which `root` leads every node to a smaller one of its tree, or to itself.

    Hooks the larger root of every edge to the smaller and halves the paths of the nodes concerned until nothing
    changes: array operations only, a handful of rounds even for long chains.
    """
    while len(left):
        left, right = _roots(root, left), _roots(root, right)
        low, high = np.minimum(left, right), np.maximum(left, right)
        left, right = low[low != high], high[low != high]
        np.minimum.at(root, right, left)
        while not np.array_equal(above := root[root[right]], root[right]):
            root[right] = above


def _roots(root: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Where the paths of these nodes end; they are shortened on the way."""
    at = root[nodes]
    while not np.array_equal(above := root[at], at):
        at = above
    root[nodes] = at
    return at


def runs(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the runs of equal rows start and end (one past the last), by columns in which equal rows are neighbours."""
    changes = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    starts = np.flatnonzero(np.append(True, changes)[: len(columns[0])])
    return starts, np.append(starts[1:], len(columns[0]))[: len(starts)]


def drop_rows(
    table: pa.Table,
    keeper: np.ndarray,
    reason: str,
    value: np.ndarray,
    limit: float | None,
    detail: list[str] | None = None,
) -> pa.Table:
    """The drops of a table: `keeper[i]` is the row kept instead of row i (i itself where it is kept).

    `value` and `detail` have an entry for each drop, in order. `twin_shard` is the shard of the row that is kept.
    """
    gone = np.flatnonzero(keeper != np.arange(table.num_rows))
    columns = {
        "shard": table["shard"].take(gone),
        "twin_shard": table["shard"].take(keeper[gone]),
        "row": table["row"].take(gone),
        "reason": pa.repeat(reason, len(gone)),
        "value": pa.array(value, VERDICT["value"]),
        "limit": pa.repeat(pa.scalar(limit, VERDICT["limit"]), len(gone)),
        "twin": table["id"].take(keeper[gone]),
        "detail": pa.nulls(len(gone), VERDICT["detail"]) if detail is None else pa.array(detail, VERDICT["detail"]),
    }
    return pa.table({name: columns[name].cast(dtype) for name, dtype in _DROP_ROWS.items()})


def keep_rows(table: pa.Table, keeper: np.ndarray) -> pa.Table:
    """The keepers of clusters of several, in a drop list: without a reason, and with the cluster's size as `value`."""
    sizes = np.bincount(keeper, minlength=table.num_rows)
    kept = np.flatnonzero(sizes > 1)
    columns = {name: pa.nulls(len(kept), dtype) for name, dtype in _DROP_ROWS.items()}
    columns |= {"shard": table["shard"].take(kept), "row": table["row"].take(kept), "value": pa.array(sizes[kept])}
    return pa.table({name: columns[name].cast(dtype) for name, dtype in _DROP_ROWS.items()})


def without_keepers(verdict: Verdict, n_rows: int, column: str | None) -> Verdict:
    """The verdict of a drop list with keepers, which become a column of how many documents each kept one stands for."""
    if column is None:
        return verdict
    if verdict.reason is None or verdict.value is None:
        return replace(verdict, columns={column: pa.array(np.ones(n_rows, np.int64))})
    kept = pc.is_null(verdict.reason)
    counts = pc.if_else(kept, verdict.value.fill_null(1), 1).cast(pa.int64())
    value = pc.if_else(kept, pa.scalar(None, pa.float64()), verdict.value)
    return replace(verdict, value=value, columns={column: counts})


def write_drop_lists(files: list[Path], out: Path, exchange: Exchange) -> None:
    """Bring the drops of each shard together and write its list."""
    write_by_shard(files, exchange, partial(write_drops, out=out))


def write_by_shard(files: list[Path], exchange: Exchange, write: Callable[[pa.Table, int], None]) -> None:
    """Bring the rows of each shard (column `shard`) together and have them written; no call for a shard without."""
    exchange(files, _by_shard, partial(_write_shards, write=write))


_DROP_ROWS = {"shard": pa.int32(), "twin_shard": pa.int32(), **DROPS}


def _by_shard(table: pa.Table) -> pa.Table:
    return table.append_column("key", pa.array(mix64(table["shard"].to_numpy())))


def _write_shards(table: pa.Table, write: Callable[[pa.Table, int], None]) -> pa.Table:
    """Write the rows of the shards of a partition; nothing remains to be told."""
    shards = table["shard"].to_numpy()
    for start, stop in zip(*runs(shards), strict=True):
        write(table.slice(start, stop - start), int(shards[start]))
    return table.slice(0, 0)
