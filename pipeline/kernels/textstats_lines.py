"""Compiled: what lines are, and which of them C4 would keep, without the GIL. `textstats_twin` specifies it.

Time goes into branches that cannot be foretold, so the loops have few: sixteen characters are compared at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from pipeline.kernels.characters import BULLET, DASH, DIGIT, PUNCTUATION, SPACE, TERMINAL
from pipeline.kernels.columns import LONGEST_WORD, PLACES, SHORT_LINE, SHORTEST_LINE

CHARACTERS, TOKENS, HASH_SIGNS, ELLIPSES = PLACES[0], PLACES[1], PLACES[5], PLACES[6]
LINES, BULLET_LINES, ELLIPSIS_LINES, TERMINAL_LINES, SHORT_LINES, NEWLINES = PLACES[8:14]
LOREM, CURLY, SENTENCES = PLACES[28:31]
ANY_END = 3
"""The three columns of C4 come twice: for lines that end in a mark, and from here on for lines with any end."""

_jit = njit(cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True)
# No references are counted, so no helper allocates; and inlined, or each array would be seven arguments of each call.
_LANES = 16


def _codes(text: str) -> np.ndarray:
    return np.array([ord(character) for character in text], np.uint32)


_LOREM, _JAVASCRIPT, _TERMS, _PRIVACY = map(_codes, ("lorem ipsum", "javascript", "terms of use", "privacy policy"))
_POLICY, _USES, _USE_OF, _USE = map(_codes, ("cookie policy", "uses cookies", "use of cookies", "use cookies"))
_SAID_LOREM, _SAID_JAVASCRIPT, _SAID_CURLY, _SAID_POLICY = 1, 2, 4, 8


@intrinsic
def _where(typing: Any, base: Any, at: Any, value: Any) -> Any:
    """The bits of those of sixteen characters that are this one."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, vector = ir.IntType(32), ir.VectorType(ir.IntType(32), _LANES)
        pointer = builder.inttoptr(arguments[0], number.as_pointer())
        read = builder.load(builder.gep(pointer, [arguments[1]], source_etype=number), align=4, typ=vector)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), arguments[2], ir.Constant(number, 0))
        all_lanes = ir.Constant(ir.VectorType(number, _LANES), [0] * _LANES)
        splat = builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), all_lanes)
        bits = builder.bitcast(builder.icmp_unsigned("==", read, splat), ir.IntType(_LANES))
        return builder.zext(bits, ir.IntType(64))

    return types.uint64(types.uint64, types.int64, types.uint32), emit


@intrinsic
def _lowest(typing: Any, bits: Any) -> Any:
    """The number of the lowest bit that is set."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.int64(types.uint64), emit


@intrinsic
def _set(typing: Any, bits: Any) -> Any:
    """How many bits are set."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), emit


@_jit
def _reads(points, at, s, e, words):
    """Whether ASCII letters and blanks stand here, in any case."""
    if at < s or at + len(words) > e:
        return False
    for place in range(len(words)):
        point = points[at + place]
        if (point | np.uint32(0x20) if words[place] != 32 else point) != words[place]:
            return False
    return True


@_jit
def _sentences(points, flags, s, e, token_starts, token_ends, k, last):
    """How many sentences the words from `k` on that begin before `e` make, and the first word behind them."""
    while k < last and token_starts[k] < s:
        k += 1
    count, ended = 0, False
    while k < last and token_starts[k] < e:
        count = max(count, 1)
        start, end = token_starts[k], token_ends[k]
        if (end - start == 1) & (flags[points[start]] & TERMINAL > 0):
            ended = True
        elif ended:
            for at in range(start, end):
                if not flags[points[at]] & PUNCTUATION:
                    count, ended = count + 1, False
                    break
        k += 1
    return count, k


