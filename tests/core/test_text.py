import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.text import CACHED_CHARACTERS, count_sentences, has_words, is_stop, is_unspaced, stop_words, words

SPOKEN = {
    "en",
    "zh",
    "ja",
    "ko",
    "th",
    "de",
    "fr",
    "es",
    "pt",
    "it",
    "ru",
    "ar",
    "hi",
    "vi",
    "tr",
    "id",
    "nl",
    "pl",
    "sv",
}


@pytest.mark.parametrize(
    ("text", "lang", "expected"),
    [
        ("Don't stop—it's 3.14, see snake_case!", "en", ["Don't", "stop", "it's", "3", "14", "see", "snake", "case"]),
        ("L’eau d'Évian n'est pas chère", "fr", ["L’", "eau", "d'", "Évian", "n'", "est", "pas", "chère"]),
        ("Don't", None, ["Don't"]),
        ("e\u0301te\u0301 ‘quoted’ words'", "en", ["e\u0301te\u0301", "quoted", "words"]),
        ("हिन्दी में लिखा है।", "hi", ["हिन्दी", "में", "लिखा", "है"]),
        ("می\u200cخواهم بروم", "fa", ["می\u200cخواهم", "بروم"]),
        ("Тест, который проходит.", "ru", ["Тест", "который", "проходит"]),
        ("Điều này rất tốt.", "vi", ["Điều", "này", "rất", "tốt"]),
        ("我们今天去北京大学。", "zh", ["我们", "今天", "去", "北京", "大学"]),
        ("我們今天去圖書館。", "zh", ["我們", "今天", "去", "圖書館"]),
        ("これは日本語の文章です。", "ja", ["これ", "は", "日本語", "の", "文章", "です"]),
        ("ภาษาไทยง่ายมาก ฿5", "th", ["ภาษา", "ไทย", "ง่าย", "มาก", "5"]),
        ("학교에서 친구를 만났다. API를 쓴다", "ko", ["학교", "에서", "친구", "를", "만났다", "API", "를", "쓴다"]),
        ("", "zh", []),
        ("… — !? 。「」 \0\n", "ja", []),
    ],
)
def test_words_of_many_scripts(text, lang, expected):
    assert list(words(text, lang)) == expected


def test_a_han_run_in_an_english_page_is_cut_like_a_chinese_one():
    assert words("The sign said 北京大学 in red.", "en") == ["The", "sign", "said", "北京", "大学", "in", "red"]
    assert words("北京大学", None) == words("北京大学", "zh") == words("北京大学", "en")


def test_latin_and_han_glued_together_are_apart():
    assert words("打开HTML页面2019年版", "zh")[:2] == ["打开", "HTML"]
    assert "2019" in words("打开HTML页面2019年版", "zh")


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("책을", ("책", "을")),
        ("책를", ("책를",)),
        ("나는", ("나", "는")),
        ("도쿄로", ("도쿄", "로")),
        ("회의", ("회의",)),
        ("은", ("은",)),
        ("서울까지", ("서울", "까지")),
    ],
)
def test_korean_particles_follow_the_sound_before_them(word, parts):
    assert tuple(words(word, "ko")) == parts


def test_long_texts_are_split_like_short_ones():
    sentence = "It was 我们今天 and 학교에서. "
    times = CACHED_CHARACTERS // len(sentence) + 1
    assert words(sentence * times) == words(sentence) * times


@pytest.mark.slow
def test_a_line_of_many_characters_is_no_trouble():
    assert len(words("漢字" * 100_000, "zh")) >= 100_000
    assert len(words("a" * 5_000_000)) == 1
    assert len(words("a b " * 100_000)) == 200_000


@pytest.mark.slow
@given(st.text(), st.sampled_from([None, "en", "fr", "zh", "ko", "th"]))
def test_words_are_pieces_of_the_text_in_order_without_punctuation(text, lang):
    at = 0
    for word in words(text, lang):
        assert any(map(str.isalnum, word))
        at = text.index(word, at) + len(word)


@given(st.lists(st.text(alphabet="ab 我们的ภาษ가는", max_size=12), max_size=4))
def test_lines_do_not_change_each_others_words(lines):
    assert words("\n".join(lines)) == [word for line in lines for word in words(line)]


def test_stop_words_ignore_case_and_the_kind_of_apostrophe():
    assert is_stop("The", "en")
    assert is_stop("L’", "fr")
    assert is_stop("的", "zh")
    assert not is_stop("the", "de")
    assert not is_stop("the", None)


@pytest.mark.parametrize(
    "lang",
    ["en", "zh", "ja", "ko", "th", "de", "fr", "es", "pt", "it", "ru", "ar", "hi", "vi", "tr", "id", "nl", "pl", "sv"],
)
def test_every_listed_stop_word_is_found_as_a_word_of_its_language(lang):
    assert len(stop_words(lang)) >= 8
    found = {
        word.lower() for listed in stop_words(lang) for word in words(f"{listed}a" if "'" in listed else listed, lang)
    }
    assert len(found & stop_words(lang)) >= 0.9 * len(stop_words(lang))


def test_an_unknown_language_has_no_stop_words():
    assert stop_words("xx") == stop_words(None) == frozenset()


def test_unspaced_scripts_are_told():
    assert is_unspaced("a 我 b")
    assert not is_unspaced("한국어 is spaced")


def test_the_caller_may_change_the_list():
    words("one two").append("three")
    assert words("one two") == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("", 0),
        ("...", 0),
        ("One. Two! Three?", 3),
        ("He paid 3.50 for v1.2 at example.org today", 1),
        ('She said "no." Then she left', 2),
        ("他来了。你呢？我走了", 3),
        ("क्या यह सच है? हाँ।", 2),
        ("Wait... what?!", 2),
    ],
)
def test_sentences_end_at_marks_before_a_blank_or_at_marks_of_scripts_that_need_none(text, n):
    assert count_sentences(text) == n


@given(
    st.text(st.sampled_from("ab1' ，、。我们的磨坊ที่นี่한국어는l'’\u0301\u200c\n")) | st.text(),
    st.integers(0, 9),
    st.sampled_from([None, "fr", "ko", "zh"]),
)
def test_enough_words_are_told_as_if_all_were_counted(text: str, count: int, lang: str | None) -> None:
    assert has_words(text, count, lang) == (len(words(text, lang)) >= count)
