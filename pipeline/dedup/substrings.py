"""Spans of text that stand elsewhere already, wherever they begin, are cut out of the text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.dedup.clusters import identity, runs
from pipeline.dedup.repeats import Repeats
from pipeline.dedup.windows import covered, packed, unpacked, window_table
from pipeline.kernels.units import anchors, span_hashes, token_hashes, token_starts

_CHUNK = 1 << 18
"""Symbols whose windows are hashed at once."""


class Substrings(Repeats):
    """Cuts every span of at least `length` words (or characters) that stands in the corpus already, but for the first.

    A word is a run of letters and digits, one character of a script without spaces, or one mark of punctuation: case
    counts, white space does not. Exactly what is in a window of `length` words that occurs earlier is cut, as by a
    suffix array (Lee et al., 2022, who cut 50 tokens); windows are equal by 64-bit hashes of 32-bit hashes of their
    words. Where something repeats itself, its first period stays. The first occurrence is that in the source which
    comes first in the recipe, then the smallest id, then the first place.

    Not all windows are shuffled: of runs of half the length, those that are least among their neighbours are looked
    up (winnowing), which finds every repeat, and only around those that occur twice are all windows compared. The
    sketch takes 4 bytes a word, and about 50 bytes for each `length` words.
    """

    length: int = Field(50, ge=4, le=100_000, description="words (or characters) of the shortest span that is cut")
    unit: Literal["word", "character"] = Field("word", description="what spans are made of and begin with")

    version: ClassVar[int] = 1

    @property
    def _seed(self) -> int:
        """Symbols of the runs that are looked up."""
        return (self.length + 1) // 2

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The words (hashed) or characters, and the runs to look up; documents shorter than a span have no row."""
        texts = [text or "" for text in batch.column("text").to_pylist()]
        symbols = self._symbols(texts)
        filled = [row for row, listed in enumerate(symbols) if len(listed) >= self.length]
        found = [self._anchors(symbols[row]) for row in filled]
        columns = identity(batch.take(pa.array(filled, pa.int64())))
        columns["symbols"] = packed([symbols[row] for row in filled], np.uint32)
        columns["anchors"] = packed([keys for _, keys in found], np.uint64)
        columns["at"] = packed([at for at, _ in found], np.uint32)
        return pa.RecordBatch.from_pydict(columns)

    def _symbols(self, texts: list[str]) -> list[np.ndarray]:
        if self.unit == "character":
            return [np.frombuffer(text.encode("utf-32-le"), np.uint32) for text in texts]
        counts, hashes = token_hashes(texts)
        return np.split(hashes, np.cumsum(counts)[:-1]) if texts else []

    def _anchors(self, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys = span_hashes(symbols, self._seed)
        at = anchors(keys, self.length - self._seed + 1)
        return at, keys[at]

    def candidates(self, table: pa.Table) -> pa.Table:
        """The runs to look up."""
        counts, keys = unpacked(table["anchors"], np.uint64)
        _, at = unpacked(table["at"], np.uint32)
        return window_table(keys, np.repeat(table["row"].to_numpy(), counts), at)

    def windows(self, table: pa.Table, repeated: pa.Table) -> pa.Table:
        """All windows of `length` around the repeated runs."""
        rows, at = repeated["row"].to_numpy(), repeated["at"].to_numpy()
        found = [window_table(*(np.empty(0, np.int64),) * 3)]
        where = np.searchsorted(table["row"].to_numpy(), rows)
        for start, stop in zip(*runs(rows), strict=True):
            symbols = np.frombuffer(table["symbols"][int(where[start])].as_buffer(), np.uint32)
            for keys, places in self._around(symbols, at[start:stop]):
                found.append(window_table(keys, np.full(len(keys), rows[start]), places))
        return pa.concat_tables(found)

    def _around(self, symbols: np.ndarray, at: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Keys and places of the windows that hold one of these runs."""
        slack = self.length - self._seed
        count = len(symbols) - self.length + 1
        near = covered(at, slack + 1, count + slack)[slack:]
        for first in range(0, count, _CHUNK):
            inside = np.flatnonzero(near[first : first + _CHUNK])
            if len(inside):
                keys = span_hashes(symbols[first : first + _CHUNK + self.length - 1], self.length)
                yield keys[inside], inside + first

    def cut(self, text: str, at: np.ndarray) -> str:
        """The text without what is in a window; with a word goes the white space after it."""
        starts = np.arange(len(text)) if self.unit == "character" else token_starts(text)
        starts = np.append(starts, len(text))
        change = np.diff(np.concatenate([[False], covered(at, self.length, len(starts) - 1), [False]]).astype(np.int8))
        left, kept_from = [], 0
        for first, stop in zip(np.flatnonzero(change > 0), np.flatnonzero(change < 0), strict=True):
            left.append(text[kept_from : starts[first]])
            kept_from = starts[stop]
        return "".join([*left, text[kept_from:]]).rstrip()
