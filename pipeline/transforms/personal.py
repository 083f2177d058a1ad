r"""What counts as personal data: a pattern, a check and, where numbers alone prove nothing, words around it.

Each pattern states its own ends (`\b` sees none between a Chinese character and a Latin letter) and is shown the text
with full-width forms, odd blanks and dashes as ASCII. Checks: Luhn and issuer (cards, ISO/IEC 7812), mod 97 and length
(IBAN, ISO 13616), mod 11-2, date and province (resident ids, GB 11643), range (addresses that are routed in public).
Reserved examples (`example.com`, 192.0.2.0/24, 555-01xx) belong to nobody and are not found, so that finding again
what replaced something finds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from functools import cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Literal, NamedTuple, get_args

from pipeline.kernels.windows import AT, BLOCK, COLONS, COUNTRY, DIGITS, DOTS, NINE, RUN, TOKEN, TWELVE
from pipeline.transforms import phone_numbers

Kind = Literal["key", "email", "iban", "card", "cn_id", "ip", "ssn", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are looked for: what is part of one is not taken for another."""

_Reach = Mapping[int, tuple[int, int]]
_BEFORE_PHONE, _AFTER_PHONE = 5, 12
_REACH: Mapping[Kind, _Reach] = {
    "key": {TOKEN: (40, 2), BLOCK: (1, 15_200)},
    "email": {AT: (66, 290)},
    "iban": {COUNTRY: (1, 48)},
    "card": {TWELVE: (1, 2)},
    "cn_id": {RUN: (1, 2)},
    "ip": {DOTS: (1, 2), COLONS: (1, 1)},
    "ssn": {NINE: (1, 2)},
    "phone": {DIGITS: (_BEFORE_PHONE, _AFTER_PHONE)},
}
"""By kind, the marks without which a pattern cannot match, and how many characters around one it may match or ask for;
words around it aside."""


class Span(NamedTuple):
    """Characters `start` to `stop` are of this kind."""

    start: int
    stop: int
    kind: Kind


Mark = tuple[int, int, int]


def marks_of(kinds: Collection[Kind]) -> int:
    """The marks that have to be looked for to find these kinds."""
    return sum({mark for kind in kinds for mark in _REACH[kind]})


def find(text: str, kinds: Collection[Kind] = KINDS, marks: Collection[Mark] | None = None) -> list[Span]:
    """The personal data in a text, in order and without overlaps.

    `marks` (kind, start and stop in characters, as the kernel finds them, in order) say where something could be: all
    that is found is found near one, so that they change the time that it takes and nothing else.
    """
    odd = _has_odd_forms(text)
    narrow = text.translate(_NARROW) if odd else text
    plain = narrow.translate(_PLAIN) if odd else text
    regions = {kind: [(0, len(text))] for kind in kinds} if marks is None else _regions(kinds, marks)
    found: list[Span] = []
    taken = bytearray(len(text))
    for kind in KINDS:
        seen = narrow if kind in ("key", "email") else plain
        for low, high in regions.get(kind, ()):
            if kind == "phone" and marks is not None and taken.find(0, low + _BEFORE_PHONE, high - _AFTER_PHONE) < 0:
                continue
            for start, stop in _FINDERS[kind](seen, low if low > 0 else 0, high):
                if taken.find(1, start, stop) < 0:
                    taken[start:stop] = b"\1" * (stop - start)
                    found.append(Span(start, stop, kind))
    return sorted(found)


def _regions(kinds: Collection[Kind], marks: Collection[Mark]) -> dict[Kind, list[tuple[int, int]]]:
    """By kind where to look: around each mark, those that touch as one."""
    regions: dict[Kind, list[tuple[int, int]]] = {}
    for bits, start, stop in marks:
        for kind, before, after in _reaches(bits):
            if kind not in kinds:
                continue
            low, high = start - before, stop + after
            had = regions.setdefault(kind, [])
            while had and low <= had[-1][1]:
                first, last = had.pop()
                low, high = min(low, first), max(high, last)
            had.append((low, high))
    return regions


