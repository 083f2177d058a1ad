"""Tokenize and pack: documents into rows of a fixed length, with every token traceable to its document.

Best-fit packing (Ding et al. 2024, "Fewer Truncations Improve Language Modeling") cuts only documents longer than a
row, for a few rows' worth of padding a window; concatenation pads nothing and cuts a third of web pages at 2048.

Rows are shuffled within a window and stay in the shard of their documents: so a shard can be made, checked, resumed and
rid of a document alone. The order over all shards is the reader's, who draws it anew for every epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.backends.tokenizer import FILE, Encoder, load
from pipeline.core.asset import current
from pipeline.core.chance import draws
from pipeline.core.packed import PIECE, Tally, packed_schema, token_facts
from pipeline.core.stage import Decision, Reshape, Share
from pipeline.kernels.pack import on_device
from pipeline.kernels.pack.plan import plan
from pipeline.tokens.cut import Cut, cut_everywhere, cut_long
from pipeline.tokens.fit import fit
from pipeline.tokens.window import Host, Waiting

ENCODED_ROWS = 256
SLAB_BYTES = 1 << 27
"""The library encodes so many documents at a time. A device gets so much text, several of its batches: while one is
copied there, another is worked on."""

OUT_ROWS = 1024
OUT_TOKENS = 1 << 22
"""Rows leave in batches below both of these, and the next batch is laid out while one is written."""


class Pack(Reshape):
    """Rows of `length` tokens, with the tokenizer's end-of-document token after every document.

    Held-out documents are chosen whole, by hash of seed and id, and never share a row with the others. The documents of
    a shard are packed together, and with no others.
    """

    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = ("id", "text")
    optional: ClassVar[tuple[str, ...]] = ("source", "lang")
    splits: ClassVar[tuple[str, ...]] = ("train", "holdout")

    length: int = Field(2048, ge=8, le=1_048_576, description="tokens in a row")
    strategy: Literal["best_fit", "concat", "none"] = Field(
        "best_fit",
        description="best_fit: only documents longer than a row are cut; concat: cut at every row end, pads the last "
        "row only; none: no two documents in a row. The last two keep the order of documents",
    )
    holdout: Share = Field(0.0, description="share of documents that go to the split `holdout`")
    window: int = Field(65536, ge=1, le=1 << 24, description="documents that best_fit sees at once")
    window_tokens: int = Field(
        1 << 25,
        ge=1,
        le=1 << 31,
        description="tokens that best_fit sees at once: 4 bytes of memory each, for each split",
    )
    seed: int = Field(0, ge=0, description="seed of the holdout and of the order of rows within a window")

    def row_schema(self, decision: Decision) -> pa.Schema:
        """`input_ids` and `documents`."""
        return packed_schema(self.length)

    def reshape(
        self, batches: Iterator[pa.RecordBatch], decision: Decision, tally: Tally | None = None
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Packed rows, of both splits in turn as they fill."""
        encoder = load(decision.folder / FILE)
        tally = Tally() if tally is None else tally
        engine = on_device(decision.folder / FILE, current().device)
        tally.engine, tally.vocabulary = engine.name if engine else encoder.engine, encoder.size
        waiting = {split: Waiting(engine.window() if engine else Host(encoder)) for split in self.splits}
        for batch in _slabs(batches, SLAB_BYTES if engine else 1):
            for split, part in self._splits(batch):
                sizes = waiting[split].add(part.column("id"), pc.fill_null(part.column("text"), ""))
                tally.add(part, split, sizes)
                yield from ((split, rows) for rows in self._rows(waiting[split], encoder, tally, last=False))
        for split in self.splits:
            yield from ((split, rows) for rows in self._rows(waiting[split], encoder, tally, last=True))

    def facts(self, rows: pa.RecordBatch) -> dict[str, int]:
        """Tokens, padding, pieces, documents and how many of them are cut."""
        return token_facts(rows)

    def _splits(self, batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
        if not self.holdout:
            yield "train", batch
            return
        held = draws(batch.column("id").to_pylist(), self.seed, "holdout") < self.holdout
        for split, mask in (("train", ~held), ("holdout", held)):
            if mask.any():
                yield split, batch.filter(pa.array(mask))

    def _rows(self, waiting: Waiting, encoder: Encoder, tally: Tally, *, last: bool) -> Iterator[pa.RecordBatch]:
        """The rows of all that is ready; with `last`, of all that waits."""
        while n_ready := self._n_ready(waiting.sizes, last=last):
            sizes = waiting.sizes[:n_ready]
            n_tokens = int(sizes.sum())
            if self.strategy == "concat":
                n_tokens -= 0 if last else n_tokens % self.length
                cut = cut_everywhere(sizes, self.length).first(-(-n_tokens // self.length))
            else:
                cut = cut_long(sizes, self.length)
                if self.strategy == "best_fit":
                    cut = cut.into(fit(cut.size, self.length))
                    cut = cut.into(self._shuffled(cut, waiting))
            yield from self._filled(cut, waiting, encoder, tally)
            waiting.forget(n_tokens)

    def _n_ready(self, sizes: np.ndarray, *, last: bool) -> int:
        """How many of the documents that wait are to be packed now."""
        n_tokens = int(sizes.sum())
        if self.strategy != "best_fit":
            return len(sizes) if last or n_tokens >= max(OUT_TOKENS, 2 * self.length) else 0
        if len(sizes) <= self.window and n_tokens <= self.window_tokens:
            return len(sizes) if last else 0
        fitting = int(np.searchsorted(np.cumsum(sizes), self.window_tokens, side="right"))
        return max(1, min(fitting, self.window))

    def _shuffled(self, cut: Cut, waiting: Waiting) -> np.ndarray:
        """The row of each piece once rows are ordered by a draw for their first piece."""
        first = np.unique(cut.row, return_index=True)[1]
        documents = waiting.names.take(pa.array(cut.document[first])).to_pylist()
        names = (f"{document}\0{at}" for document, at in zip(documents, cut.at[first].tolist(), strict=True))
        order = np.argsort(draws(names, self.seed, "row"), kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return rank[cut.row]

    def _filled(self, cut: Cut, waiting: Waiting, encoder: Encoder, tally: Tally) -> Iterator[pa.RecordBatch]:
        """The rows of sorted pieces, in batches of a bounded size; one is begun before the one before it is taken."""
        finishes = np.cumsum(waiting.sizes - 1)
        begins = finishes - waiting.sizes + 1
        begun: deque[tuple[Cut, Callable[[], np.ndarray]]] = deque()
        for part in cut.steps(min(OUT_ROWS, max(1, OUT_TOKENS // self.length))):
            sources = begins[part.document] + part.at
            rows = plan(part.row, part.size, sources, finishes[part.document], self.length)
            begun.append((part, waiting.tokens.fill(rows, self.length, end=encoder.end, pad=encoder.pad)))
            if len(begun) > 1:
                yield self._batch(*begun.popleft(), waiting, encoder, tally)
        while begun:
            yield self._batch(*begun.popleft(), waiting, encoder, tally)

    def _batch(
        self, cut: Cut, filled: Callable[[], np.ndarray], waiting: Waiting, encoder: Encoder, tally: Tally
    ) -> pa.RecordBatch:
        ids = filled()
        n_ended = int((cut.at + cut.size == waiting.sizes[cut.document]).sum())
        tally.use(ids, [(encoder.end, n_ended), (encoder.pad, len(ids) - int(cut.size.sum()))])
        row_ends = np.searchsorted(cut.row, np.arange(len(ids) // self.length + 1))
        before = np.cumsum(cut.size) - cut.size
        start = before - before[row_ends[:-1]][cut.row]
        offset = cut.at + np.where(cut.document == 0, waiting.gone, 0)
        pieces = pa.StructArray.from_arrays(
            [
                waiting.names.take(pa.array(cut.document)),
                pa.array(start.astype(np.int32)),
                pa.array(cut.size.astype(np.int32)),
                pa.array(offset),
            ],
            fields=list(PIECE),
        )
        return pa.RecordBatch.from_arrays(
            [
                pa.FixedSizeListArray.from_arrays(pa.array(ids), self.length),
                pa.ListArray.from_arrays(pa.array(row_ends.astype(np.int32)), pieces),
            ],
            schema=packed_schema(self.length),
        )


def _slabs(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """The same documents in batches of at least `size` bytes of text, and little more."""
    held: list[pa.RecordBatch] = []
    n_bytes = 0
    for batch in batches:
        for first in range(0, batch.num_rows, ENCODED_ROWS):
            held.append(batch.slice(first, ENCODED_ROWS))
            n_bytes += pc.sum(pc.binary_length(held[-1].column("text"))).as_py() or 0
            if n_bytes >= size:
                yield pa.concat_batches(held) if len(held) > 1 else held[0]
                held, n_bytes = [], 0
    if held:
        yield pa.concat_batches(held) if len(held) > 1 else held[0]
