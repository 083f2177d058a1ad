"""Packed rows as batches: next tokens for gpt, masked tokens and pairs for bert, holes for t5.

Every token of a document is predicted, the first from the end token in front of it, and nothing across documents. What
is left to chance is drawn anew for each row of each epoch, from seed, epoch and row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.train.attention import Sight, Way, arrange, visible
from pipeline.train.dataset import NO_LOSS
from pipeline.train.model import Batch, Tokens
from pipeline.train.shapes import EXTRA_TOKENS, MASKED, NOISE, SPAN, Shape

if TYPE_CHECKING:
    from pipeline.backends.tokenizer import Encoder

AS_MASK, AS_OTHER = 0.8, 0.1
"""BERT's: of the tokens to be guessed, the shares that are shown as the mask and as any other token."""


@dataclass(frozen=True)
class Piece:
    """A row: `ids` and the number of the document that each token is of, -1 on padding; int64."""

    ids: np.ndarray
    segments: np.ndarray


@dataclass(frozen=True)
class Maker:
    """Makes batches for a shape. With `pairs`, bert learns from pairs of parts, one a row, instead of whole rows."""

    shape: Shape
    pairs: bool = False
    way: Way = "pieces"

    def make(
        self, rows: Sequence[Piece], chances: Sequence[np.random.Generator], others: Sequence[Piece] = ()
    ) -> Batch:
        """A batch of these rows, with the chance of each, and for pairs another row for each."""
        if self.shape.kind == "gpt":
            return self.next_tokens(rows)
        if self.shape.kind == "t5":
            return self.holes(rows, chances)
        return self.paired(rows, chances, others) if self.pairs else self.masked(rows, chances)

    def next_tokens(self, rows: Sequence[Piece]) -> Batch:
        """Each token from those before it in its document; the first from the end token."""
        ids, segments = _stacked(rows)
        order, sight = arrange(segments, causal=True, heads=self.shape.heads, way=self.way)
        ids, segments = ids[order], segments[order]
        shown = np.roll(ids, 1, axis=1)
        shown[_begins(segments)] = self.shape.end
        return _batch(shown, segments, np.where(segments >= 0, ids, NO_LOSS), sight, order)

    def masked(self, rows: Sequence[Piece], chances: Sequence[np.random.Generator]) -> Batch:
        """Masked tokens from all others of their document."""
        ids, segments = _stacked(rows)
        shown, targets = self._with_masks(ids, segments >= 0, chances)
        order, sight = arrange(segments, causal=False, heads=self.shape.heads, way=self.way)
        return _batch(shown[order], segments[order], targets[order], sight, order)

    def paired(self, rows: Sequence[Piece], chances: Sequence[np.random.Generator], others: Sequence[Piece]) -> Batch:
        """`<|cls|> first <|sep|> second <|sep|>` of each row's longest document, masked.

        In about half of the rows the second part is one of another row (Devlin et al. 2018, 3.1).
        """
        cls, sep = (self.shape.extra(name) for name in ("<|cls|>", "<|sep|>"))
        length = len(rows[0].ids)
        half = (length - 3) // 2
        follows = np.array([chance.random() < 0.5 for chance in chances])
        ids = np.full((len(rows), length), self.shape.end)
        segments, types = np.full(ids.shape, -1), np.zeros(ids.shape, dtype=np.int64)
        for index, (own, other) in enumerate(zip(rows, others, strict=True)):
            first, second = _halves(own, half)
            if not follows[index]:
                second = _halves(other, half)[1]
            row = np.concatenate([[cls], first, [sep], second, [sep]])
            ids[index, : len(row)], segments[index, : len(row)] = row, 0
            types[index, len(first) + 2 : len(row)] = 1
        shown, targets = self._with_masks(ids, (segments >= 0) & (ids < self.shape.tokens), chances)
        order, sight = arrange(segments, causal=False, heads=self.shape.heads, way=self.way)
        return _batch(
            shown[order],
            segments[order],
            targets[order],
            sight,
            order,
            types=torch.from_numpy(types[order]),
            follows=torch.from_numpy(follows[order].astype(np.int64)),
        )

    def _with_masks(
        self, ids: np.ndarray, can_be: np.ndarray, chances: Sequence[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is shown and what is to be guessed; where chance chose no token of a row, its first one."""
        drawn = np.stack([chance.random((2, ids.shape[1])) for chance in chances])
        other = np.stack([chance.integers(self.shape.tokens, size=ids.shape[1]) for chance in chances])
        chosen = can_be & (drawn[:, 0] < MASKED)
        none = ~chosen.any(1) & can_be.any(1)
        chosen[none, can_be[none].argmax(1)] = True
        kind = drawn[:, 1]
        shown = np.where(chosen & (kind < AS_MASK), self.shape.extra("<|mask|>"), ids)
        shown = np.where(chosen & (kind >= AS_MASK) & (kind < AS_MASK + AS_OTHER), other, shown)
        return shown, np.where(chosen, ids, NO_LOSS)

    def holes(self, rows: Sequence[Piece], chances: Sequence[np.random.Generator]) -> Batch:
        """The source with each hole as one extra token; after each extra token, what was in the hole; then the end.

        Holes are numbered within a document, and it alone is seen.
        """
        pairs = [self._holes_of(row, chance) for row, chance in zip(rows, chances, strict=True)]
        source, source_segments = _padded([pair[0] for pair in pairs], self.shape.end)
        ids, segments = _padded([pair[1] for pair in pairs], self.shape.end)
        shown = np.roll(ids, 1, axis=1)
        shown[_begins(segments)] = self.shape.end
        return _batch(
            shown,
            segments,
            np.where(segments >= 0, ids, NO_LOSS),
            Sight(True, 0, mask=visible(segments, segments, causal=True)),
            np.arange(len(rows)),
            source=_tokens(
                source, source_segments, Sight(False, 0, mask=visible(source_segments, source_segments, causal=False))
            ),
            crossing=visible(segments, source_segments, causal=False),
        )

    def _holes_of(self, row: Piece, chance: np.random.Generator) -> tuple[Piece, Piece]:
        first_extra = self.shape.tokens
        source: list[tuple[np.ndarray, int]] = []
        target: list[tuple[np.ndarray, int]] = []
        for number in range(int(row.segments.max()) + 1):
            text = row.ids[row.segments == number]
            if len(text) < 2:
                source.append((text, number))
                continue
            for hole, (kept, lost) in enumerate(_holes(text, len(EXTRA_TOKENS["t5"]), chance)):
                extra = np.array([first_extra + hole])
                source += [(kept, number), (extra, number)]
                target += [(extra, number), (lost, number)]
            target.append((np.array([self.shape.end]), number))
        return _piece(source), _piece(target)


def encoded(encoder: Encoder, texts: Sequence[str]) -> list[np.ndarray]:
    """The ids of each text, int64."""
    ids, offsets = encoder.encode(texts)
    return [part.astype(np.int64) for part in np.split(ids, offsets[1:-1])] if len(texts) else []


def chance_of(seed: int, epoch: int, row: int) -> np.random.Generator:
    """The chance of one row in one epoch."""
    return np.random.Generator(np.random.Philox(key=[seed, 1], counter=[0, 0, epoch, row]))


def _holes(text: np.ndarray, most: int, chance: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of what is kept and what is lost, in order and in turn, as T5 draws them: lengths by random partition."""
    lost = min(max(round(len(text) * NOISE), 1), len(text) - 1)
    holes = min(max(round(lost / SPAN), 1), len(text) - lost, most)
    kept_parts, lost_parts = (_partition(n, holes, chance) for n in (len(text) - lost, lost))
    edges = np.cumsum(np.stack([kept_parts, lost_parts], axis=1).ravel())[:-1]
    parts = np.split(text, edges)
    return list(zip(parts[::2], parts[1::2], strict=True))


def _partition(total: int, parts: int, chance: np.random.Generator) -> np.ndarray:
    """So many whole numbers, 1 at least, that add up to `total`; every choice is as likely."""
    edges = np.sort(chance.choice(total - 1, parts - 1, replace=False)) + 1
    return np.diff(np.concatenate([[0], edges, [total]]))


def _piece(parts: list[tuple[np.ndarray, int]]) -> Piece:
    if not parts:
        return Piece(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    return Piece(
        np.concatenate([ids for ids, _ in parts]), np.concatenate([np.full(len(ids), number) for ids, number in parts])
    )


def _halves(row: Piece, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the longest document of a row, what is on both sides of its middle, `most` tokens of each."""
    text = row.ids[row.segments == int(np.bincount(row.segments[row.segments >= 0], minlength=1).argmax())]
    middle = len(text) // 2
    return text[max(0, middle - most) : middle], text[middle : middle + most]


def _stacked(rows: Sequence[Piece]) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([row.ids for row in rows]), np.stack([row.segments for row in rows])


def _padded(rows: Sequence[Piece], fill: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of different lengths as one array, as long as the longest, filled up to a multiple of 8."""
    length = max(1, -(-max(len(row.ids) for row in rows) // 8)) * 8
    ids, segments = np.full((len(rows), length), fill), np.full((len(rows), length), -1)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)], segments[index, : len(row.ids)] = row.ids, row.segments
    return ids, segments


def _begins(segments: np.ndarray) -> np.ndarray:
    """Where a document or padding begins."""
    first = np.ones((len(segments), 1), dtype=bool)
    return np.concatenate([first, segments[:, 1:] != segments[:, :-1]], axis=1)


def _tokens(ids: np.ndarray, segments: np.ndarray, sight: Sight, types: torch.Tensor | None = None) -> Tokens:
    place = np.arange(ids.shape[1])
    begun = np.maximum.accumulate(np.where(_begins(segments), place, 0), axis=1)
    return Tokens(torch.from_numpy(ids), torch.from_numpy(place - begun), sight, types)


def _batch(
    ids: np.ndarray,
    segments: np.ndarray,
    targets: np.ndarray,
    sight: Sight,
    order: np.ndarray,
    *,
    types: torch.Tensor | None = None,
    follows: torch.Tensor | None = None,
    source: Tokens | None = None,
    crossing: torch.Tensor | None = None,
) -> Batch:
    at = np.flatnonzero(targets.ravel() != NO_LOSS)
    return Batch(
        tokens=_tokens(ids, segments, sight, types),
        order=order,
        at=torch.from_numpy(at),
        targets=torch.from_numpy(targets.ravel()[at]),
        source=source,
        crossing=crossing,
        follows=follows,
    )
