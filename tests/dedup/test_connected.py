"""Connected sets are the same in memory and by rounds on the shuffle, whatever the graph and however it is cut."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.shards import write_table
from pipeline.dedup.clusters import components
from pipeline.dedup.connected import EDGES, smallest_connected, write_connected
from pipeline.run.exchange import FileExchange
from pipeline.run.executors import Executor, Processes, Serial

N = 40
LITTLE, MUCH = 1, 1 << 20
"""Bytes of a partition: with the first, nothing fits in memory."""

edges = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)), max_size=60)


def named(
    pairs: np.ndarray, n: int, folder: Path, partition_bytes: int, n_files: int = 2, executor: Executor | None = None
) -> dict[int, int]:
    """By address, the smallest of its set."""
    files = []
    for index, piece in enumerate(np.array_split(pairs.reshape(-1, 2).astype(np.int64), n_files)):
        files.append(folder / f"edges-{index}.arrow")
        arrays = [pa.array(np.ascontiguousarray(column)) for column in piece.T]
        write_table(files[-1], pa.Table.from_arrays(arrays, schema=EDGES))
    exchange = FileExchange(executor or Serial(), folder / "work", partitions=3, partition_bytes=partition_bytes)
    out = folder / "connected.arrow"
    if not write_connected(files, n, out, exchange):
        assert not out.exists()
        return {}
    assert not any(file.exists() for file in files), "edges are used up"
    positions, smallest = smallest_connected(out, np.arange(n))
    return dict(zip(positions.tolist(), smallest.tolist(), strict=True))


def by_hand(pairs: np.ndarray, n: int) -> dict[int, int]:
    root = components(pairs[:, 0], pairs[:, 1], n)
    sizes = np.bincount(root, minlength=n)
    return {node: int(least) for node, least in enumerate(root) if sizes[least] > 1}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(edges, st.integers(1, 4), st.sampled_from([LITTLE, MUCH]))
def test_any_graph(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[int, int]], n_files: int, partition_bytes: int
) -> None:
    graph = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    folder = tmp_path_factory.mktemp("connected")
    assert named(graph, N, folder, partition_bytes, n_files) == by_hand(graph, N)


@pytest.mark.parametrize("partition_bytes", [LITTLE, MUCH])
def test_long_chains_and_large_stars(partition_bytes: int, tmp_path: Path) -> None:
    chance = random.Random(1)
    n = 3000
    label = list(range(n))
    chance.shuffle(label)
    chain = list(pairwise(label[:1000]))
    star = [(label[1000], other) for other in label[1001:2000]]
    tree = [(label[at], label[2000 + (at - 2000) // 2]) for at in range(2001, 2900)]
    edges = chain + star + tree + chain[::7]
    chance.shuffle(edges)
    graph = np.array(edges)
    found = named(graph, n, tmp_path, partition_bytes)
    assert found == by_hand(graph, n) and len(set(found.values())) == 3


@pytest.mark.slow
def test_workers_find_the_same(tmp_path: Path) -> None:
    graph = np.random.default_rng(2).integers(0, 500, (300, 2))
    with Processes(2) as pool:
        assert named(graph, 500, tmp_path, LITTLE, executor=pool) == by_hand(graph, 500)
