"""Compiled: UTF-8 to code points, and code points to words, without the GIL. `textstats_twin` is the specification.

Imported only when text is measured. Numba's cache notices changes of this file alone, so it calls nothing elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from pipeline.kernels.characters import (
    BEFORE_STOP,
    CHINESE,
    CURRENCY,
    DIGIT,
    ELIDING,
    HYPHEN,
    ICON,
    LETTER,
    LOWER,
    PREFIX,
    QUOTE,
    SPACE,
    SUFFIX,
    UPPER,
)

_jit = njit(cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True)
# No references are counted, so no helper allocates; and inlined, or each array would be seven arguments of each call.
_BYTES, _OFFSETS = "Array(u1, 1, 'C', readonly=True)", "i8[::1]"


@_jit
def _is_address(points, s, e):
    """`name.tld`, with or without a scheme and a path: a URL or e-mail address stays in one piece."""
    dots = 0
    label = s
    at = s
    while at < e:
        point = points[at]
        lower = point | np.uint32(0x20)
        if point == 46:
            if at == label:
                return False
            dots += 1
            label = at + 1
        elif point == 64 or (point == 58 and at + 3 < e and points[at + 1] == 47 and points[at + 2] == 47):
            if at - s < 1:
                return False
            at += 0 if point == 64 else 2
            dots = 0
            s = label = at + 1
        elif not (97 <= lower <= 122 or 48 <= point <= 57 or point == 45):
            if point != 47 and point != 58 and point != 63 and point != 35:
                return False
            break
        at += 1
    if dots == 0 or at - label < 2:
        return False
    for place in range(label, at):
        if not 97 <= points[place] | np.uint32(0x20) <= 122:
            return False
    return True


@_jit
def _is_apostrophe(point):
    return point == 39 or point == 0x2019


@_jit
def _contraction(points, s, e, flags):
    """Where a word ends and n't, 'll, 're, 've, 'm or 'd behind a letter begins; its end where there is none."""
    if e - s < 3:
        return e
    last, other = points[e - 1] | np.uint32(0x20), points[e - 2] | np.uint32(0x20)
    if _is_apostrophe(points[e - 2]):
        if last == 116 and e - s > 3 and points[e - 3] | np.uint32(0x20) == 110 and flags[points[e - 4]] & LETTER:
            return e - 3
        return e - 2 if (last == 109 or last == 100) and flags[points[e - 3]] & LETTER else e
    if e - s > 3 and _is_apostrophe(points[e - 3]) and flags[points[e - 4]] & LETTER:
        if (last == 108 and other == 108) or (last == 101 and (other == 114 or other == 118)):
            return e - 3
    return e


@_jit
def _part(points, s, e, flags, marks, token_starts, token_ends, k):
    """A word, cut once more at n't, 'll and the like, and at the marks."""
    split = _contraction(points, s, e, flags)
    for at in range(s + 1, e):
        if at == split or (len(marks) and marks[at]):
            token_starts[k], token_ends[k] = s, at
            k += 1
            s = at
    token_starts[k], token_ends[k] = s, e
    return k + 1


@_jit
def _infix(points, s, at, e, flags):
    """Length of a mark inside a word at which it is cut; `s` is where the piece begins."""
    point, flag = points[at], flags[points[at]]
    if flag & (LETTER | DIGIT):
        return 0
    behind = flags[points[at - 1]]
    ahead = flags[points[at + 1]] if at + 1 < e else np.uint32(0)
    if point == 46:
        n = 1
        while at + n < e and points[at + n] == 46:
            n += 1
        if n > 1:
            return n
        return 1 if behind & (LOWER | QUOTE) and ahead & (UPPER | QUOTE) else 0
    if point == 0x2026 or flag & ICON:
        return 1
    if behind & DIGIT and (point == 43 or point == 45 or point == 42 or point == 94):
        if ahead & DIGIT or (at + 1 < e and points[at + 1] == 45):
            return 1
    if point == 44:
        return 1 if behind & LETTER and ahead & LETTER else 0
    if not behind & (LETTER | DIGIT):
        return 0
    if point == 58 or point == 60 or point == 62 or point == 61 or point == 47:
        return 1 if ahead & LETTER else 0
    if flag & HYPHEN:
        most = 3 if point == 45 else 2 if point == 0x2014 else 1
        n = 1
        while n < most and at + n < e and points[at + n] == point:
            n += 1
        return n if at + n < e and flags[points[at + n]] & LETTER else 0
    return 0


@_jit
def _middle(points, s, e, flags, mode, marks, kept, token_starts, token_ends, k):
    if _is_address(points, s, e):
        token_starts[k], token_ends[k] = s, e
        return k + 1
    at = s
    while at < e:
        n = _infix(points, s, at, e, flags) if at > s else 0
        if n:
            if s < at:
                k = _part(points, s, at, flags, marks, token_starts, token_ends, k)
            token_starts[k], token_ends[k] = at, at + n
            k += 1
            at += n
            s = at
            continue
        elided = mode & ELIDING and at > s and _is_apostrophe(points[at])
        if elided and flags[points[at - 1]] & LETTER and at + 1 < e and flags[points[at + 1]] & LETTER:
            k = _part(points, s, at + 1, flags, marks, token_starts, token_ends, k)
            s = at + 1
        at += 1
    if s < e:
        k = _part(points, s, e, flags, marks, token_starts, token_ends, k)
    return k


@_jit
def _is_kept(points, s, e, flags, kept):
    """An abbreviation with its full stop, or at most four letters each followed by one."""
    if points[e - 1] != 46 or e - s > 8:
        return False
    lettered, value = (e - s) % 2 == 0, np.uint64(0)
    for at in range(s, e):
        point = points[at]
        if (at - s) % 2:
            lettered = lettered and point == 46
        else:
            lettered = lettered and flags[point] & LETTER > 0
        value = value << np.uint64(8) | (np.uint64(point) if 0 < point < 0x7F else np.uint64(0x7F))
    return lettered or _listed(kept, value)


@_jit
def _listed(values, value):
    at = np.searchsorted(values, value)
    return at < len(values) and values[at] == value


@_jit
def _suffix(points, s, e, flags, units):
    point, flag = points[e - 1], flags[points[e - 1]]
    behind = flags[points[e - 2]] if e - 2 >= s else np.uint32(0)
    if point == 46:
        n = 1
        while e - n - 1 >= s and points[e - n - 1] == 46:
            n += 1
        if n > 1:
            return n
        if behind & BEFORE_STOP:
            return 1
        return 1 if behind & UPPER and e - 3 >= s and flags[points[e - 3]] & UPPER else 0
    if (point == 115 or point == 83) and e - 2 >= s and _is_apostrophe(points[e - 2]):
        return 2
    if flag & SUFFIX:
        return 1
    if behind & DIGIT and (point == 43 or flag & CURRENCY):
        return 1
    value = np.uint64(0)
    for n in range(1, 5):
        if e - n - 1 < s or points[e - n] > 0x7E or points[e - n] == 0:
            return 0
        value |= np.uint64(points[e - n]) << np.uint64(8 * (n - 1))
        if flags[points[e - n - 1]] & DIGIT and _listed(units, value):
            return n
    return 0


@_jit
def _prefix(points, s, e, flags):
    point, flag = points[s], flags[points[s]]
    if point == 46:
        n = 1
        while s + n < e and points[s + n] == 46:
            n += 1
        return n if n > 1 else 0
    if point == 43:
        return 0 if s + 1 < e and flags[points[s + 1]] & DIGIT else 1
    return 1 if flag & PREFIX else 0


@_jit
def _chunk(points, s, e, flags, mode, marks, kept, units, stack, token_starts, token_ends, k):
    """What stands between white space: leading and trailing marks are words of their own, and so on inside."""
    depth = 0
    while s < e:
        if _is_kept(points, s, e, flags, kept):
            break
        p = _prefix(points, s, e, flags)
        if p:
            token_starts[k], token_ends[k] = s, s + p
            k += 1
            s += p
        if s >= e or (p and _is_kept(points, s, e, flags, kept)):
            break
        q = _suffix(points, s, e, flags, units)
        if q:
            e -= q
            stack[depth] = q
            depth += 1
        if p == 0 and q == 0:
            break
    stop = e
    if s < e:
        k = _middle(points, s, e, flags, mode, marks, kept, token_starts, token_ends, k)
    for level in range(depth - 1, -1, -1):
        token_starts[k], token_ends[k] = stop, stop + stack[level]
        stop += stack[level]
        k += 1
    return k


@_jit
def _ends_plainly(point, flags):
    return point != 46 and flags[point] & SUFFIX > 0


@intrinsic
def _widened(typing: Any, source: Any, sink: Any) -> Any:
    """Writes the eight bytes at an address as numbers to another; returns how many are ASCII, up to one that is not."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        eight, bits = ir.VectorType(ir.IntType(8), 8), ir.IntType(64)
        read = builder.load(builder.inttoptr(arguments[0], eight.as_pointer()), align=1)
        wide = builder.zext(read, ir.VectorType(ir.IntType(32), 8))
        builder.store(wide, builder.inttoptr(arguments[1], wide.type.as_pointer()), align=4)
        high = builder.and_(builder.bitcast(read, bits), ir.Constant(bits, 0x8080808080808080))
        return builder.lshr(builder.cttz(high, cgutils.false_bit), ir.Constant(bits, 3))

    return types.int64(types.uint64, types.uint64), emit


