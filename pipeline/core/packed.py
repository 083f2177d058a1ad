"""Packed rows: their columns, what they count up to, and where documents begin inside them.

A row is `input_ids` and the pieces of documents that it holds; everything else (position ids, boundaries of attention,
loss masks, which document a token is from) follows from the pieces and is not stored.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.manifest import N_LONGEST, LongDocument, Record, TokenGroup, TokenTally, longest_of

PIECE = pa.struct(
    [
        pa.field("id", pa.string()),
        pa.field("start", pa.int32()),
        pa.field("length", pa.int32()),
        pa.field("offset", pa.int64()),
    ]
)
"""A stretch of one document: `length` tokens from `start` of the row, the first being token `offset` of the document,
its end-of-document token included. Pieces follow each other from 0; what is left of the row is padding."""


Layout = Literal["bin", "megatron", "mds", "litdata", "parquet"]
"""How packed rows are written for trainers."""

LAYOUT_FILE = "layout.json"


class LayoutFile(Record):
    """A file of the layout."""

    path: str
    bytes: int
    sha256: str


class LayoutSheet(Record):
    """What `layout.json` says: ids are little-endian `dtype`, rows are `length` long, `pad` fills them."""

    layout: Layout
    corpus: str
    dtype: str
    length: int
    vocabulary: int
    end: int
    pad: int
    shuffle: int | None
    splits: dict[str, dict[str, int]]
    files: tuple[LayoutFile, ...]


def packed_schema(length: int) -> pa.Schema:
    """The columns of packed rows of `length` tokens.

    Ids are int32 though most would fit in uint16: torch indexes with signed integers only, `datasets` hands int32 to it
    without a copy, and on disk zstd takes the empty half away.
    """
    return pa.schema([("input_ids", pa.list_(pa.int32(), length)), ("documents", pa.list_(PIECE))])


def token_facts(rows: pa.Table | pa.RecordBatch) -> dict[str, int]:
    """Counts of packed rows, which add up over shards.

    `documents` are counted where they begin, `cut_documents` where they go on for the first time: as a piece is never
    longer than a row, that is the one that begins at 1 to `length` tokens into its document.
    """
    length = rows.schema.field("input_ids").type.list_size
    pieces = pc.list_flatten(rows.column("documents"))
    offsets = pc.struct_field(pieces, "offset").to_numpy(zero_copy_only=False) if len(pieces) else np.empty(0)
    tokens = pc.sum(pc.struct_field(pieces, "length")).as_py() or 0
    return {
        "rows": rows.num_rows,
        "tokens": tokens,
        "padding": rows.num_rows * length - tokens,
        "pieces": len(pieces),
        "documents": int((offsets == 0).sum()),
        "cut_documents": int(((offsets > 0) & (offsets <= length)).sum()),
    }


def segments(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """For each token of each row: the number of its piece within the row, and its position within the piece.

    Two int32 arrays of the shape of `input_ids`, both -1 on padding. Attention stays inside equal numbers; the loss is
    masked where the next number differs.
    """
    length = batch.schema.field("input_ids").type.list_size
    number = np.full((batch.num_rows, length), -1, dtype=np.int32)
    position = np.full((batch.num_rows, length), -1, dtype=np.int32)
    counting = np.arange(length, dtype=np.int32)
    for row, pieces in enumerate(batch.column("documents").to_pylist()):
        for index, piece in enumerate(pieces):
            inside = slice(piece["start"], piece["start"] + piece["length"])
            number[row, inside] = index
            position[row, inside] = counting[: piece["length"]]
    return number, position


@dataclass
class Tally:
    """Counts documents as they become tokens: by split, source and language, the longest, and which ids occur."""

    engine: str = ""
    vocabulary: int = 0
    _seen: list[pa.RecordBatch] = field(default_factory=list)
    _used: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def add(self, documents: pa.RecordBatch, split: str, sizes: np.ndarray) -> None:
        """Documents of a split, with `id`, `text`, `source` and `lang`, and the number of tokens of each."""
        columns = {name: documents.column(name) for name in ("id", "source", "lang")}
        size = pc.fill_null(pc.binary_length(documents.column("text")).cast(pa.int64()), 0)
        names = pa.array([split] * documents.num_rows, pa.string())
        self._seen.append(pa.RecordBatch.from_pydict({**columns, "split": names, "tokens": sizes, "bytes": size}))

    def use(self, ids: np.ndarray, besides: Iterable[tuple[int, int]]) -> None:
        """All ids of rows; `besides` says which of them, and how often, are no token of a text."""
        counts = np.bincount(ids, minlength=self.vocabulary)
        for token, count in besides:
            counts[token] -= count
        self._used = counts > 0 if not len(self._used) else self._used | (counts > 0)

    def record(self) -> TokenTally:
        """All of it, for the receipt."""
        if not self._seen:
            return TokenTally(engine=self.engine, vocabulary=self.vocabulary)
        table = pa.Table.from_batches(self._seen)
        keys = ["split", "source", "lang"]
        summed = table.group_by(keys, use_threads=False).aggregate(
            [("tokens", "sum"), ("bytes", "sum"), ([], "count_all")]
        )
        groups = (
            TokenGroup(
                **{key: row[key] for key in keys},
                documents=row["count_all"],
                bytes=row["bytes_sum"],
                tokens=row["tokens_sum"],
            )
            for row in summed.to_pylist()
        )
        order = [("tokens", "descending"), ("split", "ascending"), ("id", "ascending")]
        first = table.select(["id", "split", "tokens"]).take(pc.select_k_unstable(table, N_LONGEST, sort_keys=order))
        return TokenTally(
            groups=tuple(sorted(groups, key=lambda group: (group.split, group.source or "", group.lang or ""))),
            longest=longest_of(LongDocument(**row) for row in first.to_pylist()),
            used=base64.b64encode(np.packbits(self._used, bitorder="little").tobytes()).decode(),
            vocabulary=self.vocabulary,
            engine=self.engine,
        )
