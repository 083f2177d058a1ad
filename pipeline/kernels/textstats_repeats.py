"""Compiled: what is repeated in texts whose words are known, without the GIL. `textstats_twin` specifies it.

Lines, paragraphs and words are numbered in a table by their characters, words of up to eight as four loads. Repetition
is counted exactly, without hashing runs of words: a run is named by the place where it first occurs. One of n words
begins as one of n - 1 does, whose name is known, and mostly goes on as at that first place; only where it does not it
is looked up, by that name and its last word (Karp, Miller and Rosenberg). What is not found is new, and so is every
longer run from there on: so each place enters at most one, and each length looks only at what the one before has left.

Places have no sign where time goes: numba counts negative ones from the end, which is a comparison more for each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from pipeline.kernels.characters import LETTER, SPACE, STOP_SLOTS, SYMBOL
from pipeline.kernels.columns import PLACES

WORDS, WORD_CHARACTERS, ALPHABETIC, STOP_WORDS, NEWLINES = PLACES[2], PLACES[3], PLACES[4], PLACES[7], PLACES[13]
REPEATED_LINES, REPEATED_LINE_CHARACTERS = PLACES[14:16]
PARAGRAPHS, REPEATED_PARAGRAPHS, REPEATED_PARAGRAPH_CHARACTERS = PLACES[16:19]
TOP_2, REPEATED_5 = PLACES[19], PLACES[22]

_jit = njit(cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True)
# No references are counted, so no helper allocates; and inlined, or each array would be seven arguments of each call.
_ROUND, _MIX, _SWIRL = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC4CEB9FE1A85EC53)
_BEYOND_8_BITS, _BEYOND_16_BITS = np.uint64(0xFFFFFF00FFFFFF00), np.uint64(0xFFFF0000FFFF0000)
_HALVES = np.array([(1 << 32 * min(max(n - at, 0), 2)) - 1 for n in range(9) for at in (0, 2, 4, 6)], np.uint64)
"""For n characters, which of each of four pairs are among them."""
FEW = 1 << 16
"""Tokens of one of these characters, most of them in Chinese, have a table without a search."""


@intrinsic
def _two(typing: Any, base: Any, at: Any) -> Any:
    """Two characters as one number."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(32).as_pointer())
        place = builder.gep(pointer, [arguments[1]], source_etype=ir.IntType(32))
        return builder.load(place, align=4, typ=ir.IntType(64))

    return types.uint64(types.uint64, types.int64), emit


@_jit
def _same(points, one, other, n):
    for at in range(n):
        if points[one + at] != points[other + at]:
            return False
    return True


@_jit
def _hashed(base, s, e):
    """Two products side by side, four characters a turn."""
    one, other, at = np.uint64(e - s), _SWIRL, s
    while at + 4 <= e:
        one, other = (one ^ _two(base, at)) * _MIX, (other ^ _two(base, at + 2)) * _SWIRL
        at += 4
    left = 4 * (e - at)
    one = (one ^ _two(base, at) & _HALVES[left]) * _MIX
    value = one ^ (other ^ _two(base, at + 2) & _HALVES[left + 1]) * _SWIRL
    return value ^ value >> np.uint64(29)


@_jit
def _enter(points, s, e, value, known_by_value, table, mask, values, first, final, n):
    """The number of the entry with the same characters, or `n` where they are entered as a new one.

    `known_by_value`: the same value and length mean the same characters.
    """
    slot = (value * _ROUND) >> np.uint64(32) & np.uint64(mask)
    while table[slot] >= 0:
        known = np.uint64(table[slot])
        if (values[known] == value) & (final[known] - first[known] == e - s):
            if known_by_value or _same(points, first[known], s, e - s):
                return np.int64(known)
        slot = (slot + np.uint64(1)) & np.uint64(mask)
    table[slot], values[n], first[n], final[n] = n, value, s, e
    return n


