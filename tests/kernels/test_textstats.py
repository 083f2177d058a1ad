import subprocess
import sys
import threading
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.kernels import characters, textstats, textstats_twin
from pipeline.kernels.columns import COLUMNS
from tests.samples import EDGES, TEXTS

LANGS = ["en", "zh", "fr", "ko", "ja", "th", "de", None]
PIECES = [
    "the",
    "Don't",
    "can’t",
    "I'll",
    "l'eau",
    "U.S.",
    "e.g.",
    "Mr.",
    "10km",
    "5%",
    "$5",
    "5$",
    "...",
    "…",
    "a-b",
    "x--y",
    "a,b",
    "www.example.org/a-b",
    "a@b.de",
    "http://x.yz/",
    "(hi)",
    "'s",
    "word,",
    "AB.",
    "+5",
    "5+",
    "1-2",
    "foo.Bar",
    "村口的老磨坊",
    "我们今天去北京大学。",
    "T恤",
    "3.14%",
    "テスト",
    "こんにちは世界",
    "สวัสดีครับ",
    "학교에서",
    "e\u0301",
    "\x00",
    "#",
    "{",
    "lorem ipsum",
    "JavaScript",
    "use of cookies",
    "[12]",
    "_x_",
    "😀",
    "\u2028",
    "\x1c",
    "- ",
    "• ",
    "ſ",
    "K",
    "İ",
    "end.[1]",
    "。。。",
    "and",
    "de",
    "的",
    "是",
    "杭研大厦",
    "小明硕士毕业于中国科学院",
    "\x00Dr.",
    "5\x00m",
    "x://y.zz",
    "ß",
]
GAPS = [" ", "", "\n", "\n\n", "\t", " \n ", "\r\n", "\u3000"]
MADE = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(GAPS)), max_size=40).map(
    lambda parts: "".join(piece + gap for piece, gap in parts)
)
TEXT = st.one_of(MADE, st.text(), st.text("ab.'’-,: \n…A1%$+/#你好们的。", max_size=60))


def array(texts):
    return pa.array(texts, pa.large_string())


def assert_equal(found, expected):
    assert list(found) == list(expected) == list(COLUMNS)
    for name in COLUMNS:
        assert found[name].dtype == np.int64
        assert found[name].tolist() == expected[name].tolist(), name


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, st.sampled_from(LANGS)), min_size=1, max_size=4))
@example([("", None)])
@example([("\n\n \n", "zh"), ("a", "en")])
@example([("łzawc x Bzawb x", "de")])  # whose characters of two bytes lie over those of one byte
@example([("a b a a b a a b", "en"), ("C++中文AT&T的C语言abc1.5%第一行", "zh")])
def test_the_kernel_says_what_its_twin_says(rows):
    texts, langs = array([text for text, _ in rows]), [lang for _, lang in rows]
    assert_equal(textstats.statistics(texts, langs), textstats_twin.statistics(texts, langs))


@pytest.mark.slow
@pytest.mark.parametrize("lang", LANGS)
def test_the_kernel_says_what_its_twin_says_of_awkward_texts(lang):
    texts = array([*EDGES, *(text for text, _ in TEXTS), None, ""])
    langs = [lang] * len(texts)
    assert_equal(textstats.statistics(texts, langs), textstats_twin.statistics(texts, langs))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.none(), MADE), min_size=3, max_size=9), st.integers(0, 3), st.integers(0, 3))
def test_slices_and_nulls_are_read_where_they_are(texts, before, after):
    whole = array([*(["skipped 跳过 "] * before), *texts, *(["also"] * after)])
    part = whole.slice(before, len(texts))
    langs = ["en"] * len(texts)
    assert_equal(textstats.statistics(part, langs), textstats.statistics(array([text or "" for text in texts]), langs))


def test_no_texts_have_no_statistics():
    found = textstats.statistics(array([]), [])
    assert list(found) == list(COLUMNS)
    assert all(len(column) == 0 for column in found.values())


def test_a_null_over_bytes_is_an_empty_text():
    hidden = pa.Array.from_buffers(
        pa.large_string(), 2, [pa.py_buffer(b"\x02"), pa.py_buffer(np.array([0, 5, 7])), pa.py_buffer(b"wordsab")]
    )
    assert textstats.statistics(hidden, ["en", "en"])["n_characters"].tolist() == [0, 2]


@pytest.mark.slow
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_one_line_of_five_megabytes(lang):
    texts = array(["x" * 5_000_000, "的" * 200_000])
    found = textstats.statistics(texts, [lang, lang])
    assert found["n_characters"].tolist() == [5_000_000, 200_000]
    assert found["n_lines"].tolist() == [1, 1]


