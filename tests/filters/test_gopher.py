from math import isnan
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.filters.gopher import Gopher

ENGLISH = (
    "The old mill stands at the bend of the river, and the people of the village have known it for as long as they "
    "can remember. In spring the wheel turns with the water that comes down from the hills; in autumn it rests. "
    "Nobody could say who built it, but everybody had a story to tell about the miller and his seven daughters."
)
CHINESE = (
    "村口的老磨坊立在河湾旁边，村里的人从小就认识它。春天，山上流下来的水推着轮子转动；到了秋天，它就停下来休息。"
    "没有人知道是谁建造了它，但是每个人都能讲出一个关于磨坊主和他七个女儿的故事。夜里，如果风从北方吹来，"
    "还可以听见木头轻轻的响声，好像有人在里面工作一样。孩子们说，那是磨坊在做梦。"
)
SAMPLES = {"en": ENGLISH, "zh": CHINESE}


def judged(texts, langs, **fields):
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string()), "lang": pa.array(langs, pa.string())})
    verdict = Gopher.model_validate(fields).judge(batch)
    return list(zip(verdict.reason.to_pylist(), verdict.value.to_pylist(), verdict.limit.to_pylist(), strict=True))


def measure(text, lang, **fields):
    return SimpleNamespace(**Gopher.model_validate(fields).measure(text, lang))


def reason(text, lang, **fields):
    return judged([text], [lang], **fields)[0][0]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_prose_is_kept(lang):
    assert reason(SAMPLES[lang], lang) is None


@pytest.mark.parametrize(
    ("lang", "expected", "text"),
    [
        ("en", "too_few_words", "The mill stands at the bend of the river, and that is all there is to say."),
        ("en", "too_many_words", "the cat and dog " * 25_001),
        ("en", "mean_word_too_short", "a b of to it is c d e f " * 10),
        ("en", "mean_word_too_long", "the and " + "incomprehensibilities " * 60),
        ("en", "too_many_hash_signs", ENGLISH + " #" * 10),
        ("en", "too_many_ellipses", ENGLISH.replace(" in ", "... in ").replace(" the ", "... the ")),
        ("en", "too_many_bullet_lines", "\n".join(f"- {part}" for part in ENGLISH.split(" "))),
        ("en", "too_many_ellipsis_lines", ENGLISH.replace(";", "...\n").replace(". ", ".\n") + " …"),
        ("en", "too_few_alphabetic_words", ENGLISH + " 1024 2048 512" * 10),
        ("en", "too_few_stop_words", "mill river wheel water stone miller bread " * 10),
        ("zh", "too_few_words", "村口的老磨坊立在河湾旁边。"),
        ("zh", "too_many_words", "他在北京的大学。" * 25_001),
        ("zh", "mean_word_too_long", "的 是 " + "incomprehensibilities " * 60),
        ("zh", "too_many_hash_signs", CHINESE + "#" * 20),
        ("zh", "too_many_ellipses", CHINESE.replace("，", "……").replace("。", "……").replace("的", "…")),
        ("zh", "too_many_bullet_lines", "\n".join(f"• {part}" for part in CHINESE.split("，"))),
        ("zh", "too_many_ellipsis_lines", CHINESE.replace("。", "……\n").replace("；", "。\n")),
        ("zh", "too_few_alphabetic_words", CHINESE + " 1024 2048 512" * 20),
        ("zh", "too_few_stop_words", "北京 上海 广州 深圳 大学 图书馆 " * 12),
    ],
)
def test_each_rule_drops_what_it_is_for_and_says_by_how_much(lang, expected, text):
    [(found, value, limit)] = judged([text], [lang])
    assert found == expected
    assert value < limit if expected.startswith(("too_few", "mean_word_too_short")) else value > limit
    [bound] = [bound for bound in Gopher.bounds if bound.reason == expected]
    assert limit == Gopher().limits(lang)[bound.field]
    assert reason(text, lang, **{bound.field: None}, by_language={lang: {bound.field: None}}) != expected


def test_the_mean_chinese_word_is_short_and_that_is_no_fault():
    assert 1 < measure(CHINESE, "zh").mean_word < 2
    assert reason(CHINESE, "zh") is None
    assert reason(CHINESE, "zh", published=None) == "mean_word_too_short"


