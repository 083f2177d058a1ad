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

AT, DIGITS, NINE, TWELVE, RUN, DOTS, COLONS, TOKEN, COUNTRY, BLOCK = (1 << bit for bit in range(10))
"""Marks: `@`; seven, nine or twelve digits, 17 in a row, or three dots among digits, with no more than blanks, hyphens,
dots, slashes and brackets between (bits of one mark); two colons among hexadecimal digits; sixteen letters, digits,
hyphens and underscores in a row, a letter and a digit among them; two letters and two digits, alone or with eleven more
behind; `-----BEGIN`."""

BEFORE = 256
"""Bytes before a mark that a pattern may look at."""

AFTER = {AT: 640, COLONS: 96, TOKEN: 96, COUNTRY: 96, BLOCK: 16_384}
AFTER_NUMBER = 192
"""Bytes behind it: a host name, a block of Base64; behind a number forty characters of any script."""

_DIGIT, _BETWEEN, _HEX, _LETTER, _JOIN, _COLON, _DOT, _OPENS = (1 << bit for bit in range(8))
_SEPARATORS = " .-()/\u00a0\u2007\u2009\u2010\u2011\u2012\u2013\u2014\u2015\u202f\u2212\u3000"
_TOP = max(AFTER) * 2


class Window(NamedTuple):
    """Bytes `start` to `stop` of the text in row `row`, whole characters, and the marks in it.

    Marks are triples of kind, start and stop, in characters from the start of the window, in order.
    """

    row: int
    start: int
    stop: int
    marks: list[list[int]]


def windows(texts: pa.LargeStringArray, wanted: int) -> Iterator[Window]:
    """The windows of each text around the marks that are `wanted`, in order; those that touch are one.

    All places are bytes from the start of the text.
    """
    _, where, data = texts.buffers()
    if where is None or data is None or len(texts) == 0:
        return
    offsets = np.frombuffer(where, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    codes = np.frombuffer(data, np.uint8)
    scanned, grouped = _compiled()
    found = np.empty((4096, 4), np.int64)
    count = scanned(codes, offsets, _classes(), found)
    if count > len(found):
        found = np.empty((count, 4), np.int64)
        scanned(codes, offsets, _classes(), found)
    found = found[:count][(found[:count, 3] & wanted) != 0]
    found = found[np.lexsort((found[:, 1], found[:, 0]))]
    cuts, marks = (np.empty((len(found), 4), np.int64), np.empty((len(found), 3), np.int64))
    count = grouped(codes, offsets, found, _behind(), cuts, marks)
    listed, first = marks.tolist(), 0
    for row, start, stop, last in cuts[:count].tolist():
        yield Window(row, start, stop, listed[first:last])
        first = last


@cache
def _compiled() -> tuple[Callable[..., int], Callable[..., int]]:
    if find_spec("numba") is None:
        return scan, group
    from numba import njit

    compiled = njit(cache=True, nogil=True)
    return compiled(scan), compiled(group)


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
        digits, dots, gap, number_at, number_to, run, longest = 0, 0, 0, low, low, 0, 0
        colons, hex_at = 0, low
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
                longest = max(longest, run)
            elif digits:
                gap, run = gap + 1, 0
                dots += kind & _DOT != 0
                if not kind & _BETWEEN or gap > 9:
                    number = (DIGITS if digits >= 7 else 0) | (DOTS if dots >= 3 else 0)
                    number |= (NINE if digits >= 9 else 0) | (TWELVE if digits >= 12 else 0)
                    number |= RUN if longest >= 17 else 0
                    digits, dots, run, longest = 0, 0, 0, 0
            if kind & _COLON:
                colons += 1
            elif not kind & (_HEX | _DOT):
                host = COLONS if colons >= 2 else 0
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
                colons, hex_at = 0, place + width
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


def group(
    codes: np.ndarray, offsets: np.ndarray, found: np.ndarray, behind: np.ndarray, cuts: np.ndarray, marks: np.ndarray
) -> int:
    """The windows of sorted marks: write row, start, stop and the number of marks up to its end for each into `cuts`.

    Bytes count from the start of the text. `marks` get kind, start and stop in characters of their window.
    """
    count = 0
    at = 0
    while at < len(found):
        row = found[at, 0]
        base, end = offsets[row], offsets[row + 1]
        start, stop, last = max(base, found[at, 1] - BEFORE), base, at
        while last < len(found) and found[last, 0] == row and (last == at or found[last, 1] - BEFORE <= stop):
            stop = max(stop, min(end, found[last, 2] + behind[found[last, 3]]))
            last += 1
        while start > base and codes[start] & 0xC0 == 0x80:
            start -= 1
        while stop < end and codes[stop] & 0xC0 == 0x80:
            stop += 1
        place, characters = start, 0
        for number in range(at, last):
            while place < found[number, 1]:
                characters += codes[place] & 0xC0 != 0x80
                place += 1
            inside = characters
            for byte in range(found[number, 1], found[number, 2]):
                inside += codes[byte] & 0xC0 != 0x80
            marks[number, 0], marks[number, 1], marks[number, 2] = (found[number, 3], characters, inside)
        cuts[count, 0], cuts[count, 1], cuts[count, 2], cuts[count, 3] = (row, start - base, stop - base, last)
        count += 1
        at = last
    return count
