"""Take documents out of a finished corpus: exactly the shards that hold them are written again, the rest is linked.

A tombstone stays for each: no text, and no address, only the id, a reason and a date. A later build into the same
folder takes the same documents out again. The store, which only builders see, is not touched: delete it where the text
may not be kept at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.backends.tokenizer import FILE, load
from pipeline.core.errors import GristmillError, StoreError, UsageError
from pipeline.core.manifest import (
    REMOVED,
    REMOVED_LEDGER,
    FileDigest,
    Manifest,
    Record,
    read_manifest,
)
from pipeline.core.merkle import root_of
from pipeline.core.packed import PIECE, token_facts
from pipeline.core.schema import DOCUMENT, VERDICT, conform
from pipeline.core.shards import TOKEN_LEVEL, ShardWriter, read_schema, read_table, write_table, write_text
from pipeline.run.books import REASON, Books
from pipeline.run.store import Store, file_digest, link, whole_folder

TOMBSTONES = "removed.json"


class Tombstone(Record):
    """A document that was taken out: the user's reason and date."""

    id: str
    reason: str
    date: str


class Removed(Record):
    """All tombstones of a corpus; `before` is the digest of the manifest that the build made."""

    before: str
    tombstones: tuple[Tombstone, ...]


def remove(corpus: Path, wanted: Sequence[str], reason: str, date: str) -> tuple[Tombstone, ...]:
    """Take out the documents with these ids or URLs, all of them or none; what was taken out before is no error.

    GristmillError names what is not in the corpus.
    """
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        raise UsageError(f"--date {date}: write it as 2026-11-24")
    with Store(corpus.resolve().parent).locked():
        manifest, before = read_manifest(corpus), tombstones(corpus)
        gone = {stone.id for stone in before.tombstones} if before else set()
        found = _Finding.of(corpus, manifest, set(wanted))
        if missing := sorted(set(wanted) - found.matched - gone):
            known = f"; what was removed before is known by its id alone: {corpus / TOMBSTONES}" if gone else ""
            raise GristmillError(f"{corpus}: no document has the id or URL {', '.join(map(repr, missing[:5]))}{known}")
        new = tuple(Tombstone(id=name, reason=reason, date=date) for name in sorted(found.ids))
        if new:
            stones = (*(before.tombstones if before else ()), *new)
            removed = Removed(before=before.before if before else manifest.digest, tombstones=stones)
            _rewrite(corpus, manifest, found, removed)
        return new


def tombstones(corpus: Path) -> Removed | None:
    """What was taken out of a corpus; None where nothing was."""
    try:
        return Removed.model_validate_json((corpus / TOMBSTONES).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreError(f"{corpus / TOMBSTONES}: not a list of removed documents ({error})") from error


def remove_again(corpus: Path, removed: Removed) -> None:
    """After a build: take out what was taken out before, as far as it is there again. The caller holds the store."""
    manifest = read_manifest(corpus)
    found = _Finding.of(corpus, manifest, {stone.id for stone in removed.tombstones})
    _rewrite(corpus, manifest, found, removed.model_copy(update={"before": manifest.digest}))


@dataclass
class _Finding:
    """Where the wanted documents lie: rows to drop by shard, and the words by which they were asked for."""

    rows: dict[str, np.ndarray] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    matched: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, corpus: Path, manifest: Manifest, wanted: set[str]) -> _Finding:
        found, values = cls(), pa.array(sorted(wanted), pa.string())
        for file in manifest.documents:
            names = read_table(corpus / file.path, ["id", "url"])
            hits = pc.or_(*(pc.is_in(names[name], value_set=values) for name in ("id", "url")))
            if pc.any(hits).as_py():
                gone = names.filter(hits)
                found.rows[file.path] = hits.to_numpy()
                found.ids.update(gone["id"].to_pylist())
                found.matched.update({*gone["id"].to_pylist(), *gone["url"].to_pylist()} & wanted)
        return found


def _rewrite(corpus: Path, manifest: Manifest, found: _Finding, removed: Removed) -> None:
    """A new folder in place of the old, all at once: linked but for what changes."""
    with whole_folder(corpus) as new:
        books = Books(manifest)
        documents = tuple(_kept_documents(corpus, new, manifest.documents, found, books))
        tokens = tuple(_kept_rows(corpus, new, manifest.tokens, found.ids, books))
        entries = pa.Table.from_batches([_ledger(books.documents, removed)])
        held = read_table(corpus / REMOVED_LEDGER) if (corpus / REMOVED_LEDGER).exists() else entries.slice(0, 0)
        write_table(new / REMOVED_LEDGER, pa.concat_tables([held, entries]))
        write_text(new / TOMBSTONES, removed.to_json())
        for path in sorted(corpus.rglob("*")):
            place = path.relative_to(corpus)
            rewritten = {*(file.path for file in (*manifest.documents, *manifest.tokens)), REMOVED_LEDGER, TOMBSTONES}
            if path.is_file() and place.as_posix() not in {*rewritten, "manifest.json"}:
                link(path, new / place)
        after = books.manifest(documents, tokens, [stone.id for stone in removed.tombstones])
        after = after.model_copy(update={"root": root_of(new / file.path for file in documents)})
        if books.pieces:
            after = after.model_copy(update={"facts": after.facts | _vocabulary(corpus, new, after)})
        write_text(new / "manifest.json", after.to_json())


