"""Lines, paragraphs and sentences that stand elsewhere already are cut out of the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.dedup.repeats import Listed, listed
from pipeline.dedup.windows import covered
from pipeline.kernels.units import span_hashes, unit_ends, unit_hashes


class Paragraphs(Listed):
    """Cuts units of text that stand in the corpus already, and drops documents of which too little is left.

    The first occurrence stays: in the source that comes first in the recipe, then the smallest id, then the first
    place. Units are equal by a 64-bit hash. Lines with the `loose` comparison are what CCNet removes (Wenzek et al.,
    2020) and Dolma calls paragraphs; lines compared in `lower` case are those of C4's code, and three sentences in a
    row what its paper describes (Raffel et al., 2020): `{level: sentence, compare: lower, span: 3}`. All of these have
    no least length and count repeats within a document: `{min_length: 1, min_documents: 1}`. The defaults spare short
    lines, as of lists, tables, code and verse.

    With a span, every run of that many units is compared, and a unit goes if it is in a run that stands elsewhere.
    The sketch takes 8 bytes a unit.
    """

    level: Literal["line", "sentence", "paragraph"] = Field(
        "line",
        description="what is compared: a `line`; a `sentence`, ended by a mark and white space, a full-width mark or "
        "a line break; or a `paragraph`, ended by a blank line",
    )
    compare: Literal["loose", "lower", "exact"] = Field(
        "loose",
        description="what has to be equal: `loose` is lower-case letters without accents, digits as 0, without white "
        "space and punctuation; `lower` the unit in lower case; `exact` the unit; both without white space around it",
    )
    span: int = Field(1, ge=1, le=64, description="units in a row that are compared")
    min_length: int = Field(20, ge=1, description="compared characters of the shortest unit, or span, that is cut")
    min_documents: int = Field(
        2, ge=1, description="documents that a unit must stand in to be cut; 1 cuts repeats within one document, too"
    )

    version: ClassVar[int] = 1

    @property
    def least_documents(self) -> int:
        """As the recipe says."""
        return self.min_documents

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The hashes of all spans in their order, 0 for one that is too short; documents with none have no row."""
        texts = [text or "" for text in batch.column("text").to_pylist()]
        counts, hashes, lengths = unit_hashes(texts, self.level, self.compare)
        keys: list[np.ndarray] = []
        for stop, count in zip(np.cumsum(counts).tolist(), counts.tolist(), strict=True):
            keys.append(self._keys(hashes[stop - count : stop], lengths[stop - count : stop]))
        return listed(batch, keys)

    def _keys(self, hashes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        if self.span > 1:
            hashes = span_hashes(hashes, self.span)
            total = np.append(0, np.cumsum(lengths))
            lengths = total[self.span :] - total[: -self.span] if len(total) > self.span else total[:0]
        keys: np.ndarray = np.where(lengths >= self.min_length, np.maximum(hashes, np.uint64(1)), np.uint64(0))
        return keys

    def cut(self, text: str, at: np.ndarray) -> str:
        """The units that are left."""
        ends = unit_ends(text, self.level)
        return without_units(text, ends, covered(at, self.span, len(ends)))


def without_units(text: str, ends: Sequence[int], gone: np.ndarray) -> str:
    """The text without the units that are gone; where one goes, the wider of the gaps before and after it stays."""
    left: list[str] = []
    start = 0
    for end, is_gone in zip(ends, gone.tolist(), strict=True):
        unit, start = text[start:end], end
        if not is_gone:
            left.append(unit)
        elif left:
            gap, before = _gap(unit), _gap(left[-1])
            if gap.count("\n") > before.count("\n"):
                left[-1] = left[-1][: len(left[-1]) - len(before)] + gap
    return "".join(left).rstrip()


def _gap(unit: str) -> str:
    return unit[len(unit.rstrip()) :]
