"""Lists of domains and pages of any length: sorted 64-bit hashes, mapped from the cache, 8 bytes an entry.

A name that is not on a list of n is taken for one that is with probability n / 2^64: 5e-13 for ten million.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.backends.domains import split_url
from pipeline.backends.lists import entries
from pipeline.core.asset import Asset
from pipeline.core.shards import whole

Hashes = npt.NDArray[np.uint64]
Kind = Literal["domains", "urls"]

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*[A-Za-z0-9]")


def page_of(parts: tuple[str, str]) -> str:
    """A split URL as lists of pages are compared: without a slash at the end."""
    host, rest = parts
    return host + rest.rstrip("/")


def first_listed(names: Sequence[tuple[str, ...]], tables: Sequence[Hashes]) -> list[str | None]:
    """Of each row the first name that is in a table."""
    flat = [name for row in names for name in row]
    if not flat or not any(map(len, tables)):
        return [None] * len(names)
    hashes = np.fromiter(map(_hash, flat), dtype=np.uint64, count=len(flat))
    listed = np.zeros(len(flat), dtype=bool)
    for table in tables:
        at = np.searchsorted(table, hashes)
        listed |= (at < len(table)) & (table[np.minimum(at, len(table) - 1)] == hashes) if len(table) else False
    answers = zip(flat, listed.tolist(), strict=True)
    met = [[name for name, yes in islice(answers, len(row)) if yes] for row in names]
    return [row[0] if row else None for row in met]


@cache
def table(asset: Asset, kind: Kind, cache_folder: Path) -> Hashes:
    """The sorted hashes of a list, made once for its content: ten million domains in 13 s and 200 MB."""
    from filelock import FileLock

    path = cache_folder / "lists" / f"{kind}-1-{asset.sha256}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            _make_table(asset.path, kind, path)
    hashes: Hashes = np.load(path, mmap_mode="r")
    return hashes


@cache
def hashes_of(domains: tuple[str, ...]) -> Hashes:
    """The table of domains that are written down."""
    return np.unique(np.fromiter((_hash(_domain(name)) for name in domains), dtype=np.uint64))


def _hash(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _domain(entry: str) -> str:
    """The host of an entry: `example.org`, `*.example.org`, `http://example.org/`, `0.0.0.0 example.org`."""
    if _PLAIN.fullmatch(entry):
        return entry.lower()
    return split_url(entry.split()[-1].removeprefix("*."))[0]


def _make_table(source: Path, kind: Kind, path: Path) -> None:
    spelt = _domain if kind == "domains" else lambda entry: page_of(split_url(entry))
    hashes = np.fromiter((_hash(name) for entry in entries(source) if (name := spelt(entry))), dtype=np.uint64)
    hashes.sort()
    with whole(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, hashes[np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)]])
