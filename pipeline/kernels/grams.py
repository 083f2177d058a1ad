"""Runs of words as 64-bit hashes, whatever the case and the marks between: what benchmark questions are looked for by.

A word is a run of letters and digits in lower case, without accents, apostrophes and other marks; each character of
Chinese, Japanese, Korean and Thai is a word of half the weight, so that these are compared by characters. Lengths are
in units: 2 a word, 1 such a character. A gram that ends at a word is the shortest run up to it of so many units. One
pass over the bytes, compiled where numba is installed, else the same function as plain Python.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pyarrow as pa

WORD, CHARACTER = 2, 1
"""Units of a word, and of a character of a script that is compared by characters."""

MOST_UNITS = 64
"""Longest gram."""

_ALONE, _SKIPPED = 1 << 31, 1 << 30
_UNSPACED = ((0x0E01, 0x0E5B), (0x0E81, 0x0EDF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3041, 0x30FF),
             (0x3131, 0x318E), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
             (0xFF66, 0xFF9F), (0x20000, 0x323AF))  # fmt: skip
_TRANSPARENT = "'’ʼ＇\u00ad\u200b\u200c\u200d\u2060\ufeff"


class Grams(NamedTuple):
    """What was met, one entry a gram: the text, the units before and after it there, its bytes, its hash."""

    row: np.ndarray
    first: np.ndarray
    last: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    hash: np.ndarray


def grams(texts: pa.LargeStringArray, units: int, wanted: np.ndarray | None = None) -> tuple[Grams, np.ndarray]:
    """The grams of `units` of each text, or those among the hashes `wanted` (see `table_of`); and each text's units."""
    table = np.zeros(0, np.uint64) if wanted is None else wanted
    _, where, data = texts.buffers()
    lengths = np.zeros(len(texts), np.int64)
    codes = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    if where is None or len(texts) == 0:
        offsets = np.zeros(len(texts) + 1, np.int64)
    else:
        offsets = np.frombuffer(where, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    room = 1 << 12 if len(table) else int(offsets[-1] - offsets[0]) + 1
    while True:
        places, hashes = np.empty((5, room), np.int64), np.empty(room, np.uint64)
        with np.errstate(over="ignore"):
            count = _scanner()(codes, offsets, folded(), units, table, lengths, places, hashes)
        if count <= room:
            return Grams(*places[:, :count], hashes[:count]), lengths
        room = count


def table_of(hashes: np.ndarray) -> np.ndarray:
    """Different hashes as an open-addressed table, at most half full; 0 is an empty slot, and no gram's hash."""
    table = np.zeros(1 << max(4, (2 * len(hashes)).bit_length()), np.uint64)
    mask, pending = np.uint64(len(table) - 1), hashes
    slots = pending & mask
    while len(pending):
        free = np.flatnonzero(table[slots] == 0)
        taken, first = np.unique(slots[free], return_index=True)
        table[taken] = pending[free[first]]
        left = np.ones(len(pending), bool)
        left[free[first]] = False
        pending, slots = pending[left], (slots[left] + np.uint64(1)) & mask
    return table


def spelled(text: str) -> list[tuple[str, int]]:
    """The words of a text as they are compared, with their units: what hashes stand for."""
    found: list[tuple[str, int]] = []
    held = ""
    for character in text:
        kind = int(folded()[ord(character)])
        if kind == _SKIPPED:
            continue
        if kind and not kind & _ALONE:
            held += chr(kind)
            continue
        if held:
            found.append((held, WORD))
            held = ""
        if kind:
            found.append((chr(kind & ~_ALONE), CHARACTER))
    return [*found, (held, WORD)] if held else found


@cache
def folded() -> np.ndarray:
    """What each code point is compared as; 0 ends a word, `_ALONE` is a word by itself, `_SKIPPED` is passed over."""
    table = np.zeros(0x110000, np.uint32)
    for first, last in ((0, 0x3400), (0xA000, 0xAC00), (0xF900, 0x20000)):
        for point in range(first, last):
            character = chr(point)
            category = unicodedata.category(character)
            if category[0] == "M":
                table[point] = _SKIPPED
            elif category[0] in "LN":
                plain = unicodedata.normalize("NFKD", character)[0].lower()[0]
                table[point] = ord(plain) if plain.isalnum() else point
    table[[ord(character) for character in _TRANSPARENT]] = _SKIPPED
    for first, last in _UNSPACED:
        part = np.arange(first, last + 1, dtype=np.uint32)
        table[first : last + 1] = np.where(table[first : last + 1] == _SKIPPED, _SKIPPED, part | np.uint32(_ALONE))
    return table


@cache
def _scanner() -> Callable[..., int]:
    if find_spec("numba") is None:
        return scan
    from numba import njit

    compiled: Callable[..., int] = njit(cache=True, nogil=True)(scan)
    return compiled


def scan(
    codes: np.ndarray,
    offsets: np.ndarray,
    fold: np.ndarray,
    units: int,
    table: np.ndarray,
    lengths: np.ndarray,
    places: np.ndarray,
    hashes: np.ndarray,
) -> int:
    """Write the grams (of all, or those in `table`) and the units of each text; the number of grams, also if too many.

    `places` has rows for text, first and last unit, first byte and end. The last 64 words are kept in a ring.
    """
    prime, seed, one, shift = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xCBF29CE484222325), np.uint64(1), np.uint64(29)
    mask = np.uint64(len(table) - 1) if len(table) else np.uint64(0)
    word_hash, word_at = np.zeros(64, np.uint64), np.zeros(64, np.int64)
    word_units = np.zeros(64, np.int64)
    count = 0
    for row in range(len(offsets) - 1):
        words, total = 0, 0
        value, open_at, place, high = seed, -1, offsets[row], offsets[row + 1]
        while place <= high:
            point, width = 0, 1
            if place < high:
                point = int(codes[place])
                if point >= 0xF0:
                    width, point = 4, point & 0x07
                elif point >= 0xE0:
                    width, point = 3, point & 0x0F
                elif point >= 0x80:
                    width, point = 2, point & 0x1F
                for following in range(place + 1, place + width):
                    point = point << 6 | (int(codes[following]) & 0x3F)
            kind = int(fold[point])
            if kind == 1 << 30:
                place += width
                continue
            alone = kind >= 1 << 31
            for step in range(2):
                # A word ends before what stands here; then a character that is a word by itself begins and ends.
                if step == 0:
                    if open_at < 0 or (kind and not alone):
                        continue
                    stop, weight = place, 2
                else:
                    if not alone:
                        continue
                    value = (seed ^ np.uint64(kind)) * prime
                    open_at, stop, weight = place, place + width, 1
                value ^= value >> shift
                total += weight
                word_hash[words % 64], word_at[words % 64], word_units[words % 64] = value, open_at, weight
                words += 1
                open_at, value = -1, seed
                length, back, gram = 0, 0, seed
                while length < units and back < words and back < 64:
                    back += 1
                    gram = (gram ^ word_hash[(words - back) % 64]) * prime
                    gram ^= gram >> shift
                    length += word_units[(words - back) % 64]
                if length < units:
                    continue
                gram |= one
                if len(table):
                    at = gram & mask
                    while table[at] != 0 and table[at] != gram:
                        at = (at + one) & mask
                    if table[at] == 0:
                        continue
                if count < len(hashes):
                    places[0, count], places[1, count], places[2, count] = row, total - length, total
                    places[3, count], places[4, count] = (
                        word_at[(words - back) % 64] - offsets[row],
                        stop - offsets[row],
                    )
                    hashes[count] = gram
                count += 1
            if kind and not alone:
                if open_at < 0:
                    open_at = place
                value = (value ^ np.uint64(kind)) * prime
            place += width
        lengths[row] = total
    return count