@_jit
def _cleared(table, n):
    """Makes room in the table for n entries, all free; returns the last place of it, a mask."""
    size = 8
    while size < 2 * n:
        size *= 2
    for slot in range(size):
        table[slot] = -1
    return size - 1


@_jit
def _lines(points, base, flags, start, line_ends, at, hashes, table, values, first, final, out):
    """Hash every line, and count those that are not blank and occurred before."""
    n_lines = 0
    mask = _cleared(table, out[NEWLINES] + 1)
    s = start
    for line in range(out[NEWLINES] + 1):
        e = np.int64(line_ends[at + line])
        hashes[line] = _hashed(base, s, e)
        a = s
        while a < e and flags[points[a]] & SPACE:
            a += 1
        if a < e:
            if _enter(points, s, e, hashes[line], False, table, mask, values, first, final, n_lines) == n_lines:
                n_lines += 1
            else:
                out[REPEATED_LINES] += 1
                out[REPEATED_LINE_CHARACTERS] += e - s
        s = e + 1


@_jit
def _paragraphs(points, base, flags, start, end, line_ends, at, hashes, table, values, first, final, out):
    """Paragraphs of the text without white space around it: lines up to one that is empty."""
    a, b = start, end
    while a < b and flags[points[a]] & SPACE:
        a += 1
    while b > a and flags[points[b - 1]] & SPACE:
        b -= 1
    mask = _cleared(table, out[NEWLINES] + 1)
    n_paragraphs = 0
    value, begin, s = np.uint64(0), a, start
    for line in range(out[NEWLINES] + 1):
        e = np.int64(line_ends[at + line])
        if e > a and s < b:
            if e > s:
                begin = begin if value else max(s, a)
                whole = s >= a and e <= b
                of_line = hashes[line] if whole else _hashed(base, max(s, a), min(e, b))
                value = (value ^ of_line) * _MIX | np.uint64(1)
            if value and (e >= b or points[e + 1] == 10):
                stop = min(e, b)
                entered = _enter(points, begin, stop, value, False, table, mask, values, first, final, n_paragraphs)
                out[PARAGRAPHS] += 1
                if entered == n_paragraphs:
                    n_paragraphs += 1
                else:
                    out[REPEATED_PARAGRAPHS] += 1
                    out[REPEATED_PARAGRAPH_CHARACTERS] += stop - begin
                value = np.uint64(0)
        s = e + 1


@_jit
def _stop_words(points, lower, first, final, n_names, stops, slots, out):
    """Distinct listed words among the different tokens; see `characters.StopWords`."""
    met, n_met = np.uint64(0), 0
    for name in range(n_names):
        s, n = np.int64(first[name]), np.int64(final[name] - first[name])
        one, other = lower[points[np.uint64(s)]], lower[points[np.uint64(s + n - 1)]]
        slot = (one * np.uint32(37) + other * np.uint32(5) + np.uint32(n)) & np.uint32(STOP_SLOTS - 1)
        at = np.int64(slots[slot])
        while at >= 0 and stops[at] == slot:
            size = np.int64(stops[at + 2])
            place = 0 if size == n else size
            while place < size and lower[points[s + place]] == stops[at + 3 + place]:
                place += 1
            if size == n == place:
                bit = np.uint64(1) << np.uint64(stops[at + 1])
                n_met += met & bit == 0
                met |= bit
            at += size + 3
    out[STOP_WORDS] = n_met


