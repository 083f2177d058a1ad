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

    def taken(self, seed: int, budget: int, end: int) -> tuple[np.ndarray, np.ndarray, float]:
        """At least `budget` tokens: documents in the order that `seed` draws, each with the end token behind it.

        Ids (int32), where each document begins (one more than documents), and how many times the pool was read.
        """
        table = pa.Table.from_batches(list(read_batches(self.path)))
        order = np.argsort(draws(table["id"].to_pylist(), seed, _PURPOSE), kind="stable")
        tokens = table["tokens"].combine_chunks()
        flat, starts = tokens.values.to_numpy(), tokens.offsets.to_numpy()
        sizes = np.diff(starts)[order] + 1
        epochs = budget / max(1, int(sizes.sum()))
        times = max(1, int(np.ceil(epochs)))
        reach = np.cumsum(np.tile(sizes, times))
        chosen = np.tile(order, times)[: int(np.searchsorted(reach, budget)) + 1]
        parts = [part for row in chosen.tolist() for part in (flat[starts[row] : starts[row + 1]], [end])]
        return np.concatenate(parts).astype(np.int32), np.append(0, reach[: len(chosen)]), max(1.0, epochs)


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