@_jit
def _suspected(points, a, b):
    """1 where a line may have one of the phrases of `_said`, 2 for a curly bracket, added.

    A part of each phrase is looked for, without branches.
    """
    found = curly = np.uint32(0)
    for at in range(np.uint64(a), np.uint64(b)):
        one, two = points[at] | np.uint32(32), points[at + np.uint64(1)] | np.uint32(32)
        three, four = points[at + np.uint64(2)] | np.uint32(32), points[at + np.uint64(3)] | np.uint32(32)
        curly |= np.uint32(points[at] == 123)
        found |= (
            (np.uint32(one == 106) & np.uint32(two == 97) & np.uint32(three == 118))  # jav
            | (np.uint32(one == 111) & np.uint32(two == 107) & np.uint32(three == 105))  # oki
            | (np.uint32(one == 109) & np.uint32(two == 32) & np.uint32(three == 105) & np.uint32(four == 112))  # m ip
            | (np.uint32(one == 99) & np.uint32(two == 121) & np.uint32(three == 32) & np.uint32(four == 112))  # cy p
            | (np.uint32(one == 102) & np.uint32(two == 32) & np.uint32(three == 117) & np.uint32(four == 115))  # f us
        )
    return found | curly << np.uint32(1)


@_jit
def _said(points, a, b):
    """Bits of what is said in a line: filler text, JavaScript, a curly bracket, talk of terms and cookies."""
    said = 0
    for at in range(a, b):
        point = points[at]
        if point == 123:
            said |= _SAID_CURLY
        elif point | np.uint32(0x20) == 106:
            said |= _SAID_JAVASCRIPT * _reads(points, at, a, b, _JAVASCRIPT)
        elif point == 32:
            ahead = points[at + 1] | np.uint32(0x20)
            policy = False
            if ahead == 105:
                said |= _SAID_LOREM * _reads(points, at - 5, a, b, _LOREM)
            elif ahead == 117:
                policy = _reads(points, at - 8, a, b, _TERMS)
            elif ahead == 112:
                policy = _reads(points, at - 7, a, b, _PRIVACY) or _reads(points, at - 6, a, b, _POLICY)
            elif ahead == 99:
                policy = (
                    _reads(points, at - 4, a, b, _USES)
                    or _reads(points, at - 3, a, b, _USE)
                    or _reads(points, at - 6, a, b, _USE_OF)
                )
            said |= _SAID_POLICY * policy
    return said


@_jit
def _has_words(points, flags, a, b):
    """Whether a line has enough words and none that is too long, both between white space."""
    if b - a > LONGEST_WORD:
        begin = a
        for at in range(a, b):
            if flags[points[at]] & SPACE:
                if at - begin > LONGEST_WORD:
                    return False
                begin = at + 1
        if b - begin > LONGEST_WORD:
            return False
    n_words, before = 1, False
    for at in range(np.uint64(a + 1), np.uint64(b)):
        # The first character of a word behind white space.
        blank = flags[points[at]] & SPACE > 0
        n_words += before & (not blank)
        before = blank
        if n_words == SHORTEST_LINE:
            return True
    return False


@_jit
def _has_end(points, flags, a, b):
    """Whether a line ends in a mark of C4's, references in brackets aside."""
    end = b
    while end - a > 1 and points[end - 1] == 93:
        bracket = end - 2
        while bracket > a and flags[points[bracket]] & DIGIT:
            bracket -= 1
        if points[bracket] != 91:
            break
        end = bracket
    if end == a:
        return False
    point = points[end - 1]
    if point == 46 and end - a > 2 and points[end - 2] == 46 and points[end - 3] == 46:
        return False
    return point == 46 or point == 63 or point == 33 or point == 34 or point == 39


@_jit
def _c4(points, flags, a, b, token_starts, token_ends, k, last, out):
    """The rules of C4 on one line without white space around it; returns the first word behind it."""
    if not _has_words(points, flags, a, b):
        return k
    suspected = _suspected(points, a, b)
    said = _said(points, a, b) if suspected & np.uint32(1) else _SAID_CURLY * (suspected > 0)
    if said & _SAID_LOREM:
        place, count = LOREM, 1
    elif said & _SAID_CURLY and not said & _SAID_JAVASCRIPT:
        place, count = CURLY, 1
    elif said:
        return k
    else:
        place = SENTENCES
        count, k = _sentences(points, flags, a, b, token_starts, token_ends, k, last)
    out[place + ANY_END] += count
    if _has_end(points, flags, a, b):
        out[place] += count
    return k


