"""Texts to token ids, and token ids to packed rows, on a device: batches of bounded memory, copies beside kernels."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from pipeline.core.errors import GristmillError
from pipeline.kernels.pack import scalar
from pipeline.kernels.pack.plan import Fit, Plan, lay
from pipeline.kernels.pack.tables import SLOTS, Known, Rules, classes, read_rules

SEGMENT = 256
"""Bytes of text a thread: enough to forget the search for its beginning, few enough to fill a device with a batch."""

BATCH_BYTES = 1 << 25
"""Text on the device at a time, in each of `LANES` batches; a longer document is a batch of its own."""

LANES = 2
"""Batches on their way: while one is copied, the other is worked on."""

SLACK = 4
"""Bytes after the text that a broken last character may be read into."""


@dataclass(frozen=True)
class Blocks:
    """Packed rows in device memory, flat: `n_rows * length` ids, positions in the piece, and 1 where a loss is taken.

    `boundaries` are the cumulative lengths (cu_seqlens) of the stretches, padding included, over all rows: attention
    stays inside a stretch. On a GPU the arrays offer `__cuda_array_interface__`: torch takes them without a copy.
    """

    n_rows: int
    length: int
    ids: Any
    positions: Any
    mask: Any
    boundaries: Any


class Engine:
    """A tokenizer on a device; the ids are those of `tokenizers`, whatever the device, the batches and the segments."""

    def __init__(
        self,
        path: Path,
        device: Callable[[], Any],
        *,
        segment: int = SEGMENT,
        batch_bytes: int = BATCH_BYTES,
        slots: int = SLOTS,
    ) -> None:
        self._rules = read_rules(path)
        self.known = Known(self._rules, slots)
        self._host = Tokenizer.from_file(os.fspath(path))
        self._segment, self._batch_bytes = segment, batch_bytes
        self._open = device
        self._shared = device()
        self._fixed = _Fixed.on(self._shared, self._rules, self.known)
        self._lanes = [_Lane(device(), segment, self._fixed) for _ in range(LANES)]
        self._n_batches = 0
        self.device: str = self._shared.name
        self.name = f"kernels on {self.device}, checked against tokenizers {version('tokenizers')}"

    def encode(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all texts (int32) and where each begins (int64, one more than texts); null is an empty text."""
        ids: list[np.ndarray] = []
        sizes: list[np.ndarray] = []
        for lane in self.through(texts):
            ids.append(lane.device.get("ids", lane.n_tokens))
            sizes.append(np.diff(lane.device.get("offsets", lane.n_documents + 1)))
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        if sizes:
            np.cumsum(np.concatenate(sizes), out=offsets[1:])
        return np.concatenate(ids) if ids else np.empty(0, dtype=np.int32), offsets

    def window(self) -> Window:
        """Room for documents whose ids stay on the device until they are packed."""
        return Window(self, self._open)

    def blocks(self, texts: pa.LargeStringArray, fit: Fit, length: int, *, end: int, pad: int) -> Blocks:
        """One window of documents, each with the token `end` after it, packed by `fit` without leaving the device.

        Only the lengths of documents are read by the host.
        """
        window, device = self.window(), self._open()
        made = window.blocks(device, lay(window.add(texts), fit, length), length, end=end, pad=pad)
        device.wait()
        return made

    def through(self, texts: pa.LargeStringArray) -> Iterator[_Lane]:
        """Each batch, done, in its order; the next one is already on its way."""
        text, bounds = buffers(texts)
        free, busy = deque(self._lanes), deque[_Lane]()
        for first, last in _batches(bounds, self._batch_bytes):
            if not free:
                yield self._done(busy, free)
            lane = free.popleft()
            part = bounds[first : last + 1]
            lane.submit(text[part[0] : part[-1]], part - part[0])
            busy.append(lane)
        while busy:
            yield self._done(busy, free)

    def _done(self, busy: deque[_Lane], free: deque[_Lane]) -> _Lane:
        lane = busy.popleft()
        lane.finish(self._long)
        self._n_batches += 1
        if self._n_batches & (self._n_batches - 1) == 0:
            self._learn(lane, busy)
        free.append(lane)
        return lane

    def _learn(self, lane: _Lane, busy: deque[_Lane]) -> None:
        """Add what the table did not know, after batches 1, 2, 4, 8 and so on: less is new each time."""
        misses = lane.misses()
        if self.known.learn(lane.text, misses[:, 0], misses[:, 1]):
            for other in busy:
                other.device.wait()
            self._fixed.renew(self._shared, self.known)

    def _long(self, pieces: list[bytes]) -> list[list[int]]:
        """Ids of pieces too long for a thread, by the library's own model; each is done once."""
        alphabet = self._rules.alphabet
        unique: dict[bytes, list[int]] = {piece: [] for piece in pieces}
        for piece in unique:
            word = "".join(alphabet[byte] for byte in piece)
            unique[piece] = [token.id for token in self._host.model.tokenize(word)]
        return [unique[piece] for piece in pieces]


