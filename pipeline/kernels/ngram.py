"""N-gram language models as one sorted trie: counted, smoothed and pruned with NumPy, queried by a compiled loop.

Modified Kneser-Ney (Chen and Goodman 1998; interpolated, as KenLM estimates it) or stupid backoff (Brants et al. 2007).
What is learned does not depend on the order of the texts. On one core of a busy machine, 4 MB of English (0.9 million
words) at order 5: 1.0 s to count and smooth, 0.4 s to score where rare n-grams are forgotten, 1.2 s where they are not.
`plain_score` is the specification of the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import log2

import numpy as np
import numpy.typing as npt

BEGIN, END, UNKNOWN, FIRST = 0, 1, 2, 3
"""Symbols of their own: before and after every text, and for what was never seen; those of the vocabulary follow."""

BACKOFF = 0.4
"""What stupid backoff multiplies by for every symbol of context that it gives up."""

_FALLBACK = (0.5, 1.0, 1.5)
"""Discounts of n-grams seen once, twice and more often where too few were counted to estimate them (KenLM's)."""

Symbols = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trie:
    """N-grams by order, those of one context side by side and sorted by their last symbol; row 0 is the empty one.

    The n-grams that go on from row g are rows `stop[g - 1]` to `stop[g]`, those from row 0 are rows 1 to `stop[0]`:
    row 1 + s is the symbol s. `weight` is what an n-gram itself adds to the probability of its last symbol (for single
    symbols all of it), `back` what the shorter context's probability is multiplied by.
    """

    order: int
    interpolated: bool
    symbol: npt.NDArray[np.int32]
    stop: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    back: npt.NDArray[np.float32]

    @property
    def vocabulary(self) -> int:
        """How many symbols there are, the three special ones included."""
        return int(self.stop[0]) - 1


def learn(symbols: Symbols, starts: Places, vocabulary: int, order: int, *, smoothed: bool, prune: int = 0) -> Trie:
    """The trie of texts: text i is `symbols[starts[i]:starts[i + 1]]`, each symbol from `FIRST` to below `vocabulary`.

    Modified Kneser-Ney where `smoothed`, else stupid backoff. N-grams of three and more symbols that occur `prune`
    times or less are forgotten: what they would add goes to the shorter context, so that all still sums to one.
    """
    stream = _stream(symbols, starts)
    levels = _count(stream, vocabulary, order)
    for n, level in enumerate(levels):
        below = levels[n + 1].suffix if n + 1 < len(levels) else None
        _weigh(level, below, len(levels[n - 1].symbol) if n else 1, smoothed=smoothed)
    single = levels[0]
    if smoothed:
        single.weight += single.back[0] / (vocabulary - 1)
    else:
        # A symbol never seen is scored as if it had been seen `BACKOFF` times.
        single.weight[single.count == 0] = BACKOFF / max(1, single.count[BEGIN + 1 :].sum())
    single.weight[BEGIN] = 0
    if prune:
        _prune(levels, prune)
    return _trie(levels, smoothed=smoothed)


def score(trie: Trie, symbols: Symbols, starts: Places) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Bits of the symbols of each text (starts as in `learn`), and bits of its end after them."""
    if find_spec("numba") is None:
        return plain_score(trie, symbols, starts)
    from pipeline.kernels.ngram_compiled import score as compiled

    bits, ends = np.empty(len(starts) - 1), np.empty(len(starts) - 1)
    compiled(trie.symbol, trie.stop, trie.weight, trie.back, trie.order, trie.interpolated, symbols, starts, bits, ends)
    return bits, ends


def plain_score(
    trie: Trie, symbols: Symbols, starts: Places
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What `score` promises, one symbol after the other."""
    stop, weight, back = trie.stop.tolist(), trie.weight.tolist(), trie.back.tolist()
    rows = {(g, int(trie.symbol[j])): j for g in range(1, len(stop)) for j in range(stop[g - 1], stop[g])}
    bits, ends = np.zeros(len(starts) - 1), np.zeros(len(starts) - 1)
    for text in range(len(starts) - 1):
        contexts: list[int | None] = [1 + BEGIN][: trie.order - 1]
        spelled = symbols[starts[text] : starts[text + 1]].tolist()
        for symbol in [*spelled, END]:
            p, found = weight[1 + symbol], [1 + symbol]
            for context in contexts:
                row = None if context is None else rows.get((context, symbol))
                found.append(row)
                if row is not None:
                    p = weight[row] + (back[context] * p if trie.interpolated else 0.0)
                elif trie.interpolated:
                    p *= 1.0 if context is None else back[context]
                else:
                    p *= BACKOFF
            contexts = found[: trie.order - 1]
            (ends if symbol == END else bits)[text] -= log2(p)
    return bits, ends


def following(trie: Trie, symbols: Sequence[int]) -> npt.NDArray[np.float64]:
    """How likely every symbol is after these, which begin a text; that of its end is among them."""
    seen = [BEGIN, *symbols]
    odds = trie.weight[1 : 1 + trie.vocabulary].astype(np.float64)
    for n in range(1, min(trie.order, len(seen) + 1)):
        row = _row(trie, seen[-n:])
        if row is None:
            odds *= 1.0 if trie.interpolated else BACKOFF
            continue
        known = slice(trie.stop[row - 1], trie.stop[row])
        odds *= trie.back[row] if trie.interpolated else BACKOFF
        at = trie.symbol[known]
        odds[at] = trie.weight[known] + (odds[at] if trie.interpolated else 0.0)
    return odds


@dataclass
class _Level:
    """The n-grams of one order, sorted: the row of each one's context in the level before, and its last symbol.

    `suffix` is the row of the n-gram without its first symbol in the level before, `initial` whether it begins a text.
    """

    context: npt.NDArray[np.int64]
    symbol: npt.NDArray[np.int32]
    suffix: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    initial: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float64]
    back: npt.NDArray[np.float64]
    """One a context, so one a row of the level before."""