@_jit
def _grams(ends, words, n_tokens, n_names, places, names, counts, seen, keys, firsts, out):
    """Runs of 2 to 10 tokens. `words` are the first places of the tokens, `ends` the sums of their lengths.

    `places` are those whose run occurred before, and `names` where first; only these are looked at for a longer run.
    """
    size, shift = 8, np.uint64(61)
    while size < 2 * (n_tokens - n_names):
        size, shift = 2 * size, shift - np.uint64(1)
    for slot in range(size):
        keys[slot] = 0
    k = np.uint64(0)
    for at in range(np.uint64(n_tokens)):
        places[k], names[k] = at, words[at]
        k += np.uint64(np.uint64(words[at]) < at)
    for n in range(2, min(n_tokens, 10) + 1):
        while k > 0 and np.int64(places[k - np.uint64(1)]) + n > n_tokens:
            k -= np.uint64(1)
        k = _longer(words, np.uint64(n - 1), places, names, k, keys, firsts, np.uint64(size - 1), shift)
        if n <= 4:
            _most(ends, n_tokens, n, names, k, counts, out)
        elif k > 0:
            _repeated(ends, n_tokens, n, places, names, k, seen, out)
        else:
            break


@_jit
def _longer(words, n, places, names, k, keys, firsts, last_slot, shift):
    """Leaves of the places of runs of n tokens those whose run of n + 1 occurred before; returns how many.

    Whether it did is not known beforehand: so no branch goes by it.
    """
    left = np.uint64(0)
    for place in range(k):
        at, name = np.uint64(places[place]), np.uint64(names[place])
        word = np.uint64(words[at + n])
        if np.uint64(words[name + n]) != word:
            key = (name << np.uint64(36) | n << np.uint64(32) | word) + np.uint64(1)
            slot = (key * _MIX) >> shift
            while (keys[slot] != key) & (keys[slot] != 0):
                slot = (slot + np.uint64(1)) & last_slot
            known = np.uint64(firsts[slot])
            name = at if keys[slot] == 0 else known
            keys[slot], firsts[slot] = key, name
        places[left], names[left] = at, name
        left += np.uint64(name != at)
    return left


@_jit
def _most(ends, n_tokens, n, names, k, counts, out):
    """Characters of the most frequent run, the first of equally frequent ones, with a blank between its tokens."""
    for at in range(n_tokens):
        counts[at] = 1
    for place in range(k):
        counts[np.uint64(names[place])] += 1
    most = np.int32(1)
    for at in range(n_tokens):
        most = max(most, counts[at])
    at = 0
    while counts[at] < most:
        at += 1
    out[TOP_2 + n - 2] = (ends[at + n] - ends[at] + n - 1) * most


@_jit
def _repeated(ends, n_tokens, n, places, names, k, seen, out):
    """Characters of runs that were seen before. Behind one, the next that is looked at begins where it ends."""
    for at in range(n_tokens):
        seen[at] = 1
    end = 0
    for place in range(k):
        at, name = np.int64(places[place]), np.int64(names[place])
        if at >= end:
            if seen[name]:
                end = at + n
                out[REPEATED_5 + n - 5] += ends[end] - ends[at]
                for passed in range(at + 1, end):
                    seen[passed] = 0
            else:
                seen[name] = 1


