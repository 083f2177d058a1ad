"""Documents cut into the pieces that rows hold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np


class Cut(NamedTuple):
    """Pieces, one entry each: `size` tokens of the waiting document number `document` from its token `at`, in `row`."""

    document: np.ndarray
    at: np.ndarray
    size: np.ndarray
    row: np.ndarray

    def into(self, row: np.ndarray) -> Cut:
        """The pieces in these rows, sorted by row; within a row they keep their order."""
        order = np.argsort(row, kind="stable")
        return Cut(self.document[order], self.at[order], self.size[order], row[order])

    def first(self, rows: int) -> Cut:
        """The pieces of the first rows."""
        stop = int(np.searchsorted(self.row, rows))
        return Cut(*(array[:stop] for array in self))

    def steps(self, rows: int) -> Iterator[Cut]:
        """So many rows at a time, each time counted from 0."""
        n_rows = int(self.row.max(initial=-1)) + 1
        begins = np.searchsorted(self.row, np.arange(0, n_rows + rows, rows)).tolist()
        for number, (begin, end) in enumerate(pairwise(begins)):
            part = Cut(*(array[begin:end] for array in self))
            yield part._replace(row=part.row - number * rows)


def cut_long(sizes: np.ndarray, length: int) -> Cut:
    """Every document alone, in pieces of `length`; the last may be shorter."""
    counts = -(-sizes // length)
    document = np.repeat(np.arange(len(sizes)), counts)
    at = (np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)) * length
    return Cut(document, at, np.minimum(sizes[document] - at, length), np.arange(len(document)))


def cut_everywhere(sizes: np.ndarray, length: int) -> Cut:
    """One document after the other, cut at every row end."""
    ends = np.cumsum(sizes)
    starts = ends - sizes
    cuts = np.union1d(starts, np.arange(0, ends[-1], length))
    document = np.searchsorted(starts, cuts, side="right") - 1
    return Cut(document, cuts - starts[document], np.diff(cuts, append=ends[-1]), cuts // length)
