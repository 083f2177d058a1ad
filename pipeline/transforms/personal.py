r"""What counts as personal data: a pattern, a check and, where numbers alone prove nothing, words around it.

Each pattern states its own ends (`\b` sees none between a Chinese character and a Latin letter) and is shown the text
with full-width forms, odd blanks and dashes as ASCII. Checks: Luhn and issuer (cards, ISO/IEC 7812), mod 97 and length
(IBAN, ISO 13616), mod 11-2, date and province (resident ids, GB 11643), range (addresses that are routed in public).
Reserved examples (`example.com`, 192.0.2.0/24, 555-01xx) belong to nobody and are not found, so that finding again
what replaced something finds nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from importlib.util import find_spec
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from itertools import chain
from typing import Literal, NamedTuple, get_args

import numpy as np

from pipeline.transforms import phone_numbers

Kind = Literal["key", "email", "iban", "card", "cn_id", "ip", "ssn", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are looked for: what is part of one is not taken for another."""


class Span(NamedTuple):
    """Characters `start` to `stop` are of this kind."""

    start: int
    stop: int
    kind: Kind


Region = tuple[int, int]
"""Characters between which something is looked for; they may lie outside of the text."""


def find(text: str, kinds: Collection[Kind] = KINDS) -> list[Span]:
    """The personal data in a text, in order and without overlaps."""
    before, after = phone_numbers.REACH
    everywhere = ((-before, len(text) + after),)
    return [Span(*found) for found in spans(text, dict.fromkeys(kinds, everywhere))]


def spans(text: str, regions: Mapping[Kind, Sequence[Region]]) -> list[tuple[int, int, Kind]]:
    """The same, looked for only in these regions of each kind, in order and apart.

    A region of telephone numbers reaches `phone_numbers.REACH` characters beyond the digits that could be one.
    """
    narrow, plain = _as_ascii(text)
    found: list[tuple[int, int, Kind]] = []
    taken = bytearray(len(text))
    for kind in KINDS:
        places = regions.get(kind, ())
        if kind == "phone":
            places = phone_numbers.free(places, taken)
        for start, stop in _FINDERS[kind](narrow if kind in ("key", "email") else plain, places):
            if taken.find(1, start, stop) < 0:
                taken[start:stop] = b"\1" * (stop - start)
                found.append((start, stop, kind))
    return sorted(found)


_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) not in "，："}
_PLAIN = {
    **dict.fromkeys([0xA0, 0x2007, 0x2009, 0x202F, 0x3000], ord(" ")),
    **dict.fromkeys([*range(0x2010, 0x2016), 0x2212], ord("-")),
}
_FIRST_ODD = min([*_NARROW, *_PLAIN])


def _as_ascii(text: str) -> tuple[str, str]:
    """The text with full-width forms as ASCII, and with odd blanks and dashes as well."""
    if text.isascii():
        return text, text
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    far = np.flatnonzero(codes >= _FIRST_ODD)
    forms = []
    for table in _tables():
        less = table[codes[far]]
        if less.any():
            changed = codes.copy()
            changed[far] -= less
            forms.append(changed.tobytes().decode("utf-32-le", "surrogatepass"))
        else:
            forms.append(text)
    return forms[0], forms[1]


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """By character, how much less the code is of what is seen in its place: in either form."""
    narrow, plain = np.zeros((2, sys.maxunicode + 1), np.uint32)
    for code, seen in _NARROW.items():
        narrow[code] = plain[code] = code - seen
    for code, seen in _PLAIN.items():
        plain[code] = code - seen
    return narrow, plain


Places = Iterator[tuple[int, int]]
"""Start and stop of what a finder finds in its regions; it may look beyond them for words."""


def _matches(pattern: re.Pattern[str], text: str, regions: Sequence[Region]) -> Iterator[re.Match[str]]:
    return chain.from_iterable(pattern.finditer(text, low, high) for low, high in regions)


_NAME = "A-Za-z0-9À-ÖØ-öø-ɏ"
_EMAIL = re.compile(
    rf"(?<![{_NAME}])[{_NAME}_](?>[{_NAME}._%+'-]{{0,63}})(?<![.%'])@"
    rf"((?:[{_NAME}](?:[{_NAME}-]{{0,61}}[{_NAME}])?\.){{1,4}})([A-Za-z]{{2,24}}|xn--[A-Za-z0-9-]{{2,59}})(?![A-Za-z0-9@])"
)
_RESERVED_HOSTS = re.compile(r"(?:^|\.)(?:example\.(?:com|org|net|edu)|[^.]+\.(?:example|invalid|test|localhost))$")
_FILES = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "html", "py"})


def _emails(text: str, regions: Sequence[Region]) -> Places:
    for low, high in regions:
        low = max(low, 0)
        while (at := text.find("@", low, high)) >= 0:
            # a name ends at the sign: nothing before its first letter has to be looked at
            low += len(text[low:at].rstrip(_NAME_CHARACTERS))
            match = _EMAIL.search(text, low, high)
            if match is None:
                break
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


