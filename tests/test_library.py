"""Gristmill as a library: three lines to a dataset or a frame, and the same doors as the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import datasets
import polars as pl
import pytest
from typer.testing import CliRunner

import pipeline
from pipeline import Corpus, Recipe, audit, build, census, diff
from pipeline.cli import app
from pipeline.core.errors import RecipeError, StoreError
from pipeline.report.release import export
from tests import projects


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    projects.make_project(folder, n_files=3, per_file=40)
    build(folder / "recipes" / "small.yaml", root=folder / "build", workers=1)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "hf")


@pytest.mark.slow
def test_a_built_corpus_is_a_dataset_a_frame_and_a_manifest(project: Path) -> None:
    corpus = build(str(project / "recipes" / "small.yaml"), root=project / "build", workers=1)
    kept = corpus.documents()
    assert corpus.folder == project / "build" / "small" and (corpus.folder / "README.md").exists()
    assert kept["id"] == corpus.frame().collect()["id"].to_list() and len(kept) > 20
    packed = corpus.tokens()
    assert len(packed[0]["input_ids"]) == 128
    assert len(packed) + len(corpus.tokens("holdout")) == sum(file.rows for file in corpus.manifest.tokens)
    with pytest.raises(StoreError, match="no test rows"):
        corpus.tokens("test")


@pytest.mark.slow
def test_what_was_dropped_is_one_frame(project: Path) -> None:
    corpus = Corpus(project / "build" / "small")
    counted = corpus.dropped().group_by("stage").agg(pl.len()).collect()
    dropped = {count.stage: sum(count.dropped.values()) for s in corpus.manifest.sweeps for count in s.stages}
    assert dict(counted.iter_rows()) == {stage: n for stage, n in dropped.items() if n}
    one = corpus.dropped().filter(pl.col("reason") == "near_duplicate").head(1).collect()["id"].item()
    assert "near_duplicate" in corpus.explain(one).fates[0].sentence
    (project / "build" / "empty").mkdir(exist_ok=True)
    with pytest.raises(StoreError, match="no manifest here"):
        Corpus(project / "build" / "empty").dropped()


@pytest.mark.slow
def test_a_release_is_a_corpus_without_ledgers(project: Path, tmp_path: Path) -> None:
    corpus = Corpus(project / "build" / "small")
    export(corpus.folder, tmp_path / "release")
    release = Corpus(tmp_path / "release")
    assert release.frame().collect()["text"].to_list() == corpus.frame().collect()["text"].to_list()
    assert release.documents().num_rows == corpus.documents().num_rows
    with pytest.raises(StoreError, match="ledgers are not in the store"):
        release.dropped()


@pytest.mark.slow
def test_a_changed_recipe_is_built_beside_and_compared(project: Path) -> None:
    path = project / "recipes" / "small.yaml"
    tried = census(Recipe.load(path), sample=50, root=project / "build", workers=1)
    assert tried.sampled == 50
    changed = build(Recipe.load(path, set={"stages.length.min_characters": 900}), root=project / "build", workers=1)
    assert changed.folder.name.startswith("small~")
    by_hand = Recipe.load(path, set=["stages.length.min_characters=900"])
    assert by_hand.name == changed.folder.name
    found = diff(project / "build" / "small", changed)
    assert found.causes == ("the recipe",) and found.count("removed") > 0 and found.count("added") == 0


@pytest.mark.slow
def test_an_audit_passes_and_fails_as_the_command_does(project: Path, tmp_path: Path) -> None:
    corpus = Corpus(project / "build" / "small")
    report = audit(corpus, base=project)
    assert report.passed and report.figures.verified > 100
    said = CliRunner().invoke(app, ["audit", str(corpus.folder), "--base", str(project), "--json"]).stdout
    assert json.loads(said) == json.loads(report.to_json())
    export(corpus.folder, tmp_path / "release")
    card = tmp_path / "release" / "README.md"
    card.write_text(card.read_text().replace("120", "121"))
    notes: list[str] = []
    lied = audit(tmp_path / "release", base=tmp_path, tell=notes.append)
    assert not lied.passed and "card" in [finding.check for finding in lied.failed]


def test_every_problem_of_a_recipe_is_in_one_error(project: Path) -> None:
    with pytest.raises(RecipeError, match="2 problems"):
        Recipe.load(project / "recipes" / "small.yaml", set={"stages.lenght.min": 1, "pack.length": 0})


@pytest.mark.slow
def test_importing_it_imports_nothing() -> None:
    code = (
        "import sys, pipeline\nprint(len([m for m in sys.modules if m.startswith('pipeline.')]), dir(pipeline.build))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("0 ")
    with pytest.raises(AttributeError, match="no attribute 'bild'"):
        _ = pipeline.bild  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_script_may_build_with_workers_without_being_run_by_them(project: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    recipe = project / "recipes" / "small.yaml"
    script.write_text(
        f"from pipeline import build\nprint('started')\n"
        f"print(len(build({str(recipe)!r}, root={str(tmp_path / 'build')!r}, workers=2).frame().collect()))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["started", str(len(Corpus(project / "build" / "small").frame().collect()))]
