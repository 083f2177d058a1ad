"""Telephone numbers in running text: shapes that are numbers by themselves, and plain digits beside a word for one.

By itself: international with + or 00 (E.164 country code, national length where it is fixed), North America in groups,
Chinese mobiles and landlines, European numbers with a leading 0 (Russian ones with 8) in groups. Other rows of 7 to 15
digits are a number only near a word such as `Tel.` or 电话; dates and years never are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_GAP = r"[ .()/-]{0,3}"
_EXTENSION = r"(?: ?(?:x|ext\.?) ?\d{1,5})?"
_PLUS = re.compile(rf"(?<![\w+.])(?:\+ ?|00(?=[1-9]))[1-9](?:{_GAP}\d){{6,15}}{_EXTENSION}(?!\d)", re.ASCII)
_SHAPES = re.compile(
    r"(?<![\w.+/$-])(?<!\d,)(?:"
    r"(?:1[ .-])?(?:\([2-9]\d\d\) ?[2-9]\d\d[ .-]|[2-9]\d\d(?P<a>[ .-])[2-9]\d\d(?P=a))\d{4}"
    + _EXTENSION
    + r"|(?:86[ -]?)?1[3-9]\d(?:\d{8}|(?P<b>[ -])\d{4}(?P=b)\d{4})"
    r"|(?:\(0(?:10|2\d|[3-9]\d\d)\) ?|0(?:10|2\d|[3-9]\d\d)[ -])[2-8]\d{6,7}(?:-\d{1,5})?"
    r"|0[1-9](?P<c>[ .-])\d\d(?:(?P=c)\d\d){3}(?![ ,]\d)"
    r"|8[ -]?(?:\(\d{3}\) ?|\d{3}[ -])\d{3}[ -]\d\d[ -]\d\d"
    r"|(?P<european>(?:\(0\d{1,4}\)[ -]?|0[1-9]\d{1,4}[ /-])(?:\d{5,8}|\d{2,4}(?:(?P<d>[ -])\d{2,4}){1,3}))(?![ ,/:]\d)"
    r")(?!\w|[.-]\d)",
    re.ASCII,
)
"""North America; Chinese mobiles, landlines; France; Russia; Europe."""
_ANY = re.compile(rf"(?<![\w.+-])(?<!\d[,:])\(?\d(?:{_GAP}\d){{6,14}}{_EXTENSION}(?!\w|[.,:]\d)", re.ASCII)
_PATTERNS = (_PLUS, _SHAPES, _ANY)
_INTERNATIONAL, _SHAPED, _NAMED = range(3)

_WORDS = _listed(
    "telephone phone tel mobile cell fax call dial whatsapp sms hotline "
    "telefon handy mobil rufnummer anruf telefonnummer tél téléphone portable appeler appelez teléfono móvil celular "
    "llamar llame llámame telefono cellulare chiamare telefone telemóvel telefoon puhelin telefonní "
    "komórka mob тел телефон моб звоните телефону τηλ τηλέφωνο"
)
_WEAK_WORDS = _listed("reach text message messages answering ring bel chiama contact kontakt contacto")
"""Words that stand before other numbers too: not enough for digits in threes, which are thousands."""
_UNSPACED_WORDS = re.compile("电话|電話|手机|手機|座机|热线|致电|拨打|传真|微信|联系|携帯|連絡|전화|연락처|휴대폰|โทร")
_WORD = re.compile(r"[^\W\d_]+")
_LETTERS = bytes(ord(chr(code).lower()) if chr(code).isalpha() else 32 for code in range(128)) + bytes(128)
"""Letters as small ones, and blanks for what else there is in ASCII: a shorter way to the same words."""
_WORDS_BEHIND = re.compile(r"[ ,(-]{0,2}(?:office|fax|mobile|cell|home|work|phone|tel|desk)\b", re.IGNORECASE)
_BEFORE = 32

_DATE = re.compile(
    r"\(?(?:(?:1[5-9]|20)\d\d[ ./-]{1,2}(?:0?[1-9]|1[0-2])[ ./-]{1,2}[0-3]?\d(?!\d)"
    r"|[0-3]?\d[ ./-]{1,2}[0-3]?\d[ ./-]{1,2}(?:1[5-9]|20)\d\d(?!\d)"
    r"|(?:1[0-9]|20)\d\d ?[-/ ] ?(?:1[0-9]|20)\d\d(?!\d))"
)
_SAME = re.compile(r"(\d)\1{5}")
_THOUSANDS = re.compile(r"\d{1,3}(?:[ .]\d{3})+")
_DECIMAL = re.compile(r"\d+\.\d+")
_FICTIONAL = re.compile(r"55501\d\d$")

_NATIONAL = {
    "1": (10, 10), "7": (10, 10), "20": (8, 10), "27": (9, 9), "30": (10, 10), "31": (9, 9), "32": (8, 9), "33": (9, 9),
    "34": (9, 9), "36": (8, 9), "39": (6, 11), "40": (9, 9), "41": (9, 9), "43": (4, 13), "44": (9, 10), "45": (8, 8),
    "46": (7, 10), "47": (8, 8), "48": (9, 9), "49": (5, 12), "52": (10, 10), "54": (10, 11), "55": (10, 11),
    "61": (9, 9), "63": (8, 10), "64": (8, 10), "65": (8, 8), "66": (8, 9), "81": (9, 10), "82": (8, 10), "84": (9, 10),
    "86": (10, 11), "90": (10, 10), "91": (10, 10), "351": (9, 9), "352": (5, 11), "353": (7, 9), "358": (6, 11),
    "380": (9, 9), "420": (9, 9), "421": (9, 9), "852": (8, 8), "886": (8, 9),
}  # fmt: skip
"""Digits of a national number, fewest and most, by country code: the countries whose text is common."""
_TWO_DIGITS = re.compile(r"20|27|3[0123469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]")
_THREE_DIGITS = re.compile(r"2[1-689]\d|3[578]\d|42[013]|50\d|59\d|6[789]\d|8[058]\d|9[679]\d|99[2-68]")


REACH = (5, 12)
"""How many characters before its first digit and behind its last a number may have or ask for; words aside."""

Regions = Sequence[tuple[int, int]]
"""Where to look: in order, `REACH` beyond the digits that could be a number, and apart."""


class Match(NamedTuple):
    """What may be a number: the form (which pattern, in order) and characters of a text in one of the regions."""

    region: int
    form: int
    start: int
    stop: int
    european: bool


def places(text: str, regions: Regions) -> Iterator[tuple[int, int]]:
    """Where the numbers stand, each found once; the text has no full-width digits."""
    taken = bytearray(len(text))
    for _, form, start, stop, european in _matches(text, regions):
        if form != _INTERNATIONAL and taken.find(1, start, stop) >= 0:
            continue
        shown = text[start:stop]
        stop = start + (
            _by_plus(text, start, shown)
            if form == _INTERNATIONAL
            else _by_shape(shown, european)
            if form == _SHAPED
            else _by_word(text, start, shown)
        )
        if stop > start and taken.find(1, start, stop) < 0:
            taken[start:stop] = b"\1" * (stop - start)
            yield start, stop


def _matches(text: str, regions: Regions) -> Iterable[Sequence[int]]:
    if find_spec("numba") is None:
        return matches(text, regions)
    from pipeline.kernels.numbers_compiled import telephones

    codes, places = as_bytes(text), np.array(regions, np.int64).reshape(-1, 2)
    found = np.empty((4 * len(places), len(Match._fields)), np.int64)
    count = telephones(codes, places, found)
    if count > len(found):
        found = np.empty((count, len(Match._fields)), np.int64)
        telephones(codes, places, found)
    return found[:count].tolist()


def as_bytes(text: str) -> np.ndarray:
    """A byte for each character, for the compiled kernels: beyond Latin-1 one that no pattern names."""
    return np.frombuffer(text.encode("latin-1", "replace"), np.uint8)


def matches(text: str, regions: Regions) -> Iterator[Match]:
    """What the patterns find in each region, one after the other: what the compiled kernel finds as well."""
    for number, (low, high) in enumerate(regions):
        for form, pattern in enumerate(_PATTERNS):
            for match in pattern.finditer(text, low, high):
                yield Match(number, form, *match.span(), form == _SHAPED and match["european"] is not None)


def free(regions: Sequence[tuple[int, int]], taken: bytearray) -> list[tuple[int, int]]:
    """The regions of which not all digits are part of something that is found already."""
    before, after = REACH
    return [(low, high) for low, high in regions if taken.find(0, low + before, high - after) >= 0]


def _by_plus(text: str, start: int, shown: str) -> int:
    length = _international(shown)
    named = shown[0] == "+" or not shown.isdigit() or _is_named(text, start, shown)
    return length if length and named and not _FICTIONAL.search(_digits(shown[:length])) else 0


def _by_shape(shown: str, european: bool) -> int:
    digits = _digits(shown.partition("x")[0])
    enough = not european or 9 <= len(digits) <= 12
    number = enough and not (_SAME.search(digits) or _DATE.match(shown) or _FICTIONAL.search(digits))
    return len(shown) if number else 0


def _by_word(text: str, start: int, shown: str) -> int:
    if _DATE.match(shown) or _DECIMAL.fullmatch(shown) or not _is_named(text, start, shown):
        return 0
    digits = _digits(shown)
    return 0 if _SAME.search(digits) or _FICTIONAL.search(digits) else len(shown)


def _international(text: str) -> int:
    """How long the number is, as the national length of its country has it; 0 where it is none."""
    shown = text.partition("x")[0].replace("(0)", "   ")
    skipped = 2 if shown.startswith("00") else 0
    digits = _digits(shown)[skipped:]
    code = next((digits[:n] for n in (1, 2, 3) if _is_code(digits[:n])), None)
    if code is None:
        return 0
    fewest, most = _NATIONAL.get(code, (7, 12))
    count = len(digits) - len(code)
    if count < fewest:
        return 0
    if count <= most:
        return len(text)
    where = [place for place, character in enumerate(shown) if character.isdigit()]
    last = where[skipped + len(code) + most - 1]
    return last + 1 if not text[last + 1].isdigit() else 0


def _is_code(code: str) -> bool:
    match len(code):
        case 1:
            return code in "17"
        case 2:
            return _TWO_DIGITS.fullmatch(code) is not None
        case _:
            return _THREE_DIGITS.fullmatch(code) is not None


def _is_named(text: str, start: int, shown: str) -> bool:
    """Whether a word for telephones stands before, or one of a few right behind."""
    before = text[max(0, start - _BEFORE) : start]
    words = before.encode().translate(_LETTERS).decode().split() if before.isascii() else _WORD.findall(before.lower())
    return (
        not _WORDS.isdisjoint(words)
        or (not _WEAK_WORDS.isdisjoint(words) and not _THOUSANDS.fullmatch(shown))
        or _WORDS_BEHIND.match(text, start + len(shown)) is not None
        or (not before.isascii() and _UNSPACED_WORDS.search(before) is not None)
    )


def _digits(text: str) -> str:
    return text.translate(_BETWEEN_DIGITS)


_BETWEEN_DIGITS = {code: None for code in range(128) if not chr(code).isdigit()}
