"""Texts that a model has not seen, and how many bits it needs for a byte of them.

Bits are counted over the tokens of the text and bytes are those of the text itself, so that models of different
tokenizers can be compared. A text longer than a row is read in pieces of a row's length, each without what was before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.manifest import Record, digest, read_manifest
from pipeline.core.shards import read_batches
from pipeline.train import lines

if TYPE_CHECKING:
    from pipeline.backends.tokenizer import Encoder
    from pipeline.train.model import Model

BATCH_TOKENS = 1 << 14
COLUMNS = ("id", "text", "source", "lang")


@dataclass(frozen=True)
class HeldOut:
    """A named set of documents: a table of `COLUMNS`, all strings."""

    name: str
    documents: pa.Table

    @property
    def digest(self) -> str:
        """sha256 of the texts, in their order."""
        return digest(self.documents["text"].to_pylist())

    def first(self, n: int) -> HeldOut:
        """The first `n` documents."""
        return HeldOut(self.name, self.documents.slice(0, n))


class Score(Record):
    """What a model made of texts: `bits` over `asked` of their `tokens`, of which it guessed `right`.

    gpt is asked for every token; bert for masked ones and t5 for those in holes, so that only gpts compare. An n-gram
    model is not asked what it would guess.
    """

    documents: int
    bytes: int
    tokens: int
    asked: int
    right: int | None
    bits: float

    @property
    def bits_per_byte(self) -> float | None:
        """For each byte of the text that was asked for; None where there was none."""
        return self.bits / (self.bytes * self.asked / self.tokens) if self.asked and self.bytes else None

    @property
    def perplexity(self) -> float | None:
        """By token."""
        return float(2 ** (self.bits / self.asked)) if self.asked else None

    @property
    def accuracy(self) -> float | None:
        """The share of tokens that were the model's first choice."""
        return self.right / self.asked if self.asked and self.right is not None else None


@dataclass(frozen=True)
class Scored:
    """The score of each document, in order: one row of `counts` each, columns as in `FIELDS`."""

    held_out: HeldOut
    counts: np.ndarray

    @property
    def total(self) -> Score:
        """All documents."""
        return _score(self.counts)

    def by(self, column: str) -> dict[str, Score]:
        """By source or by language; what has none is under an empty name."""
        names = np.array(self.held_out.documents[column].fill_null("").to_pylist(), dtype=object)
        return {name: _score(self.counts[names == name]) for name in sorted(set(names.tolist()))}


FIELDS = ("bytes", "tokens", "asked", "right", "bits")


def score(model: Model, encoder: Encoder, held_out: HeldOut) -> Scored:
    """Score every document. What bert and t5 are asked for is drawn from the number of the piece alone."""
    import torch

    from pipeline.train.attention import best_way
    from pipeline.train.batches import Maker, Piece, chance_of

    texts = held_out.documents["text"].to_pylist()
    ids, offsets = encoder.encode(texts)
    length = model.shape.length
    pieces = [
        (document, ids[at : min(at + length, stop)].astype(np.int64))
        for document, (start, stop) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True))
        for at in range(start, stop, length)
    ]
    counts = np.zeros((len(texts), len(FIELDS)))
    counts[:, 0] = pc.binary_length(held_out.documents["text"]).to_numpy()
    counts[:, 1] = np.diff(offsets)
    device = next(model.parameters()).device
    maker = Maker(model.shape, way=best_way(device))
    is_training = model.training
    model.eval()
    for group in _groups([len(piece) for _, piece in pieces]):
        width = len(pieces[group[-1]][1])
        rows = [_filled(pieces[index][1], width, model.shape.end) for index in group]
        batch = maker.make([Piece(*row) for row in rows], [chance_of(0, 0, index) for index in group])
        row_of = batch.order[batch.at.numpy() // batch.tokens.ids.shape[1]]
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            losses, hits = model.judge(batch.to(device))
        documents = np.array([pieces[index][0] for index in group])[row_of]
        np.add.at(counts[:, 2], documents, 1)
        np.add.at(counts[:, 3], documents, hits.cpu().numpy())
        np.add.at(counts[:, 4], documents, losses.double().cpu().numpy() / math.log(2))
    model.train(is_training)
    return Scored(held_out, counts)


def of_corpus(corpus: Path, name: str = "holdout") -> HeldOut | None:
    """The documents that a corpus holds out; None where it holds none out."""
    files = [corpus / file.path for file in read_manifest(corpus).tokens if "/holdout/" in file.path]
    if not files:
        return None
    chosen = pa.array(sorted({id_ for file in files for batch in read_batches(file) for id_ in _ids(batch)}))
    shards = sorted((corpus / "documents").glob("*.arrow"))
    found = [
        pa.Table.from_batches([batch]).select(COLUMNS).filter(pc.is_in(batch.column("id"), chosen))
        for shard in shards
        for batch in read_batches(shard)
    ]
    return HeldOut(name, pa.concat_tables(found).combine_chunks())


def of_documents(corpus: Path, name: str) -> HeldOut:
    """All documents of a built corpus."""
    found = [
        pa.Table.from_batches([batch]).select(COLUMNS)
        for file in read_manifest(corpus).documents
        for batch in read_batches(corpus / file.path)
    ]
    return HeldOut(name, pa.concat_tables(found).combine_chunks())


def of_file(path: Path, name: str | None = None) -> HeldOut:
    """JSON lines with `text` and, if known, `id`, `source` and `lang`; SourceError names the line that is not."""
    rows = [
        {
            "id": str(number),
            **{name: str(row[name]) for name in COLUMNS if row.get(name)},
            "text": lines.text(row, "text", at),
        }
        for number, (at, row) in enumerate(lines.rows(path), 1)
    ]
    schema = pa.schema([(column, pa.large_string() if column == "text" else pa.string()) for column in COLUMNS])
    return HeldOut(name or path.stem, pa.Table.from_pylist(rows, schema=schema))


def _score(counts: np.ndarray) -> Score:
    sums = dict(zip(FIELDS, counts.sum(0).tolist(), strict=True))
    whole = {field: None if math.isnan(sums[field]) else int(sums[field]) for field in FIELDS[:-1]}
    return Score(documents=len(counts), bits=sums["bits"], **whole)


def _filled(ids: np.ndarray, width: int, fill: int) -> tuple[np.ndarray, np.ndarray]:
    """A row of one document and padding: its ids and segments."""
    row, segments = np.full(width, fill), np.full(width, -1)
    row[: len(ids)], segments[: len(ids)] = ids, 0
    return row, segments


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of pieces, in groups of about one length and of `BATCH_TOKENS` at most, the longest last in each."""
    group: list[int] = []
    for index in np.argsort(np.array(lengths, dtype=np.int64), kind="stable").tolist():
        if group and (len(group) + 1) * lengths[index] > BATCH_TOKENS:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _ids(batch: pa.RecordBatch) -> list[str]:
    return list(batch.column("documents").flatten().field("id").to_pylist())
