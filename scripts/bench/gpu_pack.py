"""The kernels that tokenize and pack, part by part: bytes moved a byte of text, and throughput where it is run.

With `--device cpu` the loops of the CPU run, one thread: their speed says nothing of a GPU, their counts are the same.
With `--device cuda` nothing else changes. The table learns from half of the texts, the other half is counted. Memory
is what a kernel has to read and write at least once; cached is what its look-ups move besides, in sectors of 32 bytes,
from tables that fit in the second-level cache. From these follow the bounds on paper: those of an H100 by its data
sheet, and the share of it that such kernels reach, which is assumed. Rates of the whole are medians of five times,
once the table knows the texts, on as many copies of them as make 128 MiB; beside them that of the library on one core.
Texts are those of $GRISTMILL_DATA/prose, or made up; the tokenizer is trained on them unless one is named. Prints a
table; with --json, one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from pipeline.backends.tokenizer import load
from pipeline.core.schema import documents
from pipeline.core.shards import write_table
from pipeline.core.stage import Sketches
from pipeline.kernels import pack
from pipeline.kernels.pack.lanes import SEGMENT, Engine, Window, buffers
from pipeline.kernels.pack.plan import lay
from pipeline.tokens.fit import fit
from pipeline.tokens.train_bpe import TrainBpe
from pipeline.tokens.window import Host

LENGTH = 2048
LARGE = 1 << 27
SECTOR = 32

MEMORY = 3.35e12 * 0.6
CACHE = 5.5e12 * 0.5
ISSUE = 132 * 4 * 1.755e9 * 0.25
"""An H100 (SXM): bytes a second of memory and of the second-level cache, warp instructions a second; times the share
that a kernel of many short, diverging walks is assumed to reach."""

INSTRUCTIONS = 30 * 4 / 32
"""Warp instructions a byte of text, assumed: about 30 a byte in each thread, four times as many for divergence."""

PCIE = {"gen 4": 25e9, "gen 5": 55e9}


def main() -> None:
    """Count, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json; default: one trained here")
    parser.add_argument("--vocab", type=int, default=32768)
    parser.add_argument("--megabytes", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    device = options.device if options.device != "auto" else "cuda" if pack.has_cuda() else "cpu"
    shuffled = list(texts(options.megabytes * 1_000_000))
    random.Random(1).shuffle(shuffled)
    column = pa.array(shuffled, pa.large_string())
    with tempfile.TemporaryDirectory() as folder:
        path = options.tokenizer or train(Path(folder), column, options.vocab)
        figures = measure(path, device, column)
    figures["ratios"] = {"the library on one core": figures["to rows, GB/s"] / figures["library to rows, GB/s a core"]}
    show(figures)
    if options.json:
        print(json.dumps(figures))


def measure(path: Path, device: str, column: pa.LargeStringArray) -> dict[str, Any]:
    """Figures by part for the second half of the texts, after the table has learnt from the first."""
    known, new = column.slice(0, len(column) // 2), column.slice(len(column) // 2)
    n_bytes = len(buffers(new)[0])
    Timed = timed(pack.find(device))
    engine = Engine(path, Timed, batch_bytes=1 << 30)
    engine.encode(known)
    engine.blocks(known, fit, LENGTH, end=0, pad=0)
    Timed.seconds.clear()
    engine.encode(new)
    parts = dict(Timed.seconds)
    lane = next(made for made in reversed(Timed.made) if "cut" in made.launched and "fill" not in made.launched)
    blocks = engine.blocks(new, fit, LENGTH, end=0, pad=0)
    parts["fill"] = Timed.seconds["fill"]
    plain = Engine(path, pack.find(device))
    many = pa.concat_arrays([new] * max(1, LARGE // n_bytes)) if device == "cuda" else new
    bytes_moved, counts = moved(lane, n_bytes, blocks.n_rows * LENGTH)
    return {
        "device": device,
        "text": n_bytes,
        "counts": counts,
        "to ids, GB/s": rate(lambda: plain.encode(many), len(buffers(many)[0])),
        "to rows, GB/s": rate(lambda: rows(plain.window(), many), len(buffers(many)[0])),
        "library to rows, GB/s a core": rate(lambda: rows(Host(load(path)), new), n_bytes, time.process_time),
        "parts": {
            name: {
                "GB/s": round(n_bytes / parts[name] / 1e9, 3) if parts.get(name) else None,
                "memory": round(bytes_moved.get(name, (0, 0))[0], 2),
                "cached": round(bytes_moved.get(name, (0, 0))[1], 2),
            }
            for name in [*bytes_moved, *sorted(set(parts) - set(bytes_moved))]
        },
        "on paper": paper(bytes_moved, blocks.n_rows * LENGTH / n_bytes),
    }


def moved(lane: Any, n_bytes: int, n_packed: int) -> tuple[dict[str, tuple[float, float]], dict[str, int]]:
    """Bytes of memory and of cache a byte of text, by kernel; and the counts that they follow from."""
    segments, n_documents = lane.launched["cut"], lane.launched["ends"] - 1
    pieces = int(lane.get("pieces", segments).sum())
    misses, longs, tokens = lane.get("tally", 3).tolist()
    spans = lane.get("misses", 3 * misses).reshape(-1, 3)
    missed = int((spans[:, 1] - spans[:, 0]).sum())
    missed_tokens = int(lane.get("sizes", misses).sum())
    total = {
        "copy in": (n_bytes + 16 * n_documents, 0),
        "cut": (segments * (2 * SECTOR + 4), 0),
        "walk": (n_bytes + 12 * segments + 4 * pieces + 12 * misses, SECTOR * pieces),
        "merge": (
            16 * misses + 5 * missed + 4 * missed_tokens + 4 * misses,
            SECTOR * (3 * missed - 2 * missed_tokens) + SECTOR * misses,
        ),
        "gather": (4 * segments, 0),
        "spread": (12 * segments, 0),
        "emit": (16 * segments + 4 * pieces + 16 * misses + 4 * missed_tokens + 4 * tokens, SECTOR * pieces),
        "ends": (24 * n_documents, 0),
        "keep": (8 * tokens, 0),
        "fill": (4 * tokens + 9 * n_packed, 0),
        "copy out": (4 * n_packed, 0),
    }
    counts = {
        "documents": n_documents,
        "segments": segments,
        "pieces": pieces,
        "misses": misses,
        "bytes of misses": missed,
        "done by the host": longs,
        "tokens": tokens,
    }
    return {name: (a / n_bytes, b / n_bytes) for name, (a, b) in total.items()}, counts


def paper(bytes_moved: dict[str, tuple[float, float]], packed_a_byte: float) -> dict[str, float]:
    """GB/s of text that each resource of an H100 allows."""
    memory = sum(a for name, (a, _) in bytes_moved.items())
    cached = sum(b for _, b in bytes_moved.values())
    return {
        "memory": round(MEMORY / memory / 1e9),
        "cache": round(CACHE / cached / 1e9),
        "instructions": round(ISSUE / INSTRUCTIONS / 1e9),
        **{f"PCIe {name}": round(rate / max(1.0, 4 * packed_a_byte) / 1e9) for name, rate in PCIE.items()},
    }


def timed(device: type[Any]) -> type[Any]:
    """The device, with a clock at every launch and copy: it waits for each, so nothing overlaps."""

    class Timed(device):  # type: ignore[misc]
        seconds: ClassVar[dict[str, float]] = defaultdict(float)
        made: ClassVar[list[Any]] = []

        def __init__(self) -> None:
            super().__init__()
            self.launched: dict[str, int] = {}
            self.made.append(self)

        def launch(self, name: str, n: int, *args: Any) -> None:
            self.launched[name] = n
            self._clock(name, lambda: super(Timed, self).launch(name, n, *args))

        def put(self, name: str, source: np.ndarray) -> Any:
            return self._clock("copy in", lambda: super(Timed, self).put(name, source))

        def get(self, name: str, n: int) -> Any:
            return self._clock("copy out", lambda: super(Timed, self).get(name, n))

        def _clock(self, name: str, work: Any) -> Any:
            self.wait()
            started = time.perf_counter()
            result = work()
            self.wait()
            self.seconds[name] += time.perf_counter() - started
            return result

    return Timed


def rows(window: Window | Host, column: pa.LargeStringArray) -> np.ndarray:
    """What a build does with a window: ids stay on the device, rows come back."""
    return window.fill(lay(window.add(column), fit, LENGTH), LENGTH, end=0, pad=0)()


def rate(work: Callable[[], object], n_bytes: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """GB a second: the median of five times, after a first one."""
    seconds = []
    for _ in range(6):
        started = clock()
        work()
        seconds.append(clock() - started)
    return round(n_bytes / statistics.median(seconds[1:]) / 1e9, 4)


def show(figures: dict[str, Any]) -> None:
    """A table of the parts, and what bounds them."""
    print(f"{figures['text'] / 1e6:.1f} MB on {figures['device']}, segments of {SEGMENT} bytes: {figures['counts']}")
    print(f"{'part':12}{'GB/s here':>12}{'memory B/B':>12}{'cached B/B':>12}")
    for name, part in figures["parts"].items():
        print(f"{name:12}{part['GB/s'] or float('nan'):12.3f}{part['memory']:12.2f}{part['cached']:12.2f}")
    for column in ("memory", "cached"):
        print(f"{column} in all: {sum(part[column] for part in figures['parts'].values()):.1f} bytes a byte of text")
    print(f"all in all, here: {figures['to ids, GB/s']} GB/s to ids, {figures['to rows, GB/s']} to rows on the host;")
    print(f"the library, one core: {figures['library to rows, GB/s a core']} GB/s to rows")
    print("an H100 on paper, GB/s:", ", ".join(f"{name} {value}" for name, value in figures["on paper"].items()))


def train(folder: Path, column: pa.LargeStringArray, vocab: int) -> Path:
    """A tokenizer of these texts, with Llama 3's splitter."""
    stage = TrainBpe(vocab=vocab, sample_bytes=1 << 23)
    batch = documents([{"id": f"doc-{index}", "text": text} for index, text in enumerate(column.to_pylist())])
    write_table(folder / "sketch.arrow", pa.Table.from_batches([stage.sketch(batch)]))
    stage.decide(Sketches((folder / "sketch.arrow",), (batch.num_rows,), ()), folder, _no_exchange)
    return folder / "tokenizer.json"


def texts(n_bytes: int) -> Iterator[str]:
    """Real texts of several languages, or made up ones, of about this many bytes together."""
    named = os.environ.get("GRISTMILL_DATA")
    files = sorted((Path(named) / "prose").glob("*.jsonl.gz")) if named else []
    share = n_bytes // max(1, len(files))
    for file in files:
        left = share
        for line in gzip.decompress(file.read_bytes()).splitlines():
            text = json.loads(line)["text"]
            left -= len(text.encode())
            if left < 0:
                break
            yield text
    chance = random.Random(7)
    words = [f"{a}{b}{c}" for a in "bdfklm" for b in "aeiou" for c in "nrst"]
    left = 0 if files else n_bytes
    while left > 0:
        text = " ".join("".join(chance.choices(words, k=chance.randint(1, 3))) for _ in range(chance.randint(20, 900)))
        left -= len(text)
        yield text


def _no_exchange(*_: object) -> list[Path]:
    raise AssertionError("a tokenizer shuffles nothing")


if __name__ == "__main__":
    main()
