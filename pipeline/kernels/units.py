"""Units of text and their hashes: lines, paragraphs and sentences as a partition of a text; windows of symbols.

Everything is NumPy over a whole batch. A hash is a polynomial over code points (or over the hashes of tokens) modulo
2^64 with an odd radix, mixed once: two different units of natural text are equal with a probability of about 2^-64,
so that n different ones hold about n^2 / 2^65 false pairs. Texts made to collide are not defended against.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from pipeline.kernels.minhash import mix64

_RADIX = 0x9E3779B97F4A7C15
_RADIX_INVERSE = pow(_RADIX, -1, 1 << 64)
_CHUNK = 1 << 18
"""Symbols worked on at once: their arrays stay in the cache of one core."""

_ENDS = {
    "line": re.compile(r"\n(?:[^\S\n]*\n)*"),
    "paragraph": re.compile(r"\n(?:[^\S\n]*\n)+"),
    "sentence": re.compile(r"(?<![.!?…])[.!?…]+[\"'”’»)\]]*\s+|[。！？｡]+[\"'”’」』）]*\s*|\n\s*"),
}
_UNSPACED = re.compile(
    "[\u0e01-\u0e5b\u0e81-\u0edf\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)


def unit_ends(text: str, level: str) -> list[int]:
    """Where the units of a text end, the last at the end of the text: each begins where the one before it ends.

    A `line` ends with its line break and the blank lines after it, a `paragraph` with blank lines, a `sentence` with
    the white space after a full stop, question or exclamation mark, with the full-width mark, or with a line break.
    """
    ends = [match.end() for match in _ENDS[level].finditer(text)]
    if text and (not ends or ends[-1] != len(text)):
        ends.append(len(text))
    return ends


def unit_hashes(texts: Sequence[str], level: str, compare: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The number of units of each text; then of each unit its 64-bit hash and its length in compared characters.

    `loose` compares lower-case letters without accents, digits as 0, and neither white space nor punctuation;
    `lower` the lower-case unit without the white space around it; `exact` the unit without the white space around it.
    """
    ends = [unit_ends(text, level) for text in texts]
    counts = np.fromiter(map(len, ends), np.int64, len(ends))
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    bases = np.cumsum([0, *map(len, texts)])[:-1]
    stops = np.fromiter((end for listed in ends for end in listed), np.int64, counts.sum()) + np.repeat(bases, counts)
    starts = np.append(0, stops)[: len(stops)]
    hashes, lengths = np.empty(len(stops), np.uint64), np.empty(len(stops), np.int64)
    for first, last in _groups(stops):
        low, high = starts[first], stops[last - 1]
        piece = starts[first:last] - low, stops[first:last] - low
        hashes[first:last], lengths[first:last] = _compared_hashes(codes[low:high], *piece, compare)
    return counts, hashes, lengths


def span_hashes(hashes: np.ndarray, span: int) -> np.ndarray:
    """A hash of every `span` consecutive symbols: entry i is of symbols i to i + span - 1."""
    count = max(0, len(hashes) - span + 1)
    out = np.empty(count, np.uint64)
    for first in range(0, count, _CHUNK):
        starts = np.arange(min(_CHUNK, count - first))
        out[first : first + len(starts)] = _range_hashes(
            hashes[first : first + len(starts) + span - 1], starts, starts + span
        )
    return out


def token_starts(text: str) -> np.ndarray:
    """Where the tokens of a text start.

    A token is a run of letters, digits and underscores, one character of a script without spaces, or one other
    character that is no white space, such as a mark of punctuation.
    """
    return _token_bounds(np.frombuffer(text.encode("utf-32-le"), np.uint32))[0]


def spaced(text: str) -> str:
    """The text with blanks around every token (see `token_starts`) that is no run of letters, digits, underscores."""
    return _apart().sub(r" \g<0> ", text)


@cache
def _apart() -> re.Pattern[str]:
    return re.compile(rf"{_UNSPACED.pattern}|[^\w\s]")


