"""Shards: immutable Arrow IPC files (zstd), whole or not there at all, with bytes that no batch size can change."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core.errors import StoreError

GROUP_ROWS = 1024
GROUP_BYTES = 16 << 20
"""A record batch in a shard ends before the row that would exceed either: memory is bounded by these, and the cut
depends on the rows alone."""

JOINED_BYTES = 32 << 20
"""What batches are joined up to before stages see them: a few long documents make a batch of their own."""

TOKEN_LEVEL = 1
"""zstd level of packed rows: for ids, level 3 takes twice the time and saves a twelfth of the room."""

PARQUET = ".parquet"
"""What the name of a shard of a release ends in; those of a build are Arrow."""

TEMPORARY = ".tmp-"
"""Start of the name of every file and folder that is still being made."""


def shard_name(index: int) -> str:
    """`shard-00000`; sorts by index."""
    return f"shard-{index:05d}"


@contextmanager
def whole(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it if the block succeeds: no partial file is seen under its name.

    Without `sync` it may be lost with the power: for what is scratch, or is sealed later.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:12]}-{path.name}")
    try:
        yield temporary
        if sync:
            _sync(temporary)
        temporary.replace(path)
    finally:
        if temporary.exists():
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a small file whole."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_checked(path: Path, text: str) -> None:
    """Write a small file whole, with its sha256 as a last line."""
    write_text(path, f"{text}\n{_sha256(text)}\n")


def read_checked(path: Path) -> str | None:
    """What `write_checked` wrote; None where there is no such file, or it was changed since."""
    try:
        text, _, check = path.read_text(encoding="utf-8").removesuffix("\n").rpartition("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if check == _sha256(text) else None


def sweep_away(folder: Path) -> None:
    """Remove what killed workers and builds left under temporary names below a folder."""
    for stray in [path for path in folder.rglob(".*") if path.name.startswith(TEMPORARY)]:
        if stray.is_dir():
            shutil.rmtree(stray, ignore_errors=True)
        else:
            stray.unlink(missing_ok=True)


class ShardWriter:
    """Writes batches of any size as one shard; use as a context manager, visible only after a clean exit.

    With `level` None nothing is compressed: hashes do not get smaller, and only the columns asked for are read.
    """

    def __init__(self, path: Path, schema: pa.Schema, level: int | None = 3) -> None:
        self.schema = schema
        self.rows = 0
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self._whole = whole(path)
        self._writer = _open_writer(self._whole.__enter__(), schema, level)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; they reach the file in record batches cut by `GROUP_ROWS` and `GROUP_BYTES`."""
        if batch.num_rows == 0:
            return
        self.rows += batch.num_rows
        self._held.append(batch)
        self._held_bytes += int(row_bytes(batch).sum())
        if sum(held.num_rows for held in self._held) > GROUP_ROWS or self._held_bytes > GROUP_BYTES:
            self._flush(last=False)

    def _flush(self, *, last: bool) -> None:
        """Write every record batch that no later row can join, and with `last` the rest too."""
        table = pa.Table.from_batches(self._held, schema=self.schema).combine_chunks()
        ends = group_ends(table)
        start = 0
        for stop in ends if last else ends[:-1]:
            for batch in table.slice(start, stop - start).to_batches():
                self._writer.write_batch(_compact(batch))
            start = stop
        rest = table.slice(start)
        self._held = rest.to_batches()
        self._held_bytes = int(row_bytes(rest).sum())

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._held:
                self._flush(last=True)
        finally:
            self._writer.close()
        self._whole.__exit__(kind, error, trace)


def group_ends(table: pa.Table) -> list[int]:
    """Row numbers at which a stream of these rows is cut into record batches."""
    n_rows = table.num_rows
    held = np.append(0, np.cumsum(row_bytes(table)))
    ends: list[int] = []
    start = 0
    while start < n_rows:
        fits = int(np.searchsorted(held, held[start] + GROUP_BYTES, side="right")) - 1
        start = min(max(fits, start + 1), start + GROUP_ROWS, n_rows)
        ends.append(start)
    return ends


def row_bytes(rows: pa.Table | pa.RecordBatch) -> np.ndarray:
    """Bytes of the strings and the token ids of each row."""
    sizes = np.zeros(rows.num_rows, dtype=np.int64)
    for column in rows.columns:
        if pa.types.is_large_string(column.type) or pa.types.is_string(column.type):
            sizes += pc.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False)
        elif pa.types.is_fixed_size_list(column.type):
            sizes += column.type.list_size * column.type.value_type.bit_width // 8
    return sizes


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as one shard."""
    with ShardWriter(path, table.schema) as writer:
        for batch in table.to_batches():
            writer.write(batch)


def read_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The record batches of a shard, Arrow (memory-mapped) or Parquet; StoreError names a file that is damaged.

    With `columns` only these are read. Parquet is read a row group at a time, and its page checksums are verified.
    """
    with _readable(path):
        if path.suffix == PARQUET:
            with _parquet(path) as file:
                yield from file.iter_batches(GROUP_ROWS, columns=columns, use_threads=False)
            return
        with pa.memory_map(os.fspath(path)) as stream:
            reader = pa.ipc.open_file(stream, options=_only(columns, path))
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A whole shard, or some of its columns, as a table."""
    schema = read_schema(path)
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns])
    return pa.Table.from_batches([batch.select(schema.names) for batch in read_batches(path, columns)], schema=schema)


def read_schema(path: Path) -> pa.Schema:
    """The columns of a shard."""
    with _readable(path):
        if path.suffix == PARQUET:
            with _parquet(path) as file:
                return file.schema_arrow.remove_metadata()
        with pa.memory_map(os.fspath(path)) as stream:
            return pa.ipc.open_file(stream).schema


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        kind = "Parquet" if path.suffix == PARQUET else "Arrow"
        raise StoreError(f"{path}: not a whole {kind} file ({error}); build or download it again") from error


def _parquet(path: Path) -> pq.ParquetFile:
    return pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)


def _only(columns: Sequence[str] | None, path: Path) -> pa.ipc.IpcReadOptions:
    if columns is None:
        return pa.ipc.IpcReadOptions()
    schema = read_schema(path)
    return pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in columns])


def rebatch(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at most `rows`; small neighbours are joined, up to `JOINED_BYTES`."""
    held: list[pa.RecordBatch] = []
    count, n_bytes = 0, 0
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            piece = batch.slice(start, rows)
            if held and (count + piece.num_rows > rows or n_bytes + piece.nbytes > JOINED_BYTES):
                yield _joined(held)
                held, count, n_bytes = [], 0, 0
            held.append(piece)
            count, n_bytes = count + piece.num_rows, n_bytes + piece.nbytes
    if held:
        yield _joined(held)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _compact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A copy without the slack of slicing: equal rows give equal bytes."""
    indices = pa.array(np.arange(batch.num_rows))
    taken: pa.RecordBatch = batch.take(indices)
    return taken


def _open_writer(path: Path, schema: pa.Schema, level: int | None) -> pa.RecordBatchFileWriter:
    codec = None if level is None else pa.Codec("zstd", compression_level=level)
    options = pa.ipc.IpcWriteOptions(compression=codec)
    return pa.ipc.new_file(os.fspath(path), schema, options=options)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
