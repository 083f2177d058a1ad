from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.errors import GristmillError, StoreError
from pipeline.report import contamination

RUNNER = CliRunner()
STANDS = "春天来了，花开了。小河边的磨坊又转起来了。"
NOT = "Nobody in the valley had ever asked how many sacks of grain the old wheel could grind in one night."


def questions(folder: Path, *texts: str) -> Path:
    path = folder / "bench.jsonl"
    path.write_text("\n".join(json.dumps({"question": text, "answer": ""}) for text in texts), encoding="utf-8")
    return path


def run(*arguments: object) -> str:
    done = RUNNER.invoke(app, ["contamination", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_a_benchmark_is_tested_without_the_text(corpus: Path, tmp_path: Path) -> None:
    assert "runs of 8 words" in run(corpus)
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in (contamination.NAME, contamination.FILTER):
        shutil.copy(corpus / name, alone / name)
    asked = questions(tmp_path, NOT, STANDS.replace("，", " "), "Too short.", STANDS[::-1])
    tested = json.loads(run(alone, "--benchmark", asked, "--preset", "gsm8k", "--json"))
    assert (tested["questions"], tested["long_enough"], tested["found"]) == (4, 3, ["1"])
    assert tested["about"]["false_share"] < 0.01
    assert "1 of 4 questions stand in" in run(alone, "--benchmark", asked, "--question", "question")


def test_what_is_missing_is_said(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="gristmill contamination CORPUS"):
        contamination.read_filter(tmp_path)
    run(corpus)
    asked = questions(tmp_path, NOT)
    with pytest.raises(GristmillError, match="--preset"):
        run(corpus, "--benchmark", asked)
    (corpus / contamination.FILTER).write_bytes(b"damaged")
    with pytest.raises(StoreError, match="damaged"):
        contamination.read_filter(corpus)
