"""From parsed records to batches of documents: ids, dates and the bounds that keep memory flat."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.core.schema import documents, record_id
from pipeline.sources.languages import language

ROWS, BYTES = 256, 8 << 20
"""A batch ends before the row that would exceed either; one document may be larger alone."""

ISO_DATE = r"\d{4}(-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?)?)?"
"""What a date must look like to be kept: ISO 8601 from the year to the fraction of a second."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """What the documents of one file have in common; makes their rows."""

    source: str
    license: str
    terms: str | None
    file: str

    def document(
        self,
        offset: int,
        *,
        id: str | None = None,
        text: str | None = None,
        html: bytes | None = None,
        content_type: str | None = None,
        http_headers: str | None = None,
        url: str | None = None,
        date: str | None = None,
        lang: str | None = None,
        license: str | None = None,
    ) -> Row:
        """A row with these columns; one that cannot be stored as UTF-8 is unreadable, and says which column."""
        row = {
            "id": id or self.id(offset),
            "text": text,
            "url": url,
            "date": iso_date(date),
            "lang": language(lang),
            "source": self.source,
            "license": license or self.license,
            "terms": self.terms,
            "file": self.file,
            "offset": offset,
            "html": html,
            "content_type": content_type,
            "http_headers": http_headers,
        }
        for name, value in row.items():
            if isinstance(value, str) and (broken := lone_surrogate(value)):
                return self.unreadable(offset, f"lone surrogate {broken} in {name}")
        return row

    def unreadable(self, offset: int, reason: str) -> Row:
        """A row for a record that could not be read."""
        row = {"id": self.id(offset), "source": self.source, "license": self.license, "terms": self.terms}
        return {**row, "file": self.file, "offset": offset, "unreadable": reason}

    def id(self, offset: int) -> str:
        """The id of a record that brings none: a hash of where it stands."""
        return record_id(self.source, self.file, offset)


def batches(rows: Iterable[Row]) -> Iterator[pa.RecordBatch]:
    """The rows in record batches bounded by `ROWS` and `BYTES`."""
    held: list[Row] = []
    size = 0
    for row in rows:
        n_bytes = _n_bytes(row.get("text")) + len(row.get("html") or b"")
        if held and (len(held) >= ROWS or size + n_bytes > BYTES):
            yield documents(held)
            held, size = [], 0
        held.append(row)
        size += n_bytes
    if held:
        yield documents(held)


def iso_date(value: object) -> str | None:
    """The date as it was written if that is ISO 8601, else None."""
    return value if isinstance(value, str) and re.fullmatch(ISO_DATE, value) else None


def _n_bytes(text: str | None) -> int:
    return 0 if text is None else len(text) if text.isascii() else len(text.encode())


def lone_surrogate(text: str) -> str | None:
    """The first character that no UTF-8 can hold; None where there is none."""
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"U+{ord(text[error.start]):04X}"
    return None
