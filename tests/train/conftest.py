from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.backends.tokenizer import FILE, load
from pipeline.core.packed import LAYOUT_FILE, LayoutSheet
from pipeline.train.dataset import Rows
from pipeline.train.shapes import Kind, Shape
from tests.tokens.conftest import tiny as tiny

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


@pytest.fixture
def trained(tiny: Path, tmp_path: Path) -> Callable[..., Path]:
    """The folder of a model that has hardly learnt, with a real tokenizer."""

    from pipeline.train.checkpoint import Sheet, save_model
    from pipeline.train.model import build
    from pipeline.train.settings import Settings

    def make(kind: Kind, *, pairs: bool = False) -> Path:
        encoder = load(tiny / FILE)
        shape = Shape(
            kind=kind, layers=2, width=64, heads=4, hidden=96, tokens=encoder.size, end=encoder.end, length=64
        )
        model = build(shape, seed=1)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))) * 0.1)
        sheet = Sheet(gristmill="1", corpus="d" * 64, shape=shape, settings=Settings(steps=1, warmup=0, pairs=pairs))
        save_model(tmp_path / kind, model, sheet, tiny)
        return tmp_path / kind

    return make
