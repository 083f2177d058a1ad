"""Train a byte-level BPE tokenizer on a sample of the corpus itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from pipeline.backends.tokenizer import store, threads
from pipeline.core.chance import draws, last_draw
from pipeline.core.shards import read_batches
from pipeline.core.stage import Decision, Exchange, Global, Share, Sketches
from pipeline.core.verdict import Verdict

if TYPE_CHECKING:
    from tokenizers import Tokenizer

N_BYTES = 256

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class TrainBpe(Global):
    """A byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) from sampled documents; drops nothing.

    All 256 bytes are in the vocabulary, so that any text has ids. The end-of-document token is id 0. A corpus too small
    for `vocab` gives a smaller tokenizer: the file holds what there is.
    """

    reads: ClassVar[tuple[str, ...]] = ("id", "text")

    vocab: int = Field(32768, ge=N_BYTES + 2, le=1_000_000, description="tokens at most, bytes and specials included")
    splitter: Literal["gpt2", "llama3"] = Field(
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
    end: str = Field("<|endoftext|>", min_length=1, description="token after every document, id 0")
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
        """Train and write the tokenizer. The trainer counts words, so the order of texts cannot matter."""
        from tokenizers import trainers

        tokenizer = self._untrained()
        trainer: Any = trainers.BpeTrainer
        with threads():
            tokenizer.train_from_iterator(
                _texts(sketches.files, _last_draw(sketches.files, self.sample_bytes)),
                trainer(
                    vocab_size=self.vocab,
                    min_frequency=self.min_frequency,
                    special_tokens=list(self._special_tokens),
                    initial_alphabet=_alphabet(),
                    show_progress=False,
                ),
            )
        store(out, tokenizer.to_str(pretty=True), self.end, self.pad)

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """Keep every document."""
        return Verdict()

    def _untrained(self) -> Tokenizer:
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

        tokenizer = Tokenizer(models.BPE())
        if self.splitter == "gpt2":
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(Regex(LLAMA3_PATTERN), behavior="isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            )
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer


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


def _alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())
