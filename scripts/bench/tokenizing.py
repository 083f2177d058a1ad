"""Text in Arrow shards to packed rows on disk, beside datatrove and `datasets.map`: same tokenizer, cores and shards.

Runs are whole processes, interleaved; figures are medians of wall and CPU seconds (children included). Then each part
of our own work alone on one core, beside the floors: the same bytes copied in memory, and written with fsync.
Peers live in bench-env/ (scripts/bench/setup.sh). Texts are $GRISTMILL_DATA/prose/*.jsonl.gz, or --prose.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.backends.tokenizer import FILE, load
from pipeline.core.packed import packed_schema, token_facts
from pipeline.core.schema import DOCUMENT, conform, documents
from pipeline.core.shards import TOKEN_LEVEL, ShardWriter, read_batches, read_table, rebatch, shard_name, write_table
from pipeline.core.stage import Decision
from pipeline.tokens.pack import Pack
from pipeline.tokens.train_bpe import TrainBpe

ROOT = Path(__file__).parents[2]
LENGTH = 2048


def main() -> None:
    """Measure and print; with --json one JSON object is the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--prose", type=Path, default=Path(os.environ.get("GRISTMILL_DATA", ".")) / "prose")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench-tokenize")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=1, help="how often the prose is in the shards, under other ids")
    parser.add_argument("--peers", nargs="*", default=["datatrove", "datasets"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shards, n_bytes, n_documents = prepare(options.prose, options.work, options.copies)
    runs: dict[str, list[dict[str, float]]] = {}
    for _ in range(options.rounds):
        for name in ("gristmill", *options.peers):
            runs.setdefault(name, []).append(run(name, shards, options))
    medians = {
        name: {unit: statistics.median(one[unit] for one in found) for unit in ("wall", "cpu")}
        for name, found in runs.items()
    }
    mine = medians["gristmill"]
    print(f"{n_documents:,} documents, {n_bytes / 1e6:.1f} MB of text, {options.workers} workers, rows of {LENGTH}")
    for name, figure in medians.items():
        ratios = {unit: figure[unit] / mine[unit] for unit in figure}
        times = f"wall {figure['wall']:7.2f} s ({ratios['wall']:5.1f}x)  cpu {figure['cpu']:7.2f} s"
        print(f"{name:10} {times} ({ratios['cpu']:5.1f}x)")
    found = {"parts": parts(shards, options.work / "tokenizer"), "packing": packing(shards, options.work / "tokenizer")}
    for part, figure in found["parts"].items():
        print(f"{part:28} {figure:8.3f} s")
    for strategy, shares in found["packing"].items():
        print(
            f"{strategy:9} padding {shares['padding']:.4%}  cut documents {shares['cut']:.2%}  "
            f"of those that a row can hold {shares['avoidable']:.2%}"
        )
    if options.json:
        ratios = {
            name: {unit: round(figure[unit] / mine[unit], 2) for unit in figure} for name, figure in medians.items()
        }
        print(json.dumps({"ratios": ratios, "medians": medians, "runs": runs, "bytes": n_bytes, **found}))


def prepare(prose: Path, work: Path, copies: int) -> tuple[Path, int, int]:
    """Four shards of the prose, languages mixed by a fixed shuffle, and a tokenizer trained on a tenth of it."""
    rows = [
        json.loads(line)
        for path in sorted(prose.glob("*.jsonl.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    if not rows:
        sys.exit(f"{prose}: no *.jsonl.gz here; name a folder with --prose or GRISTMILL_DATA")
    order = np.random.default_rng(1).permutation(len(rows))
    shards = work / "shards"
    shutil.rmtree(shards, ignore_errors=True)
    shards.mkdir(parents=True)
    for shard, part in enumerate(np.array_split(order, 4)):
        found = [{**rows[i], "id": f"{copy}-{rows[i]['id']}"} for copy in range(copies) for i in part]
        table = pa.Table.from_batches([conform(batch, DOCUMENT) for batch in [documents(found)]])
        write_table(shards / f"{shard_name(shard)}.arrow", table)
    tokenizer = work / "tokenizer"
    if not (tokenizer / FILE).exists():
        from pipeline.core.stage import Sketches

        stage, sketch = TrainBpe(), work / "sketch.arrow"
        tenth = documents([rows[i] for i in order[::10]]).select(["id", "text"])
        write_table(sketch, pa.Table.from_batches([stage.sketch(tenth)]))
        tokenizer.mkdir(parents=True, exist_ok=True)
        stage.decide(Sketches((sketch,), (tenth.num_rows,), ("prose",)), tokenizer, lambda *_: [])
    return shards, sum(len(row["text"].encode()) for row in rows) * copies, len(rows) * copies


def run(name: str, shards: Path, options: argparse.Namespace) -> dict[str, float]:
    """Wall and CPU seconds of one process and its children, from its start to its end."""
    out = options.work / f"out-{name}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(out / "home")}
    peer = [ROOT / "bench-env/bin/python", ROOT / "scripts/bench/tokenizing_peers.py", name, shards]
    mine = [sys.executable, "-P", __file__, "--work", options.work, "--workers", options.workers, "--ours", shards, out]
    rest = [options.work / "tokenizer" / FILE, out, options.workers, LENGTH]
    command = [str(word) for word in (mine if name == "gristmill" else [*peer, *rest])]
    if name == "datasets":
        environment["TOKENIZERS_PARALLELISM"] = "false"
    adopt()
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    wall = time.perf_counter() - started
    with suppress(ChildProcessError):
        while os.waitpid(-1, 0)[0]:
            pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    shutil.rmtree(out)
    return {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def adopt() -> None:
    """Become the parent of what a child leaves behind, so that its CPU seconds are counted (Linux)."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def parts(shards: Path, tokenizer: Path) -> dict[str, float]:
    """CPU seconds of each part on one core, and of the floors, for all shards; the least of three."""
    encoder = load(tokenizer / FILE)
    files = sorted(shards.glob("*.arrow"))
    batches = [batch for file in files for batch in rebatch(read_batches(file), 256)]
    texts = [batch.column("text").to_pylist() for batch in batches]
    stage = Pack(length=LENGTH)
    rows = [batch for _, batch in stage.reshape(iter(batches), Decision(tokenizer))]
    ids = np.concatenate([batch.column("input_ids").values.to_numpy() for batch in rows])
    target = shards.parent / "floor.arrow"

    def write() -> None:
        with ShardWriter(target, packed_schema(LENGTH), TOKEN_LEVEL) as writer:
            for batch in rows:
                writer.write(batch)

    write()
    packed = target.read_bytes()

    def dump(content: bytes | memoryview) -> None:
        with target.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())

    small = ids.astype(np.uint16) if encoder.size <= 1 << 16 else ids
    found = {
        "read": least(lambda: [None for file in files for _ in read_batches(file)]),
        "text to Python": least(lambda: [batch.column("text").to_pylist() for batch in batches]),
        "encode": least(lambda: [encoder.encode(part) for part in texts]),
        "encode, text, count and pack": least(
            lambda: [None for _ in stage.reshape(iter(batches), Decision(tokenizer))]
        ),
        "write, compressed": least(write),
        "floor: copy in memory": least(lambda: ids.copy()),
        "floor: the same file (wall)": least(lambda: dump(packed), time.perf_counter),
        "floor: bare ids (wall)": least(lambda: dump(small.data.cast("B")), time.perf_counter),
    }
    target.unlink()
    return {name: round(value, 4) for name, value in found.items()}


def least(work: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of the quickest of three."""
    times = []
    for _ in range(3):
        started = clock()
        work()
        times.append(clock() - started)
    return min(times)


def packing(shards: Path, tokenizer: Path) -> dict[str, dict[str, float]]:
    """Padding, documents cut, and those cut although a row can hold them, of best_fit beside concat."""
    found = {}
    for strategy in ("best_fit", "concat"):
        rows = list(_packed(shards, tokenizer, Pack(length=LENGTH, strategy=strategy)))
        facts = {name: sum(part[name] for part in map(token_facts, rows)) for name in token_facts(rows[0])}
        pieces = pa.Table.from_batches(rows)["documents"].combine_chunks().flatten()
        whole = pa.table({"id": pieces.field("id"), "length": pieces.field("length")}).group_by("id")
        sizes = whole.aggregate([("length", "sum"), ("length", "count")])
        short = sizes["length_sum"].to_numpy() <= LENGTH
        cut = sizes["length_count"].to_numpy() > 1
        found[strategy] = {
            "padding": facts["padding"] / (facts["padding"] + facts["tokens"]),
            "cut": float(cut.mean()),
            "avoidable": float((cut & short).mean()),
        }
    return found


def _packed(shards: Path, tokenizer: Path, stage: Pack) -> Iterator[pa.RecordBatch]:
    for shard in sorted(shards.glob("*.arrow")):
        batches = iter(read_table(shard).to_batches())
        yield from (rows for _, rows in stage.reshape(batches, Decision(tokenizer)))


if __name__ == "__main__":
    main()
