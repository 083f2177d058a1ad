"""The sources `warc` and `wet`: web archives as crawls publish them, plain or in gzip, zstd or lz4."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from pipeline.backends.rights import HEADERS
from pipeline.core.schema import DOCUMENT, RAW, UNREADABLE
from pipeline.core.stage import Part
from pipeline.sources.archive import Entry, entries
from pipeline.sources.body import decode
from pipeline.sources.expand import Damaged
from pipeline.sources.lines import decoded, not_utf8
from pipeline.sources.listing import Listed, opened
from pipeline.sources.records import Origin, Row, batches

if TYPE_CHECKING:
    from fastwarc.warc import WarcRecord

_UUID = re.compile(r"<?(?:urn:uuid:)?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})>?")
_WITHOUT = {name: dtype for name, dtype in DOCUMENT.items() if name not in ("text", "lang")}


class _Archive(Listed):
    """What the records of an archive are read by; which of them are documents is said by `_row`."""

    max_payload: int = Field(10 << 20, ge=1, description="longest payload; in bytes")

    def read(self, part: Part) -> Iterator[pa.RecordBatch]:
        """The documents of one part, in file order."""
        return batches(
            row
            for piece in part.slices
            for entry in entries(opened(piece), self.max_payload)
            if (row := self._read(entry, self.origin(piece))) is not None
        )

    def _read(self, entry: Entry, origin: Origin) -> Row | None:
        if entry.record is None:
            return origin.unreadable(entry.offset, entry.problem or "")
        return self._row(entry.record, entry, origin)

    @abstractmethod
    def _row(self, record: WarcRecord, entry: Entry, origin: Origin) -> Row | None:
        """The document that a record is; None where it is none."""


class Warc(_Archive):
    """Web pages: response records with one of the HTTP statuses and media types asked for, decoded, as received.

    Requests, metadata, revisits and responses of other types are no documents. The id is the record's UUID, `offset`
    the byte of the record in the stored file. A body that is too long, cut or wrongly encoded becomes a document with
    `unreadable` set; so does the place where a file is cut or damaged, and a file that is no WARC.
    """

    example: ClassVar[Mapping[str, Any]] = {"name": "crawl", "paths": ["crawl/*.warc.gz"]}
    writes: ClassVar[Mapping[str, pa.DataType]] = {**_WITHOUT, **RAW, **UNREADABLE}

    mime: tuple[str, ...] = Field(
        ("text/html", "application/xhtml+xml", "text/plain"), description="media types that are documents"
    )
    status: tuple[int, ...] = Field((200,), description="HTTP status codes that are documents")
    max_payload: int = Field(10 << 20, ge=1, description="longest page, stored and decoded; in bytes")

    def _row(self, record: WarcRecord, entry: Entry, origin: Origin) -> Row | None:
        from fastwarc.warc import WarcRecordType

        if record.record_type != WarcRecordType.response or not record.is_http:
            return None
        headers = record.http_headers
        kind = headers.get("Content-Type") or record.headers.get("WARC-Identified-Payload-Type") or ""
        if headers.status_code is None:
            return origin.unreadable(entry.offset, "response without an HTTP status line")
        if headers.status_code not in self.status or kind.partition(";")[0].strip().lower() not in self.mime:
            return None
        if entry.body is None:
            return origin.unreadable(entry.offset, _too_long(record.content_length, self.max_payload))
        transfer, content = headers.get("Transfer-Encoding") or "", headers.get("Content-Encoding") or ""
        try:
            html = decode(entry.body, transfer, content, self.max_payload)
        except Damaged as error:
            return origin.unreadable(entry.offset, str(error))
        lines = (f"{name}: {value}" for name in HEADERS if (value := headers.get(name)))
        said = "\n".join(lines).encode("utf-8", "replace").decode() or None
        return origin.document(entry.offset, html=html, content_type=kind, http_headers=said, **_named(record))


class Wet(_Archive):
    """Extracted text: conversion records, with the first language that the crawl identified.

    The id is the record's UUID; cut, damaged or foreign files and text that is not UTF-8 are unreadable documents.
    """

    example: ClassVar[Mapping[str, Any]] = {"name": "crawl", "paths": ["crawl/*.warc.wet.gz"]}
    writes: ClassVar[Mapping[str, pa.DataType]] = {**DOCUMENT, **UNREADABLE}

    max_payload: int = Field(10 << 20, ge=1, description="longest text; in bytes")

    def _row(self, record: WarcRecord, entry: Entry, origin: Origin) -> Row | None:
        from fastwarc.warc import WarcRecordType

        if record.record_type != WarcRecordType.conversion:
            return None
        if entry.body is None:
            return origin.unreadable(entry.offset, _too_long(record.content_length, self.max_payload))
        text = decoded(entry.body)
        if not isinstance(text, str):
            return origin.unreadable(entry.offset, not_utf8(text))
        code = record.headers.get("WARC-Identified-Content-Language")
        return origin.document(entry.offset, text=text, lang=code, **_named(record))


def _named(record: WarcRecord) -> Row:
    """What the WARC header says of a document: id, url and date."""
    found = _UUID.fullmatch((record.headers.get("WARC-Record-ID") or "").strip())
    url = (record.headers.get("WARC-Target-URI") or "").strip()
    return {
        "id": found[1].lower() if found else None,
        "url": url.removeprefix("<").removesuffix(">") or None,
        "date": record.headers.get("WARC-Date"),
    }


def _too_long(n_bytes: int, limit: int) -> str:
    return f"payload of {n_bytes} bytes over the limit of {limit}"