def _kept_documents(
    corpus: Path, new: Path, files: Iterable[FileDigest], found: _Finding, books: Books
) -> Iterator[FileDigest]:
    for file in files:
        if file.path not in found.rows:
            link(corpus / file.path, new / file.path)
            yield file
            continue
        table, hits = read_table(corpus / file.path), pa.array(found.rows[file.path])
        books.documents += table.filter(hits).combine_chunks().to_batches()
        kept = table.filter(pc.invert(hits))
        if kept.num_rows:
            write_table(new / file.path, kept)
            yield file_digest(new / file.path, new, kept.num_rows)


def _kept_rows(
    corpus: Path, new: Path, files: Iterable[FileDigest], ids: set[str], books: Books
) -> Iterator[FileDigest]:
    for file in files:
        pieces = pc.list_flatten(read_table(corpus / file.path, ["documents"])["documents"])
        if not pc.any(pc.is_in(pc.struct_field(pieces, "id"), value_set=pa.array(sorted(ids), pa.string()))).as_py():
            link(corpus / file.path, new / file.path)
            yield file
            continue
        split, n_rows = PurePosixPath(file.path).parent.name, 0
        pad = load(corpus / "tokenizer" / FILE).pad
        with ShardWriter(new / file.path, read_schema(corpus / file.path), TOKEN_LEVEL) as writer:
            for batch in read_table(corpus / file.path).to_batches():
                for name, count in _pieces_of(batch, ids).items():
                    books.pieces[split, name] += count
                kept = _without(batch, ids, pad)
                writer.write(kept)
                n_rows += kept.num_rows
                before, after = token_facts(batch), token_facts(kept)
                books.facts.update({f"{split}_{name}": after[name] - before[name] for name in before})
        if n_rows:
            yield file_digest(new / file.path, new, n_rows)
        else:
            (new / file.path).unlink()


def _without(batch: pa.RecordBatch, ids: set[str], pad: int) -> pa.RecordBatch:
    """The rows without pieces of these documents: what follows moves up, padding fills, empty rows go."""
    length = batch.schema.field("input_ids").type.list_size
    tokens = batch.column("input_ids").flatten().to_numpy().reshape(-1, length).copy()
    rows = batch.column("documents").to_pylist()
    kept = [[piece for piece in row if piece["id"] not in ids] for row in rows]
    for number, (row, left) in enumerate(zip(rows, kept, strict=True)):
        if len(left) == len(row):
            continue
        parts = [tokens[number, piece["start"] : piece["start"] + piece["length"]].copy() for piece in left]
        tokens[number] = pad
        at = 0
        for piece, part in zip(left, parts, strict=True):
            tokens[number, at : at + len(part)] = part
            piece["start"], at = at, at + len(part)
    full = [bool(left) for left in kept]
    ids_left = pa.FixedSizeListArray.from_arrays(pa.array(tokens[np.array(full, bool)].reshape(-1)), length)
    documents = pa.array([left for left in kept if left], pa.list_(PIECE))
    return pa.RecordBatch.from_arrays([ids_left, documents], schema=batch.schema)


def _pieces_of(batch: pa.RecordBatch, ids: set[str]) -> Counter[str]:
    pieces = batch.column("documents").flatten()
    counts: Counter[str] = Counter()
    for name, size in zip(pieces.field("id").to_pylist(), pieces.field("length").to_pylist(), strict=True):
        if name in ids:
            counts[name] += size
    return counts


def _vocabulary(corpus: Path, new: Path, after: Manifest) -> dict[str, int]:
    """How many ids are left, counted over all rows: an id that only the removed documents had is not used any more."""
    if "vocabulary_used" not in after.facts:
        return {}
    encoder = load(corpus / "tokenizer" / FILE)
    counts = np.zeros(encoder.size, dtype=np.int64)
    for file in after.tokens:
        ids = read_table(new / file.path, ["input_ids"])["input_ids"]
        counts += np.bincount(pc.list_flatten(ids).to_numpy(), minlength=encoder.size)
    counts[encoder.pad] -= sum(count for name, count in after.facts.items() if name.endswith("_padding"))
    counts[encoder.end] -= sum(group.documents for group in after.token_groups)
    return {"vocabulary_used": int((counts > 0).sum())}


def _ledger(documents: list[pa.RecordBatch], removed: Removed) -> pa.RecordBatch:
    said = {stone.id: stone for stone in removed.tombstones}
    columns = ("id", "lang", "source", "license")
    rows = [row for batch in documents for row in batch.select(columns).to_pylist()]
    told = [{**row, "stage": REMOVED, "reason": REASON, "detail": _detail(said[row["id"]])} for row in rows]
    wanted = {**VERDICT, **DOCUMENT}
    schema = pa.schema([(name, wanted[name]) for name in ("stage", "reason", "detail", *columns)])
    return conform(pa.RecordBatch.from_pylist(told, schema=schema), wanted)


def _detail(stone: Tombstone) -> str:
    return f"{stone.reason} ({stone.date})"
