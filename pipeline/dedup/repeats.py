"""What paragraph and substring deduplication share: find what repeats, keep the first, cut the others out of the text.

Both compare windows: a window starts at a place of its document and has a 64-bit key, equal where the texts are. The
first occurrence is that in the document which comes first (by source, then id, then where it was read), and in it the
one that starts first. Whatever is cut out stands earlier as well, so that the very first occurrence of anything is
never cut; it is lost only if its document is dropped, because too little is left of it or by a later stage. Documents
of older builds (`against`) come before all others.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.core.folders import remove_tree
from pipeline.core.schema import DOCUMENT
from pipeline.core.shards import read_batches, read_table, whole
from pipeline.core.stage import Count, Decision, Exchange, Share, Sketches
from pipeline.core.verdict import Reason, Verdict
from pipeline.dedup.against import Incremental, Origins
from pipeline.dedup.clusters import IDENTITY, identity, runs, write_by_shard
from pipeline.dedup.windows import PLACE, WINDOW, packed, unpacked, window_table
from pipeline.kernels.bloom import SeenTwice


class Repeats(Incremental):
    """Base of the stages that cut repeated windows out of texts."""

    min_share: Share = Field(0.0, description="share of the characters that must be left of a document that was cut")
    min_left: Count = Field(1, description="characters that must be left of a document that was cut")
    bloom_bytes: int | None = Field(
        None,
        ge=1 << 10,
        description="memory of Bloom filters that keep unrepeated windows out of the shuffle; less shuffling for one "
        "pass in a single process. False positives are shuffled in vain: the outcome is the same, and so is its key",
    )

    reads: ClassVar[tuple[str, ...]] = (*IDENTITY, "text")
    writes = {"text": DOCUMENT["text"]}
    reasons: ClassVar[tuple[str, ...]] = ("too_little_left",)

    def fields(self) -> dict[str, Any]:
        """The fields without `bloom_bytes`, which changes no outcome."""
        return {name: value for name, value in super().fields().items() if name != "bloom_bytes"}

    def settings(self) -> dict[str, Any]:
        """All but what only says how much must be left."""
        return {name: value for name, value in self.fields().items() if name not in ("min_share", "min_left")}

    @property
    def least_documents(self) -> int:
        """In how many documents a window must occur to be cut from any."""
        return 1

    @abstractmethod
    def candidates(self, table: pa.Table) -> pa.Table:
        """The windows (columns `WINDOW`) of a sketch that are looked for in all others."""

    @abstractmethod
    def windows(self, table: pa.Table, repeated: pa.Table) -> pa.Table:
        """The windows that are compared in the end, given which candidates of this sketch occur elsewhere."""

    @abstractmethod
    def cut(self, text: str, at: np.ndarray) -> str:
        """The text without the windows that start at these places."""

    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        """For each shard the windows to cut, sorted by row and place.

        The repeated windows of one shard have to fit in the memory of one worker, 24 bytes each and twice that to
        sort them; strings are only compared once for each document of a partition.
        """
        compared = self.compared(sketches)
        files = compared.files
        repeated = out / "repeated"
        repeated.mkdir()
        if self.bloom_bytes is None:
            found = exchange(files, self.keyed, _several)
            write_by_shard(found, exchange, partial(_write_places, folder=repeated, columns=tuple(WINDOW.names)))
        else:
            seen = SeenTwice.of_bytes(self.bloom_bytes)
            for file in files:
                seen.add(self.candidates(read_table(file))["window"].to_numpy())
            with whole(repeated / "bloom.npy", sync=False) as temporary:
                np.save(temporary, seen.words)
        windows = partial(_compared, stage=self, origins=compared.origins, folder=repeated)
        but_first = partial(_but_first, least_documents=self.least_documents, origins=compared.origins, folder=repeated)
        cuts = exchange(files, windows, but_first)
        compared.write_facts("cut against", cuts, out)
        write_by_shard(cuts, exchange, partial(_write_places, folder=out, columns=tuple(PLACE)))
        remove_tree(repeated)

    def keyed(self, table: pa.Table) -> pa.Table:
        """The candidates with their shard."""
        return _keyed(self.candidates(table), _shard_of(table))

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """Cut, and drop what has too little left; a dropped document keeps its whole text in the ledger."""
        texts = batch.column("text")
        edited: dict[int, str] = {}
        reasons: dict[int, Reason] = {}
        for row, at in _places(decision, batch.num_rows):
            left = self.left(texts[row].as_py() or "", at)
            if isinstance(left, Reason):
                reasons[row] = left
            else:
                edited[row] = left
        if not edited and not reasons:
            return Verdict()
        said: Sequence[Reason | None] = [reasons.get(row) for row in range(batch.num_rows)]
        changed = [edited.get(row, text) for row, text in enumerate(texts.to_pylist())] if edited else texts
        return Verdict.of(said, {"text": pa.array(changed, DOCUMENT["text"])})

    def left(self, text: str, at: np.ndarray) -> str | Reason:
        """The text without the windows that start at these places, or why its document goes."""
        left = self.cut(text, at)
        n_before, n_left = len(text.strip()), len(left.strip())
        lost = f"{n_before - n_left} of {n_before} characters were repeated"
        if n_left < max(1, self.min_left):
            return Reason("too_little_left", n_left, max(1, self.min_left), detail=lost)
        if n_left < self.min_share * n_before:
            return Reason("too_little_left", n_left / n_before, self.min_share, detail=lost)
        return left


class Listed(Repeats):
    """Base of those whose sketch lists a key for every place (column `spans`), 0 where nothing is compared."""

    def candidates(self, table: pa.Table) -> pa.Table:
        """All that are compared."""
        counts, keys = unpacked(table["spans"], np.uint64)
        at = np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)
        row = np.repeat(table["row"].to_numpy(), counts)
        filled = keys != 0
        return window_table(keys[filled], row[filled], at[filled])

    def windows(self, table: pa.Table, repeated: pa.Table) -> pa.Table:
        """The repeated ones as they are."""
        return repeated


def listed(batch: pa.RecordBatch, keys: Sequence[np.ndarray]) -> pa.RecordBatch:
    """The sketch of a `Listed`; documents with nothing to compare have no row."""
    filled = np.flatnonzero([key.any() for key in keys])
    columns = identity(batch.take(pa.array(filled, pa.int64())))
    columns["spans"] = packed([keys[row] for row in filled], np.uint64)
    return pa.RecordBatch.from_pydict(columns)


def _shard_of(table: pa.Table) -> int:
    return table["shard"][0].as_py() if table.num_rows else -1


def _keyed(windows: pa.Table, shard: int) -> pa.Table:
    """As the exchange wants them: by window, with their shard."""
    shards = pa.array(np.full(windows.num_rows, shard, np.int32))
    return windows.rename_columns({"window": "key"}).append_column("shard", shards)


def _several(table: pa.Table) -> pa.Table:
    """The windows that occur more than once."""
    return _in_groups(table).rename_columns({"key": "window"})


def _in_groups(table: pa.Table) -> pa.Table:
    """The rows whose key is not alone."""
    starts, ends = runs(table["key"].to_numpy())
    return table.filter(pa.array(np.repeat(ends - starts > 1, ends - starts)))


def _compared(table: pa.Table, stage: Repeats, origins: Origins, folder: Path) -> pa.Table:
    """The windows of a sketch that are compared in the end; what ranks their documents is left in a file."""
    shard = _shard_of(table)
    windows = stage.windows(table, _repeated(table, stage, folder, shard))
    documents = table.select(["shard", "row", "id", "source", "place"])
    concerned = np.isin(documents["row"].to_numpy(), windows["row"].to_numpy())
    _write(_documents_file(folder, shard), origins.ranked(documents.filter(pa.array(concerned))))
    return _keyed(windows, shard)


def _repeated(table: pa.Table, stage: Repeats, folder: Path, shard: int) -> pa.Table:
    """The candidates of a sketch that occur elsewhere (a few more where a Bloom filter says so), by row and place."""
    bloom = folder / "bloom.npy"
    if bloom.exists():
        found = stage.candidates(table)
        return found.filter(pa.array(SeenTwice(np.load(bloom, mmap_mode="r")).twice(found["window"].to_numpy())))
    path = _places_file(folder, shard)
    return read_table(path) if path.exists() else WINDOW.empty_table()


def _but_first(table: pa.Table, least_documents: int, origins: Origins, folder: Path) -> pa.Table:
    """Of every window all occurrences in new documents but the first, if it is in enough documents.

    `twin_shard` is the shard of the first.
    """
    table = _in_groups(table)
    addresses = (table["shard"].to_numpy().astype(np.int64) << 32) + table["row"].to_numpy()
    document, number = np.unique(addresses, return_inverse=True)
    precedence = _precedence(folder, document)[number]
    order = np.lexsort((table["at"].to_numpy(), precedence, table["key"].to_numpy()))
    table, precedence = table.take(pa.array(order)), precedence[order]
    starts, ends = runs(table["key"].to_numpy())
    cut = np.ones(table.num_rows, bool)
    cut[starts] = False
    if least_documents > 1 and len(starts):
        changes = np.append(True, precedence[1:] != precedence[:-1])
        changes[starts] = True
        cut &= np.repeat(np.add.reduceat(changes, starts, dtype=np.int64) >= least_documents, ends - starts)
    first = np.repeat(table["shard"].to_numpy()[starts], ends - starts)
    cuts = table.select(["shard", *PLACE]).append_column("twin_shard", pa.array(first, pa.int32()))
    return origins.new(cuts.filter(pa.array(cut)))


def _precedence(folder: Path, document: np.ndarray) -> np.ndarray:
    """The position of each document (shard and row in one number, sorted) in the order in which they are kept."""
    shard, row = np.divmod(document, 1 << 32)
    found = []
    for start, stop in zip(*runs(shard), strict=True):
        known = read_table(_documents_file(folder, int(shard[start])))
        found.append(known.take(pa.array(np.searchsorted(known["row"].to_numpy(), row[start:stop]))))
    if not found:
        return np.empty(0, np.int64)
    order = pc.sort_indices(
        pa.concat_tables(found), sort_keys=[(name, "ascending") for name in ("build", "rank", "id", "place")]
    )
    position = np.empty(len(document), np.int64)
    position[order.to_numpy()] = np.arange(len(document))
    return position


def _write_places(table: pa.Table, shard: int, folder: Path, columns: tuple[str, ...]) -> None:
    """Write the places of one shard, sorted and each once."""
    table = table.select(list(columns)).sort_by([(name, "ascending") for name in PLACE])
    _write(_places_file(folder, shard), table)


def _write(path: Path, table: pa.Table) -> None:
    with whole(path) as temporary, pa.ipc.new_file(os.fspath(temporary), table.schema) as writer:
        writer.write_table(table.combine_chunks())


def _documents_file(folder: Path, shard: int) -> Path:
    return folder / f"documents-{shard:05d}.arrow"


def _places_file(folder: Path, shard: int) -> Path:
    return folder / f"places-{shard:05d}.arrow"


def _places(decision: Decision, n_rows: int) -> list[tuple[int, np.ndarray]]:
    """For each document of a batch that is cut, its row in the batch and the places."""
    path = _places_file(decision.folder, decision.shard)
    if not path.exists():
        return []
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for piece in read_batches(path):
        row = piece["row"].to_numpy()
        first, last = np.searchsorted(row, [decision.start, decision.start + n_rows])
        found.append((row[first:last] - decision.start, piece["at"].to_numpy()[first:last]))
    row, at = (np.concatenate(column) for column in zip(*found, strict=True))
    return [(int(row[start]), at[start:stop]) for start, stop in zip(*runs(row), strict=True)]
