"""Files cut by their content, as stores that deduplicate do it: what is inserted moves no cut but those beside it.

A cut is after every byte at which a gear hash of the last 64 bytes ends in sixteen zero bits, at least 8 KiB and at
most 128 KiB after the last: 64 KiB on average, as Xet cuts. The table of the hash is another, so a cut is not the same
cut, and sums of sizes are alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

LEAST, MOST, BITS = 8 << 10, 128 << 10, 16
_WINDOW = 64
_PIECE = 4 << 20

_GEAR = np.frombuffer(hashlib.shake_256(b"gristmill chunks").digest(256 * 8), dtype="<u8")


def chunks(path: Path) -> dict[bytes, int]:
    """Size by sha256 of every different chunk of a file."""
    found: dict[bytes, int] = {}
    with path.open("rb") as stream:
        start = 0
        for stop in _cuts(path):
            piece = stream.read(stop - start)
            found[hashlib.sha256(piece).digest()] = len(piece)
            start = stop
    return found


def _cuts(path: Path) -> Iterator[int]:
    """Ends of the chunks."""
    start = 0
    for at in _marks(path):
        while at - start > MOST:
            start += MOST
            yield start
        if at - start >= LEAST:
            yield at
            start = at
    size = path.stat().st_size
    while size - start > MOST:
        start += MOST
        yield start
    if size > start:
        yield size


def _marks(path: Path) -> Iterator[int]:
    """Places behind a byte at which the hash ends a chunk, if it is long enough."""
    with path.open("rb") as stream:
        before, at = b"", 0
        while piece := stream.read(_PIECE):
            data = np.frombuffer(before + piece, dtype=np.uint8)
            marked = np.flatnonzero(_hashes(data) & np.uint64((1 << BITS) - 1 << (64 - BITS)) == 0) + 1
            yield from (int(at - len(before) + mark) for mark in marked if mark > len(before))
            at += len(piece)
            before = (before + piece)[-_WINDOW:]


def _hashes(data: np.ndarray) -> np.ndarray:
    """At each byte sum(gear[byte i places before] << i) over 64 of them, by doubling."""
    found = _GEAR[data].copy()
    width = 1
    while width < _WINDOW:
        found[width:] += found[:-width] << np.uint64(width)
        width *= 2
    return found
