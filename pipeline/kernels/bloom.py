"""Which of very many hashes occur, or occur twice, in a fixed amount of memory: Bloom filters, one for each time.

A hash that does is always found. One that does not is found by mistake with a probability that follows from the load
(`false_share`): 1 % at 12 bits a hash in each filter. Filters are blocked: the five bits of a
hash lie in one 64-bit word (Putze, Sanders and Singler, 2007), so that a look-up touches one cache line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_BITS = 5
_WORD = 64


@dataclass(frozen=True)
class Seen:
    """One filter, fed with hashes in any order and any batches, then asked; a hash that was added is always found."""

    words: np.ndarray

    @classmethod
    def of_bytes(cls, n_bytes: int) -> Seen:
        """An empty filter that takes `n_bytes` (at least 8)."""
        return cls(np.zeros(max(1, n_bytes // 8), np.uint64))

    def add(self, hashes: np.ndarray) -> None:
        """Remember these hashes, of which some may be equal."""
        _set(self.words, *_places(np.unique(hashes), len(self.words)))

    def has(self, hashes: np.ndarray) -> np.ndarray:
        """Whether each of these was added, or seems so."""
        at, bits = _places(hashes, len(self.words))
        found: np.ndarray = (self.words[at] & bits) == bits
        return found


@dataclass(frozen=True)
class SeenTwice:
    """Fed with all hashes in any order and any batches, then asked; `words` are those of both filters."""

    words: np.ndarray

    @classmethod
    def of_bytes(cls, n_bytes: int) -> SeenTwice:
        """Empty filters that take `n_bytes` together (at least 16)."""
        return cls(np.zeros((2, max(1, n_bytes // 16)), np.uint64))

    def add(self, hashes: np.ndarray) -> None:
        """Count these hashes, of which some may be equal."""
        distinct, counts = np.unique(hashes, return_counts=True)
        at, bits = _places(distinct, self.words.shape[1])
        before = (self.words[0, at] & bits) == bits
        _set(self.words[0], at, bits)
        again = before | (counts > 1)
        _set(self.words[1], at[again], bits[again])

    def twice(self, hashes: np.ndarray) -> np.ndarray:
        """Whether each of these was added twice, or seems so."""
        at, bits = _places(hashes, self.words.shape[1])
        found: np.ndarray = (self.words[1, at] & bits) == bits
        return found


def _places(hashes: np.ndarray, n_words: int) -> tuple[np.ndarray, np.ndarray]:
    """The word of each hash, by its high bits, and the bits in it, by its low ones."""
    at = ((hashes >> np.uint64(32)) * np.uint64(n_words)) >> np.uint64(32)
    bits = np.zeros(len(hashes), np.uint64)
    for index in range(_BITS):
        bits |= np.uint64(1) << ((hashes >> np.uint64(6 * index)) & np.uint64(_WORD - 1))
    return at.astype(np.int64), bits


def _set(words: np.ndarray, at: np.ndarray, bits: np.ndarray) -> None:
    """`at` is sorted, because hashes are and the word follows from their high bits."""
    if len(at):
        starts = np.flatnonzero(np.append(True, at[1:] != at[:-1]))
        words[at[starts]] |= np.bitwise_or.reduceat(bits, starts)


def false_share(n_hashes: int, n_bytes: int, filters: int = 2) -> float:
    """The share of hashes that are not there and are found, at worst: after `n_hashes` different ones were added.

    `n_bytes` are those of all filters: two of `SeenTwice`, one of `Seen`.
    """
    load = n_hashes / max(1, n_bytes // (8 * filters))
    return sum(
        math.exp(-load + n * math.log(load) - math.lgamma(n + 1)) * (1 - (1 - 1 / _WORD) ** (_BITS * n)) ** _BITS
        for n in range(1, int(load + 20 * math.sqrt(load) + 40))
    )
