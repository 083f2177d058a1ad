from __future__ import annotations

import numpy as np
import pytest

from pipeline.kernels.bloom import Seen, SeenTwice, false_share


@pytest.mark.parametrize("bits", [4, 14, 24])
def test_what_occurs_twice_is_always_found_and_little_else(bits: int) -> None:
    chance = np.random.default_rng(1)
    once = chance.integers(0, 1 << 64, 40_000, dtype=np.uint64)
    n_bytes = 2 * bits * len(once) // 8
    seen = SeenTwice.of_bytes(n_bytes)
    twice = once[:4_000]
    for piece in np.array_split(chance.permutation(np.concatenate([once, twice])), 7):
        seen.add(piece)
    assert seen.twice(twice).all()
    found = seen.twice(once[4_000:]).mean()
    assert found <= 1.2 * false_share(len(once), n_bytes)


def test_hashes_may_be_equal_within_a_batch() -> None:
    once, twice = np.random.default_rng(2).integers(0, 1 << 64, 2, dtype=np.uint64)
    seen = SeenTwice.of_bytes(1 << 10)
    seen.add(np.array([twice, once, twice]))
    seen.add(np.empty(0, np.uint64))
    assert seen.twice(np.array([twice, once])).tolist() == [True, False]


def test_what_was_added_is_found_and_little_else() -> None:
    hashes = np.random.default_rng(3).integers(0, 1 << 64, 60_000, dtype=np.uint64)
    seen = Seen.of_bytes(16 * 20_000 // 8)
    for piece in np.array_split(np.append(hashes[:20_000], hashes[:9]), 3):
        seen.add(piece)
    assert seen.has(hashes[:20_000]).all()
    assert 0 < seen.has(hashes[20_000:]).mean() <= 1.2 * false_share(20_000, seen.words.nbytes, filters=1)
