"""The compiled form of the patterns for cards and telephone numbers of `transforms/`, match for match. Needs numba.

Texts are bytes, one a character, any of those beyond Latin-1 as one that no pattern names.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_DIGIT, _WORD, _GAP, _SPOT, _HYPHEN, _DAM, _OPEN = (1 << bit for bit in range(7))
"""What a character is: 0 to 9; letter, digit or underscore; may stand in a gap; blank, dot or hyphen; blank or hyphen;
may stand before no shape; a digit or what opens a bracket."""


def _classes() -> np.ndarray:
    table = np.zeros(256, np.uint8)
    for characters, bit in (
        (b"0123456789", _DIGIT | _WORD | _OPEN),
        (b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", _WORD),
        (b" .()/-", _GAP),
        (b" .-", _SPOT),
        (b" -", _HYPHEN),
        (b".+/$-", _DAM),
        (b"(", _OPEN),
    ):
        table[list(characters)] |= np.uint8(bit)
    return table


_IS = _classes()
_BLANK, _OPENING, _CLOSING, _PLUS, _COMMA, _MINUS, _DOT, _SLASH, _COLON = b" ()+,-./:"
_0, _1, _2, _3, _6, _8, _9 = b"0123689"
_E, _T, _X = b"etx"


@njit(nogil=True)
def _at(codes, place, high):
    """The character there; 0 from `high` on and before the text."""
    return np.int64(codes[place]) if 0 <= place < high else 0


@njit(nogil=True)
def _row(codes, place, high):
    """How many digits stand there."""
    count = 0
    while place + count < high and _IS[codes[place + count]] & _DIGIT:
        count += 1
    return count


@njit(nogil=True)
def _high_three(codes, place, high):
    """Three digits, the first of 2 to 9."""
    return _at(codes, place, high) >= _2 and _row(codes, place, min(high, place + 3)) == 3


@njit(nogil=True)
def _ends(codes, place, high, form):
    """Whether a number of this form (0 international, 1 shaped, 2 any) may end there."""
    after = _IS[_at(codes, place, high)]
    if form == 0:
        return not after & _DIGIT
    if after & _WORD:
        return False
    mark = _at(codes, place, high)
    goes_on = mark == _DOT or (mark == _MINUS if form == 1 else mark in (_COMMA, _COLON))
    return not (goes_on and _IS[_at(codes, place + 1, high)] & _DIGIT)


@njit(nogil=True)
def _end(codes, place, high, form):
    """Where a number that goes to this place ends, with its extension; -1 where it may not."""
    at = place + (_at(codes, place, high) == _BLANK)
    if _at(codes, at, high) == _X:
        at += 1
    elif _at(codes, at, high) == _E and _at(codes, at + 1, high) == _X and _at(codes, at + 2, high) == _T:
        at += 3 + (_at(codes, at + 3, high) == _DOT)
    else:
        return place if _ends(codes, place, high, form) else -1
    at += _at(codes, at, high) == _BLANK
    for count in range(min(_row(codes, at, high), 5), 0, -1):
        if _ends(codes, at + count, high, form):
            return at + count
    return place if _ends(codes, place, high, form) else -1


@njit(nogil=True)
def _spread(codes, place, high, most, form):
    """Where six to `most` digits with gaps before them end, as many as may be; -1 where there are none."""
    count = 0
    while count < most:
        at = place
        while at < high and at < place + 3 and _IS[codes[at]] & _GAP:
            at += 1
        if not _IS[_at(codes, at, high)] & _DIGIT:
            break
        place, count = at + 1, count + 1
    while count >= 6:
        end = _end(codes, place, high, form)
        if end >= 0:
            return end
        place -= 1
        while _IS[codes[place - 1]] & _GAP:
            place -= 1
        count -= 1
    return -1


@njit(nogil=True)
def _international(codes, place, high):
    before = _at(codes, place - 1, high)
    if _IS[before] & _WORD or before in (_PLUS, _DOT):
        return -1
    at = place + 1
    if codes[place] == _PLUS:
        at += _at(codes, at, high) == _BLANK
    elif codes[place] == _0 and _at(codes, at, high) == _0:
        at += 1
    else:
        return -1
    first = _at(codes, at, high)
    return _spread(codes, at + 1, high, 15, 0) if _1 <= first <= _9 else -1


@njit(nogil=True)
def _any(codes, place, high):
    before = _at(codes, place - 1, high)
    if _IS[before] & _WORD or before in (_DOT, _PLUS, _MINUS):
        return -1
    if before in (_COMMA, _COLON) and _IS[_at(codes, place - 2, high)] & _DIGIT:
        return -1
    at = place + (codes[place] == _OPENING)
    return _spread(codes, at + 1, high, 14, 2) if _IS[_at(codes, at, high)] & _DIGIT else -1


@njit(nogil=True)
def _north_america(codes, place, high):
    at = place
    if codes[at] == _1:
        if not _IS[_at(codes, at + 1, high)] & _SPOT:
            return -1
        at += 2
    mark = _at(codes, at, high)
    if mark == _OPENING:
        if not _high_three(codes, at + 1, high) or _at(codes, at + 4, high) != _CLOSING:
            return -1
        at += 5 + (_at(codes, at + 5, high) == _BLANK)
        gap = _at(codes, at + 3, high)
    else:
        gap = _at(codes, at + 3, high)
        if not _high_three(codes, at, high) or _at(codes, at + 7, high) != gap:
            return -1
        at += 4
    if not _IS[gap] & _SPOT or not _high_three(codes, at, high) or _row(codes, at + 4, min(high, at + 8)) < 4:
        return -1
    return _end(codes, at + 8, high, 1)


@njit(nogil=True)
def _chinese_mobile(codes, place, high):
    at = place
    if codes[at] == _8:
        if _at(codes, at + 1, high) != _6:
            return -1
        at += 2
        at += _IS[_at(codes, at, high)] & _HYPHEN != 0
    if _at(codes, at, high) != _1 or not _3 <= _at(codes, at + 1, high) <= _9:
        return -1
    row = _row(codes, at, min(high, at + 11))
    if row == 11:
        end = at + 11
    else:
        gap = _at(codes, at + 3, high)
        if row != 3 or not _IS[gap] & _HYPHEN or _at(codes, at + 8, high) != gap:
            return -1
        if _row(codes, at + 4, high) != 4 or _row(codes, at + 9, min(high, at + 13)) < 4:
            return -1
        end = at + 13
    return end if _ends(codes, end, high, 1) else -1


@njit(nogil=True)
def _chinese_landline(codes, place, high):
    bracket = codes[place] == _OPENING
    at = place + bracket
    if _at(codes, at, high) != _0:
        return -1
    area, second = _at(codes, at + 1, high), _at(codes, at + 2, high)
    digits = 2 if area == _2 or (area == _1 and second == _0) else 3
    if area < _1 or (area == _1 and second != _0) or _row(codes, at + 1, high) != digits:
        return -1
    at += 1 + digits
    if bracket:
        if _at(codes, at, high) != _CLOSING:
            return -1
        at += 1 + (_at(codes, at + 1, high) == _BLANK)
    elif _IS[_at(codes, at, high)] & _HYPHEN:
        at += 1
    else:
        return -1
    row = _row(codes, at, high)
    if not _2 <= _at(codes, at, high) <= _8 or not 7 <= row <= 8:
        return -1
    end = at + row
    if _at(codes, end, high) == _MINUS:
        extension = _row(codes, end + 1, high)
        if 1 <= extension <= 5 and _ends(codes, end + 1 + extension, high, 1):
            return end + 1 + extension
    return end if _ends(codes, end, high, 1) else -1


@njit(nogil=True)
def _french(codes, place, high):
    gap = _at(codes, place + 2, high)
    if codes[place] != _0 or not _1 <= _at(codes, place + 1, high) <= _9 or not _IS[gap] & _SPOT:
        return -1
    for at in range(place + 2, place + 14, 3):
        if _at(codes, at, high) != gap or _row(codes, at + 1, min(high, at + 3)) < 2:
            return -1
    end = place + 14
    behind = _at(codes, end, high)
    goes_on = behind in (_BLANK, _COMMA) and _IS[_at(codes, end + 1, high)] & _DIGIT
    return end if not goes_on and _ends(codes, end, high, 1) else -1


@njit(nogil=True)
def _russian(codes, place, high):
    if codes[place] != _8:
        return -1
    at = place + 1
    at += _IS[_at(codes, at, high)] & _HYPHEN != 0
    if _at(codes, at, high) == _OPENING:
        if _row(codes, at + 1, high) != 3 or _at(codes, at + 4, high) != _CLOSING:
            return -1
        at += 5 + (_at(codes, at + 5, high) == _BLANK)
    else:
        if _row(codes, at, high) != 3 or not _IS[_at(codes, at + 3, high)] & _HYPHEN:
            return -1
        at += 4
    if _row(codes, at, high) != 3 or _row(codes, at + 4, high) != 2 or _row(codes, at + 7, min(high, at + 9)) < 2:
        return -1
    if not _IS[_at(codes, at + 3, high)] & _HYPHEN or not _IS[_at(codes, at + 6, high)] & _HYPHEN:
        return -1
    return at + 9 if _ends(codes, at + 9, high, 1) else -1


@njit(nogil=True)
def _european(codes, place, high):
    bracket = codes[place] == _OPENING
    at = place + 1
    if bracket:
        area = _row(codes, at + 1, high)
        if _at(codes, at, high) != _0 or not 1 <= area <= 4 or _at(codes, at + 1 + area, high) != _CLOSING:
            return -1
        at += area + 2
        at += _IS[_at(codes, at, high)] & _HYPHEN != 0
    else:
        area = _row(codes, at, high)
        behind = _at(codes, at + area, high)
        if codes[place] != _0 or not _1 <= _at(codes, at, high) <= _9 or not 2 <= area <= 5:
            return -1
        if not _IS[behind] & _HYPHEN and behind != _SLASH:
            return -1
        at += area + 1
    row = _row(codes, at, high)
    end = at + row
    if 2 <= row <= 4:
        groups = 0
        while groups < 3 and _IS[_at(codes, end, high)] & _HYPHEN:
            row = _row(codes, end + 1, high)
            if not 2 <= row <= 4:
                break
            end, groups = end + 1 + row, groups + 1
        if groups == 0:
            return -1
    elif not 5 <= row <= 8:
        return -1
    behind = _at(codes, end, high)
    goes_on = behind in (_BLANK, _COMMA, _SLASH, _COLON)
    if goes_on and _IS[_at(codes, end + 1, high)] & _DIGIT:
        return -1
    return end if _ends(codes, end, high, 1) else -1


@njit(nogil=True)
def _shaped(codes, place, high):
    """Where a number of one of the shapes ends, and whether it is of the last; -1 where there is none."""
    before = _at(codes, place - 1, high)
    if _IS[before] & (_WORD | _DAM) or (before == _COMMA and _IS[_at(codes, place - 2, high)] & _DIGIT):
        return -1, False
    end = _north_america(codes, place, high)
    if end < 0:
        end = _chinese_mobile(codes, place, high)
    if end < 0:
        end = _chinese_landline(codes, place, high)
    if end < 0:
        end = _french(codes, place, high)
    if end < 0:
        end = _russian(codes, place, high)
    if end >= 0:
        return end, False
    end = _european(codes, place, high)
    return end, end >= 0


@njit(nogil=True)
def _card(codes, place, high):
    """Where digits in a row, in fours, or in four, six and four or five end; -1 where there are none."""
    row = _row(codes, place, high)
    if 12 <= row <= 19:
        return place + row if _ends(codes, place + row, high, 1) else -1
    gap = _at(codes, place + 4, high)
    if row != 4 or not _IS[gap] & _HYPHEN:
        return -1
    at = place + 5
    row = _row(codes, at, high)
    if _at(codes, at + row, high) != gap:
        return -1
    if row == 6:
        at += 7
        row = _row(codes, at, high)
        return at + row if 4 <= row <= 5 and _ends(codes, at + row, high, 1) else -1
    if row != 4 or _row(codes, at + 5, high) != 4 or _at(codes, at + 9, high) != gap:
        return -1
    at += 10
    row = _row(codes, at, high)
    if not 1 <= row <= 4:
        return -1
    more = _row(codes, at + 5, high)
    if row == 4 and _at(codes, at + 4, high) == gap and 1 <= more <= 3 and _ends(codes, at + 5 + more, high, 1):
        return at + 5 + more
    return at + row if _ends(codes, at + row, high, 1) else -1


@njit("i8(Array(u1, 1, 'C', readonly=True), i8[:, ::1], i8[:, ::1])", nogil=True, cache=True)
def telephones(codes, regions, found):
    """Write every match (region, form, start, stop, whether European) into `found`, by region and form.

    Returns their number, also where `found` is too small.
    """
    count = 0
    for number in range(len(regions)):
        low, high = max(0, regions[number, 0]), min(len(codes), regions[number, 1])
        for form in range(3):
            place = low
            while place < high:
                end, european = np.int64(-1), False
                if form == 0:
                    if codes[place] == _PLUS or codes[place] == _0:
                        end = _international(codes, place, high)
                elif _IS[codes[place]] & _OPEN:
                    if form == 1:
                        end, european = _shaped(codes, place, high)
                    else:
                        end = _any(codes, place, high)
                if end < 0:
                    place += 1
                    continue
                if count < len(found):
                    found[count, 0], found[count, 1], found[count, 2] = number, form, place
                    found[count, 3], found[count, 4] = end, european
                count += 1
                place = end
    return count


@njit(
    "i8(Array(u1, 1, 'C', readonly=True), i8[:, ::1], Array(i8, 2, 'C', readonly=True), i8[:, ::1])",
    nogil=True,
    cache=True,
)
def cards(codes, regions, issuers, found):
    """Write start, stop and whether it is issued of every number that may be a card into `found`.

    `issuers` are the lowest and highest first four digits, and a length. Returns the number of lines, also where
    `found` is too small.
    """
    count = 0
    for number in range(len(regions)):
        place, high = max(0, regions[number, 0]), min(len(codes), regions[number, 1])
        while place < high:
            end = np.int64(-1)
            if _IS[codes[place]] & _DIGIT:
                before = _at(codes, place - 1, high)
                if not _IS[before] & _WORD and before not in (_DOT, _MINUS):
                    end = _card(codes, place, high)
            if end < 0:
                place += 1
                continue
            first, length, total = 0, 0, 0
            for at in range(end - 1, place - 1, -1):
                if _IS[codes[at]] & _DIGIT:
                    digit = np.int64(codes[at]) - _0
                    total += digit if length % 2 == 0 else digit * 2 - (9 if digit > 4 else 0)
                    length += 1
            for at in range(place, place + 4):
                first = first * 10 + codes[at] - _0
            if total % 10 == 0:
                issued = False
                for row in range(len(issuers)):
                    issued |= issuers[row, 0] <= first <= issuers[row, 1] and length == issuers[row, 2]
                if issued or 3000 <= first <= 6999:
                    if count < len(found):
                        found[count, 0], found[count, 1], found[count, 2] = place, end, issued
                    count += 1
            place = end
    return count
