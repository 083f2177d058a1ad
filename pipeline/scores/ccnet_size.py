"""CCNet's counts of a document (Wenzek et al. 2020), which RedPajama-v2 publishes before and after deduplication."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.core.stage import Score


class CcnetSize(Score):
    """Writes `ccnet_length` (characters) and `ccnet_nlines` (lines); before `paragraphs`, those of the original."""

    original: bool = Field(False, description="the text is as it was: write `ccnet_original_length` and `…_nlines`")

    def columns_written(self) -> Mapping[str, pa.DataType]:
        """The two counts, under the names that they have here."""
        return dict.fromkeys(self._names, pa.int64())

    def score(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """Lines are what line feeds separate; an empty text has none."""
        texts = pc.fill_null(batch.column("text"), "")
        length = pc.utf8_length(texts).cast(pa.int64())
        feeds = pc.count_substring(texts, "\n").cast(pa.int64())
        lines = pc.if_else(pc.greater(length, 0), pc.add(feeds, 1), 0).cast(pa.int64())
        return dict(zip(self._names, (length, lines), strict=True))

    @property
    def _names(self) -> tuple[str, str]:
        prefix = "ccnet_original_" if self.original else "ccnet_"
        return f"{prefix}length", f"{prefix}nlines"