class Window:
    """Ids of documents, one after the other, on the device; the ends of documents are not among them.

    Takes 4 bytes of device memory a token, twice that for a moment, and 9 a token of the rows that are laid out.
    """

    def __init__(self, engine: Engine, device: Callable[[], Any]) -> None:
        self._engine = engine
        self._device = device()
        self._rows = deque([device() for _ in range(LANES)])
        self._names = deque(["held", "spare"])
        self._n = 0

    def add(self, texts: pa.LargeStringArray) -> np.ndarray:
        """Encode and keep; the number of tokens of each text (int64)."""
        sizes = [np.empty(0, dtype=np.int64)]
        for lane in self._engine.through(texts):
            held = self._device.room(self._names[0], self._n + lane.n_tokens, np.int32, keep=self._n)
            if lane.n_tokens:
                found = lane.device.room("ids", lane.n_tokens, np.int32)
                lane.device.move(found, held[self._n : self._n + lane.n_tokens])
            self._n += lane.n_tokens
            sizes.append(np.diff(lane.device.get("offsets", lane.n_documents + 1)))
        return np.concatenate(sizes)

    def fill(self, plan: Plan, length: int, *, end: int, pad: int) -> Callable[[], np.ndarray]:
        """Begin to lay out rows and to copy their ids to the host; what is returned waits for them.

        `LANES` can be begun before the first is taken.
        """
        self._rows.rotate(1)
        self.blocks(self._rows[0], plan, length, end=end, pad=pad)
        fetched: Callable[[], np.ndarray] = self._rows[0].fetch("blocks", plan.n_rows * length)
        return fetched

    def blocks(self, device: Any, plan: Plan, length: int, *, end: int, pad: int) -> Blocks:
        """The rows of a plan over these ids, in memory of `device` until the next ones are laid out there."""
        n = plan.n_rows * length
        made = Blocks(
            n_rows=plan.n_rows,
            length=length,
            ids=device.room("blocks", n, np.int32),
            positions=device.room("positions", n, np.int32),
            mask=device.room("mask", n, np.uint8),
            boundaries=device.put("boundaries", plan.boundaries),
        )
        sources, finishes = device.put("sources", plan.sources), device.put("finishes", plan.finishes)
        ids = self._device.room(self._names[0], self._n, np.int32, keep=self._n)
        device.launch("fill", n, ids, made.boundaries, sources, finishes, end, pad, made.ids, made.positions, made.mask)
        return made

    def forget(self, n: int) -> None:
        """Drop the first `n` ids; a plan counts from what is the first then."""
        left = self._n - n
        if left and n:
            held = self._device.room(self._names[0], self._n, np.int32, keep=self._n)
            self._device.move(held[n : self._n], self._device.room(self._names[1], left, np.int32))
            self._device.wait()
            self._names.rotate(1)
        self._n = left


@dataclass(frozen=True)
class _Fixed:
    """What all batches share on the device."""

    style: int
    classes: Any
    rules: tuple[Any, ...]
    known: tuple[Any, ...]

    @classmethod
    def on(cls, device: Any, rules: Rules, known: Known) -> _Fixed:
        made = cls(
            style=rules.style,
            classes=device.put("classes", classes()),
            rules=tuple(device.put(f"rules {i}", array) for i, array in enumerate(rules.arrays)),
            known=tuple(device.put(f"known {i}", array) for i, array in enumerate(known.arrays)),
        )
        device.wait()
        return made

    def renew(self, device: Any, known: Known) -> None:
        """Bring the table up to date, in its place; no kernel may be running."""
        for i, array in enumerate(known.arrays):
            device.put(f"known {i}", array)
        device.wait()


