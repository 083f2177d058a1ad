"""The commands on releases, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import app
from pipeline.core.errors import GristmillError
from pipeline.core.manifest import read_manifest
from pipeline.core.shards import read_table
from tests import projects


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli-releases")
    return projects.build(projects.make_project(folder, n_files=2, per_file=20), folder / "build").folder


def run(*arguments: object, given: str | None = None) -> Result:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], input=given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.slow
def test_a_release_proves_what_its_corpus_does(corpus: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    told = json.loads(run("export", corpus, "--out", release, "--json").output)
    assert told["root"] == read_manifest(corpus).root and told["digest"] == read_manifest(release).digest
    row = read_table(release / read_manifest(release).documents[0].path).slice(0, 1).to_pylist()[0]
    proof = tmp_path / "proof.json"
    run("prove", release, row["url"], "--out", proof)
    assert "there is a document with the url" in run("verify", proof, "--corpus", corpus, "--of", row["url"]).output
    by_text = run("prove", corpus, "-", "--by", "text", given=row["text"])
    proof.write_text(by_text.output)
    assert "document with the text" in run("verify", proof, "--root", told["root"], "--of", row["text"]).output
    with pytest.raises(GristmillError, match="not 00"):
        run("verify", proof, "--root", "00" * 32)
    with pytest.raises(GristmillError, match="--by 'title': choose one of id, url, text"):
        run("prove", corpus, "x", "--by", "title")


@pytest.mark.slow
def test_a_release_differs_from_its_corpus_in_nothing(corpus: Path, tmp_path: Path) -> None:
    run("export", corpus, "--out", tmp_path / "release", "--format", "arrow")
    found = run("diff", corpus, tmp_path / "release", "--out", tmp_path / "CHANGES.md").output
    assert found.strip() == (tmp_path / "CHANGES.md").read_text().strip()
    assert "0 documents added, 0 removed, 0 changed" in found
    assert json.loads(run("diff", corpus, tmp_path / "release", "--json").output)["recipe"] == []


@pytest.mark.slow
def test_a_name_that_is_none_is_refused_before_anything_is_asked(corpus: Path) -> None:
    with pytest.raises(GristmillError, match="write it as user/name"):
        run("publish", corpus, "name", "--dry-run")
    with pytest.raises(GristmillError, match="--gated 'yes': choose one of auto, manual"):
        run("publish", corpus, "user/name", "--gated", "yes")
