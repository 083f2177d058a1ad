"""The arms of a validation: documents that models learn from, tokenized once, in an order that a seed draws."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.backends.bpe import learn
from pipeline.backends.tokenizer import Encoder
from pipeline.core.chance import draws
from pipeline.core.errors import GristmillError
from pipeline.core.shards import read_batches, whole
from pipeline.core.validation import ArmSheet

_COLUMNS = ("id", "text")
_PURPOSE = "validate"


@dataclass(frozen=True)
class Shelf:
    """A shard or ledger file, or of a ledger the documents that one stage dropped."""

    path: Path
    stage: str | None = None


@dataclass(frozen=True)
class Arm:
    """Documents under a name; `what` says for people what they are. `share`: of all documents, chosen by hash."""

    name: str
    what: str
    shelves: tuple[Shelf, ...]
    share: float = 1.0

    def documents(self, without: pa.Array) -> Iterator[pa.RecordBatch]:
        """`id` and `text` of its documents, but for these ids and for those without a text."""
        for shelf in self.shelves:
            for batch in read_batches(shelf.path):
                rows = batch
                if shelf.stage is not None:
                    rows = rows.filter(pc.equal(rows.column("stage"), shelf.stage))
                rows = rows.select(_COLUMNS)
                wanted = pc.and_(
                    pc.greater(pc.fill_null(pc.binary_length(rows.column("text")), 0), 0),
                    pc.invert(pc.is_in(rows.column("id"), without)),
                )
                rows = rows.filter(wanted)
                if self.share < 1:
                    drawn = draws(rows.column("id").to_pylist(), 0, f"{_PURPOSE} {self.name}")
                    rows = rows.filter(pa.array(drawn < self.share))
                if rows.num_rows:
                    yield rows

    def size(self, without: pa.Array) -> int:
        """Bytes of text."""
        return sum(pc.sum(pc.binary_length(batch.column("text"))).as_py() for batch in self.documents(without))


@dataclass(frozen=True)
class Pool:
    """An arm's tokens on disk: `id`, `bytes` and `tokens` of each document."""

    path: Path

    def taken(self, seed: int, budget: int, end: int, piece: int) -> tuple[np.ndarray, np.ndarray, float]:
        """At least `budget` tokens in pieces of `piece` at most, as `seed` draws them, those that are full first.

        The pool, each document with the end token behind it, is cut into pieces, and these into as many strata as
        pieces are needed: one is drawn of each, so that every seed meets all sources and languages in their shares.
        Ids (int32), where each piece begins (one more than pieces), and how many times the pool was read.
        """
        table = pa.Table.from_batches(list(read_batches(self.path)))
        tokens = table["tokens"].combine_chunks()
        flat, starts = tokens.values.to_numpy(), tokens.offsets.to_numpy()
        sizes = np.diff(starts) + 1
        n_pieces = -(-sizes // piece)
        document = np.repeat(np.arange(len(sizes)), n_pieces)
        first = (np.arange(len(document)) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)) * piece
        lengths = np.minimum(piece, sizes[document] - first)
        ids = table["id"].to_pylist()
        names = (f"{ids[row]} {at}" for row, at in zip(document.tolist(), first.tolist(), strict=True))
        drawn = draws(names, seed, _PURPOSE)
        total = int(lengths.sum())
        order = _spread(drawn, round(len(drawn) * budget / total))
        epochs = budget / total
        order = np.tile(order, max(1, int(np.ceil(epochs))))
        order = order[: int(np.searchsorted(np.cumsum(lengths[order]), budget)) + 1]
        order = order[np.argsort(lengths[order] < piece, kind="stable")]
        begins = starts[document[order]] + first[order]
        stops = begins + lengths[order]
        ends = first[order] + lengths[order] == sizes[document[order]]
        parts = [
            part
            for begin, stop, is_end in zip(begins.tolist(), stops.tolist(), ends.tolist(), strict=True)
            for part in ((flat[begin : stop - 1], [end]) if is_end else (flat[begin:stop],))
        ]
        edges = np.append(0, np.cumsum(lengths[order]))
        return np.concatenate(parts).astype(np.int32), edges, max(1.0, epochs)


def _spread(drawn: np.ndarray, n: int) -> np.ndarray:
    """The places of draws in an order whose first `n` are one of each of `n` strata, neighbours being in one."""
    n = min(max(1, n), len(drawn))
    stratum = np.arange(len(drawn)) * n // len(drawn)
    by_stratum = np.lexsort((drawn, stratum))
    turn = np.empty(len(drawn), np.int64)
    turn[by_stratum] = np.arange(len(drawn)) - np.searchsorted(stratum, stratum[by_stratum])
    return np.lexsort((drawn, turn))


def neutral_tokenizer(arms: Sequence[Arm], without: pa.Array, size: int, most: int, folder: Path) -> Encoder:
    """A tokenizer learnt from about as many bytes of every arm, `most` of each, so that it favours none."""

    def texts() -> Iterator[str]:
        for arm in arms:
            share, held = min(1.0, most / max(1, arm.size(without))), 0
            for batch in arm.documents(without):
                drawn = draws(batch.column("id").to_pylist(), 0, f"{_PURPOSE} tokenizer")
                for text in batch.column("text").filter(pa.array(drawn < share)).to_pylist():
                    if held < most:
                        held += len(text.encode())
                        yield text

    return learn(texts(), size, folder)


def make_pool(arm: Arm, without: pa.Array, encoder: Encoder, most: int, path: Path) -> ArmSheet:
    """Tokenize an arm, or a sample of about `most` bytes, chosen by hash; GristmillError where it has no document."""
    total = arm.size(without)
    sampled = min(1.0, most / max(1, total))
    schema = pa.schema([("id", pa.string()), ("bytes", pa.int64()), ("tokens", pa.list_(pa.int32()))])
    counts = np.zeros(3, np.int64)
    ids: list[str] = []
    with whole(path) as temporary, pa.ipc.new_file(str(temporary), schema) as writer:
        for batch in arm.documents(without):
            rows = batch
            if sampled < 1:
                rows = rows.filter(pa.array(draws(rows.column("id").to_pylist(), 0, f"{_PURPOSE} pool") < sampled))
            texts = rows.column("text").to_pylist()
            tokens, starts = encoder.encode(texts)
            size = pc.binary_length(rows.column("text")).cast(pa.int64())
            lists = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), pa.array(tokens, pa.int32()))
            writer.write_batch(pa.RecordBatch.from_arrays([rows.column("id"), size, lists], schema=schema))
            counts += (rows.num_rows, pc.sum(size).as_py() or 0, len(tokens))
            ids += rows.column("id").to_pylist()
    if not counts[0]:
        raise GristmillError(f"the arm {arm.name!r} ({arm.what}) has no document: leave it out")
    return ArmSheet(
        name=arm.name,
        what=arm.what,
        documents=int(counts[0]),
        bytes=int(counts[1]),
        tokens=int(counts[2]),
        sampled=sampled,
        digest=hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest(),
    )