@_jit
def _tokens(points, base, flags, token_starts, token_ends, k, last, table, values, first, final, origins, of_char,
            words, ends, out):  # fmt: skip
    """Name the tokens by their first places, and count what they are; returns how many different ones there are."""
    mask = _cleared(table, last - k)
    n_names = n_alphabetic = n_words = n_characters = 0
    ends[0] = 0
    for token in range(np.uint64(k), np.uint64(last)):
        s, size = np.uint64(token_starts[token]), np.int64(token_ends[token] - token_starts[token])
        place, flag = token - np.uint64(k), flags[points[s]]
        ends[place + np.uint64(1)] = ends[place] + size
        if (size == 1) & (points[s] < FEW):
            is_word = flag & SYMBOL == 0
            n_alphabetic += flag & LETTER > 0
            n_words += is_word
            n_characters += is_word
            origin = of_char[points[s]]
            if origin < 0:
                origin = np.int32(place)
                of_char[points[s]] = origin
                first[n_names], final[n_names] = s, s + np.uint64(1)
                n_names += 1
            words[place] = origin
            continue
        e = s + np.uint64(size)
        if (flag & LETTER > 0) & (flag & SYMBOL == 0):
            n_alphabetic += 1
            n_words += 1
            n_characters += size
        else:
            every, some = flag, flag
            for at in range(s + np.uint64(1), e):
                every &= flags[points[at]]
                some |= flags[points[at]]
            is_word = every & SYMBOL == 0
            n_alphabetic += some & LETTER > 0
            n_words += is_word
            n_characters += size * is_word
        whole, value = False, np.uint64(0)
        if size <= 8:
            begin, half = np.int64(s), np.uint64(4 * size)
            one, two = _two(base, begin) & _HALVES[half], _two(base, begin + 2) & _HALVES[half + np.uint64(1)]
            three = _two(base, begin + 4) & _HALVES[half + np.uint64(2)]
            four = _two(base, begin + 6) & _HALVES[half + np.uint64(3)]
            # Characters of a byte fill eight lanes of a number, those of two bytes four. Others would look like these.
            beyond = (one | two) & _BEYOND_16_BITS if size <= 4 else (one | two | three | four) & _BEYOND_8_BITS
            whole = beyond == 0
            value = one ^ two << np.uint64(16) ^ three << np.uint64(8) ^ four << np.uint64(24)
        if not whole:
            value = _hashed(base, np.int64(s), np.int64(e))
        name = _enter(points, np.int64(s), np.int64(e), value, whole, table, mask, values, first, final, n_names)
        if name == n_names:
            origins[name] = place
            n_names += 1
        words[place] = origins[name]
    out[ALPHABETIC], out[WORDS], out[WORD_CHARACTERS] = n_alphabetic, n_words, n_characters
    return n_names


_COUNT = (
    "void(u4[::1], i8[::1], i4[::1], i4[::1], i8[::1], i4[::1], u4[::1], u4[::1], u4[::1], i4[:,::1], i4[::1],"
    "i4[::1], i8[:,::1])"
)


@njit(_COUNT, cache=True, nogil=True)
def count(
    points, starts, token_starts, token_ends, token_counts, line_ends, flags, lower, stops, slots, langs, of_char,
    table,
):  # fmt: skip
    """The other columns of each text; words and ends of lines lie as `textstats_lines` has them.

    `of_char` has `FEW` places, all -1, and is left so.
    """
    longest = 0
    for row in range(len(starts) - 1):
        longest = max(longest, starts[row + 1] - starts[row])
    size = 64
    while size < 2 * (longest + 1):
        size *= 2
    base = np.uint64(points.ctypes.data)
    free, keys = np.empty(size, np.int32), np.empty(size, np.uint64)
    first, final = np.empty(longest + 2, np.int32), np.empty(longest + 2, np.int32)
    origins, words = np.empty(longest + 2, np.int32), np.empty(longest + 2, np.int32)
    places, names = np.empty(longest + 2, np.int32), np.empty(longest + 2, np.int32)
    counts, seen = np.empty(longest + 2, np.int32), np.empty(longest + 2, np.uint8)
    ends, values = np.empty(longest + 2, np.int64), np.empty(longest + 2, np.uint64)
    for row in range(len(starts) - 1):
        out = table[row]
        start, end = starts[row], starts[row + 1]
        at, k, last = start + row, start, start + token_counts[row]
        _lines(points, base, flags, start, line_ends, at, keys, free, values, first, final, out)
        _paragraphs(points, base, flags, start, end, line_ends, at, keys, free, values, first, final, out)
        n_names = _tokens(
            points, base, flags, token_starts, token_ends, k, last, free, values, first, final, origins, of_char, words,
            ends, out,
        )  # fmt: skip
        if langs[row] < 0:
            out[STOP_WORDS] = -1
        else:
            _stop_words(points, lower, first, final, n_names, stops, slots[langs[row]], out)
        for name in range(n_names):
            of_char[min(points[first[name]], np.uint32(FEW - 1))] = -1
        _grams(ends, words, token_counts[row], n_names, places, names, counts, seen, keys, free, out)
