from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.packed import LAYOUT_FILE, LayoutSheet
from pipeline.train.dataset import Rows

torch = pytest.importorskip("torch", reason="torch is not installed")

VOCABULARY = 300


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests share the machine, and sums of one thread are the same everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_rows(tmp_path: Path) -> Callable[..., Rows]:
    """Rows of up to four documents, of which a third is not filled to its end."""

    def make(name: str = "rows", n: int = 24, length: int = 64, seed: int = 0) -> Rows:
        folder, chance = tmp_path / name, np.random.default_rng(seed)
        folder.mkdir()
        ids = chance.integers(1, VOCABULARY, (n, length)).astype("<u2")
        bounds: list[int] = []
        offsets = [0]
        for row in range(n):
            filled = length - 3 if row % 3 == 1 else length
            cuts = np.sort(chance.choice(np.arange(1, filled), row % 4, replace=False)).tolist()
            bounds += [0, *cuts, filled]
            offsets.append(len(bounds))
            ids[row, [cut - 1 for cut in (*cuts, filled)]] = 0
            ids[row, filled:] = 0
        (folder / "train-00000.bin").write_bytes(ids.tobytes())
        np.save(folder / "train-00000.cu.npy", np.array(bounds, dtype=np.int32))
        np.save(folder / "train-00000.cuoff.npy", np.array(offsets))
        sheet = LayoutSheet(
            layout="bin",
            corpus="c" * 64,
            dtype="uint16",
            length=length,
            vocabulary=VOCABULARY,
            end=0,
            pad=0,
            shuffle=None,
            splits={"train": {"rows": n}},
            files=(),
        )
        (folder / LAYOUT_FILE).write_text(sheet.to_json())
        return Rows(folder)

    return make
