"""Train a byte-level BPE tokenizer on a sample of the corpus itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from pipeline.backends import bpe
from pipeline.core.chance import draws, last_draw
from pipeline.core.shards import read_batches
from pipeline.core.stage import Decision, Exchange, Global, Share, Sketches
from pipeline.core.verdict import Verdict

N_BYTES = 256


class TrainBpe(Global):
    """A byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) from sampled documents; drops nothing.

    All 256 bytes are in the vocabulary, so that any text has ids. The end-of-document token is id 0. A corpus too small
    for `vocab` gives a smaller tokenizer: the file holds what there is.
    """

    reads: ClassVar[tuple[str, ...]] = ("id", "text")

    vocab: int = Field(32768, ge=N_BYTES + 2, le=1_000_000, description="tokens at most, bytes and specials included")
    splitter: bpe.Splitter = Field(
        "llama3",
        description="how text is cut into words first: llama3 groups digits by three and keeps line ends apart",
    )
    sample: Share = Field(1.0, description="share of documents to train on, chosen by hash of seed and id")
    sample_bytes: int = Field(
        1 << 27,
        ge=1,
        description="text to train on, in bytes: sampled documents with the lowest hashes, until it is reached",
    )
    min_frequency: int = Field(2, ge=1, description="occurrences that a pair needs to be merged")
    end: str = Field(bpe.END, min_length=1, description="token after every document, id 0")
    pad: str | None = Field(None, min_length=1, description="token that fills rows; none: the end token does")
    specials: tuple[str, ...] = Field((), description="more special tokens, for later use in chats and tools")
    seed: int = Field(0, ge=0, description="seed of the sample")

    @model_validator(mode="after")
    def _room(self) -> Self:
        if len(set(self._special_tokens)) < len(self._special_tokens) or not all(self._special_tokens):
            raise ValueError("special tokens must differ from each other, and none may be empty")
        least = N_BYTES + len(self._special_tokens) + 1
        if self.vocab < least:
            raise ValueError(f"vocab must be at least {least}: {N_BYTES} bytes, the special tokens, and one merge")
        return self

    @property
    def _special_tokens(self) -> tuple[str, ...]:
        return (self.end, *((self.pad,) if self.pad else ()), *self.specials)

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The texts of sampled documents, each with its draw."""
        drawn = draws(batch.column("id").to_pylist(), self.seed, "train_bpe")
        full = pa.record_batch({"draw": pa.array(drawn), "text": batch.column("text").cast(pa.large_string())})
        sampled: pa.RecordBatch = full.filter(pa.array(drawn < self.sample))
        return sampled

    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        """Train and write the tokenizer."""
        bpe.learn(
            _texts(sketches.files, _last_draw(sketches.files, self.sample_bytes)),
            self.vocab,
            out,
            splitter=self.splitter,
            min_frequency=self.min_frequency,
            specials=self._special_tokens,
            pad=self.pad,
        )

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """Keep every document."""
        return Verdict()


def _last_draw(files: tuple[Path, ...], budget: int) -> float:
    """The draw of the document with which the texts of lower draws reach the budget; of the last, if none does."""
    found = [(batch.column("draw"), pc.binary_length(batch.column("text"))) for f in files for batch in read_batches(f)]
    if not found:
        return 0.0
    drawn = np.concatenate([draw.to_numpy() for draw, _ in found])
    sizes = np.concatenate([size.fill_null(0).to_numpy(zero_copy_only=False) for _, size in found])
    return last_draw(drawn, sizes, budget)


def _texts(files: tuple[Path, ...], last: float) -> Iterator[list[str]]:
    for file in files:
        for batch in read_batches(file):
            chosen = batch.filter(pc.less_equal(batch.column("draw"), last))
            yield chosen.column("text").drop_null().to_pylist()
