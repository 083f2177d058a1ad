"""Importance by hashed n-grams (DSIR, Xie et al. 2023): is a document more like one source than like the rest?"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.core.chance import draws
from pipeline.core.errors import GristmillError
from pipeline.core.shards import read_batches
from pipeline.core.stage import Decision, Exchange, Global, Sketches, write_facts
from pipeline.core.text import folded, words
from pipeline.core.verdict import Verdict

BUCKETS = 10_000
"""As in the paper and in RedPajama-v2."""

_RATIOS = "log-ratios.npy"


class Importance(Global):
    """Writes the logarithm of p(text) / q(text): p is learnt from the documents of `target`, q from the others.

    Both are bags of hashed words and pairs of words, with one count added to each of 10,000 buckets. All documents of
    the target and a share of the others, chosen by hash, are learnt from. Longer texts have larger values on both
    sides, as in RedPajama-v2; null for a text without a word. Judge the column by `threshold` or `quantile`.
    """

    reads: ClassVar[tuple[str, ...]] = ("id", "text", "source")
    optional: ClassVar[tuple[str, ...]] = ("lang",)
    example: ClassVar[Mapping[str, Any]] = {"target": "first", "share": 1.0}

    target: str = Field(description="the source whose documents are the model, such as books")
    column: str = Field("importance", description="column to write, such as rps_doc_books_importance")
    share: float = Field(0.1, gt=0, le=1, description="share of the other documents that is learnt from")

    def columns_written(self) -> Mapping[str, pa.DataType]:
        """The one column."""
        return {self.column: pa.float64()}

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The hashed n-grams of every document that is learnt from, and whether it is of the target."""
        ids, sources = batch.column("id").to_pylist(), batch.column("source").to_pylist()
        of_target = [source == self.target for source in sources]
        learnt = np.array(of_target, bool) | (draws(ids, 0, "importance") < self.share)
        rows = batch.filter(pa.array(learnt))
        texts, langs = rows.column("text").to_pylist(), rows.column("lang").to_pylist()
        grams = [_hashed(text, lang) for text, lang in zip(texts, langs, strict=True)]
        return pa.RecordBatch.from_pydict(
            {
                "target": pa.array(np.array(of_target, bool)[learnt]),
                "grams": pa.array(grams, pa.list_(pa.uint16())),
            }
        )

    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        """Sums of 10,000 counts, in any order; GristmillError where one side has no document."""
        counts = {True: np.ones(BUCKETS, np.int64), False: np.ones(BUCKETS, np.int64)}
        documents = {True: 0, False: 0}
        for batch in (batch for file in sketches.files for batch in read_batches(file)):
            for side in (True, False):
                rows = batch.column("grams").filter(pc.equal(batch.column("target"), side))
                documents[side] += len(rows)
                counts[side] += np.bincount(pc.list_flatten(rows).to_numpy(zero_copy_only=False), minlength=BUCKETS)
        if not all(documents.values()):
            known = ", ".join(sketches.sources)
            raise GristmillError(
                f"importance: needs documents of the source {self.target!r} and of others; the sources are {known}"
            )
        ratios = np.log(counts[True] / counts[True].sum()) - np.log(counts[False] / counts[False].sum())
        np.save(out / _RATIOS, ratios, allow_pickle=False)
        write_facts({"documents_of_target": documents[True], "documents_of_the_rest": documents[False]}, out)

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """The sum of the ratios of a text's n-grams."""
        ratios = np.load(decision.folder / _RATIOS, allow_pickle=False)
        rows = zip(batch.column("text").to_pylist(), batch.column("lang").to_pylist(), strict=True)
        sums = [float(ratios[grams].sum()) if len(grams := _hashed(text, lang)) else None for text, lang in rows]
        assert all(value is None or isfinite(value) for value in sums)
        return Verdict(columns={self.column: pa.array(sums, pa.float64())})


def _hashed(text: str | None, lang: str | None) -> np.ndarray:
    """The buckets of all words and pairs of words, in order."""
    tokens = [folded(word) for word in words(text or "", lang)]
    grams = [*tokens, *(f"{left} {right}" for left, right in pairwise(tokens))]
    return np.array([zlib.crc32(gram.encode("utf-8", "surrogatepass")) % BUCKETS for gram in grams], np.uint16)
