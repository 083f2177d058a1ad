"""Trained classifiers may not get worse at telling good pages from bad, nor n-gram models at prose.

What a person would call good, by the labels of DCLM's annotators; Swedish advertising. The classifier must also stay
ahead of what length and perplexity alone tell, beyond chance. Floors are what was measured, less a little.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.core.asset import sha256_file

pytestmark = pytest.mark.slow

DATA = Path(os.environ.get("GRISTMILL_DATA", ""))
DIGESTS = {
    "quality/dclm_human_quality_en.jsonl.gz": "2796d04f8381b062702eecf3b36da577014f77e902b89761fcd0380449c5b29b",
    "quality/register_sv.jsonl.gz": "bfe1c79a09974ee24476e9fcfeb47a5e3c249875cc3f9e9dac953791703731a0",
    "prose/en.jsonl.gz": "f69470f4e11e6f726c7df94dc6ddec5f50ece07832e7f055cbfa849f49a0912a",
    "prose/sv.jsonl.gz": "15240bf62560c8fa9230283279278f75102f7009a6d61a8e89bcadaf3ed1c83d",
    "prose/zh.jsonl.gz": "d342417af09e8f7a9c906f9ae51255e4c2d5549a477eabed9c5579cd064b0a2d",
}
AREA = {("good for training, by people", "en"): 0.84, ("no advertising", "sv"): 0.79}
BITS_PER_BYTE = {"en": 1.95, "zh": 2.12}

needs_data = pytest.mark.skipif(
    "GRISTMILL_DATA" not in os.environ, reason="set GRISTMILL_DATA to the folder of evaluation data"
)


@pytest.fixture(scope="module")
def scores() -> ModuleType:
    """The measures of `scripts/quality.py`."""
    for name, digest in DIGESTS.items():
        assert sha256_file(DATA / name) == digest, f"{name} is not the file that the floors were measured on"
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    try:
        return importlib.import_module("quality_scores")
    finally:
        sys.path.pop(0)


@needs_data
@pytest.mark.parametrize(("name", "lang"), AREA)
def test_a_classifier_is_as_good_as_it_was_and_better_than_length_and_perplexity(
    name: str, lang: str, scores: ModuleType
) -> None:
    [task] = [task for task in scores.tasks(DATA) if (task.name, task.lang) == (name, lang)]
    told = {one.score: one for one in scores.compared(task, DATA)}
    assert told["fastText"].auc >= AREA[name, lang]
    assert told["fastText"].ahead_interval[0] > 0


@needs_data
@pytest.mark.parametrize("lang", BITS_PER_BYTE)
def test_an_ngram_model_spells_prose_as_well_as_it_did(lang: str, scores: ModuleType) -> None:
    found = scores.bits_per_byte(DATA, lang)
    assert found["bits_per_byte"] <= BITS_PER_BYTE[lang]
    assert found["told_from_noise"] >= 0.98
