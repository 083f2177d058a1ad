from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.filters.repetition import Repetition

ENGLISH = (
    "The old mill stands at the bend of the river, and people have known it for as long as they can remember.\n"
    "In spring the wheel turns with the water that comes down from the hills; in autumn it rests.\n\n"
    "Nobody could say who built it, but everybody had a story to tell about the miller and his seven daughters.\n"
    "When a north wind blows at night you hear wood creak, as though somebody were still at work inside."
)
CHINESE = (
    "村口的老磨坊立在河湾旁边，大家从小就认识它。\n春天，山上流下来的水推着轮子转动；到了秋天便停下休息。\n\n"
    "没有人知道是谁建造了这座房子，但是每个老人都能讲出一段关于磨坊主和七个女儿的故事。\n"
    "夜里如果风从北方吹来，还可以听见木头轻轻响动，好像有人在里面工作。"
)
SAMPLES = {"en": ENGLISH, "zh": CHINESE}
LINES = {
    "en": ["Read more news", "We walked along the quiet shore", "Nobody was there", "Birds sang above tall trees"],
    "zh": ["点击查看更多", "我们沿着安静的海边散步", "那里没有人", "鸟儿在高高的树上唱歌"],
}


def judged(texts, langs, **fields):
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string()), "lang": pa.array(langs, pa.string())})
    verdict = Repetition.model_validate(fields).judge(batch)
    return list(zip(verdict.reason.to_pylist(), verdict.value.to_pylist(), verdict.limit.to_pylist(), strict=True))


def measure(text, lang):
    return SimpleNamespace(**Repetition().measure(text, lang))


def only(field):
    """All rules off but one, at Gopher's limit."""
    names = [bound.field for bound in Repetition.bounds]
    return {**dict.fromkeys(name for name in names if name != field), "published": None, "by_language": {}}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_prose_is_kept(lang):
    assert judged([SAMPLES[lang]], [lang])[0][0] is None
    assert judged([SAMPLES[lang]], [lang], published=None)[0][0] is None


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("bound", Repetition.bounds, ids=lambda bound: bound.reason)
def test_each_rule_drops_what_it_is_for(lang, bound):
    one, two, three, four = LINES[lang]
    space = " " if lang == "en" else ""
    text = {
        "repeated_lines": "\n".join([one, two, one, three, one]),
        "repeated_paragraphs": "\n\n".join([one, two, one, three, one]),
        "repeated_line_characters": "\n".join([two, one, two, three]),
        "repeated_paragraph_characters": "\n\n".join([two, one, two, three]),
        "frequent_2_gram": space.join([one, two, one, three, one, four, one]),
        "frequent_3_gram": space.join([one, two, one, three, one, four, one]),
    }.get(bound.reason, space.join([four, two, one, three, four, two, one, three]))
    [(found, value, limit)] = judged([text], [lang], **only(bound.field))
    assert (found, limit) == (bound.reason, getattr(Repetition(), bound.field))
    assert value > limit
    assert judged([SAMPLES[lang]], [lang], **only(bound.field))[0][0] is None


def test_lines_and_paragraphs_counted_by_hand():
    found = measure("aa\n bb\naa \n\n\ncccc\n\naa\n \t\naa\n\ncccc", "en")
    assert found.lines == pytest.approx(3 / 7)  # "aa" twice and "cccc" once more; "aa " is another line
    assert found.line_characters == pytest.approx(8 / 33)
    assert found.paragraphs == pytest.approx(1 / 4)  # a line of blanks does not end a paragraph
    assert found.paragraph_characters == pytest.approx(4 / 33)


def test_n_grams_counted_by_hand():
    found = measure("to be or not to be", "en")
    assert found.top_2_gram == pytest.approx(10 / 18)  # "to be" twice, of 18 characters
    assert found.top_3_gram == pytest.approx(8 / 18)  # none occurs twice; the first counts
    again = measure("one two three four five six one two three four five", "en")
    assert again.repeated_5_grams == pytest.approx(19 / 51)
    assert again.repeated_6_grams == 0


def test_a_repeated_n_gram_is_skipped_as_a_whole():
    found = measure("ha " * 20, "en")
    assert found.repeated_5_grams == pytest.approx(3 * 10 / 60)


def test_chinese_is_measured_by_words_not_by_spaces():
    text = "我们今天去北京大学。" * 5
    assert measure(text, "zh").top_2_gram == 0.5
    assert measure(text, "zh").repeated_5_grams == pytest.approx(4 / 5)


def test_a_share_that_is_the_limit_is_kept():
    lines = ["same", "same", "same", "same", *"abcdef"]  # 3 of 10 occurred before
    assert measure("\n".join(lines), "en").lines == 0.3
    assert judged(["\n".join(lines)], ["en"], **only("max_repeated_lines"))[0][0] is None


def test_nothing_repeats_in_an_empty_text():
    assert judged(["", None, " \n \n"], ["en", None, "zh"]) == [(None, None, None)] * 3


def test_three_rules_are_off_where_fineweb2_has_them_off():
    limits = Repetition()
    assert limits.limits("zh")["max_repeated_paragraphs"] is None
    assert limits.limits("en")["max_repeated_paragraphs"] == 0.3
    assert limits.limits("zh")["max_top_2_gram"] == 0.256


@pytest.mark.slow
@given(st.permutations(range(4)), st.integers(0, 4))
def test_each_document_is_judged_alone(order, cut):
    rows = [(ENGLISH, "en"), (CHINESE, "zh"), ("again " * 30, None), (CHINESE + CHINESE, "zh")]
    alone = [judged([text], [lang])[0] for text, lang in rows]
    mixed = [rows[at] for at in order]
    parts = [part for part in (mixed[:cut], mixed[cut:]) if part]
    assert [row for part in parts for row in judged(*zip(*part, strict=True))] == [alone[at] for at in order]
