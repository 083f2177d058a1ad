from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kernels.units import _CHUNK, anchors, span_hashes, token_hashes, token_starts, unit_ends, unit_hashes

UNSPACED = "\u0e01-\u0e5b\u3041-\u30ff\u4e00-\u9fff"
TOKEN = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")
"""The definition of a token, for the scripts of these tests."""

alphabet = st.sampled_from("aAé_ 1٣e\u0301\n\t\r.!。？”-—水ガが")
texts = st.lists(st.text(alphabet, max_size=30), max_size=5)


def units(text: str, level: str) -> list[str]:
    return [text[start:end] for start, end in pairwise([0, *unit_ends(text, level)])]


@settings(deadline=None)
@given(texts, st.sampled_from(["line", "sentence", "paragraph"]))
def test_units_are_a_partition_of_the_text(listed: list[str], level: str) -> None:
    for text in listed:
        assert "".join(units(text, level)) == text
        assert all(unit for unit in units(text, level))


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("line", ["A. “B!” c\n \n\n", "  d? 3.5 e…\n", "水。車"]),
        ("paragraph", ["A. “B!” c\n \n\n", "  d? 3.5 e…\n水。車"]),
        ("sentence", ["A. ", "“B!” ", "c\n \n\n  ", "d? ", "3.5 e…\n", "水。", "車"]),
    ],
)
def test_where_units_end(level: str, expected: list[str]) -> None:
    assert units("A. “B!” c\n \n\n  d? 3.5 e…\n水。車", level) == expected


@settings(deadline=None)
@given(texts)
def test_equal_hashes_are_equal_units(listed: list[str]) -> None:
    counts, hashes, lengths = unit_hashes(listed, "line", "exact")
    forms = [unit.strip() for text in listed for unit in units(text, "line")]
    assert counts.tolist() == [len(units(text, "line")) for text in listed]
    assert lengths.tolist() == [len(form) for form in forms]
    for form, hash in zip(forms, hashes, strict=True):
        assert [form == other for other in forms] == (hashes == hash).tolist()


@pytest.mark.slow
@settings(deadline=None)
@given(texts)
def test_equal_tokens_have_equal_hashes(listed: list[str]) -> None:
    counts, hashes = token_hashes(listed)
    tokens = [token for text in listed for token in TOKEN.findall(text)]
    assert counts.sum() == len(tokens) == len(hashes)
    assert len(set(hashes.tolist())) == len(set(tokens))
    assert counts.tolist() == [len(TOKEN.findall(text)) for text in listed]
    for text in listed:
        assert token_starts(text).tolist() == [match.start() for match in TOKEN.finditer(text)]


def test_a_hash_does_not_depend_on_what_stands_around_it() -> None:
    long = "x" * (_CHUNK + 5)
    _, alone, _ = unit_hashes([long, "The mill"], "line", "loose")
    _, among, lengths = unit_hashes(["a\n" * 1000 + long + "\nthe mill."], "line", "loose")
    assert alone.tolist() == among[-2:].tolist() and lengths[-2:].tolist() == [len(long), 7]
    values = np.random.default_rng(0).integers(0, 5, _CHUNK + 50, dtype=np.uint64)
    whole = span_hashes(values, 20)
    assert len(whole) == len(values) - 19
    assert all(whole[at] == span_hashes(values[at : at + 20], 20)[0] for at in (0, 7, _CHUNK - 1, _CHUNK, _CHUNK + 30))


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 12))
def test_anchors_are_the_least_of_some_window(values: list[int], width: int) -> None:
    hashes = np.array(values, np.uint64)
    wanted = set()
    for start in range(len(values) - width + 1):
        window = values[start : start + width]
        wanted |= {start + at for at, value in enumerate(window) if value == min(window)}
    assert anchors(hashes, width).tolist() == sorted(wanted)
