from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.schema import documents
from pipeline.transforms.normalize import Normalize, normalized
from tests import samples

AWKWARD = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(" \t\n\r\x00\x0b\x1b[m\u00a0\u00ad\u200b\u200d\ufeff\u2028\u3000\u0301é\u0085\ud83d\ude00"),
        st.sampled_from("Ã©â€™“”œÐ°Â ï»¿ﬁ"),
    ),
    max_size=60,
)


@given(AWKWARD, st.booleans(), st.sampled_from(["NFC", "NFKC"]))
def test_a_normal_text_is_its_own_normal_form(text: str, fix: bool, form: str) -> None:
    once = normalized(text, fix=fix, form=form)
    assert normalized(once, fix=fix, form=form) == once
    assert unicodedata.is_normalized(form, once)
    assert once.encode("utf-8").decode() == once.strip()
    assert "\n\n\n" not in once and "\r" not in once and " \n" not in once
    assert not any(unicodedata.category(character) == "Cc" for character in once if character not in "\n\t")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("The MÃ¼hle â€“ it isnâ€™t new.", "The Mühle – it isn’t new."),
        ("cafe\u0301", "café"),
        ("one \t\r\ntwo\r\n\r\n\r\n\r\nthree  four", "one\ntwo\n\nthree four"),
        ("zero\u200bwidth\ufeff soft\u00adhyphen nul\x00 bell\x07", "zerowidth softhyphen nul bell"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\u00a0b\u2003c\u2028d", "a b c\nd"),
        ("ﬁne ﬂow", "fine flow"),
        ("smart\x92s", "smart’s"),
        ("\ud800lone \ud83d\ude00", "\ufffdlone 😀"),
    ],
)
def test_what_is_repaired(given: str, expected: str) -> None:
    assert normalized(given) == expected


@pytest.mark.parametrize(
    "text",
    [
        samples.CHINESE,
        "全角：，。！？（）「」ＡＢＣ１２３…… ——",
        "　　段落开头的两个全角空格",
        "„Gänsefüßchen“ «guillemets» ‘curly’ “quotes” – and — dashes…",
        "می‌خواهم क्‍ष 👩‍👩‍👧‍👦🏳️‍🌈",
        "def f(x):\n    if x:\n\treturn 1",
        "a\t\tb\tc",
        "&lt;b&gt; &amp; &#233;",
        samples.ARABIC,
        samples.THAI,
        samples.HINDI,
        "שלום \u200fעולם",
        "x² ½ ™ № ℃",
    ],
)
def test_what_is_left_alone(text: str) -> None:
    assert normalized(text).lstrip() == text.lstrip()


def test_options() -> None:
    assert normalized("ＡＢＣ，１２３", form="NFKC") == "ABC,123"
    assert normalized("isnâ€™t", fix=False) == "isnâ€™t"
    with pytest.raises(ValueError, match="NFKC"):
        Normalize.model_validate({"unicode": "NFD"})


def test_a_document_of_which_nothing_is_left_is_empty() -> None:
    rows = [{"text": text} for text in ("kept ", " \n\u200b\x00", "", None)]
    verdict = Normalize().judge(documents(rows))
    assert verdict.reason is not None
    assert verdict.reason.to_pylist() == [None, "empty", "empty", "empty"]
    assert verdict.columns["text"].to_pylist() == ["kept", "", "", ""]


@pytest.mark.slow
@pytest.mark.parametrize("text", [" " * 2_000_000 + "x", "a" + " \t" * 500_000, "é\u3000" * 300_000, "\n" * 2_000_000])
def test_long_blanks_take_no_long_time(text: str) -> None:
    once = normalized(text)
    assert normalized(once) == once
