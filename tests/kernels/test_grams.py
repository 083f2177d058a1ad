from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kernels import grams as kernel
from pipeline.kernels.grams import grams, spelled, table_of

TEXT = st.text(st.sampled_from("aAbéÉ1９_-'’.,\n 的酶水한국ไทあ\u0301\u200d🙂"), max_size=40)


def array(*texts: str) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def words(text: str) -> list[str]:
    return [word for word, _ in spelled(text)]


def test_words_are_compared_without_case_marks_and_accents() -> None:
    assert words("It’s the CAFÉ’s 12 o'clock_tea.") == ["its", "the", "cafes", "12", "oclock", "tea"]
    assert spelled("已知ABC酶") == [("已", 1), ("知", 1), ("abc", 2), ("酶", 1)]
    assert words("ＡＢＣ１２") == ["abc12"] and words("e\u0301a") == words("éa")
    assert [units for _, units in spelled("한국어 ไทย")] == [1] * 6


@settings(deadline=None, max_examples=200)
@given(TEXT, st.integers(1, 12))
def test_a_gram_is_the_shortest_run_of_so_many_units(text: str, units: int) -> None:
    met, lengths = grams(array("x", text), units)
    own = np.flatnonzero(met.row == 1)
    expected, listed = [], spelled(text)
    for end in range(len(listed)):
        start = end
        while start > 0 and sum(u for _, u in listed[start : end + 1]) < units:
            start -= 1
        if sum(u for _, u in listed[start : end + 1]) >= units:
            before = sum(u for _, u in listed[:start])
            expected.append((before, before + sum(u for _, u in listed[start : end + 1]), listed[start : end + 1]))
    assert lengths[1] == sum(u for _, u in listed)
    found = [
        (int(met.first[at]), int(met.last[at]), spelled(text.encode()[met.start[at] : met.stop[at]].decode()))
        for at in own
    ]
    assert found == expected


@settings(deadline=None, max_examples=100)
@given(TEXT, TEXT)
def test_equal_words_and_no_others_have_equal_hashes(one: str, two: str) -> None:
    met, _ = grams(array(one, two), 3)
    said = {}
    for at in range(len(met.row)):
        text = (one, two)[met.row[at]].encode()[met.start[at] : met.stop[at]].decode()
        assert said.setdefault(int(met.hash[at]), spelled(text)) == spelled(text)
    assert len({tuple(value) for value in said.values()}) == len(said)


@settings(deadline=None, max_examples=50)
@given(st.lists(TEXT, max_size=4))
def test_the_compiled_scan_is_its_plain_self(texts: list[str]) -> None:
    compiled = grams(array(*texts), 4)
    scanner, kernel._scanner = kernel._scanner, lambda: kernel.scan
    try:
        plain = grams(array(*texts), 4)
    finally:
        kernel._scanner = scanner
    for one, two in zip((*compiled[0], compiled[1]), (*plain[0], plain[1]), strict=True):
        assert one.tolist() == two.tolist()


def test_only_what_is_wanted_is_met() -> None:
    every, _ = grams(array("one two three four five"), 4)
    wanted = every.hash[[1, 3]]
    met, _ = grams(array("four five one two three", "nothing"), 4, table_of(wanted))
    assert sorted(met.hash.tolist()) == sorted(wanted.tolist())


@given(st.sets(st.integers(1, 2**64 - 1), max_size=200))
def test_a_table_holds_its_hashes(hashes: set[int]) -> None:
    table = table_of(np.array(sorted(hashes), np.uint64))
    assert len(table) >= 2 * len(hashes) and set(table.tolist()) - {0} == hashes
    mask = len(table) - 1
    for value in hashes:
        at = value & mask
        while int(table[at]) != value:
            assert table[at] != 0
            at = (at + 1) & mask
