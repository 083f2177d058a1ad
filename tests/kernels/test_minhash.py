from __future__ import annotations

import re
import sys
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kernels import minhash
from pipeline.kernels.minhash import (
    Ragged,
    Shape,
    Sketch,
    Unit,
    band_keys,
    banding,
    distinct,
    jaccard,
    mix64,
    plain_jaccard,
    plain_sketch,
    probability,
    shingles,
    signatures,
    sketch,
    tokens,
)
from tests import samples

MASK = (1 << 64) - 1
FIRST, SECOND = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
UNITS: tuple[Unit, ...] = ("words", "characters")


def mix(h: int) -> int:
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & MASK
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & MASK
    return h ^ h >> 33


def token_hash(token: str) -> int:
    data = token.encode()
    h = len(data) * FIRST & MASK
    for start in range(0, len(data), 16):
        low, high = (int.from_bytes(data[at : at + 8], "little") for at in (start, start + 8))
        h = (h ^ low) * FIRST & MASK
        h = (h ^ h >> 32 ^ high) * SECOND & MASK
        h ^= h >> 32
    return (h * FIRST & MASK) >> 32


def specified(text: str, width: int, unit: Unit = "words") -> list[int]:
    """What `shingles` promises, one token after the other."""
    hashed = [token_hash(token) for _, _, token in tokens(text, unit)]
    found = []
    for start in range(max(len(hashed) - width + 1, 1)) if hashed else ():
        h = 0
        for token in hashed[start : start + width]:
            h = (h * 0x9E3779B1 + token) & 0xFFFFFFFF
        found.append(h)
    return found


def lists(sets: Ragged) -> list[list[int]]:
    return [part.tolist() for part in np.split(sets.values, sets.offsets[1:-1])]


def ragged(sets: list[set[int]]) -> Ragged:
    offsets = np.cumsum([0, *map(len, sets)])
    return Ragged(offsets, np.array([h for one in sets for h in sorted(one)], dtype=np.uint32))


def equal(one: Sketch, other: Sketch) -> bool:
    pairs = zip((*one.shingles, one.bands, one.signature), (*other.shingles, other.bands, other.signature), strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def test_the_compiler_is_here() -> None:
    pytest.importorskip("numba")
    from pipeline.kernels import minhash_compiled

    assert minhash_compiled.sketch is not None


# Letters of one to four bytes, case that changes the number of bytes, what is ignored, marks, and scripts without
# spaces: where text is read by 32 bytes and where it is not, and everything at the borders between.
awkward = st.text(
    st.sampled_from("aZ_9 .\n\0éßİıſKÅΣςЖжȺⱥ\u00ad\u200d\ufe0f\u0301कि河流カどโร골𠀀𐐀🙂\U000e0100\U0010ffff"),
    max_size=150,
)
texts = st.one_of(st.text(max_size=80), awkward, st.text(st.sampled_from("ab c.É"), max_size=300))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(texts, st.none()), max_size=6),
    st.integers(1, 7),
    st.sampled_from(UNITS),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_the_kernel_equals_its_twin(
    rows: list[str | None], width: int, unit: Unit, bands: int, per_band: int, skipped: int
) -> None:
    shape = Shape(width, unit, bands, per_band, seed=width)
    array = pa.array(rows, pa.large_string()).slice(skipped)
    assert equal(sketch(array, shape), plain_sketch(array, shape))


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_the_kernel_equals_its_twin_on_awkward_texts(unit: Unit) -> None:
    lengths = [*range(0, 70), 127, 128, 129, 4095, 4097]
    rows = [text for text, _ in samples.TEXTS] + [text for text in samples.EDGES if text is not None]
    rows += ["x" * n for n in lengths] + ["é" * n for n in lengths] + ["a " * n for n in lengths]
    rows += ["ab" * (n // 2) + "é" + "cd" * 20 for n in lengths] + ["河" * n + "x" * 40 for n in lengths]
    rows += ["".join(map(chr, range(start, start + 0x800))) for start in range(0, 0xD800, 0x800)]
    rows += ["".join(map(chr, range(start, start + 0x800))) for start in range(0xE000, 0x33000, 0x800)]
    array = pa.array(rows, pa.large_string())
    for shape in (Shape(5, unit, 14, 8), Shape(24, unit, 3, 13, seed=7)):
        assert equal(sketch(array, shape), plain_sketch(array, shape))
        assert equal(sketch(array.slice(30, 20), shape), plain_sketch(array.slice(30, 20), shape))


def test_without_the_compiler_the_twin_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    array = pa.array([samples.ENGLISH, None, samples.CHINESE], pa.large_string())
    compiled = sketch(array, Shape())
    sets = distinct(compiled.shingles)
    similarity = jaccard(sets, np.array([0, 1]), np.array([2, 1]))
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "pipeline.kernels.minhash_compiled", raising=False)
    monkeypatch.delattr("pipeline.kernels.minhash_compiled", raising=False)
    assert equal(sketch(array, Shape()), compiled)
    assert jaccard(sets, np.array([0, 1]), np.array([2, 1])).tolist() == similarity.tolist()
    assert "pipeline.kernels.minhash_compiled" not in sys.modules


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=1, max_size=6), st.integers(1, 7), st.sampled_from(UNITS))
def test_shingles_are_what_they_are_said_to_be(rows: list[str], width: int, unit: Unit) -> None:
    assert lists(shingles(rows, width, unit)) == [specified(text, width, unit) for text in rows]


