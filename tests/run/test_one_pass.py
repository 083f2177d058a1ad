"""Families of rules that follow one another in a sweep count a text once."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.core.schema import DOCUMENT, conform
from pipeline.core.stage import Decision
from pipeline.filters.c4 import C4
from pipeline.filters.fineweb import Fineweb
from pipeline.filters.gopher import Gopher
from pipeline.filters.repetition import Repetition
from pipeline.kernels import textstats
from pipeline.run.judging import Judging
from pipeline.run.recipe import Named
from tests.samples import CHINESE, ENGLISH


@pytest.fixture
def counted(monkeypatch):
    """How many texts were counted, call by call."""
    calls = []
    statistics = textstats.statistics

    def counting(texts, langs, tokens=None):
        calls.append(len(texts))
        return statistics(texts, langs, tokens)

    monkeypatch.setattr(textstats, "statistics", counting)
    return calls


@pytest.mark.parametrize("short", [False, True], ids=["nothing dropped", "some dropped between"])
def test_four_families_share_one_pass(counted, short):
    prose = {"en": ENGLISH, "zh": CHINESE}
    texts = [(lang, f"{text} {turn}") for turn in range(3) for lang, text in prose.items()]
    if short:
        texts.insert(2, ("en", "Too short."))
    batch = pa.RecordBatch.from_pydict(
        {
            "id": [str(row) for row in range(len(texts))],
            "text": pa.array([text for _, text in texts], pa.large_string()),
            "lang": [lang for lang, _ in texts],
        }
    )
    families = (Gopher(min_words=5), Repetition(), C4(), Fineweb())
    judging = Judging([Named(type(one).word, one) for one in families], DOCUMENT, Decision(Path()))
    judging.judge(conform(batch, DOCUMENT))
    assert counted == [len(texts)]
    reached = [count.read.documents for count in judging.counts()]
    assert reached[0] == len(texts) and reached[1] == len(texts) - short