@cache
def _reaches(bits: int) -> tuple[tuple[Kind, int, int], ...]:
    """The kinds that a mark may stand for, and how far around it they are looked for."""
    return tuple((kind, *around) for kind, reach in _REACH.items() for mark, around in reach.items() if bits & mark)


_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) not in "，："}
_PLAIN = {
    **dict.fromkeys([0xA0, 0x2007, 0x2009, 0x202F, 0x3000], " "),
    **dict.fromkeys([*range(0x2010, 0x2016), 0x2212], "-"),
}
_ODD = re.compile(f"[{''.join(map(chr, [*_NARROW, *_PLAIN]))}]")
_ODD_BYTES = sorted({chr(code).encode()[:2] for code in [*_NARROW, *_PLAIN]})
"""What the bytes of these forms begin with, which is found faster."""


def _has_odd_forms(text: str) -> bool:
    if text.isascii():
        return False
    encoded = text.encode("utf-8", "surrogatepass")
    return any(map(encoded.__contains__, _ODD_BYTES)) and _ODD.search(text) is not None


Places = Iterator[tuple[int, int]]
"""Start and stop of what a finder finds between two places; it may look beyond them for words."""

_NAME = "A-Za-z0-9À-ÖØ-öø-ɏ"
_EMAIL = re.compile(
    rf"(?<![{_NAME}])[{_NAME}_](?>[{_NAME}._%+'-]{{0,63}})(?<![.%'])@"
    rf"((?:[{_NAME}](?:[{_NAME}-]{{0,61}}[{_NAME}])?\.){{1,4}})([A-Za-z]{{2,24}}|xn--[A-Za-z0-9-]{{2,59}})(?![A-Za-z0-9@])"
)
_RESERVED_HOSTS = re.compile(r"(?:^|\.)(?:example\.(?:com|org|net|edu)|[^.]+\.(?:example|invalid|test|localhost))$")
_FILES = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "html", "py"})


def _emails(text: str, low: int, high: int) -> Places:
    while (at := text.find("@", low, high)) >= 0:
        # a name ends at the sign: nothing before its first letter has to be looked at
        low += len(text[low:at].rstrip(_NAME_CHARACTERS))
        match = _EMAIL.search(text, low, high)
        if match is None:
            return
        low = match.end()
        host = f"{match[1]}{match[2]}".lower()
        if match[2].lower() not in _FILES and not _RESERVED_HOSTS.search(host) and not match[0].startswith("git@"):
            yield match.span()


_NAME_CHARACTERS = "".join(chr(code) for code in range(0x250) if re.match(rf"[{_NAME}._%+'-]", chr(code)))


_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"(?<![\w.-])(?:{_OCTET}\.){{3}}{_OCTET}(?!\w|[.-]\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:]{2,39}(?![\w:]))[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}", re.ASCII)
_NUMBERED = re.compile(r"(?:version|ver\.?|v\.?|release|section|sec\.?|chapter|§|版本|第)\s{0,2}$", re.IGNORECASE)
_ADDRESS = re.compile(r"(?<![a-z])(?:ip|ipv4|host|server|address|адрес|地址|主机|服务器)", re.IGNORECASE)
_SMALL = 32


def _addresses(text: str, low: int, high: int) -> Places:
    for match in _IPV4.finditer(text, low, high):
        address, before = (IPv4Address(match[0]), text[max(0, match.start() - 24) : match.start()])
        octets = address.packed
        # 4.10.2.1 is an address too, and in prose nearly always a version
        named = _ADDRESS.search(before.rpartition("\n")[2])
        version = _NUMBERED.search(before) or (max(octets) < _SMALL and not named)
        if address.is_global and not address.is_multicast and not version:
            yield match.span()
    for match in _IPV6.finditer(text, low, high):
        if _is_public(match[0]):
            yield match.span()


