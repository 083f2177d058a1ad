"""Train a quality classifier on documents of named sources, measure it on a part held out, and score all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.backends import classifier, embeddings
from pipeline.backends.classifier import FastText
from pipeline.backends.embeddings import Probe
from pipeline.core.asset import Asset
from pipeline.core.chance import draws, last_draw
from pipeline.core.errors import GristmillError
from pipeline.core.shards import read_batches
from pipeline.core.stage import Decision, Exchange, Global, Share, Sketches, write_facts
from pipeline.core.verdict import Reason, Verdict
from pipeline.scores.classifier import probabilities
from pipeline.scores.evaluation import evaluate

_LEAST = 2
"""Documents of each kind to train on, at least."""


class TrainClassifier(Global):
    """Trains on the documents of `positive` and `negative` sources, and writes the probability of being positive.

    DCLM's recipe: positives from sources of a kind that is wanted, negatives from the crawl. A share of both is held
    out (by hash of the text, so that a copy falls on the same side) and the report on it comes into the card: accuracy,
    precision, recall, F1, calibration, and what keeping the best part would keep. Each text counts so much that both
    kinds weigh the same. With `probe`, a linear probe on sentence embeddings is trained in place of fastText.
    Documents that were trained on are scored as well; `leave_out` drops sources that were only there for that.
    """

    reads: ClassVar[tuple[str, ...]] = ("text", "source")
    reasons: ClassVar[tuple[str, ...]] = ("only_trained_on",)
    example: ClassVar[Mapping[str, Any]] = {"positive": ["first"]}

    positive: tuple[str, ...] = Field(min_length=1, description="sources of what is wanted")
    negative: tuple[str, ...] = Field((), description="sources of what is not; none: all others")
    leave_out: tuple[str, ...] = Field((), description="sources that are dropped once they have been learned from")
    documents: int = Field(100_000, ge=_LEAST, description="documents of each kind at most, chosen by hash")
    holdout: Share = Field(0.2, description="share of them that is not trained on, but measured on")
    fasttext: FastText = Field(default_factory=FastText, description="how the classifier is trained")
    probe: Probe | None = Field(None, description="a probe on sentence embeddings, in place of fastText")
    column: str = Field("quality", min_length=1, description="column to write")
    seed: int = Field(0, ge=0, description="seed of the sample and of what is held out")

    def columns_written(self) -> Mapping[str, pa.DataType]:
        """The column that is named."""
        return {self.column: pa.float64()}

    def assets(self) -> tuple[Asset, ...]:
        """The embedding model, where there is one."""
        return (embeddings.find(self.probe.folder),) if self.probe else ()

    def fields(self) -> dict[str, Any]:
        """All but where the embedding model lies."""
        return self.model_dump(mode="json", exclude={"probe": {"folder"}})

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The texts of both kinds, each with its draw."""
        source, text = batch.column("source"), batch.column("text").cast(pa.large_string())
        positive = pc.is_in(source, pa.array(self.positive, pa.string()))
        named = pc.is_in(source, pa.array(self.negative, pa.string()))
        wanted = pc.or_(positive, named) if self.negative else pa.array(np.ones(len(text), bool))
        drawn = pa.array(draws((t or "" for t in text.to_pylist()), self.seed, self.word))
        rows = pa.record_batch({"draw": drawn, "positive": positive, "text": text})
        chosen: pa.RecordBatch = rows.filter(pc.and_(wanted, pc.is_valid(text)))
        return chosen

    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        """Train, measure and write the model and its report."""
        sketches.check_sources((*self.positive, *self.negative, *self.leave_out))
        examples = [*self._examples(sketches.files, True), *self._examples(sketches.files, False)]
        write_facts(fit(examples, out, self.probe or self.fasttext, holdout=self.holdout, seed=self.seed), out)

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """Score every text; drop what was only there to be learned from."""
        model = decision.folder / model_name(self.probe or self.fasttext)
        folder = self.probe.folder if self.probe else None
        texts = batch.column("text").to_pylist()
        found = probabilities(model, texts, classifier.POSITIVE, self.fasttext.prepare, folder)
        gone = [Reason("only_trained_on") if s in self.leave_out else None for s in batch.column("source").to_pylist()]
        return Verdict.of(gone, {self.column: pa.array(found, from_pandas=True)})

    def _examples(self, files: Sequence[Path], positive: bool) -> list[Example]:
        """The documents of one kind with the lowest draws."""
        drawn = [pc.filter(b["draw"], pc.equal(b["positive"], positive)) for f in files for b in read_batches(f)]
        draw = np.concatenate([np.empty(0), *(array.to_numpy() for array in drawn)])
        last = last_draw(draw, np.ones(len(draw)), self.documents)
        found = []
        for batch in (batch for file in files for batch in read_batches(file)):
            mask = pc.and_(pc.equal(batch["positive"], positive), pc.less_equal(batch["draw"], last))
            found += [Example(text, positive) for text in batch["text"].filter(mask).to_pylist()]
        return found


class Example(NamedTuple):
    """A text, and whether it is of the wanted kind."""

    text: str
    positive: bool


def fit(
    examples: Iterable[Example], out: Path, how: FastText | Probe, *, holdout: float, seed: int = 0
) -> dict[str, Any]:
    """Train on all but a share, write the model into a folder (see `model_name`), and say how it does on that share.

    Nothing depends on the order of the examples. GristmillError where there is too little to learn from.
    """
    ordered = sorted(set(examples))
    held = draws((example.text for example in ordered), seed, "holdout") < holdout
    labels = np.array([example.positive for example in ordered], bool)
    texts = [example.text for example in ordered]
    trained = {"positive": int((labels & ~held).sum()), "negative": int((~labels & ~held).sum())}
    for kind, n in trained.items():
        if n < _LEAST:
            raise GristmillError(f"only {n} {kind} documents to train on: name more sources or files, or hold out less")
    path = out / model_name(how)
    chosen = np.flatnonzero(~held)
    if isinstance(how, Probe):
        weights = np.where(labels[chosen], 0.5 / trained["positive"], 0.5 / trained["negative"]) * len(chosen)
        embeddings.train([texts[at] for at in chosen], labels[chosen], weights, how, path)
    else:
        repeated = balanced(chosen, labels, seed)
        classifier.train([texts[at] for at in repeated], labels[repeated].tolist(), how, path)
    folder = how.folder if isinstance(how, Probe) else None
    prepare = "line" if isinstance(how, Probe) else how.prepare
    measured = np.flatnonzero(held)
    found = probabilities(path, [texts[at] for at in measured], classifier.POSITIVE, prepare, folder)
    return {"trained_on": trained, "held_out": evaluate(found, labels[measured])}


def model_name(how: FastText | Probe) -> str:
    """The file that `fit` writes."""
    return "probe.npz" if isinstance(how, Probe) else "model.bin"


def balanced(rows: npt.NDArray[np.int64], labels: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.int64]:
    """The rows in an order drawn by lot, those of the rarer label as often as it takes for both to be as many.

    fastText knows no weights: a text that counts twice is there twice.
    """
    kinds = [rows[labels[rows]], rows[~labels[rows]]]
    most = max(map(len, kinds))
    repeated = np.concatenate([np.resize(kind, most) for kind in kinds])
    lot = draws((str(place) for place in range(len(repeated))), seed, "order")
    return repeated[np.argsort(lot, kind="stable")]
