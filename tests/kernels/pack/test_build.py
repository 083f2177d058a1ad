"""A build with `--device`: the same bytes, wherever text is tokenized."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError
from pipeline.core.schema import documents
from pipeline.core.stage import Decision
from pipeline.kernels import pack
from pipeline.kernels.pack.cpu import Cpu
from pipeline.kernels.pack.lanes import Window
from pipeline.run.checking import load_recipe
from pipeline.run.plan import make_plan
from pipeline.tokens import pack as packing
from pipeline.tokens.pack import Pack
from tests import projects
from tests.kernels.pack.conftest import TEXT


def rows(stage: Pack, folder: Path, device: str) -> dict[str, pa.Table]:
    texts = [TEXT, "", None, *(f"{TEXT} number {n}" for n in range(40))]
    batch = documents([{"id": f"doc-{index}", "text": text} for index, text in enumerate(texts)])
    with Place(device=device).active():
        made = list(stage.reshape((batch.slice(at, 5) for at in range(0, batch.num_rows, 5)), Decision(folder)))
    return {
        split: pa.Table.from_batches([rows for name, rows in made if name == split]).combine_chunks()
        for split in stage.splits
    }


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["best_fit", "concat", "none"])
def test_rows_are_made_on_the_device_and_are_the_same(
    tokenizers: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, strategy: Any
) -> None:
    folder = tokenizers("llama3").parent
    stage = Pack(length=64, strategy=strategy, holdout=0.2, window=9)
    monkeypatch.setattr(packing, "OUT_TOKENS", 300)
    on_library = rows(stage, folder, "cpu")
    monkeypatch.setattr(pack, "has_cuda", lambda: True)
    monkeypatch.setattr(pack, "find", lambda name: Cpu)
    monkeypatch.setattr(packing, "SLAB_BYTES", 4000)
    slabs: list[int] = []
    add = Window.add
    monkeypatch.setattr(Window, "add", lambda self, texts: slabs.append(len(texts)) or add(self, texts))
    assert rows(stage, folder, "auto") == on_library
    assert sum(slabs) == 43 and max(slabs) > 9


def test_asking_for_a_gpu_that_is_not_there_ends_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "has_cuda", lambda: False)
    recipe = projects.make_project(tmp_path, n_files=2, per_file=5)
    result = CliRunner().invoke(app, ["build", str(recipe), "--root", str(tmp_path / "out"), "--device", "cuda"])
    assert isinstance(result.exception, GristmillError)
    assert not (tmp_path / "out").exists()


def test_the_device_is_no_part_of_what_is_built(tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path, n_files=2, per_file=5)
    keys = set()
    for device in ("auto", "cpu", "cuda"):
        with Place(base=tmp_path, device=device).active():
            keys.add(make_plan(load_recipe(recipe)).key)
    assert len(keys) == 1
