"""What the checks of an audit look at: the files of a corpus folder, each read once, and a drawn sample of documents.

Memory is about a hundred bytes a document, besides the sample.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.backends.tokenizer import FILE, Encoder, load
from pipeline.core.again import Again
from pipeline.core.asset import Place
from pipeline.core.chance import draws
from pipeline.core.errors import StoreError
from pipeline.core.manifest import Group, Manifest, Size, read_manifest
from pipeline.core.merkle import Leaves, entries_of, write_leaves
from pipeline.core.shards import read_batches, read_schema
from pipeline.report.audit.packed import Packed
from pipeline.report.findings import Audit, read_audit

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Evidence:
    """A folder to audit. `seed` draws the samples, `n_sampled` documents at most; None in `again`: no code at hand.

    Files that the recipe names are looked for at `place`.
    """

    folder: Path
    seed: str = ""
    n_sampled: int = 3_000
    again: Again | None = None
    rebuild: bool = False
    benchmarks: tuple[Path, ...] = ()
    key: Path | None = None
    place: Place | None = None

    @cached_property
    def manifest(self) -> Manifest:
        """The claims."""
        return read_manifest(self.folder)

    @cached_property
    def earlier(self) -> Audit | None:
        """The audit that lies beside the card."""
        return read_audit(self.folder)

    def path(self, name: str) -> Path:
        """The file of this name; StoreError where it would lie outside of the folder or is not there."""
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts:
            raise StoreError(f"manifest.json: {name!r} leads out of the folder")
        if not (self.folder / place).is_file():
            raise StoreError(f"{name}: the manifest has this file and it is not here")
        return self.folder / place

    @cached_property
    def tombstones(self) -> tuple[str, ...]:
        """Ids of the documents that were taken out of the finished corpus."""
        path = self.folder / "removed.json"
        told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"tombstones": []}
        return tuple(stone["id"] for stone in told["tombstones"])

    @cached_property
    def digests(self) -> dict[str, tuple[int, str]]:
        """Size and sha256 of every file that the manifest lists and that is there."""
        there = [file.path for file in self.manifest.files if (self.folder / file.path).is_file()]
        return {name: _digest(self.folder / name) for name in there}

    @cached_property
    def documents(self) -> Documents:
        """All documents, without their texts."""
        return Documents.read([(file.path, self.path(file.path)) for file in self.manifest.documents])

    @cached_property
    def tokens(self) -> Packed:
        """All packed rows, without their ids."""
        return Packed.read([(file.path, self.path(file.path)) for file in self.manifest.tokens])

    @cached_property
    def encoder(self) -> Encoder:
        """The tokenizer of the corpus."""
        for file in self.manifest.tokenizer:
            self.path(file.path)
        return load(self.path(f"tokenizer/{FILE}"))

    @cached_property
    def sample(self) -> pa.Table:
        """Drawn documents with all their columns: each is in it or not by a hash of the seed and its id."""
        total = self.documents.n
        share = min(1.0, self.n_sampled / total) if total else 0.0
        parts = []
        for file in self.manifest.documents:
            for batch in read_batches(self.path(file.path)):
                names = pc.fill_null(batch.column("id").cast(pa.string()), "").to_pylist()
                if share >= 1:
                    parts.append(batch)
                elif (drawn := draws(names, 0, f"audit {self.seed}") < share).any():
                    parts.append(batch.filter(pa.array(drawn)))
        return pa.Table.from_batches(parts) if parts else pa.table({"id": pa.array([], pa.string())})

    @property
    def scope(self) -> str:
        """What the sample is, in words."""
        n, total = self.sample.num_rows, self.documents.n
        return "every document" if n == total else f"{n:,} drawn documents of {total:,}"

    def texts(self) -> list[str]:
        """The texts of the sample."""
        return [text or "" for text in self.sample["text"].to_pylist()]


@dataclass(frozen=True)
class Documents:
    """What is kept of all documents: groups, columns by file, and small columns in a frame with a row a document."""

    rows: dict[str, int]
    schemas: dict[str, pa.Schema]
    groups: tuple[Group, ...]
    root: str
    """The Merkle root over them."""
    frame: pl.DataFrame
    """`id`, `url`, `lang`, `source`, `license`, `file`; of the text its 64-bit `hash`, `bytes` and `characters`."""

    @property
    def n(self) -> int:
        """Documents in all."""
        return self.frame.height

    @classmethod
    def read(cls, files: Sequence[tuple[str, Path]]) -> Documents:
        """Read every shard once."""
        import polars as pl

        rows: dict[str, int] = {}
        schemas: dict[str, pa.Schema] = {}
        frames = []
        with TemporaryDirectory(prefix="gristmill-audit-") as scratch:
            leaves = [Path(scratch) / f"{number:06d}" for number in range(len(files))]
            for (name, path), out in zip(files, leaves, strict=True):
                schemas[name] = read_schema(path)
                entries, before = [], len(frames)
                for batch in read_batches(path, [few for few in _FEW.names if few in schemas[name].names]):
                    frames.append(_small(batch))
                    entries.append(entries_of(batch))
                rows[name] = sum(frame.height for frame in frames[before:])
                write_leaves(entries, out)
            root = Leaves.of(leaves).root()
        empty = _small(pa.RecordBatch.from_pylist([], schema=_FEW))
        frame = pl.concat([empty, *frames])
        return cls(rows, schemas, _groups(frame), root, frame)


_NAMES = ("id", "url", "lang", "source", "license", "file")
_FEW = pa.schema([*((name, pa.string()) for name in _NAMES), ("text", pa.large_string())])


def _groups(frame: pl.DataFrame) -> tuple[Group, ...]:
    import polars as pl

    sizes = (pl.len().alias("documents"), pl.col("characters").sum(), pl.col("bytes").sum())
    summed = frame.group_by("source", "lang", "license").agg(*sizes)
    return tuple(
        Group(source=source, lang=lang, license=license, size=Size(documents=n, characters=characters, bytes=n_bytes))
        for source, lang, license, n, characters, n_bytes in sorted(summed.iter_rows(), key=str)
    )


def _small(batch: pa.RecordBatch) -> pl.DataFrame:
    import polars as pl

    frame = pl.DataFrame(pl.from_arrow(batch.select([name for name in _FEW.names if name in batch.schema.names])))
    text = pl.col("text").fill_null("")
    return frame.select(
        *(pl.col(name).cast(pl.String) for name in _NAMES),
        text.hash(0).alias("hash"),
        text.str.len_bytes().cast(pl.Int64).alias("bytes"),
        text.str.len_chars().cast(pl.Int64).alias("characters"),
    )


def _digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as stream:
        return path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest()