def _addresses(text: str, regions: Sequence[Region]) -> Places:
    for match in _matches(_IPV4, text, regions):
        address, before = (IPv4Address(match[0]), text[max(0, match.start() - 24) : match.start()])
        octets = address.packed
        # 4.10.2.1 is an address too, and in prose nearly always a version
        named = _ADDRESS.search(before.rpartition("\n")[2])
        version = _NUMBERED.search(before) or (max(octets) < _SMALL and not named)
        if address.is_global and not address.is_multicast and not version:
            yield match.span()
    for match in _matches(_IPV6, text, regions):
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
_ISSUERS = (
    ((4000, 4999), (13, 16, 19)),
    ((5100, 5599), (16,)),
    ((2221, 2720), (16,)),
    ((3400, 3499), (15,)),
    ((3700, 3799), (15,)),
    ((3000, 3059), (14,)),
    ((3600, 3699), (14,)),
    ((3800, 3999), (14,)),
    ((6011, 6011), (16,)),
    ((6440, 6599), (16,)),
    ((3528, 3589), (16,)),
    ((2131, 2131), (15,)),
    ((1800, 1800), (15,)),
    ((6200, 6299), (16, 17, 18, 19)),
)
"""What the numbers of known issuers begin with, first and last of four digits, and their lengths."""
_CARD_WORDS = re.compile(
    r"card|(?<![a-z])cc(?![a-z])|visa|maestro|master|amex|credit|debit|karte|carte|tarjeta|carta|cartão|kort|карт|卡|カード|카드",
    re.IGNORECASE,
)


def _cards(text: str, regions: Sequence[Region]) -> Places:
    for start, stop, issued in _card_numbers(text, regions):
        if issued or _CARD_WORDS.search(_near(text, start, stop)):
            yield start, stop


def _card_numbers(text: str, regions: Sequence[Region]) -> Iterable[Sequence[int]]:
    if find_spec("numba") is None:
        return card_numbers(text, regions)
    from pipeline.kernels.numbers_compiled import cards

    codes, places = phone_numbers.as_bytes(text), np.array(regions, np.int64).reshape(-1, 2)
    found = np.empty((2 * len(places), 3), np.int64)
    count = cards(codes, places, _issuers(), found)
    if count > len(found):
        found = np.empty((count, 3), np.int64)
        cards(codes, places, _issuers(), found)
    return found[:count].tolist()


def card_numbers(text: str, regions: Sequence[Region]) -> Iterator[tuple[int, int, bool]]:
    """Start, stop and whether it is issued of what may be a card by itself, or beside a word for one.

    This is what the compiled kernel finds as well.
    """
    for match in _matches(_CARD, text, regions):
        digits = match[0].replace(" ", "").replace("-", "")
        first, length = int(digits[:4]), len(digits)
        issued = any(low <= first <= high and length in lengths for (low, high), lengths in _ISSUERS)
        if luhn(digits) and (issued or digits[0] in "3456"):
            yield *match.span(), issued


@cache
def _issuers() -> np.ndarray:
    return np.array([(*first, length) for first, lengths in _ISSUERS for length in lengths], np.int64)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812."""
    codes = digits.encode()
    return (sum(codes[-1::-2].translate(_VALUES)) + sum(codes[-2::-2].translate(_DOUBLED))) % 10 == 0


_VALUES = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))
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


def _ibans(text: str, regions: Sequence[Region]) -> Places:
    for match in _matches(_IBAN, text, regions):
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
    return int(f"{iban[4:]}{iban[:4]}".translate(_BASE_36)) % 97 == 1


_BASE_36 = {ord(letter): str(10 + number) for number, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ")}


_CN_ID = re.compile(
    r"(?<![A-Za-z0-9])[1-8]\d{5}(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?![A-Za-z0-9])",
    re.ASCII,
)
_PROVINCES = re.compile("1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]")


def _cn_ids(text: str, regions: Sequence[Region]) -> Places:
    return (match.span() for match in _matches(_CN_ID, text, regions) if resident_id(match[0]))


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


def _ssns(text: str, regions: Sequence[Region]) -> Places:
    return (match.span() for match in _matches(_SSN, text, regions) if _SSN_WORDS.search(_near(text, *match.span())))


def _near(text: str, start: int, stop: int, reach: int = 40) -> str:
    return f"{text[max(0, start - reach) : start]}\n{text[stop : stop + reach]}"


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
    r"[ACPSacpsſ密](?i:(?:(?<=a)pi[_-]?key|(?<=s)ecret[_-]?key|(?<=c)lient[_-]?secret|(?<=a)ccess[_-]?key"
    r"|(?<=a)ccess[_-]?token|(?<=a)uth[_-]?token|(?<=p)assword|(?<=p)asswd|(?<=密)钥)"
    rf"[\"']?\s{{0,3}}(?:[:=：]|=>)\s{{0,3}}[\"']?((?=[{_T}]*[0-9])(?=[{_T}]*[A-Za-z])[{_T}]{{16,250}})(?![{_T}]))",
)
"""It begins with a set of characters, which `re` looks for fastest."""
_BEGINS = "-----BEGIN "
_BLOCK = re.compile(
    rf"(?<![{_T}]){_BEGINS}(?:[A-Z]+ ){{0,3}}PRIVATE KEY-----[A-Za-z0-9+/=\s:,-]{{40,15000}}?"
    r"-----END [A-Z ]{0,30}PRIVATE KEY-----"
)
_PLACEHOLDER = re.compile(r"EXAMPLE|xxxx|1234567890|your[_-]", re.IGNORECASE)


def _keys(text: str, regions: Sequence[Region]) -> Places:
    if _BEGINS in text:
        yield from (match.span() for match in _matches(_BLOCK, text, regions))
    for match in _matches(_KEYS, text, regions):
        if any(map(str.isdigit, match[0])) and not _PLACEHOLDER.search(match[0]):
            yield match.span()
    for match in _matches(_ASSIGNED, text, regions):
        if not _PLACEHOLDER.search(match[1]):
            yield match.span(1)


_FINDERS: Mapping[Kind, Callable[[str, Sequence[Region]], Places]] = {
    "key": _keys,
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "cn_id": _cn_ids,
    "ip": _addresses,
    "ssn": _ssns,
    "phone": phone_numbers.places,
}
