from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kernels.ngram import BEGIN, END, FIRST, UNKNOWN, Trie, following, learn, plain_score, score

VOCABULARY = FIRST + 3
texts = st.lists(st.lists(st.integers(FIRST, VOCABULARY - 1), max_size=12), max_size=6)


def flat(sequences: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    symbols = np.array([symbol for sequence in sequences for symbol in sequence], np.int32)
    return symbols, np.cumsum([0, *map(len, sequences)], dtype=np.int64)


def total(trie: Trie, context: list[int]) -> float:
    """The probabilities of all symbols that may follow a context, added up."""
    ending = [[*context, symbol] for symbol in range(BEGIN + 2, trie.vocabulary)]
    bits, ends = score(trie, *flat([context, *ending]))
    return float(np.sum(2.0 ** (bits[0] - bits[1:])) + 2.0 ** -ends[0])


@settings(deadline=None, max_examples=60)
@given(texts, texts, st.integers(1, 4), st.booleans(), st.integers(0, 1))
def test_the_compiled_loop_is_its_twin(
    trained: list[list[int]], asked: list[list[int]], order: int, smoothed: bool, prune: int
) -> None:
    trie = learn(*flat(trained), VOCABULARY, order, smoothed=smoothed, prune=prune)
    for found, expected in zip(score(trie, *flat(asked)), plain_score(trie, *flat(asked)), strict=True):
        assert found.tolist() == expected.tolist()


@settings(deadline=None, max_examples=60)
@given(texts, st.lists(st.integers(FIRST - 1, VOCABULARY - 1), max_size=5), st.integers(1, 4), st.integers(0, 2))
def test_what_may_follow_adds_up_to_one(trained: list[list[int]], context: list[int], order: int, prune: int) -> None:
    trie = learn(*flat(trained), VOCABULARY, order, smoothed=True, prune=prune)
    assert total(trie, context) == pytest.approx(1, abs=1e-5)


@settings(deadline=None, max_examples=60)
@given(texts, st.lists(st.integers(UNKNOWN, VOCABULARY - 1), max_size=5), st.integers(1, 4), st.booleans())
def test_what_follows_is_as_likely_as_it_costs_bits(
    trained: list[list[int]], context: list[int], order: int, smoothed: bool
) -> None:
    trie = learn(*flat(trained), VOCABULARY, order, smoothed=smoothed)
    odds = following(trie, context)
    asked = range(UNKNOWN, VOCABULARY)
    bits, ends = score(trie, *flat([context, *([*context, symbol] for symbol in asked)]))
    assert odds[list(asked)] == pytest.approx(2.0 ** (bits[0] - bits[1:]), rel=1e-4)
    assert odds[END] == pytest.approx(2.0 ** -ends[0], rel=1e-4)


@settings(deadline=None, max_examples=30)
@given(texts, st.randoms(use_true_random=False))
def test_the_order_of_texts_does_not_matter(trained: list[list[int]], chance: object) -> None:
    one = learn(*flat(trained), VOCABULARY, 3, smoothed=True, prune=1)
    chance.shuffle(trained)  # type: ignore[attr-defined]
    other = learn(*flat(trained), VOCABULARY, 3, smoothed=True, prune=1)
    for name in ("symbol", "stop", "weight", "back"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def test_pruning_forgets_what_is_rare_from_order_three_on() -> None:
    trained = [[3, 4, 5]] * 3 + [[5, 4, 3]]
    whole, pruned = (learn(*flat(trained), VOCABULARY, 3, smoothed=True, prune=prune) for prune in (0, 1))
    # Of six trigrams, the three of the text that stands once.
    assert len(whole.symbol) - len(pruned.symbol) == 3
    assert score(pruned, *flat([[5, 4, 3]]))[0][0] != score(whole, *flat([[5, 4, 3]]))[0][0]
