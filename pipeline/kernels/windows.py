"""Where in a text personal data could be: windows around addresses, long numbers and long tokens, in one pass.

A pattern that cannot match without one of these marks finds in the windows what it finds in the whole text. The pass is
compiled where numba is installed, else the same function runs as plain Python.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pyarrow as pa

AT, DIGITS, NINE, TWELVE, RUN, DOTS, COLONS, TOKEN, COUNTRY, BLOCK = (1 << bit for bit in range(10))
"""Marks: `@`; digits with no more than blanks, hyphens, dots, slashes and brackets between, bits of one mark: seven or
more; 9 or 3, 2 and 4 in a row; 12 to 19, 4, 4 and 4 or 4 and 6 in a row; 17 in a row; three dots among them; two colons
among hexadecimal digits, of which three in a row; sixteen letters, digits, hyphens and underscores in a row, a letter
and a digit among them; two letters and two digits, alone or with eleven more behind; `-----BEGIN`."""

BEFORE = 256
"""Bytes before a mark that a pattern may look at."""

AFTER = {AT: 640, COLONS: 96, TOKEN: 96, COUNTRY: 96, BLOCK: 16_384}
AFTER_NUMBER = 192
"""Bytes behind it: a host name, a block of Base64; behind a number forty characters of any script."""

_DIGIT, _BETWEEN, _HEX, _LETTER, _JOIN, _COLON, _DOT, _OPENS = (1 << bit for bit in range(8))
_SEPARATORS = " .-()/\u00a0\u2007\u2009\u2010\u2011\u2012\u2013\u2014\u2015\u202f\u2212\u3000"
_TOP = max(AFTER) * 2
_THREE_TWO_FOUR, _FOURS, _FOUR_SIX = 3 << 10 | 2 << 5 | 4, 4 << 10 | 4 << 5 | 4, 4 << 5 | 6
_WIDEST = 4
"""Bytes of a character, at most."""


class Windows(NamedTuple):
    """Pieces of the buffer of some texts, in order, and the marks in them.

    Bytes `starts` to `stops` of the buffer, whole characters, of the texts in `rows`. `marks` has a line for each mark:
    its first byte in the buffer, its end, its kind, and the number of its window.
    """

    rows: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    marks: np.ndarray


def windows(texts: pa.LargeStringArray, wanted: int) -> Windows:
    """The windows of each text around the marks that are `wanted`; those that touch are one."""
    none = np.empty(0, np.int64)
    _, where, data = texts.buffers()
    if where is None or data is None or len(texts) == 0:
        return Windows(none, none, none, none.reshape(0, 4))
    offsets = np.frombuffer(where, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    codes = np.frombuffer(data, np.uint8)
    found = np.empty((4096, 4), np.int64)
    count = _compiled()[0](codes, offsets, _classes(), found)
    if count > len(found):
        found = np.empty((count, 4), np.int64)
        _compiled()[0](codes, offsets, _classes(), found)
    found = found[:count][(found[:count, 3] & wanted) != 0]
    if not len(found):
        return Windows(none, none, none, found)
    rows, first, last, kinds = found[np.argsort(found[:, 1], kind="stable")].T
    starts = np.maximum(first - BEFORE, offsets[rows])
    stops = np.minimum(last + _behind()[kinds], offsets[rows + 1])
    apart = starts[1:] > np.maximum.accumulate(stops)[:-1] + _WIDEST
    opens = np.append(True, apart | (np.diff(rows) != 0))
    at = np.flatnonzero(opens)
    rows, starts, stops = rows[at], starts[at], np.maximum.reduceat(stops, at)
    for _ in range(_WIDEST - 1):
        starts = starts - (codes[starts] & 0xC0 == 0x80)
        inside = stops < offsets[rows + 1]
        stops = stops + (inside & (codes[np.where(inside, stops, 0)] & 0xC0 == 0x80))
    return Windows(rows, starts, stops, np.column_stack([first, last, kinds, np.cumsum(opens) - 1]))


def around(near: np.ndarray, bits: np.ndarray, reach: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """By group, the regions around marks from `near[:, 0]` to `near[:, 1]`, those that touch as one, and how many.

    A line of `reach` has a group, a mark of it, and how far before and behind such a mark the region goes.
    """
    regions, counts = np.empty((groups, len(near), 2), np.int64), np.zeros(groups, np.int64)
    _compiled()[1](near, bits, reach, regions, counts)
    return regions, counts


@cache
def _compiled() -> tuple[Callable[..., int], Callable[..., None]]:
    if find_spec("numba") is None:
        return scan, merge
    from numba import njit

    compiled = njit(cache=True, nogil=True)
    return compiled(scan), compiled(merge)


@cache
def _behind() -> np.ndarray:
    """Bytes behind a mark, by its bits."""
    told = np.full(_TOP, AFTER_NUMBER, np.int64)
    told[list(AFTER)] = list(AFTER.values())
    return told


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
        (b"0123456789-_:@\xef", _OPENS),
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
        digits, dots, gap, number_at, number_to = 0, 0, 0, low, low
        run, runs, shapes = 0, 0, 0
        colons, hex_at, piece, widest = 0, low, 0, 0
        numerals, letters, token_at = 0, 0, low
        shape, word_at = 0, low
        place = opener = low
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
                digits, gap, run, number_to = digits + 1, 0, run + 1, place + width
            elif digits:
                if run:
                    # Base 32: how many digits the last three rows of them had.
                    runs = (runs & 0x3FF) << 5 | min(run, 31)
                    shapes |= NINE if run == 9 or runs == _THREE_TWO_FOUR else 0
                    shapes |= TWELVE if 12 <= run <= 19 or runs == _FOURS or runs & 0x3FF == _FOUR_SIX else 0
                    shapes |= RUN if run >= 17 else 0
                gap, run = gap + 1, 0
                dots += kind & _DOT != 0
                if not kind & _BETWEEN or gap > 9:
                    number = (DIGITS if digits >= 7 else 0) | (DOTS if dots >= 3 else 0) | shapes
                    digits, dots, runs, shapes = 0, 0, 0, 0
            if kind & _HEX:
                piece += 1
                widest = max(widest, piece)
            else:
                piece = 0
                if kind & _COLON:
                    colons += 1
                elif not kind & _DOT:
                    host = COLONS if colons >= 2 and widest >= 3 else 0
            country = 0
            if kind & (_DIGIT | _LETTER):
                numerals += kind & _DIGIT != 0
                letters += kind & _LETTER != 0
                # Base 4, of the first four: 1 a letter, 2 a digit.
                shape = shape if shape > 63 else shape * 4 + (1 if kind & _LETTER else 2)
            else:
                if shape == 90 and (place - word_at == 4 or place - word_at >= 15):
                    country = COUNTRY
                if not kind & _JOIN:
                    length = place - token_at
                    if length == 10 and codes[token_at] == 45 and codes[token_at + 5] == 66 and codes[place - 1] == 78:
                        token = BLOCK
                    elif length >= 16 and numerals and letters:
                        token = TOKEN
            if address | number | host | token | country:
                for first, last, mark in (
                    (place, place, address),
                    (number_at, number_to, number),
                    (hex_at, place, host),
                    (token_at, place, token),
                    (word_at, place, country),
                ):
                    if mark:
                        if count < len(found):
                            (found[count, 0], found[count, 1], found[count, 2], found[count, 3]) = (
                                row,
                                first,
                                last,
                                mark,
                            )
                        count += 1
            if not kind & (_HEX | _DOT | _COLON):
                colons, hex_at, widest = 0, place + width, 0
            if not kind & (_DIGIT | _LETTER):
                shape, word_at = 0, place + width
                if not kind & _JOIN:
                    numerals, letters, token_at = 0, 0, place + width
                    if not digits and not colons and place >= opener:
                        # Nothing is open: to what may open something, and back to where the word with it begins.
                        ahead = place + width
                        while ahead < high and not classes[codes[ahead]] & _OPENS:
                            ahead += 1
                        opener = ahead
                        while ahead > place + width and classes[codes[ahead - 1]] & (_LETTER | _DOT):
                            ahead -= 1
                        if ahead > place + width:
                            hex_at = token_at = word_at = ahead
                            place = ahead - width
            place += width
    return count


def merge(near: np.ndarray, bits: np.ndarray, reach: np.ndarray, regions: np.ndarray, counts: np.ndarray) -> None:
    """Write what `around` promises into `regions` and `counts`; the marks are in order of their starts."""
    for mark in range(len(near)):
        for line in range(len(reach)):
            if not bits[mark] & reach[line, 1]:
                continue
            group = reach[line, 0]
            low, high, count = near[mark, 0] - reach[line, 2], near[mark, 1] + reach[line, 3], counts[group]
            while count and low <= regions[group, count - 1, 1]:
                count -= 1
                low, high = min(low, regions[group, count, 0]), max(high, regions[group, count, 1])
            regions[group, count, 0], regions[group, count, 1] = low, high
            counts[group] = count + 1
