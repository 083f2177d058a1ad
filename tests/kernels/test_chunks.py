from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from pipeline.kernels import chunks as kernel
from pipeline.kernels.chunks import LEAST, MOST, chunks


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_hash_is_the_shifted_sum_over_sixty_four_bytes() -> None:
    data = np.frombuffer(random.Random(1).randbytes(300), dtype=np.uint8)
    found = kernel._hashes(data)
    for at in (0, 1, 63, 64, 299):
        plain = sum(int(kernel._GEAR[data[at - i]]) << i for i in range(min(64, at + 1)))
        assert int(found[at]) == plain % 2**64


def test_chunks_are_bounded_and_make_up_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(2).randbytes(3 << 20)
    path = written(tmp_path / "a", data)
    found = chunks(path)
    assert sum(found.values()) == len(data)
    assert max(found.values()) <= MOST and sum(size < LEAST for size in found.values()) <= 1
    assert 32 << 10 < len(data) / len(found) < 100 << 10
    monkeypatch.setattr(kernel, "_PIECE", 100_003)
    assert chunks(path) == found


def test_an_insertion_changes_the_chunks_beside_it(tmp_path: Path) -> None:
    data = random.Random(3).randbytes(3 << 20)
    old = chunks(written(tmp_path / "a", data))
    new = chunks(written(tmp_path / "b", data[:1_500_000] + b"inserted" + data[1_500_000:]))
    assert sum(size for name, size in new.items() if name not in old) < 3 * MOST


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 500_000])
def test_dull_files_are_cut_too(tmp_path: Path, data: bytes) -> None:
    found = chunks(written(tmp_path / "a", data))
    assert set(found.values()) <= {len(data) % MOST, MOST}