def test_measures_counted_by_hand():
    text = "# The list\n\n- to be... and\n-5 #2\n• have it…\n...\n"
    found = measure(text, "en")
    # Tokens: # The list - to be ... and -5 # 2 • have it … ...; the bullet is in no list of marks, as in datatrove.
    assert found.n_words == 10
    assert found.mean_word == pytest.approx((3 + 4 + 2 + 2 + 3 + 2 + 1 + 1 + 4 + 2) / 10)
    assert found.hash_signs == pytest.approx(2 / 16)
    assert found.ellipses == pytest.approx(3 / 16)
    assert found.bullet_lines == pytest.approx(2 / 5)  # "-5" is a number
    assert found.ellipsis_lines == pytest.approx(2 / 5)
    assert found.alphabetic_words == pytest.approx(7 / 10)
    assert measure(text, "en", count_marks=True).alphabetic_words == pytest.approx(7 / 16)
    assert found.n_stop_words == 5  # the to be and have


def test_chinese_measures_counted_by_hand():
    text = "他在北京……\n· 2019年"
    found = measure(text, "zh")
    # Tokens: 他 在 北京 … … · 2019 年; the middle dot counts as a word, as in datatrove
    assert found.n_words == 6
    assert found.ellipses == pytest.approx(1 / 8)
    assert found.ellipsis_lines == found.bullet_lines == 0.5
    assert found.alphabetic_words == pytest.approx(4 / 6)
    assert measure(text, "zh", count_marks=True).alphabetic_words == 0.5


def test_stop_words_are_not_asked_of_a_language_that_is_not_known():
    text = "mill river wheel water stone miller bread " * 10
    assert isnan(measure(text, None).n_stop_words)
    assert reason(text, None) is None
    assert reason(text, "xx") is None


def test_stop_words_are_counted_once_each():
    assert measure("the the The THE and", "en").n_stop_words == 2


def test_an_empty_or_missing_text_has_too_few_words():
    assert [found for found, _, _ in judged(["", None, " \n"], ["en", None, "zh"])] == ["too_few_words"] * 3


def test_limits_by_language_stand_over_the_published_ones():
    limits = Gopher.model_validate({"by_language": {"zh": {"min_words": 10}, "xx": {"max_words": 7}}})
    assert limits.limits("zh")["min_words"] == 10
    assert limits.limits("zh")["max_mean_word"] == 5
    assert limits.limits("xx")["max_words"] == 7
    assert limits.limits("en")["max_mean_word"] == 10
    assert limits.limits(None) == limits.limits("en")


def test_the_identity_holds_every_limit_that_is_judged_by():
    assert Gopher().fields()["by_language"]["zh"]["max_mean_word"] == 5
    again = Gopher.model_validate_json(Gopher().model_dump_json())
    assert again == Gopher()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"zh": {"max_word": 3}}, "by_language.zh.max_word: no such limit; known: max_bullet_lines"),
        ({"zh": {"max_bullet_lines": 3}}, "by_language.zh.max_bullet_lines: Input should be less than or equal to 1"),
        ({"zh": {"min_words": 2.5}}, "by_language.zh.min_words: "),
        ({"zh": {"min_mean_word": -1}}, "by_language.zh.min_mean_word: "),
        ({"zh-cn": {"min_words": 2}}, "did you mean 'zh'"),
        ({"zh": 3}, "valid dictionary"),
    ],
)
def test_a_wrong_limit_by_language_is_told_with_its_place(overrides, message):
    with pytest.raises(ValidationError, match=message):
        Gopher.model_validate({"by_language": overrides})


@pytest.mark.slow
@given(st.permutations(range(4)), st.integers(0, 4))
def test_each_document_is_judged_alone(order, cut):
    rows = [(ENGLISH, "en"), (CHINESE, "zh"), ("short", None), (ENGLISH + " #" * 10, "en")]
    alone = [judged([text], [lang])[0] for text, lang in rows]
    mixed = [rows[at] for at in order]
    parts = [part for part in (mixed[:cut], mixed[cut:]) if part]
    assert [row for part in parts for row in judged(*zip(*part, strict=True))] == [alone[at] for at in order]