@dataclass
class _Lane:
    """A batch on its way through a device, and the memory that it takes there: about 25 bytes a byte of text."""

    device: Any
    size: int
    fixed: _Fixed
    text: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
    n_documents: int = 0
    n_tokens: int = 0

    def submit(self, text: np.ndarray, docs: np.ndarray) -> None:
        """Start all that a batch needs, and wait for nothing."""
        if len(text) >= 1 << 31:
            raise GristmillError(f"a document of {len(text):,} bytes: the kernels take at most 2 GiB")
        device, fixed, n = self.device, self.fixed, len(text)
        first = np.zeros(len(docs), dtype=np.int64)
        np.cumsum(-(-np.diff(docs) // self.size), out=first[1:])
        self.text, self.n_documents, self.n_segments = text, len(docs) - 1, int(first[-1])
        device.room("text", n + SLACK, np.uint8)
        room = {
            "text": device.put("text", text),
            "docs": device.put("docs", docs),
            "first": device.put("first", first),
            "tally": device.put("tally", np.zeros(3, dtype=np.int64)),
            "bases": device.room("bases", self.n_segments, np.int64),
            "sums": device.room("sums", self._n_chunks, np.int64),
            "offsets": device.room("offsets", len(docs), np.int64),
            "misses": device.room("misses", 3 * (n // 2 + 1), np.int32),
            "sizes": device.room("sizes", n // 2 + 1, np.int32),
            "longs": device.room("longs", n // scalar.LONGEST + 1, np.int32),
        }
        room |= {name: device.room(name, n, np.int32) for name in ("records", "spill", "ranks", "ids")}
        room |= {name: device.room(name, self.n_segments, np.int32) for name in ("starts", "pieces", "counts")}
        self._room = room
        self._launch("cut", self.n_segments, "text docs first", self.size, "starts", fixed.classes)
        about = fixed.style, fixed.classes, fixed.known
        self._launch("walk", self.n_segments, "text docs first starts", *about, "pieces counts records misses tally")
        merging = "misses spill ranks sizes counts longs tally"
        self._launch("merge", device.workers, device.workers, "text", fixed.rules, merging)
        self._place()

    def finish(self, encode: Callable[[list[bytes]], list[list[int]]]) -> None:
        """Wait; have the host do the pieces that were too long, and place the tokens again if there were any."""
        device = self.device
        _, n_long, self.n_tokens = device.get("tally", 3).tolist()
        if not n_long:
            return
        spans = self.misses()[device.get("longs", n_long)]
        found = encode([self.text[at:stop].tobytes() for at, stop, _ in spans.tolist()])
        ids = device.put("long ids", np.array([token for one in found for token in one], dtype=np.int32))
        bounds = device.put("long bounds", np.cumsum([0, *map(len, found)], dtype=np.int64))
        self._launch("patch", n_long, ids, bounds, "longs misses spill sizes counts")
        self._place()
        self.n_tokens = int(device.get("tally", 3)[scalar.TOKENS])

    def misses(self) -> np.ndarray:
        """Begin, end and segment of each piece that the table did not know."""
        n = int(self.device.get("tally", 3)[scalar.MISSES])
        found: np.ndarray = self.device.get("misses", 3 * n).reshape(-1, 3)
        return found

    @property
    def _n_chunks(self) -> int:
        return -(-self.n_segments // scalar.CHUNK)

    def _place(self) -> None:
        """Say where the tokens of each segment go, and put them there."""
        self._launch("gather", self._n_chunks, "counts sums")
        self._launch("accumulate", 1, self._n_chunks, "sums tally")
        self._launch("spread", self._n_chunks, "counts sums bases")
        self._launch("emit", self.n_segments, "starts pieces records", self.fixed.known, "misses spill sizes bases ids")
        self._launch("ends", self.n_documents + 1, "first bases tally offsets")

    def _launch(self, kernel: str, n: int, *args: Any) -> None:
        """Launch with arrays given by their names."""
        named = ([self._room[name] for name in arg.split()] if isinstance(arg, str) else [arg] for arg in args)
        self.device.launch(kernel, n, *(value for values in named for value in values))


def buffers(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """The UTF-8 bytes of a column and where each text begins in them, without a copy where nothing is null."""
    full = texts.fill_null("") if texts.null_count else texts
    _, bounds, data = full.buffers()
    offsets = np.frombuffer(bounds, dtype=np.int64)[full.offset : full.offset + len(full) + 1]
    text = np.frombuffer(data, dtype=np.uint8) if data is not None else np.empty(0, dtype=np.uint8)
    return text[offsets[0] : offsets[-1]], offsets - offsets[0]


def _batches(bounds: np.ndarray, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of documents of at most `size` bytes together; a longer document stands alone."""
    first, n = 0, len(bounds) - 1
    while first < n:
        last = int(np.searchsorted(bounds, bounds[first] + size, side="right")) - 1
        last = min(max(last, first + 1), n)
        yield first, last
        first = last
