"""Lines of which most n-grams stand elsewhere already are cut, and documents of which most do are dropped."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.core.stage import Share
from pipeline.core.verdict import Reason
from pipeline.dedup.paragraphs import without_units
from pipeline.dedup.repeats import Listed, listed
from pipeline.kernels.minhash import mix64
from pipeline.kernels.units import span_hashes, token_hashes, token_starts, unit_ends


class Ngrams(Listed):
    """Cuts units of which too many n-grams occur earlier in the corpus, and drops documents of which too many do.

    What DCLM does with a Bloom filter (Li et al., 2024: 13 tokens, 0.8, lines), made independent of order, workers and
    false positives: an n-gram counts as seen if it occurs in an earlier document (by source, then id), or earlier in
    its own in another unit. In DCLM, n-grams of units that are cut are not remembered; here they are. Nothing is
    looked up twice, so that a document never meets itself. N-grams do not cross the ends of units, and units with
    fewer tokens stay.

    A token is a run of letters and digits, one character of a script without spaces, or one mark of punctuation: case
    counts. N-grams are equal by 64-bit hashes. With `bloom_bytes`, only what a Bloom filter holds for repeated is
    shuffled. The sketch takes 8 bytes a token.
    """

    length: int = Field(13, ge=2, le=100_000, description="tokens of an n-gram")
    threshold: Share = Field(
        0.8, description="share of the n-grams of a unit, or of a document, of which no more may have been seen"
    )
    level: Literal["line", "sentence", "paragraph"] = Field("line", description="what is cut, as in `paragraphs`")
    remove: Literal["both", "units", "documents"] = Field(
        "both", description="whether `units` are cut, whole `documents` dropped, or, first, documents and then units"
    )

    version: ClassVar[int] = 1
    reasons: ClassVar[tuple[str, ...]] = ("too_little_left", "mostly_repeated")

    def settings(self) -> dict[str, object]:
        """What n-grams there are."""
        return {"length": self.length, "level": self.level}

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The hashes of all n-grams in their order, each once in a unit."""
        texts = [text or "" for text in batch.column("text").to_pylist()]
        return listed(batch, [self._once(*self._ngrams(text)) for text in texts])

    def left(self, text: str, at: np.ndarray) -> str | Reason:
        """As for all repeats, unless the document goes as a whole."""
        if self.remove != "units":
            seen, total = self._seen(text, at)
            n_seen, n_total = int(seen.sum()), int(total.sum())
            if n_seen > self.threshold * n_total:
                detail = f"{n_seen} of {n_total} runs of {self.length} tokens stand elsewhere"
                return Reason("mostly_repeated", n_seen / n_total, self.threshold, detail=detail)
        return text if self.remove == "documents" else super().left(text, at)

    def cut(self, text: str, at: np.ndarray) -> str:
        """The text without the units of which too many n-grams were seen."""
        seen, total = self._seen(text, at)
        return without_units(text, unit_ends(text, self.level), seen > self.threshold * total)

    def _ngrams(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The key of the n-gram that starts at each token, 0 where it would cross the end of its unit; and that unit.

        Keys are equal for equal n-grams of one unit, and of different units.
        """
        _, hashes = token_hashes([text])
        unit = np.searchsorted(unit_ends(text, self.level), token_starts(text), side="right")
        keys = np.maximum(span_hashes(hashes, self.length), np.uint64(1))
        first, last = unit[: len(keys)], unit[self.length - 1 :]
        return np.where(first == last, keys, np.uint64(0)), first

    def _once(self, keys: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """The keys, 0 where they stand earlier in their unit."""
        _, first = np.unique(_in_unit(keys, unit), return_index=True)
        once = np.zeros_like(keys)
        once[first] = keys[first]
        return once

    def _seen(self, text: str, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each unit, how many of its n-grams start with those at these places, and how many it has."""
        keys, unit = self._ngrams(text)
        inside, n_units = keys != 0, len(unit_ends(text, self.level))
        own = _in_unit(keys, unit)
        seen = inside & np.isin(own, own[at])
        return np.bincount(unit[seen], minlength=n_units), np.bincount(unit[inside], minlength=n_units)


def _in_unit(keys: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Equal for equal keys of one unit only."""
    return keys ^ mix64(unit + 1)
