"""Compiled: Chinese into words as jieba does it, without the GIL. `textstats_twin` is the specification.

Every way to cut a run of characters into listed words has a probability, the product of the words' shares; the most
probable is taken (Sun Junyi's jieba, MIT). Single characters left in a row are cut by a hidden Markov model.

What takes time is memory. So characters are numbered by how often they occur, two of them lead to one place in a table
of 4 MB, without a search (Tarjan and Yao's row displacement), and frequent words lie together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline.kernels.characters import BLOCK, CHINESE, DIGIT, FIRST_HAN, IMPOSSIBLE, LAST_HAN, LETTER, SPACE, Chinese

_jit = njit(cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True)
# No references are counted, so no helper allocates; and inlined, or each array would be seven arguments of each call.
_MIX, _STIR = np.uint64(0x9E3779B97F4A7C15), np.uint32(0x9E3779B1)
_FIRST, _N_HAN = np.uint32(FIRST_HAN), np.uint32(LAST_HAN - FIRST_HAN)
_SLOTS, _SHIFT, _NODE_BITS = 1 << 20, np.uint64(44), np.uint64(20)
_NODE = np.uint64((1 << 20) - 1)
_PAIR, _PAIR_BITS = np.uint32((1 << 18) - 1), np.uint32(18)
_NO_WORD = -np.inf
"""The weight of what is no listed word, so that every way through it is worse than any other."""


class Trie(NamedTuple):
    """The word list. Nodes stand for beginnings of words, of two characters and more; 0 for none."""

    numbers: npt.NDArray[np.uint16]
    """By character (of the BMP), its number: 1 for the most frequent, 0 where it is in no word and no table."""
    singles: npt.NDArray[np.float64]
    """By number, the weight of the character as a word."""
    bases: npt.NDArray[np.int32]
    """By number of a first character, where its row of second ones begins in `pairs`."""
    pairs: npt.NDArray[np.uint32]
    """The rows, each in the gaps of the others: the number of the first character, and the node of the two."""
    cells: npt.NDArray[np.uint64]
    """A table of node, character and the node it leads to."""
    weights: npt.NDArray[np.float64]
    """By node."""
    following: npt.NDArray[np.uint64]
    """By node, a bit for each character that leads on: it stays in the cache, where the table does not."""
    emit: npt.NDArray[np.float64]
    """By number, what a character tells of the four states."""


@_jit
def _is_han(point):
    return np.uint32(point - _FIRST) <= _N_HAN


@_jit
def _is_looked_up(point, flags):
    return _is_han(point) or (point < 128 and flags[point] & BLOCK > 0)


@_jit
def _is_plain(point, flags):
    return point < 128 and flags[point] & (LETTER | DIGIT) > 0


@_jit
def _viterbi(points, s, e, trie, start_p, moves, back, token_starts, token_ends, k):
    """States begin (0), end (1), middle (2), single (3); of equally probable ways the later state.

    `back` has a bit for each state: which of the two that it may follow, end or single, begin or middle.
    """
    emit = trie.emit
    number = trie.numbers[points[s]]
    b, f = start_p[0] + emit[number, 0], start_p[1] + emit[number, 1]
    m, o = start_p[2] + emit[number, 2], start_p[3] + emit[number, 3]
    for at in range(s + 1, e):
        number = trie.numbers[points[at]]
        to_b, or_b = f + moves[1, 0] + emit[number, 0], o + moves[3, 0] + emit[number, 0]
        to_f, or_f = b + moves[0, 1] + emit[number, 1], m + moves[2, 1] + emit[number, 1]
        to_m, or_m = b + moves[0, 2] + emit[number, 2], m + moves[2, 2] + emit[number, 2]
        to_o, or_o = f + moves[1, 3] + emit[number, 3], o + moves[3, 3] + emit[number, 3]
        back[at - s] = (or_b >= to_b) + 2 * (or_f >= to_f) + 4 * (or_m >= to_m) + 8 * (or_o >= to_o)
        b, f, m, o = max(to_b, or_b), max(to_f, or_f), max(to_m, or_m), max(to_o, or_o)
    state = 3 if o >= f else 1
    for at in range(e - s - 1, -1, -1):
        later = np.int64(back[at]) >> state & 1
        back[at] = state
        state = 2 * later + (state == 0 or state == 3)
    begin = s
    for at in range(s, e):
        token_starts[k], token_ends[k] = begin, at + 1
        ended = back[at - s] & 1
        begin = at + 1 if ended else begin
        k += ended
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
def _singles(points, s, e, node, flags, trie, start_p, moves, back, token_starts, token_ends, k):
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
            k = _viterbi(points, at, stop, trie, start_p, moves, back, token_starts, token_ends, k)
        else:
            k = _latin(points, at, stop, flags, token_starts, token_ends, k)
        at = stop
    return k


@_jit
def _begun(points, s, e, trie, nodes):
    """Writes for each place the node of its two characters, 0 for none; whether there is any."""
    begun, other = np.uint32(0), np.uint32(trie.numbers[points[s]])
    for at in range(np.uint64(s), np.uint64(e - 1)):
        number, other = other, np.uint32(trie.numbers[points[at + np.uint64(1)]])
        pair = trie.pairs[np.uint64(trie.bases[number]) + np.uint64(other)]
        node = pair & _PAIR if pair >> _PAIR_BITS == number else np.uint32(0)
        nodes[at - np.uint64(s)] = node
        begun |= node
    nodes[e - 1 - s] = 0
    return begun > 0


@_jit
def _weigh(points, s, e, trie, rare, nodes, score, lengths):
    """From right to left, the best way from each place to the end of the block, and the length of its first word."""
    score[e - s] = one = two = 0.0
    for place in range(e - s - 1, -1, -1):
        node = np.int64(nodes[place])
        best, value = trie.singles[trie.numbers[points[s + place]]] + one, trie.weights[node] + two
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
        score[place], lengths[place] = best, length
        one, two = best, one


@_jit
def _block(points, s, e, flags, trie, rare, start_p, moves, nodes, score, lengths, back, token_starts, token_ends, k):
    """The most probable words of a block; what is left of single characters is cut by the hidden Markov model."""
    if e - s == 1:
        token_starts[k], token_ends[k] = s, e
        return k + 1
    if not _begun(points, s, e, trie, nodes):
        return _singles(points, s, e, 0, flags, trie, start_p, moves, back, token_starts, token_ends, k)
    _weigh(points, s, e, trie, rare, nodes, score, lengths)
    at = single = s
    while at <= e:
        stop = at + np.int64(lengths[at - s]) if at < e else e + 1
        if at == e or stop - at > 1:
            if at - single == 1:
                token_starts[k], token_ends[k] = single, at
                k += 1
            elif at > single:
                node = np.int64(nodes[single - s])
                k = _singles(points, single, at, node, flags, trie, start_p, moves, back, token_starts, token_ends, k)
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


@njit("i8(u8[::1], u2[::1], i4[::1], u4[::1])", cache=True, nogil=True)
def _displaced(found, numbers, bases, pairs):
    """Lays the rows of second characters over one another, long ones first; returns how many places that takes."""
    begins = np.zeros(len(bases) + 1, np.int64)
    for slot in range(_SLOTS):
        if found[slot]:
            begins[np.int64(numbers[found[slot] >> np.uint64(36)]) + 1] += 1
    order = np.argsort(-begins[1:])
    for number in range(len(bases)):
        begins[number + 1] += begins[number]
    seconds, nodes, filled = np.empty(begins[-1], np.int64), np.empty(begins[-1], np.uint32), begins.copy()
    for slot in range(_SLOTS):
        if found[slot]:
            number = np.int64(numbers[found[slot] >> np.uint64(36)])
            seconds[filled[number]] = numbers[found[slot] >> _NODE_BITS & np.uint64(0xFFFF)]
            nodes[filled[number]] = found[slot] & _NODE
            filled[number] += 1
    base = last = most = 0
    for number in order:
        begin, end = begins[number], begins[number + 1]
        base = 0 if end - begin == 3 and last > 3 else base
        tried, at, last = 0, begin, end - begin
        while at < end:
            if pairs[base + seconds[at]]:
                base, at, tried = base + 1, begin, tried + 1
            else:
                at += 1
        bases[number] = base
        for at in range(begin, end):
            pairs[base + seconds[at]] = np.uint32(number) << _PAIR_BITS | nodes[at]
        most = max(most, base + len(bases))
        base -= tried if tried < 500 else 0
    return most


def trie(chinese: Chinese) -> Trie:
    """The word list and what characters tell of the states, made for looking up; frequent words come first."""
    listed = [word for word in chinese.weights if max(word) < "\U00010000"]
    assert not any(word.isascii() and word.isalnum() for word in listed)
    words = sorted(listed, key=chinese.weights.__getitem__, reverse=True)
    weights = np.array([chinese.weights[word] for word in words])
    codes = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32).copy()
    sizes = np.fromiter(map(len, words), np.int64, len(words))
    often = np.bincount(codes, np.repeat(np.exp(weights), sizes), 1 << 16)
    often[FIRST_HAN : LAST_HAN + 1] += 1e-30 * (chinese.emit > IMPOSSIBLE).any(axis=0)
    known = np.argsort(-often, kind="stable")[: np.count_nonzero(often)]
    assert len(known) < 1 << 14
    numbers = np.zeros(1 << 16, np.uint16)
    numbers[known] = np.arange(1, len(known) + 1)
    singles, bases = np.full(len(known) + 1, _NO_WORD), np.zeros(len(known) + 1, np.int32)
    pairs, cells = np.zeros(_SLOTS, np.uint32), np.zeros(_SLOTS, np.uint64)
    node_weights, following = np.full(_SLOTS, _NO_WORD), np.zeros(_SLOTS, np.uint64)
    found = np.zeros(_SLOTS, np.uint64)
    n_nodes = _fill(codes, np.cumsum(sizes), weights, numbers, singles, found, cells, node_weights, following)
    n_pairs = _displaced(found, numbers, bases, pairs)
    emit = np.full((len(known) + 1, 4), IMPOSSIBLE)
    is_han = (known >= FIRST_HAN) & (known <= LAST_HAN)
    emit[1:][is_han] = chinese.emit.T[known[is_han] - FIRST_HAN]
    return Trie(
        numbers, singles, bases, pairs[:n_pairs].copy(), cells, node_weights[:n_nodes].copy(),
        following[:n_nodes].copy(), emit,
    )  # fmt: skip


_FILL = "i8(u4[::1], i8[::1], f8[::1], u2[::1], f8[::1], u8[::1], u8[::1], f8[::1], u8[::1])"


@njit(_FILL, cache=True, nogil=True)
def _fill(codes, ends, word_weights, numbers, singles, found, cells, weights, following):
    """Enters the words, the nodes of two characters first; returns how many nodes there are."""
    begin, n_nodes = 0, 1
    for word in range(len(ends)):
        if ends[word] > begin + 1:
            key = np.uint64(codes[begin]) << np.uint64(16) | np.uint64(codes[begin + 1])
            _, n_nodes = _entered(found, key, n_nodes)
        begin = ends[word]
    assert n_nodes <= _PAIR
    begin = 0
    for word in range(len(ends)):
        first, end = numbers[codes[begin]], ends[word]
        if end == begin + 1:
            singles[first] = word_weights[word]
        else:
            key = np.uint64(codes[begin]) << np.uint64(16) | np.uint64(codes[begin + 1])
            node, n_nodes = _entered(found, key, n_nodes)
            for at in range(begin + 2, end):
                following[node] |= np.uint64(1) << _bit(codes[at])
                node, n_nodes = _entered(cells, np.uint64(node) << np.uint64(16) | np.uint64(codes[at]), n_nodes)
            weights[node] = word_weights[word]
        begin = end
    assert n_nodes < 0.8 * _SLOTS
    return n_nodes


_TRIE = "u2[::1], f8[::1], i4[::1], u4[::1], u8[::1], f8[::1], u8[::1], f8[:,::1]"
_CUT = f"void(u4[::1], i8[::1], u1[::1], u4[::1], {_TRIE}, f8, f8[::1], f8[:,::1], i4[::1], i4[::1], i8[::1])"


@njit(_CUT, cache=True, nogil=True)
def cut(
    points, starts, modes, flags, numbers, singles, bases, pairs, cells, weights, following, emit, rare, start_p, moves,
    token_starts, token_ends, token_counts,
):  # fmt: skip
    """The words of each Chinese text, as places from `starts[row]` on."""
    longest = 0
    for row in range(len(starts) - 1):
        if modes[row] & CHINESE:
            longest = max(longest, starts[row + 1] - starts[row])
    trie = Trie(numbers, singles, bases, pairs, cells, weights, following, emit)
    nodes, score = np.empty(longest + 1, np.uint32), np.empty(longest + 1, np.float64)
    lengths, back = np.empty(longest + 1, np.uint8), np.empty(longest + 1, np.uint8)
    for row in range(len(starts) - 1):
        if not modes[row] & CHINESE:
            continue
        at, end = starts[row], starts[row + 1]
        k = at
        while at < end:
            stop = at
            while stop < end and _is_plain(points[stop], flags):
                stop += 1
            if stop > at and (stop == end or not _is_looked_up(points[stop], flags)):
                # No listed word has letters and digits of ASCII alone.
                token_starts[k], token_ends[k] = at, stop
                k += 1
                at = stop
                continue
            stop += stop == at
            if _is_looked_up(points[at], flags):
                while stop < end and _is_looked_up(points[stop], flags):
                    stop += 1
                k = _block(points, at, stop, flags, trie, rare, start_p, moves, nodes, score, lengths, back,
                           token_starts, token_ends, k)  # fmt: skip
            elif not flags[points[at]] & SPACE:
                token_starts[k], token_ends[k] = at, stop
                k += 1
            at = stop
        token_counts[row] = k - starts[row]
