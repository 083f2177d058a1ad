"""Lists that a recipe names: UTF-8, plain or gzip, an entry a line, blank lines and those that begin with # aside."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.asset import Asset, find_asset
from pipeline.core.errors import GristmillError


def find_list(path: str, sha256: str | None = None) -> Asset:
    """The file at a recipe's path; GristmillError where it is missing or has another digest than `sha256`."""
    return find_asset(path, sha256, what="list")


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
