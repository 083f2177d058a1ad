"""Which documents are connected by edges between their addresses, each named by the smallest address of its set.

Below a bound by memory, one array over all documents (path halving in arrays); above, rounds of large-star and
small-star on the shuffle (Kiveris et al., "Connected Components in MapReduce and Beyond", 2014), in which a star of n
edges is seen whole by one worker and nothing is held by the driver. Both find the same sets.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.core.shards import read_batches, whole
from pipeline.core.stage import Exchange
from pipeline.dedup.clusters import join, runs
from pipeline.kernels.minhash import mix64

EDGES = pa.schema([("left", pa.int64()), ("right", pa.int64())])
_CHUNK = 1 << 20
_LAST = (1 << 64) - 1


def write_connected(edges: list[Path], n_documents: int, path: Path, exchange: Exchange) -> bool:
    """Write the connected addresses (`address`, sorted) with the smallest of their sets; False if there are none.

    `edges` (columns of `EDGES`, in any order and number) are used up.
    """
    fits = n_documents * _bytes_each(n_documents) <= exchange.memory
    named = _in_memory(edges, n_documents) if fits else _by_stars(edges, n_documents, exchange)
    n_rows = 0
    schema = pa.schema([("address", pa.int64()), ("smallest", pa.int64())])
    with whole(path) as temporary, pa.ipc.new_file(os.fspath(temporary), schema) as writer:
        for address, smallest in named:
            if len(address):
                n_rows += len(address)
                arrays = [pa.array(column, pa.int64()) for column in (address, smallest)]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    if not n_rows:
        path.unlink()
    return n_rows > 0


def smallest_connected(path: Path, addresses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of these addresses (ascending), the positions of those that are connected, and the smallest of their sets."""
    found: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for batch in read_batches(path):
        known = batch["address"].to_numpy()
        first, last = np.searchsorted(addresses, [known[0], known[-1] + 1])
        at = np.searchsorted(known, addresses[first:last])
        inside = np.flatnonzero(known[at] == addresses[first:last])
        found.append((inside + first, batch["smallest"].to_numpy()[at[inside]]))
    positions, smallest = (np.concatenate(column) for column in zip(*found, strict=True))
    return positions, smallest


def _bytes_each(n_documents: int) -> int:
    """What `_in_memory` holds of a document: its root and a mark."""
    return _address_type(n_documents).itemsize + 1


def _address_type(n_documents: int) -> np.dtype:
    return np.dtype(np.int32 if n_documents < 1 << 31 else np.int64)


def _in_memory(edges: list[Path], n_documents: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Connected addresses, ascending, and their smallest, piece by piece."""
    root = np.arange(n_documents, dtype=_address_type(n_documents))
    for file in edges:
        for batch in read_batches(file):
            join(root, batch["left"].to_numpy(), batch["right"].to_numpy())
        file.unlink()
    connected = np.zeros(n_documents, dtype=bool)
    pieces = [slice(start, start + _CHUNK) for start in range(0, n_documents, _CHUNK)]
    for piece in pieces:
        # A root is never larger than its node: what stands before this piece is final.
        while not np.array_equal(above := root[root[piece]], root[piece]):
            root[piece] = above
        nodes = np.arange(piece.start, piece.start + len(above))
        connected[piece] |= above != nodes
        connected[above[above != nodes]] = True
    for piece in pieces:
        inside = np.flatnonzero(connected[piece])
        if len(inside):
            yield inside + piece.start, root[piece][inside]


def _by_stars(edges: list[Path], n_documents: int, exchange: Exchange) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same; edges become stars around the smallest of each set, in about the logarithm of the longest path."""
    before, now = None, _digest(edges)
    while before != now:
        before = now
        for keys, reduce in ((_both_ways, _large_star), (_downwards, _small_star)):
            edges = _replaced(edges, exchange(edges, keys, reduce))
        now = _digest(edges)
    named = _replaced(edges, exchange(edges, partial(_by_address, n_documents=n_documents), _distinct))
    for file in named:
        for batch in read_batches(file):
            yield batch["address"].to_numpy(), batch["smallest"].to_numpy()
        file.unlink()


def _replaced(old: list[Path], new: list[Path]) -> list[Path]:
    for file in old:
        file.unlink()
    return new


def _digest(edges: list[Path]) -> tuple[int, int]:
    """How many edges there are, and the sum of their hashes: whatever their order, equal for equal edges."""
    count, total = 0, 0
    for file in edges:
        for batch in read_batches(file):
            hashes = mix64(mix64(batch["left"].to_numpy()) + batch["right"].to_numpy().astype(np.uint64))
            count, total = count + len(hashes), (total + int(hashes.sum())) & _LAST
    return count, total


def _both_ways(table: pa.Table) -> pa.Table:
    left, right = table["left"].to_numpy(), table["right"].to_numpy()
    return _neighbours(np.concatenate([left, right]), np.concatenate([right, left]))


def _downwards(table: pa.Table) -> pa.Table:
    left, right = table["left"].to_numpy(), table["right"].to_numpy()
    return _neighbours(np.maximum(left, right), np.minimum(left, right))


def _neighbours(node: np.ndarray, other: np.ndarray) -> pa.Table:
    return pa.table({"key": mix64(node), "node": node, "other": other})


def _large_star(table: pa.Table) -> pa.Table:
    """Every neighbour larger than a node is connected with the smallest of that node and its neighbours."""
    node, other, least = _stars(table)
    return _edges(least[other > node], other[other > node])


def _small_star(table: pa.Table) -> pa.Table:
    """A node and its smaller neighbours are connected with the smallest of these."""
    node, other, least = _stars(table)
    return _edges(np.concatenate([least, least]), np.concatenate([node, other]))


def _stars(table: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes, neighbours, and the least of each node and its neighbours."""
    node, other = table["node"].to_numpy(), table["other"].to_numpy()
    starts, ends = runs(node)
    least = np.minimum.reduceat(other, starts) if len(starts) else other
    return node, other, np.minimum(np.repeat(least, ends - starts), node)


def _edges(left: np.ndarray, right: np.ndarray) -> pa.Table:
    """Each edge once, without those from a node to itself."""
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    new = left != right
    new[1:] &= (left[1:] != left[:-1]) | (right[1:] != right[:-1])
    return pa.Table.from_arrays([pa.array(left[new]), pa.array(right[new])], schema=EDGES)


def _by_address(table: pa.Table, n_documents: int) -> pa.Table:
    """Every address in a star with its smallest, keyed so that the order of keys is that of addresses."""
    left, right = table["left"].to_numpy(), table["right"].to_numpy()
    address, smallest = np.concatenate([left, right]), np.concatenate([left, left])
    key = address.astype(np.uint64) * np.uint64(_LAST // n_documents)
    return pa.table({"key": key, "address": address, "smallest": smallest})


def _distinct(table: pa.Table) -> pa.Table:
    address = table["address"].to_numpy()
    new = np.append(True, address[1:] != address[:-1])[: len(address)]
    return table.select(["address", "smallest"]).filter(pa.array(new))