@pytest.mark.slow
def test_shingles_of_many_languages_and_of_awkward_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [text for text, _ in samples.TEXTS] + list(samples.EDGES)
    expected = [specified(text or "", 5) for text in rows]
    assert lists(shingles(rows, 5)) == expected
    monkeypatch.setattr(minhash, "_CHUNK", 50)
    assert lists(shingles(rows, 5)) == expected
    assert lists(distinct(shingles(rows, 5))) == [sorted(set(one)) for one in expected]


@pytest.mark.parametrize("pick", [str.upper, str.lower], ids=["upper", "lower"])
def test_words_are_those_of_python_in_scripts_with_spaces(pick: Callable[[str], str]) -> None:
    for text, lang in samples.TEXTS:
        if lang in ("en", "de", "fr", "ru", "es"):
            folded = [token for _, _, token in tokens(pick(text))]
            assert folded == [word.replace("ς", "σ") for word in re.findall(r"\w+", pick(text).lower())]


def test_a_character_of_a_script_without_spaces_is_a_token() -> None:
    assert [token for _, _, token in tokens("河流 Mill2_A 向南方。カタカナー โรง 골짜기 끝 किताब")] == [
        *"河流",
        "mill2_a",
        *"向南方",
        *"カタカナー",
        *"โรง",
        "골짜기",
        "끝",
        "किताब",
    ]


def test_tokens_say_where_they_are_and_ignore_what_is_not_seen() -> None:
    text = "\u00adco\u00adop, ΟΔΟΣ"
    assert tokens(text) == [(1, 6, "coop"), (8, 12, "οδοσ")]
    assert tokens("-A  b!", "characters") == [(1, 2, "a"), (2, 4, " "), (4, 5, "b")]
    assert [token for _, _, token in tokens("河流 x", "characters")] == ["河", "流", " ", "x"]


def test_short_texts_have_one_shingle_and_empty_ones_none() -> None:
    assert np.diff(shingles(["one two", "one", "", " … ", None, "a b c d e"], 5).offsets).tolist() == [1, 1, 0, 0, 0, 1]
    assert len(shingles([], 5).values) == 0
    assert sketch(pa.array([], pa.large_string()), Shape()).bands.shape == (0, 14)


@pytest.mark.parametrize("unit", UNITS)
def test_the_kernel_signs_as_datasketch_does(unit: Unit) -> None:
    rows = [text for text, _ in samples.TEXTS]
    found = sketch(pa.array(rows, pa.large_string()), Shape(5, unit, 16, 8, seed=42))
    for text, row in zip(rows, found.signature, strict=True):
        theirs = MinHash(128, seed=42, hashfunc=int)
        theirs.update_batch(specified(text, 5, unit))
        assert np.array_equal(row, theirs.hashvalues)


