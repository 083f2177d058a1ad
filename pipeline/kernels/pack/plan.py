"""Where tokens go when rows are packed: stretches of rows, and the tokens that each of them holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import GristmillError

Fit = Callable[[np.ndarray, int], Sequence[int] | np.ndarray]
"""The row of each piece, given the sizes of the pieces and the length of a row."""


@dataclass(frozen=True)
class Plan:
    """Rows as stretches: stretch k goes from `boundaries[k]` to the next and holds the tokens from `sources[k]` on.

    A source of -1 is padding. `finishes[k]` is where the tokens of the stretch's document end: a stretch that goes one
    further holds the end-of-document token there, which is not stored.
    """

    n_rows: int
    boundaries: np.ndarray
    sources: np.ndarray
    finishes: np.ndarray


def plan(rows: np.ndarray, sizes: np.ndarray, sources: np.ndarray, finishes: np.ndarray, length: int) -> Plan:
    """Pieces in rows 0, 1, 2 ... of `length`, one after the other as they are given, what is left being padding."""
    n_rows = int(rows.max(initial=-1)) + 1
    free = length - np.bincount(rows, weights=sizes, minlength=n_rows).astype(np.int64)
    padded = np.flatnonzero(free)
    order = np.argsort(np.concatenate([rows, padded]), kind="stable")
    boundaries = np.cumsum(np.concatenate([[0], np.concatenate([sizes, free[padded]])[order]]))
    if boundaries[-1] >= 1 << 31:
        raise GristmillError(f"rows of {boundaries[-1]:,} tokens together: at most 2^31 - 1 can be packed at once")
    none = np.full(len(padded), -1, dtype=np.int64)
    return Plan(
        n_rows=n_rows,
        boundaries=boundaries.astype(np.int32),
        sources=np.concatenate([sources, none])[order],
        finishes=np.concatenate([finishes, none])[order],
    )


def lay(sizes: np.ndarray, fit: Fit, length: int) -> Plan:
    """Documents of so many tokens, each with its end after them, in pieces of a row at most, laid out by `fit`."""
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    whole = sizes + 1
    n_pieces = -(-whole // length)
    document = np.repeat(np.arange(len(sizes)), n_pieces)
    number = np.arange(len(document)) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)
    taken = np.minimum(length, whole[document] - number * length)
    rows = np.asarray(fit(taken, length), dtype=np.int64)
    return plan(rows, taken, offsets[document] + number * length, offsets[document + 1], length)