@_jit
def _marks(base, start, end, line_ends, first, out):
    """Where lines end, the last at the end of the text; and the signs that are counted wherever they stand."""
    n_lines = n_hash_signs = n_ellipses = run = 0
    before = np.int64(-2)
    at = start
    while at < end:
        here = np.uint64((1 << min(end - at, _LANES)) - 1)
        n_hash_signs += _set(_where(base, at, np.uint32(35)) & here)
        breaks = _where(base, at, np.uint32(10)) & here
        while breaks:
            line_ends[first + n_lines] = at + _lowest(breaks)
            n_lines += 1
            breaks &= breaks - np.uint64(1)
        stops = _where(base, at, np.uint32(46)) & here
        full = _where(base, at, np.uint32(0x3002)) & here
        open_ends = _where(base, at, np.uint32(0x2026)) & here
        dots = stops | full | open_ends
        while dots:
            bit = dots & (~dots + np.uint64(1))
            # A place behind a sign of the same kind, of which three there are, is one more of the run.
            kind = 1 if stops & bit else 2 if full & bit else 3
            place = 4 * (at + _lowest(bit)) + kind
            run = run + 1 if place - before == 4 else 1
            before = place
            n_ellipses += run == (1 if kind == 3 else 3)
            dots ^= bit
        at += _LANES
    line_ends[first + n_lines] = end
    out[NEWLINES], out[HASH_SIGNS], out[ELLIPSES] = n_lines, n_hash_signs, n_ellipses


@_jit
def _line(points, flags, s, e, out):
    """What a line that is not blank is, by its ends; returns where it begins and ends without white space."""
    a, b = s, e
    while a < b and flags[points[a]] & SPACE:
        a += 1
    while b > a and flags[points[b - 1]] & SPACE:
        b -= 1
    if a == b:
        return a, b
    out[LINES] += 1
    out[SHORT_LINES] += e - s <= SHORT_LINE
    last = points[b - 1]
    out[TERMINAL_LINES] += flags[points[e - 1]] & TERMINAL > 0
    out[BULLET_LINES] += flags[points[a]] & BULLET > 0 or (
        flags[points[a]] & DASH > 0 and a + 1 < b and flags[points[a + 1]] & SPACE > 0
    )
    out[ELLIPSIS_LINES] += last == 0x2026 or (
        (last == 46 or last == 0x3002) and b - a > 2 and points[b - 2] == last and points[b - 3] == last
    )
    return a, b


_COUNT = "void(u4[::1], i8[::1], i4[::1], i4[::1], i8[::1], u4[::1], i4[::1], i8[:,::1])"


@njit(_COUNT, cache=True, nogil=True)
def count(points, starts, token_starts, token_ends, token_counts, flags, line_ends, table):
    """The columns of characters and lines of each text, the others 0; and where its lines end.

    Words are `token_counts[row]` places from `starts[row]` on, ends of lines are written from `starts[row] + row` on.
    Behind the last text, `points` has room for sixteen characters more.
    """
    base = np.uint64(points.ctypes.data)
    for row in range(len(starts) - 1):
        out = table[row]
        out[:] = 0
        start, end = starts[row], starts[row + 1]
        out[CHARACTERS], out[TOKENS] = end - start, token_counts[row]
        _marks(base, start, end, line_ends, start + row, out)
        k, last, s = start, start + token_counts[row], start
        for line in range(start + row, start + row + out[NEWLINES] + 1):
            e = np.int64(line_ends[line])
            if e > s:
                a, b = _line(points, flags, s, e, out)
                if a < b:
                    k = _c4(points, flags, a, b, token_starts, token_ends, k, last, out)
            s = e + 1
