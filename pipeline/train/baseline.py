"""The n-gram model that stands beside a trained one in every table: what counting alone gets from the same tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow.compute as pc

from pipeline.backends.ngram import Model, bits_of_ids, likeliest_id, train_ids
from pipeline.backends.tokenizer import Encoder
from pipeline.core.errors import GristmillError
from pipeline.train.batches import encoded
from pipeline.train.choices import shared
from pipeline.train.dataset import Order, Rows
from pipeline.train.generate import spelled
from pipeline.train.held_out import FIELDS, HeldOut, Scored
from pipeline.train.settings import Settings
from pipeline.train.shapes import Shape

ORDER, LABEL_ORDER = 4, 2
"""Longest runs of tokens that are counted: for texts, and for each label of few texts."""

MOST = 1 << 21
"""Tokens that are counted at most: a few seconds."""


def learnt(rows: Rows, shape: Shape, settings: Settings) -> Model:
    """A Kneser-Ney model of the rows that a run of these settings learns from, each once, the first `MOST` tokens.

    GristmillError where the rows are of another tokenizer.
    """
    if rows.sheet.vocabulary != shape.tokens:
        raise GristmillError(
            f"{rows.folder}: rows of {rows.sheet.vocabulary:,} tokens, the model has {shape.tokens:,}; name with "
            "--baseline what it was trained on"
        )
    length = rows.sheet.length
    order = list(Order(len(rows), settings.seed))[: min(settings.steps * settings.batch, max(1, MOST // length))]
    read = [rows[number] for number in order]
    ids, segments = (np.concatenate([row[name] for row in read]) for name in ("input_ids", "segment_ids"))
    place = np.arange(len(ids))
    begins = (place % length == 0) | (segments != np.roll(segments, 1))
    inside = segments >= 0
    starts = np.append(np.flatnonzero(begins[inside]), inside.sum())
    return train_ids(ids[inside], starts, rows.sheet.vocabulary, ORDER)


def score(model: Model, encoder: Encoder, held_out: HeldOut) -> Scored:
    """The bits of every document, each read whole; which token it finds likeliest is not asked."""
    ids, offsets = encoder.encode(held_out.documents["text"].to_pylist())
    counts = np.full((len(offsets) - 1, len(FIELDS)), np.nan)
    counts[:, 0] = pc.binary_length(held_out.documents["text"]).to_numpy()
    counts[:, 1] = counts[:, 2] = np.diff(offsets)
    counts[:, 4] = bits_of_ids(model, ids, offsets)
    return Scored(held_out, counts)


def continued(model: Model, encoder: Encoder, text: str, tokens: int) -> str:
    """What comes after a text: the likeliest token each time, to the end token, or `tokens` of them."""
    seen = encoder.encode([text])[0].tolist()

    def made() -> Iterator[int]:
        for _ in range(tokens):
            token = likeliest_id(model, seen)
            if token == encoder.end:
                return
            seen.append(token)
            yield token

    return "".join(spelled(encoder, made()))


def labels_of(
    train: Sequence[np.ndarray], labels: Sequence[str], asked: Sequence[np.ndarray], vocabulary: int, *, balanced: bool
) -> list[str]:
    """For each text (ids), the label whose own model needs the fewest bits for it; each as likely, if `balanced`."""
    counts = Counter(labels)
    names = sorted(counts)
    bits = np.empty((len(asked), len(names)))
    for column, name in enumerate(names):
        own = [ids for ids, label in zip(train, labels, strict=True) if label == name]
        model = train_ids(*_joined(own), vocabulary, LABEL_ORDER)
        bits[:, column] = bits_of_ids(model, *_joined(asked))
        bits[:, column] -= 0 if balanced else np.log2(counts[name] / len(labels))
    return [names[column] for column in bits.argmin(1).tolist()]


def likelihoods(model: Model, encoder: Encoder, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The logarithm of p(answer | text) of each pair, from the first token in which text and both together differ."""
    wholes, texts = (encoded(encoder, group) for group in ([a + b for a, b in pairs], [a for a, _ in pairs]))
    before = [ids[: shared(text, ids)] for text, ids in zip(texts, wholes, strict=True)]
    return (math.log(2) * (bits_of_ids(model, *_joined(before)) - bits_of_ids(model, *_joined(wholes)))).tolist()


def _joined(texts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Texts one after another, and where each begins."""
    edges = np.append(0, np.cumsum([len(ids) for ids in texts], dtype=np.int64))
    return np.concatenate([*texts, np.empty(0, np.int64)]), edges