@_jit
def _low(data, at):
    return np.uint32(data[at]) & np.uint32(0x3F)


@njit(f"void({_BYTES}, {_OFFSETS}, u4[::1], i8[::1])", cache=True, nogil=True)
def decode(data, offsets, points, starts):
    """The code points of texts one after another, and where each begins. `points` has room for eight more."""
    n = 0
    source, sink = np.uint64(data.ctypes.data), np.uint64(points.ctypes.data)
    for row in range(len(offsets) - 1):
        starts[row] = n
        at, end = offsets[row], offsets[row + 1]
        while at < end:
            byte = np.uint32(data[at])
            if byte < 0x80 and at + 8 <= end:
                run = _widened(source + np.uint64(at), sink + np.uint64(4 * n))  # what is behind these is written over
                n, at = n + run - 1, at + run
            elif byte < 0x80:
                points[n] = byte
                at += 1
            elif byte < 0xE0 and at + 1 < end:
                points[n] = (byte & np.uint32(0x1F)) << np.uint32(6) | _low(data, at + 1)
                at += 2
            elif byte < 0xF0 and at + 2 < end:
                high = (byte & np.uint32(0x0F)) << np.uint32(12)
                points[n] = high | _low(data, at + 1) << np.uint32(6) | _low(data, at + 2)
                at += 3
            elif at + 3 < end:
                high = (byte & np.uint32(0x07)) << np.uint32(18) | _low(data, at + 1) << np.uint32(12)
                points[n] = min(high | _low(data, at + 2) << np.uint32(6) | _low(data, at + 3), np.uint32(0x10FFFF))
                at += 4
            else:
                points[n] = 0xFFFD
                at = end
            n += 1
    starts[len(offsets) - 1] = n


