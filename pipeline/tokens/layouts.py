"""Packed rows as trainers read them: a raw stream of tokens with small indexes beside it, or a trainer's own shards.

The payload is the same for nanoGPT, OLMo-core, nanotron and Megatron: rows of ids, row-major, without a header. What
differs are the indexes. `layout.json` says what lies there and is written last.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.backends.tokenizer import CONFIG, FILE, load
from pipeline.core.asset import sha256_file
from pipeline.core.errors import GristmillError, MissingBackend, StoreError, UsageError
from pipeline.core.manifest import Manifest, read_manifest
from pipeline.core.packed import LAYOUT_FILE, Layout, LayoutFile, LayoutSheet, token_facts
from pipeline.core.shards import ShardWriter, read_batches, read_schema, read_table, whole, write_text

FILE_TOKENS = 1 << 30
"""Tokens in a file of `bin`, `megatron` and `parquet` at most, rows being whole."""

SHUFFLE_BYTES = 1 << 28
"""Ids that a shuffle holds in memory at once."""

SMALL = 1 << 16
"""Ids of a vocabulary up to this size are stored in two bytes, of a larger one in four."""

MEGATRON_MAGIC = b"MMIDIDX\x00\x00"
MEGATRON_CODES = {np.dtype("<u2"): 8, np.dtype("<i4"): 4}
"""Megatron knows no uint32: ids, being below 2^31, have the same bytes as int32."""


def export(corpus: Path, layout: Layout, out: Path, shuffle: int | None = None) -> LayoutSheet:
    """Write the packed rows of a corpus into a new folder, in order of shards or shuffled over all of them by a seed.

    GristmillError where there are no packed rows or the folder is not empty; MissingBackend names what to install.
    """
    manifest = read_manifest(corpus)
    splits = _splits(corpus, manifest)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: not empty; name a new folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    encoder = load(corpus / "tokenizer" / FILE)
    schema = read_schema(splits["train" if "train" in splits else next(iter(splits))][0])
    length: int = schema.field("input_ids").type.list_size
    dtype = np.dtype("<u2") if encoder.size <= SMALL else np.dtype("<i4")
    counts: dict[str, dict[str, int]] = {}
    for split, shards in splits.items():
        counts[split] = {}
        with ExitStack() as stack:
            rows = stack.enter_context(_Shuffled(shards, shuffle)) if shuffle is not None else _in_order(shards)
            writer = stack.enter_context(_WRITERS[layout](out, split, length, dtype))
            for batch in rows:
                writer.write(batch)
                for name, count in token_facts(batch).items():
                    counts[split][name] = counts[split].get(name, 0) + count
    for name in (FILE, CONFIG):
        if (corpus / "tokenizer" / name).exists():
            write_text(out / name, (corpus / "tokenizer" / name).read_text(encoding="utf-8"))
    sheet = LayoutSheet(
        layout=layout,
        corpus=manifest.digest,
        dtype=dtype.name,
        length=length,
        vocabulary=encoder.size,
        end=encoder.end,
        pad=encoder.pad,
        shuffle=shuffle,
        splits=counts,
        files=tuple(
            LayoutFile(path=path.relative_to(out).as_posix(), bytes=path.stat().st_size, sha256=sha256_file(path))
            for path in sorted(out.rglob("*"))
            if path.is_file()
        ),
    )
    write_text(out / LAYOUT_FILE, sheet.to_json())
    return sheet


def boundaries(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """Where pieces begin in each row and, last, where padding does (int32), with the offsets of rows (int64).

    What flash attention calls `cu_seqlens`, short of the row's length where there is padding.
    """
    column = batch.column("documents")
    pieces = column.flatten()
    per_row = pc.list_value_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
    start, size = (pieces.field(name).to_numpy(zero_copy_only=False) for name in ("start", "length"))
    offsets = np.concatenate([[0], np.cumsum(per_row + 1)])
    last = np.cumsum(per_row) - 1
    found = np.empty(int(offsets[-1]), dtype=np.int32)
    is_end = np.zeros(len(found), dtype=bool)
    is_end[offsets[1:] - 1] = True
    found[~is_end] = start
    found[is_end] = (start + size)[last]
    return found, offsets


def _splits(corpus: Path, manifest: Manifest) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in manifest.tokens:
        path = corpus / file.path
        if not path.exists():
            raise StoreError(f"{path}: the manifest has this shard and it is not here; build again")
        found.setdefault(PurePosixPath(file.path).parent.name, []).append(path)
    if not found:
        raise GristmillError(f"{corpus}: no packed rows; add `tokenizer` and `pack` to the recipe and build again")
    return found


def _in_order(shards: list[Path]) -> Iterator[pa.RecordBatch]:
    for shard in shards:
        yield from read_batches(shard)


class _Shuffled:
    """The rows of all shards in an order in which every permutation is as likely: sorted by a draw for each row.

    Draws are cut into ranges; a first pass sends each row to the file of its range, a second reads file by file.
    """

    def __init__(self, shards: list[Path], seed: int) -> None:
        self.shards, self.seed = shards, seed
        self.scratch = TemporaryDirectory(prefix="gristmill-shuffle-")

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        schema = read_schema(self.shards[0]).append(pa.field("draw", pa.float64()))
        row_bytes = 4 * schema.field("input_ids").type.list_size
        n_rows = sum(batch.num_rows for batch in _in_order(self.shards))
        n_files = max(1, -(-n_rows * row_bytes // SHUFFLE_BYTES))
        files = [Path(self.scratch.name) / f"{number:05d}.arrow" for number in range(n_files)]
        chance = np.random.Generator(np.random.Philox(self.seed))
        with ExitStack() as stack:
            writers = [stack.enter_context(ShardWriter(file, schema)) for file in files]
            for batch in _in_order(self.shards):
                draw = chance.random(batch.num_rows)
                drawn = batch.append_column("draw", pa.array(draw))
                numbers = (draw * n_files).astype(np.int64)
                for number in np.unique(numbers).tolist():
                    writers[number].write(drawn.filter(pa.array(numbers == number)))
        for file in files:
            table = read_table(file).sort_by("draw").drop_columns("draw")
            yield from table.combine_chunks().to_batches()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.scratch.cleanup()


class _Files(ABC):
    """Writes files of whole rows, `FILE_TOKENS` tokens each at most: `<split>-00000`, `<split>-00001` and so on."""

    def __init__(self, out: Path, split: str, length: int, dtype: np.dtype[Any]) -> None:
        self.out, self.split, self.length, self.dtype = out, split, length, dtype
        self.number = self.rows = 0
        self.stack = ExitStack()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows, to the open file or to the next."""
        room = max(1, FILE_TOKENS // self.length)
        while batch.num_rows:
            if self.rows == room:
                self.finish()
            if self.rows == 0:
                self.begin(self.out / f"{self.split}-{self.number:05d}")
            part = batch.slice(0, room - self.rows)
            self.add(part)
            self.rows += part.num_rows
            batch = batch.slice(part.num_rows)

    def finish(self) -> None:
        """Close the open file."""
        if self.rows:
            self.end()
            self.stack.close()
            self.number, self.rows = self.number + 1, 0

    @abstractmethod
    def begin(self, stem: Path) -> None:
        """Open the file that is called so but for the suffix."""

    @abstractmethod
    def add(self, batch: pa.RecordBatch) -> None:
        """Write rows into the open file."""

    @abstractmethod
    def end(self) -> None:
        """Write what stands beside the open file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.stack.__exit__(kind, error, trace)


class _Bin(_Files):
    """`.bin`: the ids; `.cu.npy` and `.cuoff.npy`: `boundaries`; `.docs.parquet`: the document of every piece."""

    def begin(self, stem: Path) -> None:
        self.stem = stem
        self.stream = self.stack.enter_context(self.stack.enter_context(whole(stem.with_suffix(".bin"))).open("wb"))
        self.pieces: list[pa.RecordBatch] = []
        self.bounds: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, batch: pa.RecordBatch) -> None:
        self.stream.write(_ids(batch).astype(self.dtype).data)
        self.bounds.append(boundaries(batch))
        column = batch.column("documents")
        row = pc.list_parent_indices(column).cast(pa.int64())
        fields = dict(zip(("id", "start", "length", "offset"), column.flatten().flatten(), strict=True))
        self.pieces.append(pa.RecordBatch.from_pydict({"row": pc.add(row, self.rows), **fields}))

    def end(self) -> None:
        import pyarrow.parquet as pq

        sizes = np.concatenate([np.diff(offsets) for _, offsets in self.bounds])
        _save(self.stem.with_suffix(".cu.npy"), np.concatenate([found for found, _ in self.bounds]))
        _save(self.stem.with_suffix(".cuoff.npy"), np.concatenate([[0], np.cumsum(sizes)]))
        with whole(self.stem.with_suffix(".docs.parquet")) as temporary:
            pq.write_table(pa.Table.from_batches(self.pieces), temporary, compression="zstd")


class _Megatron(_Files):
    """`.bin` and `.idx` as `IndexedDataset` of Megatron reads them; a row is a sequence and a document."""

    def begin(self, stem: Path) -> None:
        self.stem = stem
        self.stream = self.stack.enter_context(self.stack.enter_context(whole(stem.with_suffix(".bin"))).open("wb"))

    def add(self, batch: pa.RecordBatch) -> None:
        self.stream.write(_ids(batch).astype(self.dtype).data)

    def end(self) -> None:
        n = self.rows
        with whole(self.stem.with_suffix(".idx")) as temporary, temporary.open("wb") as stream:
            stream.write(MEGATRON_MAGIC)
            stream.write(struct.pack("<QBQQ", 1, MEGATRON_CODES[self.dtype], n, n + 1))
            stream.write(np.full(n, self.length, dtype="<i4").tobytes())
            stream.write((np.arange(n, dtype="<i8") * self.length * self.dtype.itemsize).tobytes())
            stream.write(np.arange(n + 1, dtype="<i8").tobytes())


class _Parquet(_Files):
    """`input_ids` and the lengths of the pieces in `seq_lengths`, for `datasets` and the trainers built on it."""

    def begin(self, stem: Path) -> None:
        import pyarrow.parquet as pq

        ids = pa.field("input_ids", pa.list_(pa.int32(), self.length))
        schema = pa.schema([ids, ("seq_lengths", pa.list_(pa.int32()))])
        temporary = self.stack.enter_context(whole(stem.with_suffix(".parquet")))
        self.writer = self.stack.enter_context(pq.ParquetWriter(temporary, schema, compression="zstd"))

    def add(self, batch: pa.RecordBatch) -> None:
        column = batch.column("documents")
        sizes = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        ends = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
        lengths = pa.ListArray.from_arrays(ends, column.flatten().field("length"))
        ids = pa.FixedSizeListArray.from_arrays(pa.array(_ids(batch)), self.length)
        self.writer.write_batch(pa.RecordBatch.from_arrays([ids, lengths], schema=self.writer.schema))

    def end(self) -> None:
        """Nothing stands beside it."""


class _Mds:
    """MDS shards for `StreamingDataset`, by its own writer: `tokens`, an int32 array of the row's length."""

    def __init__(self, out: Path, split: str, length: int, dtype: np.dtype[Any]) -> None:
        try:
            from streaming import MDSWriter
        except ImportError:
            raise MissingBackend("streaming", "the layout mds", "pip install 'gristmill[mds]'") from None
        self.writer = MDSWriter(out=str(out / split), columns={"tokens": "ndarray:int32"}, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        for row in _rows(batch):
            self.writer.write({"tokens": row})

    def __enter__(self) -> Self:
        self.writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.__exit__(kind, error, trace)


class _Litdata:
    """Chunks for `StreamingDataset(item_loader=TokensLoader(length))` of litdata, by its own writer."""

    def __init__(self, out: Path, split: str, length: int, dtype: np.dtype[Any]) -> None:
        try:
            from litdata.streaming.cache import Cache
            from litdata.streaming.item_loader import TokensLoader
        except ImportError:
            raise MissingBackend("litdata", "the layout litdata", "pip install 'gristmill[litdata]'") from None
        folder = out / split
        folder.mkdir(parents=True)
        rows = max(1, (1 << 26) // (4 * length))
        self.cache = Cache(str(folder), chunk_size=rows * length, item_loader=TokensLoader(length))
        self.rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        import torch

        for row in _rows(batch):
            self.cache[self.rows] = torch.from_numpy(row.copy())
            self.rows += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.cache.done()
            self.cache.merge()


_WRITERS: dict[str, Callable[[Path, str, int, np.dtype[Any]], Any]] = {
    "bin": _Bin,
    "megatron": _Megatron,
    "mds": _Mds,
    "litdata": _Litdata,
    "parquet": _Parquet,
}
assert set(_WRITERS) == set(get_args(Layout))


def _ids(batch: pa.RecordBatch) -> np.ndarray:
    return batch.column("input_ids").flatten().to_numpy(zero_copy_only=True)


def _rows(batch: pa.RecordBatch) -> np.ndarray:
    return _ids(batch).reshape(batch.num_rows, -1)


def _save(path: Path, array: np.ndarray) -> None:
    with whole(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array)
