"""Web pages to their main text: navigation, advertisement and markup go, what the page says of itself stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from pipeline.backends.html import How, Mode, Page
from pipeline.backends.pages import read_pages
from pipeline.core.schema import conform
from pipeline.core.stage import Local
from pipeline.core.verdict import Reason, Verdict


class Extract(Local):
    """The main text of each page in `html`; rows without one, which came as text, pass through untouched.

    Decodes by the page's own charset. `date` and `license` are taken from the page where it states them: the date only
    where the source gave none, the licence only from a link that is marked as the page's licence.
    """

    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ("html", "content_type", "text", "title", "date", "license")
    writes: ClassVar[Mapping[str, pa.DataType]] = {
        "text": pa.large_string(),
        "title": pa.string(),
        "date": pa.string(),
        "declared_lang": pa.string(),
        "license": pa.string(),
    }
    reasons: ClassVar[tuple[str, ...]] = (
        "not_extracted",
        "over_page_bytes",
        "too_deeply_nested",
        "too_many_attributes",
        "extraction_timed_out",
        "parser_crashed",
    )

    mode: Mode = Field(
        "auto",
        description="precise: trafilatura; fast: resiliparse; auto: resiliparse, and trafilatura where it found little",
    )
    retry_below: int = Field(500, ge=0, description="characters of text below which auto asks trafilatura")
    comments: bool = Field(False, description="keep readers' comments")
    max_page_bytes: int = Field(2_000_000, ge=1, description="bytes of HTML above which a page is not parsed")
    max_depth: int | None = Field(2000, ge=1, description="open elements above which a page is not parsed; null: any")
    max_attributes: int | None = Field(2000, ge=1, description="attributes of one tag, likewise")
    seconds: float = Field(10.0, gt=0, le=3600, description="CPU time that one page may take")

    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """Read each page in a child process; drop those that give no text."""
        batch = conform(batch, {"html": pa.large_binary(), "content_type": pa.string(), **self.writes})
        sizes = [None if html is None else len(html) for html in (cell.as_buffer() for cell in batch.column("html"))]
        pages = self._read(batch, sizes)
        columns = {name: batch.column(name) for name in self.writes}
        if pages:
            columns = {
                name: pa.array(_merged(name, columns[name].to_pylist(), pages), type=dtype)
                for name, dtype in self.writes.items()
            }
        return Verdict.of([_reason(pages.get(row)) for row in range(batch.num_rows)], columns)

    def _read(self, batch: pa.RecordBatch, sizes: list[int | None]) -> dict[int, Page]:
        """What was found in each row that has a page."""
        limit = self.max_page_bytes
        pages = {
            row: Page(reason="over_page_bytes", value=size, limit=limit)
            for row, size in enumerate(sizes)
            if size is not None and size > limit
        }
        rows = [row for row, size in enumerate(sizes) if size is not None and size <= limit]
        html, content_type = batch.column("html"), batch.column("content_type")
        how = How(self.mode, self.retry_below, self.comments, self.max_depth, self.max_attributes)
        bodies = ((html[row].as_py(), content_type[row].as_py()) for row in rows)
        return pages | dict(zip(rows, read_pages(bodies, how, self.seconds), strict=True))


def _merged(name: str, given: list[str | None], pages: Mapping[int, Page]) -> list[str | None]:
    """One column: what the source gave, with what the pages say put in its place or in its gaps."""
    merged = list(given)
    for row, page in pages.items():
        if page.reason is not None:
            continue
        match name:
            case "declared_lang":
                merged[row] = page.lang
            case "date":
                merged[row] = given[row] or page.date
            case "license":
                merged[row] = page.license or given[row]
            case "title":
                merged[row] = page.title or given[row]
            case "text":
                merged[row] = page.text
    return merged


def _reason(page: Page | None) -> Reason | None:
    if page is None or page.reason is None:
        return None
    return Reason(page.reason, page.value, page.limit, detail=page.detail)
