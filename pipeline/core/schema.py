"""The columns of a document and of the ledger, and the one way to bring a batch to a schema."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import pyarrow as pa

DOCUMENT: dict[str, pa.DataType] = {
    "id": pa.string(),
    "text": pa.large_string(),
    "url": pa.string(),
    "date": pa.string(),
    "lang": pa.string(),
    "source": pa.string(),
    "license": pa.string(),
    "terms": pa.string(),
    "file": pa.string(),
    "offset": pa.int64(),
}
"""Every document has these. `file` and `offset` say where it was read: the byte of its record in a WARC or JSON
lines file, the row in a table, 0 for a file that is one document. `date` is ISO 8601, `lang` ISO 639-1 (639-3 where
there is no two-letter code)."""

RAW: dict[str, pa.DataType] = {
    "html": pa.large_binary(),
    "content_type": pa.string(),
    "http_headers": pa.string(),
}
"""What a source of web pages hands to `extract` and `rights`: the page as received, its HTTP Content-Type, and the HTTP
headers that speak of rights, a line each."""

UNREADABLE: dict[str, pa.DataType] = {"unreadable": pa.string()}
"""Null for a document; else what is wrong with the record at `file`, `offset`. The engine sends it to the ledger."""

SOURCE: dict[str, pa.DataType] = {**DOCUMENT, **RAW, **UNREADABLE}

VERDICT: dict[str, pa.DataType] = {
    "stage": pa.string(),
    "reason": pa.string(),
    "value": pa.float64(),
    "limit": pa.float64(),
    "twin": pa.string(),
    "detail": pa.string(),
}
"""What the ledger says of a dropped document, in front of the document's own columns."""

NEVER_STORED = frozenset({*RAW, *UNREADABLE})
"""Working columns that no shard and no ledger keeps; `file` and `offset` lead back to the original bytes."""


def conform(batch: pa.RecordBatch, columns: Mapping[str, pa.DataType]) -> pa.RecordBatch:
    """The batch with exactly these columns, in this order, cast; absent ones are null, others are left out."""
    have = set(batch.schema.names)
    arrays = [
        _cast(batch.column(name), dtype) if name in have else pa.nulls(batch.num_rows, dtype)
        for name, dtype in columns.items()
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(list(columns.items())))


def documents(rows: Iterable[Mapping[str, object]], extra: Mapping[str, pa.DataType] | None = None) -> pa.RecordBatch:
    """A batch of documents from plain rows: for sources that parse record by record, and for tests."""
    columns = {**SOURCE, **(extra or {})}
    listed = list(rows)
    arrays = [pa.array([row.get(name) for row in listed], type=dtype) for name, dtype in columns.items()]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(list(columns.items())))


def record_id(source: str, file: str, offset: int) -> str:
    """32 hex digits of BLAKE2b over the source's name, the file's name and the offset."""
    place = f"{source}\0{file}\0{offset}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(place, digest_size=16).hexdigest()


def _cast(array: pa.Array, dtype: pa.DataType) -> pa.Array:
    return array if array.type == dtype else array.cast(dtype)
