from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.backends.classifier import FastText, prepared, probabilities, train
from pipeline.core.errors import GristmillError

GOOD = [f"the miller wrote {n} sacks of grain into his book, and closed it" for n in range(40)]
BAD = [f"click here to win {n} prizes, buy now!!!" for n in range(40)]
CHINESE_GOOD, CHINESE_BAD = ["农民们把粮食送到磨坊"] * 20, ["点击这里立即购买大奖"] * 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.bin"
    texts = [*GOOD, *BAD, *CHINESE_GOOD, *CHINESE_BAD]
    train(texts, [True] * 40 + [False] * 40 + [True] * 20 + [False] * 20, FastText(buckets=1000), path)
    return path


def test_it_learns_words_and_characters(model: Path) -> None:
    asked = ["he wrote grain into the book", "buy prizes, click now", "粮食和农民", "立即点击"]
    found = probabilities(model, asked, "positive", "tokens")
    assert (found > 0.5).tolist() == [True, False, True, False]
    assert np.allclose(found + probabilities(model, asked, "__label__negative", "tokens"), 1, atol=1e-4)


def test_a_text_of_white_space_has_no_probability(model: Path) -> None:
    assert np.isnan(probabilities(model, ["", " \n", None], "positive", "line")).all()


@pytest.mark.slow
def test_training_twice_gives_the_same_bytes(model: Path, tmp_path: Path) -> None:
    texts = [*GOOD, *BAD]
    for name in ("one", "two"):
        train(texts, [True] * 40 + [False] * 40, FastText(ngrams=1, epochs=3), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_a_model_does_not_have_is_said(model: Path, tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match=r"no label 'hq'; it has (positive, negative|negative, positive)"):
        probabilities(model, ["text"], "hq", "line")
    other = tmp_path / "other.bin"
    other.write_bytes(b"no model")
    with pytest.raises(GristmillError, match="not a fastText model"):
        probabilities(other, ["text"], "hq", "line")


def test_a_text_is_one_line_without_what_the_binding_refuses() -> None:
    text = "One\nline\0 \ud800__label__negative 磨坊,ok"
    assert prepared(text, "line") == "One line negative 磨坊,ok"
    assert prepared(text, "tokens") == "one line negative 磨 坊 , ok"


def test_what_fasttext_refuses_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="fastText cannot be trained on these texts"):
        train([], [], FastText(), tmp_path / "model.bin")
