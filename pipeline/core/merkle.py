"""One hash that stands for all documents of a corpus, and proofs that one is, or is not, among them.

A tree as in RFC 6962, over sorted leaves, so that its root does not depend on shards, order or file format. With
H = sha256 and `|` for bytes in a row:

    document = H(2 | H(id) | H(url), or 32 zeros without one | H(text))
    leaf     = H(0 | entry),  entry = kind | H(value) | document
    node     = H(1 | left | right)
    root     = H(3 | number of leaves, 8 bytes big-endian | node)

Texts are UTF-8; no text is an empty one. Each document has an entry of kind 1 for its id, of kind 2 for its URL if it
has one, and of kind 3 for its text. Entries are sorted by their 65 bytes and may be equal: a document that is there
twice is counted twice. Whoever knows an id, a URL or a text can thus ask for it by its sha256 alone (`core/proof.py`).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.core.proof import EMPTY, KINDS, Claim, Kind, Leaf, Proof, key_of, seal
from pipeline.core.shards import read_batches, read_schema, whole

Run = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""`map` or like it: calls a picklable function for each job, in any order."""

_ENTRY, _KEY = 65, 33
_CHUNK = 1 << 16
_CHUNKS_A_JOB = 16
_NOTHING = bytes(32)


def root_of(files: Iterable[Path], run: Run = map, scratch: Path | None = None) -> str:
    """The root, in hex, over the documents of these shards; files of 200 bytes a document lie in `scratch` meanwhile.

    Memory is bounded by a record batch and a few chunks, whatever the number of documents.
    """
    with leaves_of(files, run, scratch) as leaves:
        return leaves.root(run)


@contextmanager
def leaves_of(files: Iterable[Path], run: Run = map, scratch: Path | None = None) -> Iterator[Leaves]:
    """The sorted leaves over the documents of these shards, for as long as the block lasts."""
    with nullcontext(scratch) if scratch else TemporaryDirectory(prefix="gristmill-merkle-") as folder:
        entries = Path(folder) / "entries"
        try:
            for _ in run(_write_entries, [_ShardJob(file, entries / f"{n:08d}") for n, file in enumerate(files)]):
                pass
            yield Leaves.of(sorted(entries.iterdir()) if entries.is_dir() else ())
        finally:
            shutil.rmtree(entries, ignore_errors=True)


def write_leaves(entries: Sequence[np.ndarray], out: Path) -> None:
    """Write the entries of one shard, sorted, as `Leaves` reads them."""
    joined = np.concatenate(entries) if entries else np.empty((0, _ENTRY), dtype=np.uint8)
    with whole(out, sync=False) as temporary:
        np.sort(np.ascontiguousarray(joined).reshape(-1).view(f"S{_ENTRY}")).tofile(temporary)


