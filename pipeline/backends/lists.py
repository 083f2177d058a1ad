"""Lists that a recipe names: UTF-8, plain or gzip, an entry a line, blank lines and those that begin with # aside."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from pipeline.core.asset import Asset, find_asset, sha256_file
from pipeline.core.errors import GristmillError, MissingBackend


def find_list(path: str, sha256: str | None = None) -> Asset:
    """The file at a recipe's path; GristmillError where it is missing or has another digest than `sha256`."""
    return find_asset(path, sha256, what="list")


def find_installed(named: str) -> Asset:
    """A list inside of an installed distribution, `name:path/in/it.txt`, found without running any of its code."""
    distribution, _, inside = named.partition(":")
    try:
        listed = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        raise MissingBackend(distribution, f"the list {named!r}", f"pip install {distribution}") from None
    found = next((Path(str(file.locate())) for file in listed if file.as_posix() == inside), None)
    if found is None or not found.is_file():
        texts = ", ".join(file.as_posix() for file in listed if file.suffix in (".txt", ".json"))[:500]
        raise GristmillError(f"{distribution} has no file {inside!r}; its text files are: {texts or 'none'}")
    return Asset(found, sha256_file(found))


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
