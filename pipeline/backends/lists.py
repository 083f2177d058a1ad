"""Lists that a recipe names: UTF-8, plain or gzip, an entry a line, blank lines and those that begin with # aside."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pipeline.core.asset import Asset, current, sha256_file
from pipeline.core.errors import GristmillError


def find_list(path: str, sha256: str | None = None) -> Asset:
    """The file at a recipe's path; GristmillError where it is missing or has another digest than `sha256`."""
    found = current().resolve(path)
    if not found.is_file():
        raise GristmillError(f"{found}: no such list; put the file there, or correct the path {path!r} in the recipe")
    state = found.stat()
    digest = _digest(found, state.st_size, state.st_mtime_ns)
    if sha256 not in (None, digest):
        raise GristmillError(f"{found}: sha256 is {digest}, the recipe wants {sha256}; get the file again")
    return Asset(found, digest)


def entries(path: Path) -> Iterator[str]:
    """The entries in order, without blanks around them; one line at a time is in memory."""
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                entry = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if entry and not entry.startswith("#"):
                    yield entry
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        problem = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "is where the gzip data is damaged"
        raise GristmillError(f"{path}: line {max(number, 1)} {problem}; get the list again or convert it") from None


@cache
def _digest(path: Path, size: int, changed: int) -> str:
    """sha256 of a file, once for as long as its size and time of change stay the same."""
    return sha256_file(path)