def _is_public(text: str) -> bool:
    """Whether this is an IPv6 address that is routed, and no `a::b` of a programming language, time or fingerprint."""
    groups = [group for group in text.split(":") if group]
    if len(groups) < 3 or max(map(len, groups)) < 3:
        return False
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return False
    return address.is_global and not address.is_multicast and (len(groups) == 8 or int(address) >> 125 == 1)


_CARD = re.compile(
    r"(?<![\w.-])(?:\d{12,19}|\d{4}([ -])\d{4}\1\d{4}\1(?:\d{4}\1\d{1,3}|\d{1,4})|\d{4}([ -])\d{6}\2\d{4,5})"
    r"(?!\w|[.-]\d)",
    re.ASCII,
)
_ISSUED = re.compile(
    "|".join(
        rf"(?=(?:{'|'.join(rf'.{{{length}}}$' for length in lengths)}))(?:{prefix})"
        for prefix, lengths in (
            (r"4", (13, 16, 19)),
            (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),
            (r"3[47]", (15,)),
            (r"30[0-5]|3[689]", (14,)),
            (r"6011|64[4-9]|65", (16,)),
            (r"352[89]|35[3-8]", (16,)),
            (r"2131|1800", (15,)),
            (r"62", (16, 17, 18, 19)),
        )
    )
)
"""What the numbers of known issuers begin with, by their length."""
_OTHERS = re.compile(r"[3-6]")
_CARD_WORDS = re.compile(
    r"card|(?<![a-z])cc(?![a-z])|visa|maestro|master|amex|credit|debit|karte|carte|tarjeta|carta|cartão|kort|карт|卡|カード|카드",
    re.IGNORECASE,
)


def _cards(text: str, low: int, high: int) -> Places:
    for match in _CARD.finditer(text, low, high):
        digits = match[0].replace(" ", "").replace("-", "")
        if luhn(digits) and (
            _ISSUED.match(digits) or (_OTHERS.match(digits) and _CARD_WORDS.search(_near(text, match)))
        ):
            yield match.span()


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812."""
    return (sum(map(int, digits[-1::-2])) + sum(map(_DOUBLED.__getitem__, digits[-2::-2]))) % 10 == 0


_DOUBLED = dict(zip("0123456789", (0, 2, 4, 6, 8, 1, 3, 5, 7, 9), strict=True))
"""The digit sum of twice a digit."""

_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?:[A-Za-z0-9]{11,30}|(?: [A-Za-z0-9]{4}){2,7}(?: [A-Za-z0-9]{1,3})?)"
    r"(?![A-Za-z0-9])",
    re.ASCII,
)
_IBAN_LENGTHS: dict[str, int] = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FO GL NL SD FK", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR", "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HN HU LB NI PL SV", "29": "BR EG PS QA UA", "30": "JO KW MU", "31": "MT SC",
        "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def _ibans(text: str, low: int, high: int) -> Places:
    for match in _IBAN.finditer(text, low, high):
        number = match[0].replace(" ", "").upper()
        length = _IBAN_LENGTHS.get(number[:2])
        if length == len(number) and mod97(number):
            yield match.span()
        elif length and len(number) > length and " " in match[0] and mod97(number[:length]):
            # what stands behind is another word: `… 7654 32 BIC`
            stop = next(i for i in range(1, len(match[0]) + 1) if len(match[0][:i].replace(" ", "")) == length)
            yield match.start(), match.start() + stop


def mod97(iban: str) -> bool:
    """Whether the check digits of an IBAN in capitals without blanks are right."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


_CN_ID = re.compile(
    r"(?<![A-Za-z0-9])[1-8]\d{5}(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?![A-Za-z0-9])",
    re.ASCII,
)
_PROVINCES = re.compile("1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]")


def _cn_ids(text: str, low: int, high: int) -> Places:
    return (match.span() for match in _CN_ID.finditer(text, low, high) if resident_id(match[0]))