@dataclass(frozen=True)
class Leaves:
    """Entries of many documents: each file has them sorted, `read` gives them sorted over all files."""

    files: tuple[Path, ...]

    @classmethod
    def of(cls, files: Iterable[Path]) -> Leaves:
        """What `write_leaves` wrote; files without entries are left out, for they cannot be mapped."""
        return cls(tuple(file for file in files if file.stat().st_size))

    @cached_property
    def count(self) -> int:
        """Leaves of the tree."""
        return int(self._places[-1])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Entries `start` to `stop` in order, as uint8 of shape (n, 65)."""
        first = int(np.searchsorted(self._places, start, side="right")) - 1
        last = int(np.searchsorted(self._places, stop, side="left"))
        held = [file[cut[first] : cut[last]] for file, cut in zip(self._mapped, self._cuts, strict=True)]
        entries = np.sort(np.concatenate(held))
        return _bytes(entries[start - self._places[first] : stop - self._places[first]])

    def root(self, run: Run = map) -> str:
        """Of the tree over all of them."""
        return seal(self.count, _reduce(self._tops(run))).hex()

    def prove(self, wanted: Sequence[tuple[Kind, bytes]]) -> Proof:
        """For each kind and sha256 that it is there, or that it is not."""
        tops = self._tops(map)
        claims = []
        for kind, digest in wanted:
            before, behind = self._between(key_of(kind, digest))
            places = [before] if behind > before else [at for at in (before - 1, before) if 0 <= at < self.count]
            found = tuple(self._leaf(at, tops) for at in places)
            claims.append(Claim(kind=kind, sha256=digest.hex(), present=behind > before, leaves=found))
        return Proof(root=seal(self.count, _reduce(tops)).hex(), leaves=self.count, claims=tuple(claims))

    def _leaf(self, at: int, tops: list[bytes]) -> Leaf:
        start = at - at % _CHUNK
        entries = self.read(start, min(start + _CHUNK, self.count))
        entry = entries[at - start].tobytes()
        path = (*_path(_hashed(entries), at - start), *_path(tops, at // _CHUNK))
        return Leaf(
            index=at,
            kind=KINDS[entry[0] - 1],
            sha256=entry[1:_KEY].hex(),
            document=entry[_KEY:].hex(),
            path=tuple(step.hex() for step in path),
        )

    def _between(self, key: bytes) -> tuple[int, int]:
        """How many entries are before all with this key, and how many before or with it."""
        least, most = (np.array([key + end * 32], dtype=f"S{_ENTRY}") for end in (b"\0", b"\xff"))
        before = sum(int(np.searchsorted(file, least, side="left")[0]) for file in self._mapped)
        return before, sum(int(np.searchsorted(file, most, side="right")[0]) for file in self._mapped)

    def _tops(self, run: Run) -> list[bytes]:
        """The hash over each chunk of 2^16 leaves: the level of the tree at which chunks are nodes."""
        step = _CHUNK * _CHUNKS_A_JOB
        jobs = [_ChunksJob(self, start, min(start + step, self.count)) for start in range(0, self.count, step)]
        found = dict(run(_chunk_hashes, jobs))
        return [top for start in sorted(found) for top in found[start]]

    @cached_property
    def _mapped(self) -> list[np.ndarray]:
        return [np.memmap(file, dtype=f"S{_ENTRY}", mode="r") for file in self.files]

    @cached_property
    def _cuts(self) -> np.ndarray:
        """For each file the places at which the first two bytes of the entries change."""
        starts = [bytes([kind, byte]) for kind in range(1, len(KINDS) + 1) for byte in range(256)]
        bounds = np.array([*starts, b"\xff"], dtype=f"S{_ENTRY}")
        cuts = [np.searchsorted(file, bounds, side="left") for file in self._mapped]
        return np.array(cuts, dtype=np.int64).reshape(len(cuts), len(bounds))

    @cached_property
    def _places(self) -> np.ndarray:
        places: np.ndarray = self._cuts.sum(axis=0)
        return places

    def __reduce__(self) -> tuple[object, ...]:
        return (Leaves, (self.files,))


def entries_of(batch: pa.RecordBatch) -> np.ndarray:
    """The entries of documents with `id`, `text` and perhaps `url`, unsorted, as uint8 of shape (n, 65)."""
    ids, texts = (_digests(batch.column(name)) for name in ("id", "text"))
    urls = _digests(batch.column("url"), null=_NOTHING) if "url" in batch.schema.names else [_NOTHING] * len(ids)
    sha256, found = hashlib.sha256, bytearray()
    for id_, url, text in zip(ids, urls, texts, strict=True):
        document = sha256(b"\2" + id_ + url + text).digest()
        found += b"\1" + id_ + document + b"\3" + text + document
        if url is not _NOTHING:
            found += b"\2" + url + document
    return np.frombuffer(found, dtype=np.uint8).reshape(-1, _ENTRY)


def _above(level: list[bytes]) -> list[bytes]:
    """The level above: pairs become nodes, one that is left over stays as it is."""
    sha256 = hashlib.sha256
    paired = [sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
    return paired + level[-1:] if len(level) % 2 else paired


def _reduce(level: list[bytes]) -> bytes:
    while len(level) > 1:
        level = _above(level)
    return level[0] if level else EMPTY


def _path(level: list[bytes], at: int) -> Iterator[bytes]:
    while len(level) > 1:
        if at ^ 1 < len(level):
            yield level[at ^ 1]
        level, at = _above(level), at // 2


def _hashed(entries: np.ndarray) -> list[bytes]:
    sha256 = hashlib.sha256
    flat = np.hstack([np.zeros((len(entries), 1), dtype=np.uint8), entries]).tobytes()
    width = _ENTRY + 1
    return [sha256(flat[at : at + width]).digest() for at in range(0, len(flat), width)]


@dataclass(frozen=True)
class _ShardJob:
    shard: Path
    out: Path


def _write_entries(job: _ShardJob) -> None:
    wanted = [name for name in ("id", "url", "text") if name in read_schema(job.shard).names]
    write_leaves([entries_of(batch) for batch in read_batches(job.shard, wanted)], job.out)


@dataclass(frozen=True)
class _ChunksJob:
    leaves: Leaves
    start: int
    stop: int


def _chunk_hashes(job: _ChunksJob) -> tuple[int, list[bytes]]:
    starts = range(job.start, job.stop, _CHUNK)
    chunks = (job.leaves.read(start, min(start + _CHUNK, job.stop)) for start in starts)
    return job.start, [_reduce(_hashed(chunk)) for chunk in chunks]


def _bytes(entries: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(entries).view(np.uint8).reshape(-1, _ENTRY)


def _digests(column: pa.Array, null: bytes = EMPTY) -> list[bytes]:
    """The sha256 of each string, `null` where there is none."""
    wide = column.cast(pa.large_string())
    offsets = np.frombuffer(wide.buffers()[1], dtype=np.int64)[wide.offset : wide.offset + len(wide) + 1].tolist()
    data, sha256 = memoryview(wide.buffers()[2] or b""), hashlib.sha256
    found = [sha256(data[start:stop]).digest() for start, stop in pairwise(offsets)]
    if wide.null_count:
        for row in np.flatnonzero(wide.is_null().to_numpy(zero_copy_only=False)):
            found[row] = null
    return found
