"""Documents from Parquet and Arrow tables: read in bounded pieces, a damaged piece accounted for row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core.errors import SourceError
from pipeline.core.schema import SOURCE
from pipeline.core.shards import row_bytes
from pipeline.sources.columns import Columns, absent
from pipeline.sources.expand import RATIO, RATIO_FROM
from pipeline.sources.languages import language
from pipeline.sources.records import BYTES, ISO_DATE, ROWS, Origin, batches
from pipeline.sources.sound import by_text, first_line, is_text, unsound

Cut = tuple[int, int, int]
"""First row, row after the last, and about how many bytes lie between."""


_MOST_LOST = 1 << 16
"""Rows of a damaged piece that have an entry each."""


class Piece(NamedTuple):
    """Rows from `first` on; `batch` is None where `n_rows` rows cannot be read, and `problem` says why."""

    first: int
    n_rows: int
    batch: pa.RecordBatch | None
    problem: str = ""


def cuts(path: Path, file: str, kind: str, part_bytes: int) -> list[Cut]:
    """Where a table may be cut into parts of about `part_bytes`: between row groups, or record batches of a file."""
    if kind == "parquet":
        metadata = _parquet(path, file).metadata
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        sizes = [
            (group.num_rows, sum(group.column(index).total_compressed_size for index in range(group.num_columns)))
            for group in groups
        ]
    else:
        with pa.memory_map(str(path)) as source:
            if not _is_arrow_file(source):
                return []
            one = pa.ipc.IpcReadOptions(included_fields=[0])
            reader = pa.ipc.open_file(source, options=one)
            share = path.stat().st_size // max(1, reader.num_record_batches)
            sizes = [(reader.get_batch(index).num_rows, share) for index in range(reader.num_record_batches)]
    return _joined(sizes, part_bytes)


def table_batches(
    source: Path | BinaryIO, kind: str, origin: Origin, columns: Columns, start: int = 0, stop: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The documents of rows `start` to `stop`; SourceError where no row can be read."""
    size, n_out = source.stat().st_size if isinstance(source, Path) else 1 << 40, 0
    pieces = _parquet_pieces if kind == "parquet" else _arrow_pieces
    for piece in pieces(source, origin.file, columns, start, stop):
        if piece.batch is None or (problem := unsound(piece.batch)):
            yield from batches(_lost(piece, origin, piece.problem or problem))
            continue
        at = 0
        for rows, n_bytes in by_text(piece.batch, columns.text):
            n_out += n_bytes
            if n_out > RATIO_FROM and n_out > RATIO * size:
                rest = piece._replace(first=piece.first + at, n_rows=piece.n_rows - at)
                yield from batches(_lost(rest, origin, f"expands to more than {RATIO} times its size"))
                return
            yield from _documents(rows, piece.first + at, origin, columns)
            at += rows.num_rows


def _lost(piece: Piece, origin: Origin, problem: str) -> Iterator[dict[str, Any]]:
    """An entry for each row that cannot be read; one for all, where there are said to be more than anyone can count."""
    if piece.n_rows <= _MOST_LOST:
        yield from (origin.unreadable(piece.first + row, problem) for row in range(piece.n_rows))
    else:
        yield origin.unreadable(piece.first, f"{piece.n_rows} rows: {problem}")


def _parquet(source: Path | BinaryIO, file: str, shared: list[str] | None = None) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(source, read_dictionary=shared)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(file, f"not a whole Parquet file ({error}): download or write it again") from None