def resident_id(number: str) -> bool:
    """Whether province, day of birth and check character (ISO 7064 mod 11-2) of a Chinese resident id are right."""
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(number[:17]))
    return _PROVINCES.match(number) is not None and "10X98765432"[total % 11] == number[17].upper()


_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}(?:([ -])(?!00)\d\d\1|(?!00)\d\d)(?!0000)\d{4}(?!\w|-\d)", re.ASCII)
_SSN_WORDS = re.compile(
    r"(?<![a-z])(?:ssn|social\s?security|ss\s?(?:no|#))|社会安全|社会保障番号|사회보장번호", re.IGNORECASE
)


def _ssns(text: str, low: int, high: int) -> Places:
    return (match.span() for match in _SSN.finditer(text, low, high) if _SSN_WORDS.search(_near(text, match)))


def _near(text: str, match: re.Match[str], before: int = 40, after: int = 40) -> str:
    return f"{text[max(0, match.start() - before) : match.start()]}\n{text[match.end() : match.end() + after]}"


_T = "A-Za-z0-9_-"
_KEYS = re.compile(
    rf"(?<![{_T}])(?:(?:AKIA|ASIA)[0-9A-Z]{{16}}|gh[pousr]_[A-Za-z0-9]{{36,251}}|github_pat_[A-Za-z0-9_]{{22,255}}"
    rf"|sk-(?:ant-|proj-|svcacct-)?[{_T}]{{20,250}}|hf_[A-Za-z0-9]{{30,40}}|xox[abeprs]-[A-Za-z0-9-]{{12,250}}"
    rf"|AIza[{_T}]{{35}}|glpat-[{_T}]{{20,50}}|[rs]k_(?:live|test)_[A-Za-z0-9]{{16,250}}|npm_[A-Za-z0-9]{{36}}"
    rf"|pypi-[{_T}]{{50,250}}|SG\.(?=[{_T}]*[0-9])[{_T}]{{22}}\.(?=[{_T}]*[0-9])[{_T}]{{43}}"
    rf"|eyJ(?=[{_T}]*[0-9])[{_T}]{{13,2000}}\.eyJ(?=[{_T}]*[0-9])[{_T}]{{13,8000}}\.(?=[{_T}]*[0-9])[{_T}]{{16,2000}})"
    rf"(?![{_T}])"
)
_ASSIGNED = re.compile(
    r"(?:api[_-]?key|secret[_-]?key|client[_-]?secret|access[_-]?key|access[_-]?token|auth[_-]?token|password|passwd|密钥)"
    rf"[\"']?\s{{0,3}}(?:[:=：]|=>)\s{{0,3}}[\"']?((?=[{_T}]*[0-9])(?=[{_T}]*[A-Za-z])[{_T}]{{16,250}})(?![{_T}])",
    re.IGNORECASE,
)
_BLOCK = re.compile(
    rf"(?<![{_T}])-----BEGIN (?:[A-Z]+ ){{0,3}}PRIVATE KEY-----[A-Za-z0-9+/=\s:,-]{{40,15000}}?"
    r"-----END [A-Z ]{0,30}PRIVATE KEY-----"
)
_PLACEHOLDER = re.compile(r"EXAMPLE|xxxx|1234567890|your[_-]", re.IGNORECASE)


def _keys(text: str, low: int, high: int) -> Places:
    for match in _BLOCK.finditer(text, low, high):
        yield match.span()
    for match in _KEYS.finditer(text, low, high):
        if any(map(str.isdigit, match[0])) and not _PLACEHOLDER.search(match[0]):
            yield match.span()
    for match in _ASSIGNED.finditer(text, low, high):
        if not _PLACEHOLDER.search(match[1]):
            yield match.span(1)


_FINDERS: Mapping[Kind, Callable[[str, int, int], Places]] = {
    "key": _keys,
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "cn_id": _cn_ids,
    "ip": _addresses,
    "ssn": _ssns,
    "phone": phone_numbers.places,
}
