"""Train n-gram models on documents of the corpus itself, one a language, and score all documents by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.backends import ngram
from pipeline.core.chance import draws, last_draw
from pipeline.core.manifest import digest
from pipeline.core.shards import read_batches
from pipeline.core.stage import Decision, Exchange, Global, Share, Sketches, write_facts
from pipeline.core.verdict import Reason, Verdict

_HALVES = 2


class TrainNgram(Global):
    """Writes the perplexity of each text for models that were trained on other documents of its language.

    CCNet without a download: with `trusted` sources (an encyclopedia, say) the models learn from these alone, else from
    the corpus, so that what is unusual in it scores high. For each language there are two, each of one half of the
    documents (by hash of the text); a text is scored by that of the other half, never by one that has read it or a
    copy. Null where a language has too little text. Cut the column with `quantile` or `threshold`.
    """

    reads: ClassVar[tuple[str, ...]] = ("text", "source")
    optional: ClassVar[tuple[str, ...]] = ("lang",)
    reasons: ClassVar[tuple[str, ...]] = ("only_trained_on",)
    example: ClassVar[Mapping[str, Any]] = {"min_bytes": 100}

    trusted: tuple[str, ...] = Field((), description="sources to learn from; none: all")
    leave_out: tuple[str, ...] = Field((), description="sources that are dropped once they have been learned from")
    order: int = Field(5, ge=1, le=10, description="longest run of words that is counted")
    unit: Literal["word", "byte"] = Field("word", description="what is counted: words and marks, or bytes")
    method: ngram.Method = Field("kneser_ney", description="how unseen runs are provided for")
    fold: bool = Field(True, description="lower case, and 0 for every digit, as CCNet")
    prune: int = Field(1, ge=0, description="runs of three and more that occur so often or less are forgotten")
    sample: Share = Field(1.0, description="share of the documents to learn from, chosen by hash")
    sample_bytes: int = Field(
        8 << 20, ge=1, description="bytes to learn from for each model at most, chosen by hash; 16 of memory each"
    )
    min_bytes: int = Field(100_000, ge=1, description="bytes that a model takes at least, or there is none")
    column: str = Field("perplexity", min_length=1, description="column to write")
    seed: int = Field(0, ge=0, description="seed of the sample and of the halves")

    def columns_written(self) -> Mapping[str, pa.DataType]:
        """The column that is named."""
        return {self.column: pa.float64()}

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The texts to learn from, each with its language, its half and its draw."""
        text, lang = batch.column("text").cast(pa.large_string()), pc.fill_null(batch.column("lang"), "")
        texts = text.to_pylist()
        drawn = draws((t or "" for t in texts), self.seed, self.word)
        rows = pa.record_batch({"lang": lang, "half": self._halves(texts), "draw": pa.array(drawn), "text": text})
        wanted = pc.and_(pa.array(drawn < self.sample), pc.is_valid(text))
        if self.trusted:
            wanted = pc.and_(wanted, pc.is_in(batch.column("source"), pa.array(self.trusted, pa.string())))
        chosen: pa.RecordBatch = rows.filter(wanted)
        return chosen

    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        """Train and write a model for each half of each language that has enough text."""
        sketches.check_sources((*self.trusted, *self.leave_out))
        told = []
        for lang in _languages(sketches.files):
            drawn = [_drawn(sketches.files, lang, half) for half in range(_HALVES)]
            sizes = [int(size.sum()) for _, size in drawn]
            trained = min(sizes) >= self.min_bytes
            for half, (draw, size) in enumerate(drawn if trained else []):
                last = last_draw(draw, size, self.sample_bytes)
                model = ngram.train(
                    _texts(sketches.files, lang, half, last),
                    self.order,
                    self.unit,
                    method=self.method,
                    prune=self.prune,
                    fold=self.fold,
                )
                model.save(out / _model_name(lang, half))
            told.append({"language": lang or "none", "bytes": sum(sizes), "models": _HALVES if trained else 0})
        write_facts({"languages": told}, out)

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """Score every text; drop what was only there to be learned from."""
        texts = [text or "" for text in batch.column("text").to_pylist()]
        halves = self._halves(texts).to_pylist()
        keys = list(zip(batch.column("lang").to_pylist(), halves, strict=True))
        found = np.full(len(texts), np.nan)
        for lang, half in dict.fromkeys(keys):
            path = decision.folder / _model_name(lang or "", 1 - half)
            if path.exists():
                rows = [row for row, key in enumerate(keys) if key == (lang, half)]
                found[rows] = ngram.perplexities(ngram.load(path), [texts[row] for row in rows])
        gone = [Reason("only_trained_on") if s in self.leave_out else None for s in batch.column("source").to_pylist()]
        return Verdict.of(gone, {self.column: pa.array(found, from_pandas=True)})

    def _halves(self, texts: Sequence[str | None]) -> pa.Array:
        drawn = draws((text or "" for text in texts), self.seed, f"{self.word} halves")
        return pa.array((drawn * _HALVES).astype(np.int8))


def _languages(files: Sequence[Path]) -> list[str]:
    return sorted(
        {lang for file in files for batch in read_batches(file) for lang in batch["lang"].unique().to_pylist()}
    )


def _drawn(files: Sequence[Path], lang: str, half: int) -> tuple[np.ndarray, np.ndarray]:
    """The draws of the documents of one model, and their sizes in bytes."""
    found = [(batch["draw"].to_numpy(), pc.binary_length(batch["text"]).to_numpy()) for batch in _of(files, lang, half)]
    draw, size = ([array[kind] for array in found] for kind in range(2))
    return np.concatenate([np.empty(0), *draw]), np.concatenate([np.empty(0, np.int64), *size])


def _texts(files: Sequence[Path], lang: str, half: int, last: float) -> Iterator[str]:
    for batch in _of(files, lang, half):
        yield from batch["text"].filter(pc.less_equal(batch["draw"], last)).to_pylist()


def _of(files: Sequence[Path], lang: str, half: int) -> Iterator[pa.RecordBatch]:
    for batch in (batch for file in files for batch in read_batches(file)):
        yield batch.filter(pc.and_(pc.equal(batch["lang"], lang), pc.equal(batch["half"], half)))


def _model_name(lang: str, half: int) -> str:
    """A file name, whatever a source calls its languages."""
    plain = lang if lang.isascii() and lang.replace("-", "").replace("_", "").isalnum() else digest(lang)[:8]
    return f"ngram-{plain}-{half}.arrow"