def _parquet_pieces(
    source: Path | BinaryIO, file: str, columns: Columns, start: int, stop: int | None
) -> Iterator[Piece]:
    with _parquet(source, file, _shared(source, file, columns)) as table:
        wanted = _check(table.schema_arrow, file, columns)
        first = 0
        for index in range(table.metadata.num_row_groups):
            group = table.metadata.row_group(index)
            done, end = first, first + group.num_rows
            if end > start and (stop is None or first < stop):
                rows = int(np.clip(BYTES * group.num_rows // max(1, group.total_byte_size), 1, ROWS))
                try:
                    for batch in table.iter_batches(rows, row_groups=[index], columns=wanted, use_threads=False):
                        yield Piece(done, batch.num_rows, batch)
                        done += batch.num_rows
                except (pa.ArrowException, OSError) as error:
                    if not isinstance(source, Path):
                        message = f"reading broke off in row group {index} ({first_line(error)}); run the same again"
                        raise SourceError(file, message) from None
                    yield Piece(done, end - done, None, f"damaged row group {index} ({first_line(error)})")
            first = end


def _shared(source: Path | BinaryIO, file: str, columns: Columns) -> list[str]:
    """The columns to be read as the dictionaries that they are stored as: written out, they could fill any memory."""
    with _parquet(source, file) as table:
        if not isinstance(source, Path):
            source.seek(0)
        groups = [table.metadata.row_group(index) for index in range(table.metadata.num_row_groups)]
        chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
        return sorted(
            {
                chunk.path_in_schema
                for chunk in chunks
                if chunk.path_in_schema == columns.text and chunk.has_dictionary_page
            }
        )


def _arrow_pieces(path: Path | BinaryIO, file: str, columns: Columns, start: int, stop: int | None) -> Iterator[Piece]:
    first = 0
    with pa.memory_map(str(path)) as source:
        try:
            is_file = _is_arrow_file(source)
            reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(file, f"not an Arrow file or stream ({first_line(error)})") from None
        wanted = _check(reader.schema, file, columns)
        found = (reader.get_batch(index) for index in range(reader.num_record_batches)) if is_file else iter(reader)
        while True:
            try:
                batch = next(found, None)
            except (pa.ArrowException, OSError) as error:
                yield Piece(first, 1, None, f"damaged record batch, nothing after it is read ({first_line(error)})")
                return
            if batch is None or (stop is not None and first >= stop):
                return
            if first >= start:
                yield Piece(first, batch.num_rows, batch.select(wanted))
            first += batch.num_rows


def _is_arrow_file(source: pa.NativeFile) -> bool:
    magic = bytes(source.read(6))
    source.seek(0)
    return magic == b"ARROW1"


def _check(schema: pa.Schema, file: str, columns: Columns) -> list[str]:
    """The columns to read; SourceError for one that is not there or cannot be text."""
    mapped = columns.mapped()
    for column, name in mapped.items():
        if name not in schema.names:
            raise absent(file, name, schema.names)
        dtype = schema.field(name).type
        dtype = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
        fits = is_text(dtype) or pa.types.is_null(dtype)
        fits |= column == "id" and pa.types.is_integer(dtype)
        fits |= column == "date" and pa.types.is_temporal(dtype)
        if not fits:
            raise SourceError(file, f"column {name!r} is {dtype}, not text: change `columns`")
    return list(dict.fromkeys(mapped.values()))


def _documents(batch: pa.RecordBatch, first: int, origin: Origin, columns: Columns) -> Iterator[pa.RecordBatch]:
    """The batch with the columns of `schema.SOURCE`, bounded; row by row where a string is no UTF-8 or a text null."""
    mapped = columns.mapped()
    try:
        found = {column: _text(batch.column(name), column) for column, name in mapped.items()}
        for array in found.values():
            array.validate(full=True)
    except pa.ArrowInvalid:
        found = {}
    if not found or found["text"].null_count:
        yield from batches(_rows(batch, first, origin, mapped))
        return
    ids = [origin.id(first + row) for row in range(batch.num_rows)]
    given = found.get("id", pa.nulls(batch.num_rows, pa.string()))
    licenses = found.get("license", pa.nulls(batch.num_rows, pa.string()))
    constant = {"source": origin.source, "terms": origin.terms, "file": origin.file}
    arrays: dict[str, pa.Array] = {
        **found,
        **{name: pa.repeat(pa.scalar(value, pa.string()), batch.num_rows) for name, value in constant.items()},
        "id": pc.coalesce(given, pa.array(ids)),
        "license": pc.coalesce(licenses, pa.scalar(origin.license)),
        "offset": pa.array(range(first, first + batch.num_rows), pa.int64()),
    }
    whole = [arrays.get(name, pa.nulls(batch.num_rows, dtype)).cast(dtype) for name, dtype in SOURCE.items()]
    yield from _bounded(pa.RecordBatch.from_arrays(whole, schema=pa.schema(list(SOURCE.items()))))


def _bounded(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch cut by `BYTES`."""
    begin, held = 0, 0
    for row, size in enumerate(row_bytes(batch).tolist()):
        if row > begin and held + size > BYTES:
            yield batch.slice(begin, row - begin)
            begin, held = row, 0
        held += size
    yield batch.slice(begin)


def _text(array: pa.Array, column: str) -> pa.Array:
    text = _plain(array).cast(pa.large_string() if column == "text" else pa.string())
    if column == "date":
        return pc.if_else(pc.match_substring_regex(text, f"^(?:{ISO_DATE})$"), text, pa.scalar(None, pa.string()))
    if column == "lang":
        coded = text.dictionary_encode()
        codes = pa.array([language(code) for code in coded.dictionary.to_pylist()], pa.string())
        return codes.take(coded.indices)
    return text


def _rows(batch: pa.RecordBatch, first: int, origin: Origin, mapped: dict[str, str]) -> Iterator[dict[str, Any]]:
    as_bytes = {column: _plain(batch.column(name)).cast(pa.large_binary()) for column, name in mapped.items()}
    for row in range(batch.num_rows):
        fields: dict[str, Any] = {}
        problem = None
        for column, array in as_bytes.items():
            value = array[row].as_py()
            try:
                fields[column] = None if value is None else value.decode("utf-8")
            except UnicodeDecodeError as error:
                problem = f"invalid UTF-8 at byte {error.start} of {mapped[column]}"
        if problem is None and fields["text"] is None:
            problem = f"{mapped['text']} is null"
        yield origin.unreadable(first + row, problem) if problem else origin.document(first + row, **fields)


def _plain(array: pa.Array) -> pa.Array:
    """Strings or bytes: numbers in decimal, times in ISO 8601."""
    array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    if pa.types.is_temporal(array.type):
        return pc.replace_substring(array.cast(pa.string()), " ", "T")
    return array.cast(pa.string()) if not is_text(array.type) else array


def _joined(sizes: list[tuple[int, int]], part_bytes: int) -> list[Cut]:
    """Neighbours put together up to `part_bytes`."""
    found: list[Cut] = []
    first = 0
    for n_rows, n_bytes in sizes:
        if found and found[-1][2] + n_bytes <= part_bytes:
            found[-1] = (found[-1][0], first + n_rows, found[-1][2] + n_bytes)
        else:
            found.append((first, first + n_rows, n_bytes))
        first += n_rows
    return found
