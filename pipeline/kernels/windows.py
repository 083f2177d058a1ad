"""Where in a text personal data could be: windows around addresses, long numbers and long tokens, in one pass.

A pattern that cannot match without one of these marks finds in the windows what it finds in the whole text. The pass is
compiled where numba is installed, else the same function runs as plain Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pyarrow as pa

AT, DIGITS, DOTS, COLONS, TOKEN, BLOCK = (1 << bit for bit in range(6))
"""Marks: `@`; seven digits, or three dots among digits, with no more than blanks, hyphens, dots, slashes and brackets
between (bits of one mark); two colons among hexadecimal digits; sixteen letters, digits, hyphens and underscores in a
row with a digit, or two letters and two digits; `-----BEGIN`."""

BEFORE = 256
"""Bytes before a mark that a pattern may look at."""

AFTER = {AT: 640, DIGITS: 192, DOTS: 192, DIGITS | DOTS: 192, COLONS: 96, TOKEN: 96, BLOCK: 16_384}
"""Bytes behind it: a host name, forty characters of any script, a block of Base64."""

_DIGIT, _BETWEEN, _HEX, _LETTER, _JOIN, _COLON, _DOT = (1 << bit for bit in range(7))
_SEPARATORS = " .-()/\u00a0\u2007\u2009\u2010\u2011\u2012\u2013\u2014\u2015\u202f\u2212\u3000"


class Window(NamedTuple):
    """Bytes `start` to `stop` of the text in row `row`, whole characters, and the marks in them: kind, start, stop."""

    row: int
    start: int
    stop: int
    marks: tuple[tuple[int, int, int], ...]


def windows(texts: pa.LargeStringArray, wanted: int) -> Iterator[Window]:
    """The windows of each text around the marks that are `wanted`, in order; those that touch are one.

    All places are bytes from the start of the text.
    """
    _, where, data = texts.buffers()
    if where is None or data is None or len(texts) == 0:
        return
    offsets = np.frombuffer(where, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    codes = np.frombuffer(data, np.uint8)
    found = np.empty((4096, 4), np.int64)
    count = _scanner()(codes, offsets, _classes(), found)
    if count > len(found):
        found = np.empty((count, 4), np.int64)
        _scanner()(codes, offsets, _classes(), found)
    found = found[:count][(found[:count, 3] & wanted) != 0]
    found = found[np.lexsort((found[:, 1], found[:, 0]))]
    row, start, stop = -1, 0, 0
    marks: list[tuple[int, int, int]] = []
    for at, low, high, kind in found.tolist():
        base, end = int(offsets[at]), int(offsets[at + 1])
        first, last = max(base, low - BEFORE), min(end, high + AFTER[kind])
        if marks and (at != row or first > stop):
            yield _whole(row, start, stop, marks, codes, offsets)
            marks = []
        row, start, stop = at, start if marks else first, max(stop, last) if marks else last
        marks.append((kind, low - base, high - base))
    if marks:
        yield _whole(row, start, stop, marks, codes, offsets)


def _whole(
    row: int, start: int, stop: int, marks: list[tuple[int, int, int]], codes: np.ndarray, offsets: np.ndarray
) -> Window:
    """With the characters at both ends whole, and places counted from the start of the text."""
    low, high = int(offsets[row]), int(offsets[row + 1])
    while start > low and codes[start] & 0xC0 == 0x80:
        start -= 1
    while stop < high and codes[stop] & 0xC0 == 0x80:
        stop += 1
    return Window(row, start - low, stop - low, tuple(marks))


@cache
def _scanner() -> Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], int]:
    if find_spec("numba") is None:
        return scan
    from numba import njit

    compiled: Callable[..., int] = njit(cache=True, nogil=True)(scan)
    return compiled


@cache
def _classes() -> np.ndarray:
    table = np.zeros(256, np.uint8)
    for characters, bits in (
        (b"0123456789", _DIGIT | _HEX),
        (b"abcdefABCDEF", _HEX),
        (_SEPARATORS.encode(), _BETWEEN),
        (bytes([*range(65, 91), *range(97, 123)]), _LETTER),
        (b"-_", _JOIN),
        (b":", _COLON),
        (b".", _DOT),
    ):
        table[sorted(set(characters))] |= np.uint8(bits)
    return table


def scan(codes: np.ndarray, offsets: np.ndarray, classes: np.ndarray, found: np.ndarray) -> int:
    """Write every mark (row, first byte, end, kind) into `found`; the number of marks, also where that is too small.

    Full-width forms count as the ASCII that they stand for. The end of a text ends whatever is open.
    """
    count = 0
    for row in range(len(offsets) - 1):
        low, high = offsets[row], offsets[row + 1]
        digits, dots, gap, number_at = 0, 0, 0, low
        colons, hex_at = 0, low
        numerals, shape, token_at = 0, 0, low
        place = low
        while place <= high:
            code, width = 0, 1
            if place < high:
                code = codes[place]
                if code == 0xEF and place + 2 < high:
                    if codes[place + 1] == 0xBC and 0x81 <= codes[place + 2] <= 0xBF:
                        code, width = codes[place + 2] - 0x60, 3
                    elif codes[place + 1] == 0xBD and 0x80 <= codes[place + 2] <= 0x9E:
                        code, width = codes[place + 2] - 0x20, 3
            kind = classes[code]
            address = AT if code == 64 else 0
            number = host = token = 0
            if kind & _DIGIT:
                number_at = number_at if digits else place
                digits, gap = digits + 1, 0
            elif digits:
                gap += 1
                dots += kind & _DOT != 0
                if not kind & _BETWEEN or gap > 9:
                    number = (DIGITS if digits >= 7 else 0) | (DOTS if dots >= 3 else 0)
                    digits, dots = 0, 0
            if kind & _COLON:
                colons += 1
            elif not kind & (_HEX | _DOT):
                host = COLONS if colons >= 2 else 0
            if kind & (_DIGIT | _LETTER | _JOIN):
                numerals += kind & _DIGIT
                # Base 4, of the first five: 1 a letter, 2 a digit, 3 else; 90 is two letters and two digits.
                shape = shape if shape > 255 else shape * 4 + (1 if kind & _LETTER else 2 if kind & _DIGIT else 3)
            else:
                length = place - token_at
                if length == 10 and codes[token_at] == 45 and codes[token_at + 5] == 66 and codes[place - 1] == 78:
                    token = BLOCK
                elif (length >= 16 and numerals) or shape == 90:
                    token = TOKEN
            if address | number | host | token:
                for first, mark in ((place, address), (number_at, number), (hex_at, host), (token_at, token)):
                    if mark:
                        if count < len(found):
                            found[count, 0], found[count, 1], found[count, 2], found[count, 3] = row, first, place, mark
                        count += 1
            if not kind & (_HEX | _DOT | _COLON):
                colons, hex_at = 0, place + width
            if not kind & (_DIGIT | _LETTER | _JOIN):
                numerals, shape, token_at = 0, 0, place + width
            place += width
    return count