def _row(trie: Trie, symbols: Sequence[int]) -> int | None:
    """The row of an n-gram, if it is known."""
    row = 1 + symbols[0]
    for symbol in symbols[1:]:
        first, stop = int(trie.stop[row - 1]), int(trie.stop[row])
        row = first + int(np.searchsorted(trie.symbol[first:stop], symbol))
        if row == stop or trie.symbol[row] != symbol:
            return None
    return row


def _stream(symbols: Symbols, starts: Places) -> Symbols:
    """All texts one after another, each with a begin and an end."""
    sizes = np.diff(starts)
    stream = np.empty(len(symbols) + 2 * len(sizes), np.int32)
    at = np.arange(len(symbols)) + 1 + 2 * np.repeat(np.arange(len(sizes)), sizes)
    stream[at] = symbols
    ends = np.cumsum(sizes + 2)
    stream[ends - 1] = END
    stream[ends - sizes - 2] = BEGIN
    return stream


def _count(stream: Symbols, vocabulary: int, order: int) -> list[_Level]:
    every = np.arange(vocabulary, dtype=np.int32)
    count = np.bincount(stream, minlength=vocabulary)
    nothing = np.zeros(vocabulary, np.int64)
    empty = np.empty(0)
    levels = [_Level(nothing, every, nothing, count, every == BEGIN, empty, empty)]
    # The row of the n-gram that ends at each place; -1 where it would begin in another text.
    ending = stream.astype(np.int64)
    for _ in range(2, order + 1):
        places = np.flatnonzero((ending[:-1] >= 0) & (stream[1:] != BEGIN)) + 1
        keys = (ending[places - 1] << 32) | stream[places]
        sort = np.argsort(keys)
        keys = keys[sort]
        new = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
        first = np.flatnonzero(new)
        keys = keys[first]
        context, before = keys >> 32, ending
        ending = np.full(len(stream), -1)
        ending[places[sort]] = np.cumsum(new) - 1
        levels.append(
            _Level(
                context,
                (keys & 0xFFFFFFFF).astype(np.int32),
                before[places[sort[first]]],
                np.diff(np.append(first, len(places))),
                levels[-1].initial[context],
                empty,
                empty,
            )
        )
    return levels


def _weigh(level: _Level, below: npt.NDArray[np.int64] | None, n_contexts: int, *, smoothed: bool) -> None:
    """Fill in `weight` and `back`; `below` has the suffixes of the next longer n-grams."""
    adjusted = level.count
    if below is not None and smoothed:
        # How many different symbols come before; what begins a text has nothing before it.
        different = np.bincount(below, minlength=len(level.symbol))
        adjusted = np.where(level.initial, level.count, different)
    if n_contexts == 1:
        # No text goes on with its own beginning.
        adjusted = np.where(level.initial, 0, adjusted)
    total = np.bincount(level.context, adjusted, n_contexts)
    safe = np.maximum(total, 1)
    discount = np.zeros(4)
    if smoothed:
        discount[1:] = _discounts(adjusted)
    off = discount[np.minimum(adjusted, 3)]
    level.weight = (adjusted - off) / safe[level.context]
    level.back = np.where(total > 0, np.bincount(level.context, off, n_contexts) / safe, 1.0)


def _discounts(adjusted: npt.NDArray[np.int64]) -> tuple[float, ...]:
    n1, n2, n3, n4 = (int(np.count_nonzero(adjusted == k)) for k in (1, 2, 3, 4))
    if not n1 or not n2 or not n3:
        return _FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if all(0 < d <= k for k, d in enumerate(found, 1)) else _FALLBACK


def _prune(levels: list[_Level], most: int) -> None:
    """Forget rare n-grams from order 3 on. One that stays has a context that stays: it occurs at least as often."""
    rows = np.arange(len(levels[1].symbol)) if len(levels) > 2 else np.empty(0, np.int64)
    for level in levels[2:]:
        kept = level.count > most
        lost = np.bincount(level.context, np.where(kept, 0, level.weight), len(rows))
        level.back = (level.back + lost)[rows >= 0]
        level.context, level.symbol, level.weight = rows[level.context][kept], level.symbol[kept], level.weight[kept]
        rows = np.where(kept, np.cumsum(kept) - 1, -1)


def _trie(levels: list[_Level], *, smoothed: bool) -> Trie:
    base, stops = 1, list[npt.NDArray[np.int64]]()
    for n, level in enumerate(levels):
        n_contexts = 1 if n == 0 else len(levels[n - 1].symbol)
        stops.append(base + np.cumsum(np.bincount(level.context, minlength=n_contexts)))
        base += len(level.symbol)
    leaves = len(levels[-1].symbol)
    assert base < 1 << 31, "rows are numbers of 32 bits"
    back = [*(level.back for level in levels), np.ones(leaves)]
    return Trie(
        len(levels),
        smoothed,
        np.concatenate([np.zeros(1, np.int32), *(level.symbol for level in levels)]),
        np.concatenate([*stops, np.full(leaves, base)]).astype(np.int32),
        np.concatenate([np.zeros(1), *(level.weight for level in levels)]).astype(np.float32),
        np.concatenate(back).astype(np.float32),
    )