@njit(f"void(u4[::1], i8[::1], {_OFFSETS}, u4[::1], u4[::1])", cache=True, nogil=True)
def scripts(points, starts, offsets, flags, found):
    """For each text the bits of all its characters together; 0 for a text in ASCII."""
    for row in range(len(starts) - 1):
        bits = np.uint32(0)
        if starts[row + 1] - starts[row] < offsets[row + 1] - offsets[row]:
            for at in range(starts[row], starts[row + 1]):
                bits |= flags[points[at]]
        found[row] = bits


@_jit
def _equal(one, at, other, place, size):
    # Places without a sign: numba counts negative ones from the end, which keeps the loop from being vectorised.
    at, place, step, size = np.uint64(at), np.uint64(place), np.uint64(0), np.uint64(size)
    while step < size:
        stop = min(step + np.uint64(256), size)
        differs = np.uint8(0)
        for byte in range(step, stop):
            differs |= one[at + byte] ^ other[place + byte]
        if differs:
            return False
        step = stop
    return True


_MATCH = f"b1({_BYTES}, {_OFFSETS}, {_BYTES}, {_OFFSETS}, b1, i8[::1])"


@njit(_MATCH, cache=True, nogil=True)
def find(data, offsets, known, known_offsets, is_same_memory, rows):
    """Whether these texts are, in this order, among known ones; and which of them."""
    old = 0
    for row in range(len(offsets) - 1):
        at, size = offsets[row], offsets[row + 1] - offsets[row]
        while old < len(known_offsets) - 1:
            place = known_offsets[old]
            if known_offsets[old + 1] - place == size:
                if (is_same_memory and at == place) or _equal(data, at, known, place, size):
                    break
            old += 1
        if old == len(known_offsets) - 1:
            return False
        rows[row] = old
        old += 1
    return True


_CUT = "void(u4[::1], i8[::1], u1[::1], u1[::1], u4[::1], u8[::1], u8[::1], i4[::1], i4[::1], i8[::1])"


@njit(_CUT, cache=True, nogil=True)
def cut(points, starts, modes, marks, flags, kept, units, token_starts, token_ends, token_counts):
    """The words of each text that is not for `textstats_chinese`, as places in `points`, from `starts[row]` on."""
    longest = 0
    for row in range(len(starts) - 1):
        longest = max(longest, starts[row + 1] - starts[row])
    stack = np.empty(longest + 1, np.int64)
    for row in range(len(starts) - 1):
        if modes[row] & CHINESE:
            continue
        at, end = starts[row], starts[row + 1]
        k = at
        while at < end:
            if flags[points[at]] & SPACE:
                at += 1
                continue
            letters = at
            while letters < end and flags[points[letters]] & LETTER:
                letters += 1
            stop = letters
            while stop < end and not flags[points[stop]] & SPACE:
                stop += 1
            plain = len(marks) == 0 and letters > at
            if plain and (stop == letters or (stop == letters + 1 and _ends_plainly(points[letters], flags))):
                # Nine words of ten: letters, or letters and a comma.
                token_starts[k], token_ends[k] = at, letters
                k += 1
                if stop > letters:
                    token_starts[k], token_ends[k] = letters, stop
                    k += 1
                at = stop
                continue
            k = _chunk(points, at, stop, flags, modes[row], marks, kept, units, stack, token_starts, token_ends, k)
            at = stop
        token_counts[row] = k - starts[row]
