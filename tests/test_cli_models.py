"""The commands that train models, from files on disk to what a recipe can name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.backends import ngram
from pipeline.cli import app
from pipeline.core.errors import GristmillError
from tests.scores.test_learned import prose, spam


def write(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def test_an_ngram_model_from_files(tmp_path: Path) -> None:
    texts, out = write(tmp_path / "texts.jsonl", prose(20, 1)), tmp_path / "models" / "en.arrow"
    done = CliRunner().invoke(app, ["train-ngram", texts, "--out", str(out), "--order", "3", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["order"] == 3
    known, unknown = ngram.perplexities(ngram.load(out), [prose(1, 9)[0], spam(1, 9)[0]])
    assert known < unknown


def test_a_classifier_from_files_with_its_report(tmp_path: Path) -> None:
    files = write(tmp_path / "good.jsonl", prose(40, 1)), write(tmp_path / "bad.jsonl", spam(40, 2))
    options = ["--positive", files[0], "--negative", files[1], "--out", str(tmp_path / "model"), "--epochs", "5"]
    done = CliRunner().invoke(app, ["train-classifier", *options])
    assert done.exit_code == 0, done.output
    assert "accuracy 1.000" in done.output and "prepare: tokens}" in done.output
    report = json.loads((tmp_path / "model" / "report.json").read_text())
    assert report["held_out"]["f1"] == 1.0
    assert "held\\_out.calibration" in (tmp_path / "model" / "report.md").read_text()
    assert (tmp_path / "model" / "model.bin").is_file()


@pytest.mark.parametrize(
    ("options", "message"), [(["--unit", "letter"], "--unit letter: word or byte"), (["--method", "x"], "--method x")]
)
def test_what_is_unknown_is_said(options: list[str], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train-ngram", "none.jsonl", "--out", str(tmp_path / "m.arrow"), *options])
    assert isinstance(done.exception, GristmillError) and message in str(done.exception)


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "a"}\nnot json\n')
    done = CliRunner().invoke(app, ["train-ngram", str(tmp_path / "texts.jsonl"), "--out", str(tmp_path / "m.arrow")])
    assert isinstance(done.exception, GristmillError) and "texts.jsonl" in str(done.exception)
