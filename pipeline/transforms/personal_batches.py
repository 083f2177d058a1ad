"""Personal data in the texts of a whole batch at once: the patterns are tried only around marks of a compiled scan.

What is found is what `personal.find` finds in each text. The windows around the marks are joined with blanks of NUL
between them, which end every pattern and are longer than any of them looks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.kernels.windows import AT, BLOCK, COLONS, COUNTRY, DIGITS, DOTS, NINE, RUN, TOKEN, TWELVE, around, windows
from pipeline.transforms import phone_numbers
from pipeline.transforms.personal import Kind, Region, spans

_REACH: Mapping[Kind, Mapping[int, tuple[int, int]]] = {
    "key": {TOKEN: (40, 2), BLOCK: (1, 15_200)},
    "email": {AT: (66, 290)},
    "iban": {COUNTRY: (1, 48)},
    "card": {TWELVE: (1, 2)},
    "cn_id": {RUN: (1, 2)},
    "ip": {DOTS: (1, 2), COLONS: (1, 1)},
    "ssn": {NINE: (1, 2)},
    "phone": {DIGITS: phone_numbers.REACH},
}
"""By kind, the marks without which a pattern cannot match, and how many characters around one it may match or ask for;
words around it aside."""

_BETWEEN = b"\0" * 80
"""Before, between and behind the windows."""


class Found(NamedTuple):
    """Personal data, in order: bytes `starts` to `stops` of the buffer of the texts, in the texts in `rows`."""

    rows: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    kinds: list[Kind]
    values: list[str]


def search(texts: pa.LargeStringArray, kinds: Collection[Kind]) -> Found:
    """The personal data of these kinds in every text."""
    marked = windows(texts, sum({mark for kind in kinds for mark in _REACH[kind]}))
    if not len(marked.rows):
        return Found(marked.rows, marked.starts, marked.stops, [], [])
    buffer = memoryview(texts.buffers()[2])
    pieces = [buffer[start:stop] for start, stop in zip(marked.starts.tolist(), marked.stops.tolist(), strict=True)]
    joined = _BETWEEN.join([b"", *pieces, b""])
    begins = np.cumsum(np.append(0, marked.stops - marked.starts)[:-1] + len(_BETWEEN))
    moved = marked.starts - begins
    # Bytes that begin no character, and how many characters begin before each.
    inner = np.flatnonzero(np.frombuffer(joined, np.uint8) & 0xC0 == 0x80)
    behind = inner - np.arange(len(inner))

    text = joined.decode()
    first, last, bits, window = marked.marks.T
    near = np.column_stack([first, last]) - moved[window][:, None]
    near -= np.searchsorted(inner, near)
    found = spans(text, _regions(near, bits, kinds))

    starts, stops, kinds_found = zip(*found, strict=True) if found else ((), (), ())
    values = [text[start:stop] for start, stop, _ in found]
    where = np.array([starts, stops], np.int64)
    where += np.searchsorted(behind, where, side="right")
    window = np.searchsorted(begins, where[0], side="right") - 1
    return Found(marked.rows[window], *(where + moved[window]), list(kinds_found), values)


def _regions(near: np.ndarray, bits: np.ndarray, kinds: Collection[Kind]) -> dict[Kind, list[Region]]:
    """Where to look for each kind."""
    listed = tuple(kinds)
    reach = [(number, mark, *reached) for number, kind in enumerate(listed) for mark, reached in _REACH[kind].items()]
    regions, counts = around(near, bits, np.array(reach, np.int64), len(listed))
    return {kind: regions[at, : counts[at]].tolist() for at, kind in enumerate(listed)}
