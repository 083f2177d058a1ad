"""The form in which a corpus is published: the same documents and packed rows as Parquet, with card and manifest.

A shard stays a shard and a row keeps its place, so that a later release differs only where the corpus does. Pages are
cut by content (Xet and other stores that cut by content find again what is the same), have checksums and an index; a
row group holds at most 100 MB, which the Hub's viewer and a reader with little memory can open.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.asset import sha256_file
from pipeline.core.errors import GristmillError, StoreError, UsageError
from pipeline.core.manifest import REMOVED_LEDGER, FileDigest, Manifest, read_manifest
from pipeline.core.shards import PARQUET, TEMPORARY, read_batches, read_schema, row_bytes, whole, write_text
from pipeline.core.validation import FILE as VALIDATION
from pipeline.core.validation import read_validation
from pipeline.report import answers as answering
from pipeline.report import measures as measuring
from pipeline.report.card import CARD, answers_beside, rendered
from pipeline.report.changes import FILE as CHANGES
from pipeline.report.changes import read_changes
from pipeline.report.measures import read_measures

Form = Literal["parquet", "arrow"]

ROW_GROUP_BYTES = 100_000_000
"""Most bytes of text and ids in a row group, as far as its rows allow."""

PAGES = {"min_chunk_size": 256 << 10, "max_chunk_size": 1 << 20, "norm_level": 0}
"""How pages are cut by content: as `datasets` does it."""

REPEATING = ("lang", "source", "license", "terms", "file")
"""Columns with few values, which are written as a dictionary."""

MANIFEST = "manifest.json"
FOLDERS = ("documents/", "tokens/", "tokenizer/")

MADE_OF = b"gristmill.shard"
"""In the metadata of a Parquet file: the sha256 of the Arrow shard that it was made of."""

BESIDE = ("recipe.yaml", "removed.json", REMOVED_LEDGER, "CHANGES.md", answering.FILE)
"""Files that go along as they are, where they are there."""


def export(corpus: Path, out: Path, *, form: Form = "parquet", workers: int | None = None) -> Manifest:
    """Write the release form of a built corpus into a folder, and return its manifest.

    The card quotes what the card of the corpus quotes: answers, and measures of these very documents. What lies in the
    folder already and is of the same shard stays; shards and reports of an older release go. The manifest is written
    last: a folder without one is not finished.
    """
    manifest = read_manifest(corpus)
    if _is_release(manifest):
        raise GristmillError(f"{corpus}: this is a release already; export the corpus that it was made of")
    if out.resolve() == corpus.resolve() or corpus.resolve() in out.resolve().parents:
        raise UsageError(f"{out}: a release lies outside of its corpus; name another folder with --out")
    if out.exists() and any(out.iterdir()) and not (out / "documents").is_dir():
        raise UsageError(f"{out}: this folder holds something else than a release; name another with --out")
    before = read_manifest(out).digest if (out / MANIFEST).exists() else ""
    out.mkdir(parents=True, exist_ok=True)
    (out / "documents").mkdir(exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        written = partial(_written, corpus, out, form)
        documents = tuple(pool.map(written, manifest.documents))
        tokens = tuple(pool.map(written, manifest.tokens))
    released = manifest.model_copy(update={"documents": documents, "tokens": tokens})
    beside = [*BESIDE, *((path.relative_to(corpus).as_posix()) for path in sorted((corpus / "tokenizer").glob("*")))]
    for name in [name for name in beside if (corpus / name).is_file()]:
        with whole(out / name) as temporary:
            shutil.copyfile(corpus / name, temporary)
    kept = {*(name for name in beside if (corpus / name).exists()), *(file.path for file in (*documents, *tokens))}
    told = {measuring.FILE: read_measures(corpus), VALIDATION: read_validation(corpus), CHANGES: read_changes(corpus)}
    for name, report in told.items():
        if report and report.corpus == manifest.digest:
            write_text(out / name, report.model_copy(update={"corpus": released.digest}).to_json())
            kept.add(name)
    _clear(out, kept, reports=released.digest != before)
    write_text(out / CARD, rendered(out, released, answers_beside(out)))
    write_text(out / MANIFEST, released.to_json())
    return released


def released(folder: Path, form: Form = "parquet") -> Path:
    """The folder itself if it is in release form; else its release, `<name>.release` beside it, made or brought up."""
    if _is_release(read_manifest(folder)):
        return folder
    out = folder.resolve().with_name(f"{folder.resolve().name}.release")
    export(folder, out, form=form)
    return out


def check_files(folder: Path, files: Iterable[FileDigest]) -> None:
    """StoreError names the first file that is not what the manifest says."""
    for file in files:
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.bytes or sha256_file(path) != file.sha256:
            raise StoreError(f"{path}: not the file that manifest.json names; run gristmill export again")


def write_parquet(shard: Path, target: Path, made_of: str) -> None:
    """One shard as Parquet: the same columns and rows in the same order, the same bytes for the same shard."""
    schema = read_schema(shard).with_metadata({MADE_OF: made_of.encode()})
    names = [name for name in schema.names if name in REPEATING]
    with (
        whole(target) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=names,
            write_statistics=[name for name in schema.names if name != "text"],
            use_content_defined_chunking=PAGES,
            write_page_index=True,
            write_page_checksum=True,
        ) as writer,
    ):
        for table in _row_groups(shard, schema):
            writer.write_table(table, row_group_size=max(table.num_rows, 1))


def _row_groups(shard: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows, cut where a row group would hold more than its bytes."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in read_batches(shard):
        sizes = row_bytes(batch)
        start = 0
        while start < batch.num_rows:
            ends = size + np.cumsum(sizes[start:])
            fits = int(np.searchsorted(ends, ROW_GROUP_BYTES, side="right"))
            stop = start + (fits or int(not held))
            if stop > start:
                held.append(batch.slice(start, stop - start))
                size += int(sizes[start:stop].sum())
            if stop < batch.num_rows:
                yield pa.Table.from_batches(held, schema=schema)
                held, size = [], 0
            start = stop
    if held:
        yield pa.Table.from_batches(held, schema=schema)


def _written(corpus: Path, out: Path, form: Form, file: FileDigest) -> FileDigest:
    """One file of the release, made unless it is there."""
    source = corpus / file.path
    target = out / PurePosixPath(file.path).with_suffix(f".{form}")
    check_files(corpus, [file])
    if form == "arrow":
        if not target.exists() or sha256_file(target) != file.sha256:
            with whole(target) as temporary:
                shutil.copyfile(source, temporary)
    elif not _is_of(target, file.sha256):
        write_parquet(source, target, file.sha256)
    size, digest = target.stat().st_size, sha256_file(target)
    return FileDigest(path=target.relative_to(out).as_posix(), rows=file.rows, bytes=size, sha256=digest)


def _is_of(target: Path, sha256: str) -> bool:
    try:
        made_of = (pq.read_schema(target).metadata or {}).get(MADE_OF)
    except (OSError, pa.ArrowException):
        return False
    return bool(made_of == sha256.encode())


def _clear(out: Path, kept: set[str], *, reports: bool) -> None:
    """Remove the shards and the files beside them that an earlier export left, and with `reports` what is about it."""
    for path in sorted(out.rglob("*"), reverse=True):
        name = path.relative_to(out).as_posix()
        ours = name.startswith(FOLDERS) or name in BESIDE or path.name.startswith(TEMPORARY)
        if path.is_file() and name not in kept and (ours or (reports and name.endswith(".json"))):
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _is_release(manifest: Manifest) -> bool:
    return any(file.path.endswith(PARQUET) for file in manifest.documents)
