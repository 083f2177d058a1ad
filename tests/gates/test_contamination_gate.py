"""Floors of contamination: questions of real benchmarks, planted in four ways, and innocent prose beside."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.backends.benchmark_files import BenchmarkFiles
from pipeline.core.asset import Place
from pipeline.filters.contamination import Contamination

pytestmark = pytest.mark.slow

BENCHMARKS = {
    "arc_challenge": "arc",
    "boolq": "boolq",
    "gsm8k_test": "gsm8k",
    "HumanEval": "humaneval",
    "openbook_qa": "openbookqa",
    "agieval_gaokao-biology": "agieval",
    "agieval_logiqa-zh": "agieval",
}
DIGEST = "c8dd4506d2cdc20f7a2651973a7bdc3af292133e9cda9ea3e1437769099ece95"
FLOORS = {"word by word": 0.92, "case and marks": 0.92, "one word in twelve": 0.85, "in a template": 0.92}
"""Of all planted questions, those too short to be found included."""


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("GRISTMILL_DATA")
    if not folder:
        pytest.skip("set GRISTMILL_DATA to the folder that holds evalsets/ and prose/")
    return Path(folder)


@pytest.fixture(scope="module")
def stage(data: Path) -> Contamination:
    files = (
        BenchmarkFiles(name=name, paths=(f"{name}.jsonl.gz",), preset=preset) for name, preset in BENCHMARKS.items()
    )
    return Contamination(against=tuple(files))


def test_recall_by_variant(data: Path, stage: Contamination) -> None:
    with Place(base=data / "evalsets").active():
        told = "".join(f"{Path(asset.path).name} {asset.sha256}\n" for asset in stage.assets())
        assert hashlib.sha256(told.encode()).hexdigest() == DIGEST, "other data: measure the floors again"
        trials = stage.trials()
    for variant, floor in FLOORS.items():
        mine = [trial for trial in trials if trial.kind.endswith(variant)]
        assert sum(trial.found for trial in mine) >= floor * sum(trial.planted for trial in mine), (variant, mine)
    assert sum(trial.false_alarms for trial in trials) == 0


@pytest.mark.parametrize(("lang", "most"), [("en", 0), ("zh", 0)])
def test_innocent_prose_is_left_alone(data: Path, stage: Contamination, lang: str, most: int) -> None:
    with gzip.open(data / "prose" / f"{lang}.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines][:300]
    with Place(base=data / "evalsets").active():
        index = stage.index()
    named = {match.row for match in index.matches(index.look(pa.array(texts, pa.large_string())), index.hashes[:0])}
    assert len(named) <= most
