"""What the rules know of characters, as one table over all code points, and the Chinese word list as a trie's input.

The kernel of `textstats` and its plain twin read the same tables, so a newer Unicode in Python changes both alike.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import MissingBackend
from pipeline.core.text import folded, stop_words, unspaced_runs

SPACE, LETTER, UPPER, LOWER, DIGIT, PREFIX, SUFFIX, BEFORE_STOP, QUOTE, ICON, SYMBOL, TERMINAL, PUNCTUATION = (
    1 << bit for bit in range(13)
)
BLOCK, MARKED, CURRENCY, BULLET, DASH, HYPHEN, HANGUL = (1 << bit for bit in range(13, 20))
"""Bits of a character. UPPER and LOWER both hold for letters without case. BLOCK is what jieba looks up; MARKED are
scripts without spaces, which are cut at marks made by ICU where the document is not in Chinese."""

ELIDING, CHINESE = 1, 2
"""Bits of the way in which a text is cut: French elisions are words, or all of it is cut by the Chinese word list."""

LAST = 0x10FFFF
FIRST_HAN, LAST_HAN = 0x4E00, 0x9FD5

_TERMINAL = (
    "21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 166e 1735-1736 17d4-17d6 "
    "17d9-17da 1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b 1b5e-1b5f 1b7d-1b7e 1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 "
    "2e2e 2e3c 2e53-2e54 3002 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb "
    "fe52 fe56-fe57 ff01 ff0e ff1f ff61 10a56-10a57 10f55-10f59 10f86-10f89 11047-11048 110be-110c1 11141-11143 "
    "111c5-111c6 111cd 111de-111df 11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3 115c9-115d7 11641-11642 "
    "1173c-1173e 11944 11946 11a42-11a43 11a9b-11a9c 11c41-11c42 11ef7-11ef8 11f43-11f44 16a6e-16a6f 16af5 "
    "16b37-16b38 16b44 16e98 1bc9f 1da88"
)
"""Characters that end a sentence in any script (Unicode's Sentence_Terminal, as datatrove 0.10 lists them)."""
_SYMBOLS = (
    "0-8 b-1f 22-2d 2f 3a-3e 40 5b-60 7b-9f ab b4 bb 2013-2014 2019 201c-201e 2026 2236 2501 25ba 3001 3008-300d "
    "3010-3011 ff05 ff08-ff09 ff0c ff11 ff1a-ff1b ff5e"
)
"""Characters that are no word by themselves, besides the terminal ones (CCNet's list, with controls)."""
_PUNCT = ",:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪…"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_CURRENCY = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿"
_BULLETS = "•‣⁃◦∙●○▪■◆·"

_KEPT = (
    "Adm. Apr. Aug. Bros. Co. Corp. Dec. Dr. Feb. Gen. Gov. Inc. Jan. Jr. Jul. Jun. Ltd. Mar. Md. Messrs. Mo. Mont. "
    "Mr. Mrs. Ms. Nov. Oct. Ph.D. Prof. Rep. Rev. Sen. Sep. Sept. St. co. vs."
)
ABBREVIATIONS = tuple(_KEPT.split())
"""Words that keep their full stop (a selection of the English ones of spaCy)."""
_MEASURES = (
    "km m dm cm mm ha nm yd in ft kg g mg t lb oz m/s km/h kmh mph hPa Pa mbar mb MB kb KB gb GB tb TB T G M K %"
)
UNITS = tuple(_MEASURES.split())
"""Units that are words of their own behind a digit."""


@cache
def flags() -> npt.NDArray[np.uint32]:
    """The bits of every code point."""
    table = np.zeros(LAST + 1, np.uint32)
    points, characters = _assigned()

    def those(test: Callable[[str], bool]) -> npt.NDArray[np.int64]:
        return points[np.fromiter(map(test, characters), bool, len(characters))]

    letter, upper, lower = those(str.isalpha), those(str.isupper), those(str.islower)
    categories = np.array([unicodedata.category(character) for character in characters])
    icons = points[(categories == "So") & (points > 0x7F)]
    punctuation, quotes = _at(_PUNCT), _at(_QUOTES)
    table[those(str.isspace)] |= SPACE
    table[letter] |= LETTER | UPPER | LOWER
    table[lower] &= ~np.uint32(UPPER)
    table[upper] &= ~np.uint32(LOWER)
    table[ord("0") : ord("9") + 1] |= DIGIT
    table[icons] |= ICON | PREFIX | SUFFIX
    table[quotes] |= QUOTE
    table[np.concatenate([punctuation, quotes])] |= PREFIX | SUFFIX | BEFORE_STOP
    table[_at("§%=—–" + _CURRENCY)] |= PREFIX
    table[_at("—–")] |= SUFFIX
    table[(table & (DIGIT | LOWER)) > 0] |= BEFORE_STOP
    table[_at("%²-+")] |= BEFORE_STOP
    table[points[np.char.startswith(categories, "P")]] |= PUNCTUATION
    table[_points(_TERMINAL)] |= TERMINAL | SYMBOL
    table[_points(_SYMBOLS)] |= SYMBOL
    table[FIRST_HAN : LAST_HAN + 1] |= BLOCK
    table[_at("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+#&._%-")] |= BLOCK
    for start, stop in unspaced_runs("".join(characters)):
        table[points[start:stop]] |= MARKED
    table[0xAC00:0xD7A4] |= HANGUL
    table[_at(_CURRENCY)] |= CURRENCY
    table[_at(_BULLETS)] |= BULLET
    table[_at("-*+–—")] |= DASH
    table[_at("-–—~")] |= HYPHEN
    return table


@cache
def lower() -> npt.NDArray[np.uint32]:
    """The lower case of every code point where that is one character, with a typewriter's apostrophe."""
    table = np.arange(LAST + 1, dtype=np.uint32)
    for character in _assigned().characters:
        if (low := character.lower()) != character and len(low) == 1:
            table[ord(character)] = ord(low)
    table[0x2019] = ord("'")
    return table


class _Assigned(NamedTuple):
    points: npt.NDArray[np.int64]
    characters: list[str]


def _assigned() -> _Assigned:
    """All code points but the planes without characters and those of private use: a quarter of them."""
    points = np.concatenate([np.arange(0x40000), np.arange(0xE0000, 0xE1000)])
    return _Assigned(points, list(map(chr, points.tolist())))


@cache
def packed(words: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    """Short ASCII words as sorted numbers, a byte a character."""
    return np.sort(np.array([int.from_bytes(word.encode("ascii"), "big") for word in words], np.uint64))


STOP_SLOTS = 512


class StopWords(NamedTuple):
    """The stop words of some languages, at most 64 of each, in the order of their slots."""

    points: npt.NDArray[np.uint32]
    """The words as code points, each behind its slot, its number and its length."""
    slots: npt.NDArray[np.int32]
    """By language and slot, where in `points` the words of the slot begin; -1 where there are none."""


@cache
def listed_stop_words(langs: tuple[str, ...]) -> StopWords:
    """The stop words of these languages; a slot goes by a word's first and last character and its length."""
    points: list[int] = []
    slots = np.full((len(langs), STOP_SLOTS), -1, np.int32)
    for row, lang in enumerate(langs):
        words = sorted(map(folded, stop_words(lang)), key=lambda word: (_slot(word), word))
        assert len(words) <= 64
        for number, word in enumerate(words):
            if slots[row, _slot(word)] < 0:
                slots[row, _slot(word)] = len(points)
            points += [_slot(word), number, len(word), *map(ord, word)]
        points.append(STOP_SLOTS)
    return StopWords(np.array(points, np.uint32), slots)


def _slot(word: str) -> int:
    return (ord(word[0]) * 37 + ord(word[-1]) * 5 + len(word)) % STOP_SLOTS


class Chinese(NamedTuple):
    """Words with the logarithm of their share, and the hidden Markov model for what is in no list, both jieba's."""

    weights: dict[str, float]
    start: npt.NDArray[np.float64]
    moves: npt.NDArray[np.float64]
    emit: npt.NDArray[np.float64]
    """By state (B, E, M, S) and Han character."""
    rare: float
    """The weight of a character that is no listed word."""


IMPOSSIBLE = -3.14e100
STATES = "BEMS"


@cache
def chinese() -> Chinese:
    """The word list of jieba (MIT), read as data: its own code is not imported."""
    folder = _jieba()
    counts: dict[str, int] = {}
    with (folder / "dict.txt").open(encoding="utf-8") as lines:
        for line in lines:
            word, count = line.split(" ")[:2]
            counts[word] = int(count)
    total = math.log(sum(counts.values()))
    weights = {word: math.log(count) - total for word, count in counts.items() if count}
    start, moves, emit = (_literal(folder / "finalseg" / f"prob_{name}.py") for name in ("start", "trans", "emit"))
    emitted = np.full((4, LAST_HAN - FIRST_HAN + 1), IMPOSSIBLE)
    for row, state in enumerate(STATES):
        for character, value in emit[state].items():
            if FIRST_HAN <= ord(character) <= LAST_HAN:
                emitted[row, ord(character) - FIRST_HAN] = value
    return Chinese(
        weights,
        np.array([start[state] for state in STATES]),
        np.array([[moves[one].get(other, IMPOSSIBLE) for other in STATES] for one in STATES]),
        emitted,
        math.log(1) - total,
    )


def _jieba() -> Path:
    found = find_spec("jieba")
    if found is None or not found.submodule_search_locations:
        raise MissingBackend("jieba", "splitting Chinese into words", "pip install 'jieba>=0.42.1,<1'")
    return Path(found.submodule_search_locations[0])


def _literal(path: Path) -> dict:
    """The dictionary that a file of jieba assigns to `P`: valid JSON but for its quotes and trailing commas."""
    text = path.read_text(encoding="utf-8")
    body = text[text.index("P={") + 2 if "P={" in text else text.index("{") :].strip()
    loaded: dict = json.loads(_without_trailing_commas(body.replace("'", '"')))
    return loaded


def _without_trailing_commas(body: str) -> str:
    compact = "".join(body.split())
    return compact.replace(",}", "}")


def _at(characters: str) -> npt.NDArray[np.int64]:
    return np.array([ord(character) for character in characters])


def _points(ranges: str) -> npt.NDArray[np.int64]:
    points: list[int] = []
    for item in ranges.split():
        first, _, last = item.partition("-")
        points.extend(range(int(first, 16), int(last or first, 16) + 1))
    return np.array(points)
