"""Text in Arrow shards to packed rows on disk, beside datatrove and `datasets.map`: same tokenizer, cores and shards.

Runs are whole processes, interleaved; figures are medians of wall and CPU seconds (children included). Each also runs
on a quarter of the shards: the difference gives the rate without the start of processes, imports and caches. Then each
part of our own work alone on one core, beside the floors: the same bytes copied in memory, and written with fsync.
Peers live in bench-env/ (scripts/bench/setup.sh). Texts are $GRISTMILL_DATA/prose/*.jsonl.gz, or --prose, and --code
megabytes of the Python sources in this environment: mixed text, every document once.
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
import sysconfig
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
from pipeline.tokens.fit import fit
from pipeline.tokens.pack import Pack
from pipeline.tokens.train_bpe import TrainBpe

ROOT = Path(__file__).parents[2]
LENGTH = 2048
ALL, PART = "shards", "quarter"


def main() -> None:
    """Measure and print; with --json one JSON object is the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--prose", type=Path, default=Path(os.environ.get("GRISTMILL_DATA", ".")) / "prose")
    parser.add_argument("--code", type=int, default=250, metavar="MB", help="Python sources beside the prose")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench-tokenize")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", default=["datatrove", "datasets"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sizes = prepare(options.prose, options.code * 1_000_000, options.work)
    runs: dict[str, dict[str, list[dict[str, float]]]] = {}
    for _ in range(options.rounds):
        for name in ("gristmill", *options.peers):
            for shards in sizes:
                runs.setdefault(name, {}).setdefault(shards, []).append(run(name, options.work / shards, options))
    figures = {name: figures_of(found, sizes) for name, found in runs.items()}
    mine = figures["gristmill"]
    ratios = {
        name: {
            "wall": round(figure["wall"] / mine["wall"], 2),
            "cpu": round(figure["cpu"] / mine["cpu"], 2),
            "rate": round(mine["rate"] / figure["rate"], 2),
        }
        for name, figure in figures.items()
    }
    print(f"{sizes[ALL] / 1e6:.1f} MB of text, {options.workers} workers, rows of {LENGTH}, median of {options.rounds}")
    for name, figure in figures.items():
        found = ratios[name]
        print(
            f"{name:10} wall {figure['wall']:7.2f} s ({found['wall']:5.1f}x)  cpu {figure['cpu']:7.2f} s "
            f"({found['cpu']:5.1f}x)  without the start {figure['rate']:6.1f} MB/s ({found['rate']:5.1f}x)"
        )
    tokenizer = options.work / "tokenizer"
    told = {"parts": parts(options.work / PART, tokenizer), "packing": packing(options.work / ALL, tokenizer)}
    print(f"parts of our work on {sizes[PART] / 1e6:.1f} MB, one core:")
    for part, second in told["parts"].items():
        print(f"{part:28} {second:8.3f} s")
    for strategy, shares in told["packing"].items():
        print(
            f"{strategy:9} padding {shares['padding']:.4%}  cut documents {shares['cut']:.2%}  "
            f"of those that a row can hold {shares['avoidable']:.2%}"
        )
    print(f"best_fit alone: {told['packing']['best_fit']['documents a second'] / 1e6:.1f} million documents a second")
    if options.json:
        print(json.dumps({"ratios": ratios, "figures": figures, "runs": runs, "bytes": sizes, **told}))


def figures_of(runs: dict[str, list[dict[str, float]]], sizes: dict[str, int]) -> dict[str, float]:
    """Median wall and CPU seconds for all text, and megabytes a second (wall) between a quarter of it and all."""
    wall, cpu = (statistics.median(one[unit] for one in runs[ALL]) for unit in ("wall", "cpu"))
    more = wall - statistics.median(one["wall"] for one in runs[PART])
    return {"wall": wall, "cpu": cpu, "rate": (sizes[ALL] - sizes[PART]) / 1e6 / more}


def prepare(prose: Path, code: int, work: Path) -> dict[str, int]:
    """Eight shards of the texts in a fixed shuffle, two of them apart, and a tokenizer trained on a tenth of the prose.

    Gives the bytes of text in each folder of shards.
    """
    rows = [
        json.loads(line)
        for path in sorted(prose.glob("*.jsonl.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    if not rows:
        sys.exit(f"{prose}: no *.jsonl.gz here; name a folder with --prose or GRISTMILL_DATA")
    chance = np.random.default_rng(1)
    tenth = documents([rows[i] for i in chance.permutation(len(rows))[::10]]).select(["id", "text"])
    rows += sources(code)
    for folder in (ALL, PART):
        shutil.rmtree(work / folder, ignore_errors=True)
        (work / folder).mkdir(parents=True)
    sizes = dict.fromkeys((ALL, PART), 0)
    for number, chosen in enumerate(np.array_split(chance.permutation(len(rows)), 8)):
        found = [rows[i] for i in chosen]
        n_bytes = sum(len(row["text"].encode()) for row in found)
        table = pa.Table.from_batches([conform(documents(found), DOCUMENT)])
        for folder in (ALL, PART) if number < 2 else (ALL,):
            write_table(work / folder / f"{shard_name(number)}.arrow", table)
            sizes[folder] += n_bytes
    tokenizer = work / "tokenizer"
    if not (tokenizer / FILE).exists():
        from pipeline.core.stage import Sketches

        stage, sketch = TrainBpe(), work / "sketch.arrow"
        write_table(sketch, pa.Table.from_batches([stage.sketch(tenth)]))
        tokenizer.mkdir(parents=True, exist_ok=True)
        stage.decide(Sketches((sketch,), (tenth.num_rows,), ("prose",)), tokenizer, lambda *_: [])
    return sizes


def sources(n_bytes: int) -> list[dict[str, str]]:
    """Python files of this environment, of about this many bytes together: the same in the same environment."""
    found: list[dict[str, str]] = []
    seen: set[str] = set()
    for path in sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py")):
        if n_bytes <= 0:
            break
        if not 200 < path.stat().st_size < 200_000:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        if text not in seen:
            seen.add(text)
            found.append({"id": f"code-{len(found)}", "text": text, "source": "code", "lang": "en"})
            n_bytes -= len(text.encode())
    return found


def run(name: str, shards: Path, options: argparse.Namespace) -> dict[str, float]:
    """Wall and CPU seconds of one process and its children, from its start to its end."""
    out = options.work / f"out-{name}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(out / "home")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    here = ROOT / "scripts" / "bench"
    mine = [sys.executable, "-P", here / "tokenizing_ours.py", shards, options.work / "tokenizer"]
    peer = [
        ROOT / "bench-env/bin/python",
        here / "tokenizing_peers.py",
        name,
        shards,
        options.work / "tokenizer" / FILE,
    ]
    rest = [out, options.workers, LENGTH]
    command = [str(word) for word in (*(mine if name == "gristmill" else peer), *rest)]
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
    """Padding, documents cut, and those cut although a row can hold them, of best_fit beside concat.

    And how many documents `fit` alone lays out in a second: a million of the sizes that there are.
    """
    found: dict[str, dict[str, float]] = {}
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
    drawn = np.random.default_rng(2).choice(np.minimum(sizes["length_sum"].to_numpy(), LENGTH), 1_000_000)
    found["best_fit"]["documents a second"] = len(drawn) / least(lambda: fit(drawn, LENGTH))
    return found


def _packed(shards: Path, tokenizer: Path, stage: Pack) -> Iterator[pa.RecordBatch]:
    for shard in sorted(shards.glob("*.arrow")):
        batches = iter(read_table(shard).to_batches())
        yield from (rows for _, rows in stage.reshape(batches, Decision(tokenizer)))


if __name__ == "__main__":
    main()
