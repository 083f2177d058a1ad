import pytest

from pipeline.core.text import stop_words
from pipeline.filters.fineweb import Fineweb
from pipeline.filters.gopher import Gopher
from pipeline.filters.limits import Limits
from pipeline.filters.published import published
from pipeline.filters.repetition import Repetition

FAMILIES = (Gopher, Repetition, Fineweb)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_file_of_limits_is_one_of_the_family(family: type[Limits]):
    table = published("fineweb2", family.word)
    assert len(table) >= 20 and {"zh", "ja", "ko", "th", "ar", "hi", "ru"} <= set(table)
    for lang, limits in table.items():
        assert limits and stop_words(lang), lang
        assert family(by_language={lang: limits}, published=None).limits(lang) == family().limits(lang)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_is_one_key_away(family: type[Limits]):
    assert family(published=None).by_language == {}
    assert family(published=None).limits("zh") == family().limits("en")
    assert set(family().by_language) == set(published("fineweb2", family.word))


def test_own_limits_are_laid_over_those_of_the_table():
    stage = Gopher(by_language={"sv": {"max_mean_word": 30}, "qu": {"min_words": 5}})
    assert stage.limits("sv")["max_mean_word"] == 30
    assert stage.limits("sv")["min_alphabetic_words"] == 0.841
    assert stage.limits("qu")["min_words"] == 5


def test_limits_that_grow_with_the_n_gram_are_a_mistake_of_copying():
    for lang, limits in published("fineweb2", "repetition").items():
        grams = [limits[f"max_repeated_{n}_grams"] for n in range(5, 11)]
        top = [limits[f"max_top_{n}_gram"] for n in (2, 3, 4)]
        assert sorted(grams, reverse=True) == grams, lang
        assert sorted(top, reverse=True) == top, lang
