"""Compiled: Chinese into words as jieba does it, without the GIL. `textstats_twin` is the specification.

Every way to cut a run of characters into listed words has a probability, the product of the words' shares; the most
probable is taken (Sun Junyi's jieba, MIT). Single characters left in a row are cut by a hidden Markov model.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline.kernels.characters import BLOCK, CHINESE, DIGIT, FIRST_HAN, LAST_HAN, LETTER, SPACE

_jit = njit(cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True)
# No references are counted, so no helper allocates; and inlined, or each array would be seven arguments of each call.
_MIX, _STIR = np.uint64(0x9E3779B97F4A7C15), np.uint32(0x9E3779B1)
_FIRST, _N_HAN = np.uint32(FIRST_HAN), np.uint32(LAST_HAN - FIRST_HAN)
_SLOTS, _SHIFT, _NODE_BITS = 1 << 20, np.uint64(44), np.uint64(20)
_NODE = np.uint64((1 << 20) - 1)
_NO_WORD = -np.inf
"""The weight of what is no listed word, so that every way through it is worse than any other."""


class Trie(NamedTuple):
    """The word list. Nodes stand for beginnings of words, of two characters and more; 0 for none."""

    begins: npt.NDArray[np.bool_]
    """By character (of the BMP), whether words begin with it."""
    singles: npt.NDArray[np.float64]
    """The weight of a character as a word."""
    pairs: npt.NDArray[np.uint64]
    """A table of two characters and their node."""
    cells: npt.NDArray[np.uint64]
    """A table of node, character and the node it leads to."""
    weights: npt.NDArray[np.float64]
    """By node."""
    following: npt.NDArray[np.uint64]
    """By node, a bit for each character that leads on: it stays in the cache, where the table does not."""


@_jit
def _is_han(point):
    return np.uint32(point - _FIRST) <= _N_HAN


@_jit
def _is_looked_up(point, flags):
    return _is_han(point) or (point < 128 and flags[point] & BLOCK > 0)


@_jit
def _viterbi(points, s, e, start_p, moves, emit, back, token_starts, token_ends, k):
    """States begin (0), end (1), middle (2), single (3); of equally probable ways the later state."""
    column = points[s] - _FIRST
    b, f = start_p[0] + emit[column, 0], start_p[1] + emit[column, 1]
    m, o = start_p[2] + emit[column, 2], start_p[3] + emit[column, 3]
    for at in range(s + 1, e):
        column = points[at] - _FIRST
        row = at - s
        from_end, from_single = f + moves[1, 0] + emit[column, 0], o + moves[3, 0] + emit[column, 0]
        back[row, 0] = 3 if from_single >= from_end else 1
        next_b = max(from_end, from_single)
        from_begin, from_middle = b + moves[0, 1] + emit[column, 1], m + moves[2, 1] + emit[column, 1]
        back[row, 1] = 2 if from_middle >= from_begin else 0
        next_f = max(from_begin, from_middle)
        from_begin, from_middle = b + moves[0, 2] + emit[column, 2], m + moves[2, 2] + emit[column, 2]
        back[row, 2] = 2 if from_middle >= from_begin else 0
        next_m = max(from_begin, from_middle)
        from_end, from_single = f + moves[1, 3] + emit[column, 3], o + moves[3, 3] + emit[column, 3]
        back[row, 3] = 3 if from_single >= from_end else 1
        b, f, m, o = next_b, next_f, next_m, max(from_end, from_single)
    state = 3 if o >= f else 1
    for at in range(e - 1, s - 1, -1):
        previous = back[at - s, state] if at > s else state
        back[at - s, 0] = state
        state = previous
    begin = s
    for at in range(s, e):
        if back[at - s, 0] == 1 or back[at - s, 0] == 3:
            if back[at - s, 0] == 3:
                begin = at
            token_starts[k], token_ends[k] = begin, at + 1
            k += 1
            begin = at + 1
    if begin < e:
        token_starts[k], token_ends[k] = begin, e
        k += 1
    return k


@_jit
def _latin(points, s, e, flags, token_starts, token_ends, k):
    """Runs of letters and digits, with a decimal fraction and a percent sign; and what is between them."""
    at = s
    while at < e:
        stop = at
        while stop < e and flags[points[stop]] & (LETTER | DIGIT):
            stop += 1
        if stop > at:
            if stop + 1 < e and points[stop] == 46 and flags[points[stop + 1]] & DIGIT:
                stop += 2
                while stop < e and flags[points[stop]] & DIGIT:
                    stop += 1
            if stop < e and points[stop] == 37:
                stop += 1
        else:
            while stop < e and not flags[points[stop]] & (LETTER | DIGIT):
                stop += 1
        token_starts[k], token_ends[k] = at, stop
        k += 1
        at = stop
    return k


@_jit
def _singles(points, s, e, node, flags, trie, start_p, moves, emit, back, token_starts, token_ends, k):
    """Single characters in a row, of which the first two begin a word at `node`, or at none."""
    at = s + 2
    while node and at < e:
        node = _onward(trie, node, points[at])
        at += 1
    if node and trie.weights[node] > _NO_WORD:
        for place in range(s, e):
            token_starts[k], token_ends[k] = place, place + 1
            k += 1
        return k
    at = s
    while at < e:
        stop, han = at + 1, _is_han(points[at])
        while stop < e and _is_han(points[stop]) == han:
            stop += 1
        if han:
            k = _viterbi(points, at, stop, start_p, moves, emit, back, token_starts, token_ends, k)
        else:
            k = _latin(points, at, stop, flags, token_starts, token_ends, k)
        at = stop
    return k


@_jit
def _begun(points, s, e, trie, nodes):
    """Writes for each place the node of its two characters, 0 for none; whether there is any."""
    begun = 0
    for at in range(s, e - 1):
        node = _pair(trie.pairs, points[at], points[at + 1]) if trie.begins[points[at]] else 0
        nodes[at - s] = node
        begun |= node
    nodes[e - 1 - s] = 0
    return begun > 0


@_jit
def _weigh(points, s, e, trie, rare, nodes, score, onward):
    """From right to left, the best way from each place to the end of the block, and where its first word ends."""
    score[e - s] = one = two = 0.0
    for place in range(e - s - 1, -1, -1):
        node = np.int64(nodes[place])
        best, value = trie.singles[points[s + place]] + one, trie.weights[node] + two
        longer = value >= best
        best, length = value if longer else best, 2 if longer else 1
        if trie.following[node] >> _bit(points[s + place + 2]) & np.uint64(1):
            stop = place + 2
            while s + stop < e:
                node = _onward(trie, node, points[s + stop])
                if not node:
                    break
                stop += 1
                value = trie.weights[node] + score[stop]
                if value >= best:
                    best, length = value, stop - place
        if best == _NO_WORD:
            best, length = rare + one, 1
        score[place], onward[place] = best, s + place + length
        one, two = best, one


@_jit
def _block(points, s, e, flags, trie, rare, start_p, moves, emit, nodes, score, onward, back,
           token_starts, token_ends, k):  # fmt: skip
    """The most probable words of a block; what is left of single characters is cut by the hidden Markov model."""
    if e - s == 1:
        token_starts[k], token_ends[k] = s, e
        return k + 1
    if not _begun(points, s, e, trie, nodes):
        return _singles(points, s, e, 0, flags, trie, start_p, moves, emit, back, token_starts, token_ends, k)
    _weigh(points, s, e, trie, rare, nodes, score, onward)
    at = single = s
    while at <= e:
        stop = np.int64(onward[at - s]) if at < e else e + 1
        if at == e or stop - at > 1:
            if at - single == 1:
                token_starts[k], token_ends[k] = single, at
                k += 1
            elif at > single:
                node = np.int64(nodes[single - s])
                k = _singles(points, single, at, node, flags, trie, start_p, moves, emit, back, token_starts,
                             token_ends, k)  # fmt: skip
            if at < e:
                token_starts[k], token_ends[k] = at, stop
                k += 1
            single = stop
        at = stop
    return k


@_jit
def _bit(point):
    """Which of the 64 bits of a node stands for a character that goes on from there."""
    return np.uint64(np.uint32(point * _STIR) >> np.uint32(26))


@_jit
def _found(table, key):
    """The place of a key in an open hash table of key and node, or the free place where it would be."""
    place = np.int64((key * _MIX) >> _SHIFT)
    while (table[place] != 0) & (table[place] >> _NODE_BITS != key):
        place = (place + 1) & (_SLOTS - 1)
    return place


@_jit
def _pair(pairs, one, other):
    """The node of two characters that begin a word; 0 for none."""
    key = np.uint64(one) << np.uint64(16) | np.uint64(other)
    return np.int64(pairs[_found(pairs, key)] & _NODE)


@_jit
def _onward(trie, node, point):
    """The node that a character leads to from a node; 0 for none."""
    key = np.uint64(node) << np.uint64(16) | np.uint64(point)
    return np.int64(trie.cells[_found(trie.cells, key)] & _NODE)


@_jit
def _entered(table, key, n_nodes):
    """The node of a key, a new one if it has none; and how many there are."""
    place = _found(table, key)
    if table[place]:
        return np.int64(table[place] & _NODE), n_nodes
    table[place] = key << _NODE_BITS | np.uint64(n_nodes)
    return n_nodes, n_nodes + 1


_TRIE = "b1[::1], f8[::1], u8[::1], u8[::1], f8[::1], u8[::1]"


def trie(words: dict[str, float]) -> Trie:
    """The trie of weighted words. Frequent words come first, so that what is often asked for lies together."""
    listed = sorted((word for word in words if max(word) < "\U00010000"), key=words.__getitem__, reverse=True)
    codes = np.frombuffer("".join(listed).encode("utf-32-le"), np.uint32).copy()
    ends = np.cumsum([len(word) for word in listed], dtype=np.int64)
    made = Trie(
        np.zeros(1 << 16, np.bool_), np.full(1 << 16, _NO_WORD), np.zeros(_SLOTS, np.uint64),
        np.zeros(_SLOTS, np.uint64), np.full(_SLOTS, _NO_WORD), np.zeros(_SLOTS, np.uint64),
    )  # fmt: skip
    n_nodes = _fill(codes, ends, np.array([words[word] for word in listed]), *made)
    assert n_nodes < 0.8 * _SLOTS
    return made._replace(weights=made.weights[:n_nodes].copy(), following=made.following[:n_nodes].copy())


@njit(f"i8(u4[::1], i8[::1], f8[::1], {_TRIE})", cache=True, nogil=True)
def _fill(codes, ends, word_weights, begins, singles, pairs, cells, weights, following):
    n_nodes, begin = 1, 0
    for word in range(len(ends)):
        first, end = codes[begin], ends[word]
        begins[first] = True
        if end == begin + 1:
            singles[first] = word_weights[word]
        else:
            key = np.uint64(first) << np.uint64(16) | np.uint64(codes[begin + 1])
            node, n_nodes = _entered(pairs, key, n_nodes)
            for at in range(begin + 2, end):
                following[node] |= np.uint64(1) << _bit(codes[at])
                node, n_nodes = _entered(cells, np.uint64(node) << np.uint64(16) | np.uint64(codes[at]), n_nodes)
            weights[node] = word_weights[word]
        begin = end
    return n_nodes


_CUT = (
    f"void(u4[::1], i8[::1], u1[::1], u4[::1], {_TRIE}, f8, f8[::1], f8[:,::1], f8[:,::1], i4[::1], i4[::1], i8[::1])"
)


@njit(_CUT, cache=True, nogil=True)
def cut(
    points, starts, modes, flags, begins, singles, pairs, cells, weights, following, rare, start_p, moves, emit,
    token_starts, token_ends, token_counts,
):  # fmt: skip
    """The words of each Chinese text, as places from `starts[row]` on; `emit` is by character and state."""
    longest = 0
    for row in range(len(starts) - 1):
        if modes[row] & CHINESE:
            longest = max(longest, starts[row + 1] - starts[row])
    trie = Trie(begins, singles, pairs, cells, weights, following)
    nodes, onward = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int32)
    score, back = np.empty(longest + 1, np.float64), np.empty((longest + 1, 4), np.int8)
    for row in range(len(starts) - 1):
        if not modes[row] & CHINESE:
            continue
        at, end = starts[row], starts[row + 1]
        k = at
        while at < end:
            stop = at + 1
            if _is_looked_up(points[at], flags):
                while stop < end and _is_looked_up(points[stop], flags):
                    stop += 1
                k = _block(points, at, stop, flags, trie, rare, start_p, moves, emit, nodes,
                           score, onward, back, token_starts, token_ends, k)  # fmt: skip
            elif not flags[points[at]] & SPACE:
                token_starts[k], token_ends[k] = at, stop
                k += 1
            at = stop
        token_counts[row] = k - starts[row]
