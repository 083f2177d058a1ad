"""The notebooks run, cell by cell, on a small corpus."""

from __future__ import annotations

import json
import os
from pathlib import Path

import datasets
import pytest

from tests import projects

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.stem == "train":
        pytest.importorskip("torch", reason="torch is not installed")
    recipe = projects.make_project(tmp_path, n_files=3, per_file=30)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setenv("CORPUS", str(projects.build(recipe, tmp_path / "build").folder))
    monkeypatch.setenv("RECIPE", str(recipe))
    names: dict[str, object] = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
            assert cell["outputs"] == [], "outputs are not kept in git"
