"""A build with `--device`: the same bytes, wherever text is tokenized."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

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
from pipeline.kernels.pack.lanes import Engine
from pipeline.run.plan import make_plan
from pipeline.run.recipe import load_recipe
from pipeline.tokens.pack import Pack
from tests import projects
from tests.kernels.pack.conftest import TEXT


def rows(folder: Path, device: str) -> list[tuple[str, pa.RecordBatch]]:
    texts = [TEXT, "", None, *(f"{TEXT} number {n}" for n in range(40))]

    def batches() -> Iterator[pa.RecordBatch]:
        yield documents([{"id": f"doc-{index}", "text": text} for index, text in enumerate(texts)])

    with Place(device=device).active():
        return list(Pack(length=64, holdout=0.2).reshape(batches(), Decision(folder)))


def test_rows_are_the_same_wherever_text_is_tokenized(
    tokenizers: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tokenizers("llama3").parent
    on_library = rows(folder, "cpu")
    monkeypatch.setattr(pack, "has_cuda", lambda: True)
    monkeypatch.setattr(pack, "find", lambda name: Cpu)
    encoded: list[int] = []
    encode = Engine.encode
    monkeypatch.setattr(Engine, "encode", lambda *a: encoded.append(len(a[1])) or encode(*a))
    assert rows(folder, "auto") == on_library
    assert encoded


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