hashes = st.integers(0, (1 << 32) - 1)


@pytest.mark.slow
@given(st.lists(st.sets(hashes, min_size=1, max_size=30), min_size=1, max_size=5), st.integers(1, 40), hashes)
def test_signatures_equal_those_of_datasketch(sets: list[set[int]], permutations: int, seed: int) -> None:
    ours = signatures(ragged(sets), permutations, seed)
    for row, one in zip(ours, sets, strict=True):
        theirs = MinHash(permutations, seed=seed, hashfunc=int)
        theirs.update_batch(one)
        assert np.array_equal(row, theirs.hashvalues)


def test_signatures_skip_empty_sets_and_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = ragged([set(), {1, 2, 3}, set(), set(range(500)), {7}, set()])
    whole = signatures(sets, 8, 1)
    assert (whole[[0, 2, 5]] == 0xFFFFFFFF).all() and (whole[[1, 3, 4]] != 0xFFFFFFFF).any(axis=1).all()
    monkeypatch.setattr(minhash, "_CHUNK", 2)
    assert np.array_equal(signatures(sets, 8, 1), whole)


def test_the_estimate_has_the_error_that_is_stated() -> None:
    draw = np.random.default_rng(0)
    k, wanted = 128, np.linspace(0.1, 0.95, 200)
    sets: list[set[int]] = []
    for share in wanted:
        values = draw.integers(0, 1 << 32, 600).tolist()
        common = round(share * len(values))
        half = common + (len(values) - common) // 2
        sets += [set(values[:half]), set(values[:common] + values[half:])]
    left = np.arange(0, len(sets), 2)
    true = jaccard(ragged(sets), left, left + 1)
    signature = signatures(ragged(sets), k, 1)
    error = ((signature[left] == signature[left + 1]).mean(axis=1) - true) / np.sqrt(true * (1 - true) / k)
    assert np.allclose(true, wanted, atol=0.01)
    assert abs(error.mean()) < 0.3 and 0.8 < error.std() < 1.2 and np.abs(error).max() < 4.5


@pytest.mark.slow
@given(st.lists(st.sets(st.integers(0, 30), max_size=12), min_size=1, max_size=6))
def test_jaccard_is_that_of_the_sets(sets: list[set[int]]) -> None:
    left, right = (side.ravel() for side in np.meshgrid(np.arange(len(sets)), np.arange(len(sets))))
    expected = [
        len(sets[a] & sets[b]) / len(sets[a] | sets[b]) if sets[a] | sets[b] else 0
        for a, b in zip(left, right, strict=True)
    ]
    assert jaccard(ragged(sets), left, right).tolist() == expected
    assert plain_jaccard(ragged(sets), left, right).tolist() == expected


def test_band_keys_agree_where_all_rows_of_the_band_do() -> None:
    signature = np.arange(12, dtype=np.uint32).reshape(1, 12).repeat(3, axis=0)
    signature[1, 5] = 99
    signature[2] = 7
    keys = band_keys(signature, 4, 3)
    assert (keys[0] == keys[1]).tolist() == [True, False, True, True]
    assert len(set(keys[2].tolist())) == 4, "equal rows in different bands do not meet"


def test_probability_of_sharing_a_band() -> None:
    assert probability(0.75, 14, 8) == pytest.approx(0.772, abs=5e-4)
    assert probability(0.0, 14, 8) == 0 and probability(1.0, 14, 8) == 1


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, (42, 3)), (0.7, (25, 5)), (0.8, (18, 7)), (0.9, (11, 11))])
def test_a_threshold_decides_on_bands(threshold: float, expected: tuple[int, int]) -> None:
    assert banding(threshold) == expected
    assert probability(threshold, *expected) >= 0.98
    assert banding(0.0) == (128, 1) and banding(1.0) == (2, 64)


def test_mix64_is_a_bijection_in_python_and_in_numpy() -> None:
    values = np.array([0, 1, 2, 1 << 63, MASK], dtype=np.uint64)
    assert mix64(values).tolist() == [mix(value) for value in values.tolist()]