@pytest.mark.slow
def test_threads_do_not_disturb_one_another():
    texts = [array([text * (1 + turn) for text, _ in TEXTS]) for turn in range(4)]
    langs = [lang for _, lang in TEXTS]
    expected = [textstats.statistics(one, langs) for one in texts]
    found = [None] * 4

    def count(turn):
        for _ in range(5):
            found[turn] = textstats.recent(texts[turn], langs)

    threads = [threading.Thread(target=count, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine, theirs in zip(found, expected, strict=True):
        assert_equal(mine, theirs)


def test_what_is_remembered_is_what_would_be_counted():
    texts, langs = array([text for text, _ in TEXTS]), [lang for _, lang in TEXTS]
    textstats.recent(texts, langs)
    kept = pa.array([index % 3 != 0 for index in range(len(texts))])
    some = [lang for index, lang in enumerate(langs) if index % 3]
    assert_equal(textstats.recent(texts.filter(kept), some), textstats.statistics(texts.filter(kept), some))
    assert_equal(textstats.recent(texts, langs[::-1]), textstats.statistics(texts, langs[::-1]))
    backwards = texts.take(pa.array(range(len(texts))[::-1]))
    assert_equal(textstats.recent(backwards, langs), textstats.statistics(backwards, langs))


@pytest.mark.slow
def test_without_numba_the_twin_counts(monkeypatch):
    texts, langs = array(["one two, one two", "我们"]), ["en", "zh"]
    expected = textstats.statistics(texts, langs)
    monkeypatch.setattr(textstats, "find_spec", lambda name: None)
    monkeypatch.setattr(textstats, "_compiled", lambda: pytest.fail("numba was asked for"))
    assert_equal(textstats.recent(texts, langs), expected)


@pytest.mark.parametrize("name", ["words", "chinese", "lines", "repeats"])
def test_compiled_files_call_nothing_elsewhere(name):
    """Numba's cache notices changes of the file of a function alone."""
    module = getattr(textstats._compiled(), name)
    compiled = [one for one in vars(module).values() if hasattr(one, "py_func")]
    assert compiled
    assert {one.py_func.__module__ for one in compiled} == {module.__name__}


def test_words_can_be_given():
    found = textstats.statistics(array(["one two, one two"]), ["en"], [[(0, 3), (4, 7), (9, 12), (13, 16)]])
    assert found["n_tokens"].tolist() == [4]
    assert found["top_2_gram_characters"].tolist() == [14]


@pytest.mark.parametrize(
    ("lang", "text", "expected"),
    [
        ("en", "I don't know; it's 5km (or so).", "I|do|n't|know|;|it|'s|5|km|(|or|so|)|."),
        (
            "en",
            "See www.example.org/a-b... well-known U.S. law.",
            "See|www.example.org/a-b|...|well|-|known|U.S.|law|.",
        ),
        ("en", "Mr. Smith, e.g. here", "Mr.|Smith|,|e.g.|here"),
        ("fr", "l'eau d’un lac", "l'|eau|d’|un|lac"),
        ("zh", "我来到北京清华大学，他来到了网易杭研大厦。", "我|来到|北京|清华大学|，|他|来到|了|网易|杭研|大厦|。"),
        ("ja", "私は学生です。", "私|は|学生|です|。"),
        ("th", "สวัสดีครับ", "สวัสดี|ครับ"),
        ("ko", "학교에서 책을", "학교|에서|책|을"),
        (None, "see 北京大学 there", "see|北京|大学|there"),
    ],
)
def test_words_of_many_scripts(lang, text, expected):
    assert "|".join(text[start:end] for start, end in textstats_twin.places(text, lang)) == expected


@pytest.mark.slow
def test_chinese_words_are_those_of_jieba():
    texts = ["我来到北京清华大学", "结过婚的和尚未结过婚的，C++语言3.14%", "乒乓球拍卖完了abc def_1.5"]
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); import jieba; jieba.setLogLevel(60); "
        "[print('|'.join(word for word in jieba.cut(text) if word.strip())) for text in sys.argv[1:]]"
    )
    done = subprocess.run([sys.executable, "-c", code, *texts], capture_output=True, text=True, check=True)
    ours = ["|".join(text[start:end] for start, end in textstats_twin.places(text, "zh")) for text in texts]
    assert ours == done.stdout.splitlines()


def test_no_character_is_assigned_outside_of_what_the_tables_look_at() -> None:
    looked_at = set(characters._assigned().points.tolist())
    others = (point for point in range(characters.LAST + 1) if point not in looked_at)
    assert {unicodedata.category(chr(point)) for point in others} <= {"Cn", "Co"}