def token_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The number of tokens of each text (see `token_starts`), and a 32-bit hash of each."""
    codes = np.frombuffer("\n".join(texts).encode("utf-32-le"), np.uint32)
    starts, stops = _token_bounds(codes)
    ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64)
    out = np.empty(len(starts), np.uint32)
    for first, last in _groups(stops):
        low = starts[first]
        wide = _range_hashes(codes[low : stops[last - 1]], starts[first:last] - low, stops[first:last] - low)
        out[first:last] = (wide >> np.uint64(32)).astype(np.uint32)
    return np.diff(np.searchsorted(starts, ends), prepend=0), out


def _token_bounds(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kinds = _kinds()[codes]
    in_word = kinds == _IN_WORD
    starts, stops = kinds == _ALONE, kinds == _ALONE
    starts[:1] |= in_word[:1]
    starts[1:] |= in_word[1:] & ~in_word[:-1]
    stops[-1:] |= in_word[-1:]
    stops[:-1] |= in_word[:-1] & ~in_word[1:]
    return np.flatnonzero(starts), np.flatnonzero(stops) + 1


_IN_WORD, _ALONE = 1, 2


@cache
def _kinds() -> np.ndarray:
    """For each code point, whether it is part of a word or a token alone; 0 for white space."""
    characters = map(chr, range(0x110000))
    kinds = np.fromiter((_IN_WORD if c.isalnum() or c == "_" else _ALONE for c in characters), np.uint8, 0x110000)
    kinds[_blank()] = 0
    kinds[[ord(c) for c in map(chr, range(0x40000)) if _UNSPACED.match(c)]] = _ALONE
    return kinds


def anchors(hashes: np.ndarray, width: int) -> np.ndarray:
    """Positions of hashes that are the least of some `width` consecutive ones; all of them where several are.

    Chosen by content alone: two sequences that share `width` consecutive hashes share an anchor among them
    (winnowing; Schleimer, Wilkerson and Aiken, 2003). About 2 / (width + 1) of the positions are anchors.
    """
    if len(hashes) < width:
        return np.empty(0, np.int64)
    least = _sliding(hashes, width, np.minimum)
    edge = np.zeros(width - 1, np.uint64)
    most = _sliding(np.concatenate([edge, least, edge]), width, np.maximum)
    return np.flatnonzero(most == hashes)


def _sliding(values: np.ndarray, width: int, pick: np.ufunc) -> np.ndarray:
    """`pick` over every `width` consecutive values, by doubling."""
    done, reached = values, 1
    while reached < width:
        step = min(reached, width - reached)
        done = pick(done[:-step], done[step:])
        reached += step
    return done


def _groups(stops: np.ndarray) -> Iterator[tuple[int, int]]:
    """Runs of whole units of at most `_CHUNK` symbols, or of one larger unit."""
    first, base = 0, 0
    while first < len(stops):
        last = max(first + 1, int(np.searchsorted(stops, base + _CHUNK, side="right")))
        yield first, last
        first, base = last, int(stops[last - 1])


def _compared_hashes(
    codes: np.ndarray, starts: np.ndarray, stops: np.ndarray, compare: str
) -> tuple[np.ndarray, np.ndarray]:
    mapped = _loose()[codes] if compare == "loose" else _lower()[codes] if compare == "lower" else codes
    inside = np.flatnonzero(mapped != 0 if compare == "loose" else ~_blank()[codes])
    first, last = np.searchsorted(inside, starts), np.searchsorted(inside, stops)
    if compare == "loose":
        mapped, starts, stops = mapped[inside], first, last
    else:
        filled = last > first
        padded = np.append(inside, 0)
        starts, stops = np.where(filled, padded[first], 0), np.where(filled, padded[last - 1] + 1, 0)
    return _range_hashes(mapped, starts, stops), stops - starts


def _range_hashes(symbols: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """The hash of each range of symbols, that of an empty one included."""
    power, inverse = _powers(1 << max(12, len(symbols).bit_length()))
    # Symbols are shifted by one so that leading zeros count.
    prefix = np.zeros(len(symbols) + 1, np.uint64)
    np.cumsum((symbols.astype(np.uint64) + np.uint64(1)) * inverse[: len(symbols)], out=prefix[1:])
    sums = (prefix[stops] - prefix[starts]) * power[stops]
    return mix64(sums ^ mix64((stops - starts).astype(np.uint64)))


@cache
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The radix and its inverse to the powers 0 to count - 1, modulo 2^64."""
    return tuple(_powers_of(radix, count) for radix in (_RADIX, _RADIX_INVERSE))  # type: ignore[return-value]


def _powers_of(radix: int, count: int) -> np.ndarray:
    factors = np.full(count, radix, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)


@cache
def _loose() -> np.ndarray:
    """For each code point what it is compared as; 0 where it is left out."""
    table = np.arange(0x110000, dtype=np.uint32)
    for code in _described():
        table[code] = _plain(chr(code))
    return table


@cache
def _lower() -> np.ndarray:
    table = np.arange(0x110000, dtype=np.uint32)
    for code in _described():
        table[code] = ord(chr(code).lower()[0])
    return table


@cache
def _blank() -> np.ndarray:
    return np.array([chr(code).isspace() for code in range(0x3001)] + [False] * (0x110000 - 0x3001))


def _described() -> Iterator[int]:
    """The code points that may change: no ideographs, no Hangul syllables, no surrogates."""
    ranges = ((0, 0x3400), (0x4DC0, 0x4E00), (0xA000, 0xAC00), (0xF900, 0x20000), (0xE0000, 0xE0200))
    return (code for first, stop in ranges for code in range(first, stop))


def _plain(character: str) -> int:
    lower = character.lower()
    parts = [part for part in unicodedata.normalize("NFD", lower) if not _is_accent(part)]
    if not parts:
        return 0
    kept = parts[0] if len(parts) == 1 else lower[0]
    category = unicodedata.category(kept)
    if category == "Nd":
        return ord("0")
    return 0 if category[0] in "PZ" or category in {"Cc", "Cf"} else ord(kept)


def _is_accent(part: str) -> bool:
    """Marks above and below letters, and Hebrew and Arabic points; not vowel signs, nuktas and tone marks."""
    return 10 <= (position := unicodedata.combining(part)) <= 36 or position >= 200
