import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError
from pipeline.filters import language
from pipeline.filters.language import Language

TEXTS = [
    "The mill stands at the bend of the river.",
    "村口的老磨坊立在河湾旁边。",
    "Der Müller hat sieben Töchter.",
    "12",
    None,
]


def judged(texts, **fields):
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    return Language.model_validate({"backend": "langdetect", **fields}).judge(batch)


def test_without_keep_everything_is_labelled_and_kept():
    verdict = judged(TEXTS)
    assert verdict.kept is None
    assert verdict.columns["lang"].to_pylist() == ["en", "zh", "de", "und", "und"]
    assert verdict.columns["lang_score"].type == pa.float32()
    assert verdict.columns["lang_score"].to_pylist()[3:] == [0, 0]


def test_other_languages_and_none_are_dropped_with_their_label():
    verdict = judged(TEXTS, keep=["en", "zh"])
    assert verdict.reason.to_pylist() == [None, None, "language_not_kept", "no_language", "no_language"]
    assert verdict.detail.to_pylist() == [None, None, "de", None, None]


def scripted(monkeypatch, answers):
    """Put known labels and scores in the place of the backends."""

    def identify(texts, *, backend, model=None):
        found = [answers[backend][text] for text in texts]
        return [label for label, _ in found], [score for _, score in found]

    monkeypatch.setattr(language, "identify", identify)
    monkeypatch.setattr(language, "find_model", lambda path, sha256: language.Asset(None, "0"))


def test_a_low_score_is_unsure_by_the_limit_of_its_language(monkeypatch):
    scripted(monkeypatch, {"langdetect": {"a": ("en", 0.6), "b": ("zh", 0.6), "c": ("zh", 0.4)}})
    verdict = judged(["a", "b", "c"], keep={"en": 0.65, "zh": 0.5})
    assert verdict.reason.to_pylist() == ["language_unsure", None, "language_unsure"]
    assert verdict.value.to_pylist()[0] == float(np.float32(0.6))
    assert verdict.limit.to_pylist() == [0.65, None, 0.5]
    assert judged(["a", "b", "c"], keep=["en", "zh"], default=0.3).kept is None


def test_a_second_opinion_drops_what_is_disputed(monkeypatch):
    answers = {
        "fasttext": {"a": ("en", 0.9), "b": ("en", 0.9), "c": ("fr", 0.9)},
        "langdetect": {"a": ("en", 1.0), "b": ("de", 1.0)},
    }
    scripted(monkeypatch, answers)
    verdict = judged(["a", "b", "c"], backend="fasttext", keep=["en"], second="langdetect")
    assert verdict.reason.to_pylist() == [None, "language_disputed", "language_not_kept"]
    assert verdict.detail.to_pylist() == [None, "en or de", "fr"]
    assert verdict.columns["lang"].to_pylist() == ["en", "en", "fr"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"keep": ["zh-cn"]}, "did you mean 'zh'"),
        ({"keep": {"nb": 0.5}}, "did you mean 'no'"),
        ({"keep": {"en": 1.5}}, "less than or equal to 1"),
        ({"second": "langdetect"}, "the same backend twice"),
        ({"model": "lid.bin"}, "langdetect takes none"),
        ({"sha256": "abc"}, "pattern"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        Language.model_validate({"backend": "langdetect", **fields})


def test_the_model_is_an_asset_and_langdetect_has_none(tmp_path):
    (tmp_path / "own.ftz").write_bytes(b"some bytes")
    with Place(base=tmp_path).active():
        [asset] = Language(model="own.ftz").assets()
        assert asset.path == tmp_path / "own.ftz"
        with pytest.raises(GristmillError, match="the recipe wants"):
            Language(model="own.ftz", sha256="0" * 64).assets()
    assert Language(backend="langdetect").assets() == ()


def test_the_stage_pickles_as_its_configuration():
    stage = Language(keep={"en": 0.65, "zh": 0.5})
    assert pickle.loads(pickle.dumps(stage)) == stage


@pytest.mark.slow
@settings(deadline=None)
@given(st.permutations(range(5)), st.integers(0, 5))
def test_each_document_is_judged_alone(order, cut):
    mixed = [TEXTS[at] for at in order]
    whole = judged(mixed, keep=["en", "zh"])
    parts = [judged(mixed[:cut], keep=["en", "zh"]), judged(mixed[cut:], keep=["en", "zh"])]
    for name in ("reason", "value", "limit", "detail"):
        assert getattr(whole, name).to_pylist() == [x for part in parts for x in getattr(part, name).to_pylist()]
    for name in ("lang", "lang_score"):
        assert whole.columns[name].to_pylist() == [x for part in parts for x in part.columns[name].to_pylist()]
