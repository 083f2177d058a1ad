"""What a document costs from a thousand to a hundred thousand of them, on one worker and on two, and what stays serial.

    python scripts/bench/scale.py [--million] [--json]

Builds synthetic lines (60 words of a Zipf vocabulary, a tenth of them doubled, a tenth nearly) through a filter, exact
and near deduplication, a tokenizer and packing. Counted is processor time, of this process apart from its workers:
what the parent spends while workers do the work is the serial part, by phase. The largest build is made once more in
shards of four times the size, which tells what deciding takes for a job from what it takes for a document. From these
follows, by arithmetic, what a cluster of 1,000 workers would have to do. With `--json` the last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pipeline.core.asset import Place
from pipeline.core.manifest import Receipt
from pipeline.run import engine, exchange
from pipeline.run.checking import load_recipe
from pipeline.run.options import Options
from pipeline.run.plan import PlannedSweep, make_plan

SHARD = 250_000
"""Bytes of lines that become one shard here: small, so that a small build has many jobs."""

RECIPE = """recipe: scale
version: "1"
sources: [{{files: {{name: lines, paths: ["data/*.jsonl"], part_bytes: {shard}}}}}]
stages: [text_statistics, {{length: {{min_characters: 50}}}}, exact, {{minhash: {{bands: 14, rows: 8}}}}]
tokenizer: {{train_bpe: {{vocab: 1000, sample_bytes: 1000000}}}}
pack: {{length: 512}}
card: {{license: cc0-1.0}}
"""
"""A tokenizer is trained on a sample whose size does not depend on the corpus."""


class Phases:
    """A listener that attributes the processor time of this process to what it was at."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.jobs = 0
        self._phase, self._since = "plan", time.process_time()

    def enter(self, phase: str) -> None:
        """From now on it is at this."""
        now = time.process_time()
        self.seconds[self._phase] += now - self._since
        self._phase, self._since = phase, now

    def sweep_started(self, sweep: PlannedSweep, todo: int, done: int, size: int) -> None:
        """Jobs are handed out."""
        self.enter("sweeps: handing out jobs, taking receipts")

    def shard_done(self, sweep: PlannedSweep, receipt: Receipt, size: int) -> None:
        """One more job."""
        self.jobs += 1

    def deciding(self, label: str) -> None:
        """A decision."""
        self.enter(f"deciding: {label}")

    def decided(self, label: str, seconds: float) -> None:
        """What follows it."""
        self.enter("adding up, linking")


def write_lines(folder: Path, n_documents: int, shard: int) -> None:
    """The same lines for the same number, and of the same kind for any number."""
    rng, drawing = random.Random(n_documents), np.random.default_rng(n_documents)
    words = [f"w{n:x}" for n in range(20_000)]
    weights = 1 / np.arange(2, len(words) + 2)
    (folder / "data").mkdir(parents=True)
    texts: list[str] = []
    for first in range(0, n_documents, 10_000):
        rows = []
        for drawn in drawing.choice(len(words), (min(10_000, n_documents - first), 60), p=weights / weights.sum()):
            kind = rng.random()
            text = " ".join([words[n] for n in drawn]) if kind > 0.2 or not texts else rng.choice(texts)
            texts = [*texts[-99:], text]
            rows.append(json.dumps({"text": text + " again" if 0.1 < kind <= 0.2 else text}))
        (folder / "data" / f"{first:08d}.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "scale.yaml").write_text(RECIPE.format(shard=shard))


def measured(n_documents: int, workers: int, shard: int = SHARD) -> dict[str, Any]:
    """One build: processor seconds of this process by phase and of its workers, jobs, and bytes shuffled."""
    shuffled = Counter[str]()
    run = exchange.FileExchange._run

    def counted(self: exchange.FileExchange, fn: Any, jobs: list[Any], what: str) -> Iterator[Any]:
        shuffled["jobs"] += len(jobs)
        for result in run(self, fn, jobs, what):
            shuffled["bytes"] += result or 0
            yield result

    with TemporaryDirectory() as name:
        folder = Path(name)
        write_lines(folder, n_documents, shard)
        text = sum(path.stat().st_size for path in (folder / "data").iterdir())
        exchange.FileExchange._run = counted  # type: ignore[method-assign]
        before, wall = os.times(), time.perf_counter()
        phases = Phases()
        place = Place(folder)
        with place.active():
            plan = make_plan(load_recipe(folder / "scale.yaml"))
        engine.build(plan, Options(folder / "build", workers, 256, place), phases)
        phases.enter("")
        exchange.FileExchange._run = run  # type: ignore[method-assign]
        after, wall = os.times(), time.perf_counter() - wall
    own = after.user + after.system - before.user - before.system
    return {
        "documents": n_documents,
        "workers": workers,
        "bytes": text,
        "shards": -(-text // shard),
        "parent_us_a_document": round(own / n_documents * 1e6, 1),
        "parent_cpu_seconds": round(own, 2),
        "wall_seconds": round(wall, 2),
        "parent_by_phase": {phase: round(seconds, 3) for phase, seconds in phases.seconds.items()},
        "sweep_jobs": phases.jobs,
        "shuffle_jobs": shuffled["jobs"],
        "shuffled_bytes": shuffled["bytes"],
    }


def on_paper(
    one: dict[str, Any],
    row: dict[str, Any],
    coarse: dict[str, Any],
    documents: int = 10**10,
    workers: int = 1000,
    shard: int = 256 << 20,
) -> dict[str, Any]:
    """The largest build, taken to a cluster: its work is that of `one` worker, its serial part that of `row`, two.

    `shard` are the bytes that become one job there. What the parent did for each job here it does for each job there.
    `coarse` is the same build in larger shards: deciding took less by what the jobs that it lacks cost.
    """
    times = documents / row["documents"]
    n_bytes = row["bytes"] * times
    shards = -(-n_bytes // shard)
    sweeps, sorts = row["sweep_jobs"] / row["shards"], row["shuffle_jobs"] / row["shards"]
    phases = row["parent_by_phase"]
    handing = sum(seconds for phase, seconds in phases.items() if phase.startswith("sweeps")) / row["sweep_jobs"]
    a_job = (_deciding(row) - _deciding(coarse)) / (row["shuffle_jobs"] - coarse["shuffle_jobs"])
    a_document = (_deciding(row) - a_job * row["shuffle_jobs"]) / row["documents"]
    work = one["parent_cpu_seconds"] * times
    partitions = -(-row["shuffled_bytes"] * times // exchange.PARTITION_BYTES)
    jobs = shards * round(sweeps)
    shuffle_jobs = shards * round(sorts) + partitions
    return {
        "documents": documents,
        "terabytes_of_text": round(n_bytes / 1e12, 2),
        "workers": workers,
        "shards": int(shards),
        "sweep_jobs": int(jobs),
        "seconds_a_job": round(work / jobs, 1),
        "worker_hours": round(work / 3600),
        "hours_if_all_work_is_spread": round(work / workers / 3600, 2),
        "terabytes_shuffled": round(row["shuffled_bytes"] * times / 1e12, 2),
        "shuffle_partitions": int(partitions),
        "shuffle_jobs": int(shuffle_jobs),
        "opened_files_in_the_shuffle": int(partitions * shards),
        "parent_ms_a_job": round(handing * 1e3, 2),
        "jobs_a_second": round(jobs / (work / workers), 1),
        "scheduler_load": round(handing * jobs / (work / workers), 3),
        "parent_ms_a_job_of_deciding": round(a_job * 1e3, 2),
        "parent_us_a_document_of_deciding": round(a_document * 1e6, 3),
        "hours_of_deciding_in_the_parent": round((a_job * shuffle_jobs + a_document * documents) / 3600, 2),
    }


def _deciding(row: dict[str, Any]) -> float:
    """Seconds of the deduplications. Training is apart: its sample is of one size."""
    phases = row["parent_by_phase"]
    return sum(float(phases[f"deciding: {stage}"]) for stage in ("exact", "minhash"))


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", action="store_true", help="go on to 10^6 documents")
    parser.add_argument("--most", type=int, default=100_000, help="stop at so many documents")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    sizes = [size for size in (1_000, 10_000, 100_000) if size <= asked.most] + [1_000_000] * asked.million
    measured(200, 2)  # what is loaded and compiled once is nobody's cost
    measured(200, 1)
    rows = [measured(size, workers) for size in sizes for workers in (1, 2)]
    coarse = measured(sizes[-1], 2, 4 * SHARD)
    for row in [*rows, coarse]:
        serial = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in row["parent_by_phase"].items())
        told = f"{row['documents']:>9,} documents, {row['shards']:,} shards, {row['workers']} workers: "
        told += f"{row['parent_us_a_document']:,.0f} µs"
        print(f"{told} each in the parent, {row['wall_seconds']:.1f} s; in the parent: {serial}", flush=True)
    paper = on_paper(rows[-2], rows[-1], coarse)
    for name, value in paper.items():
        print(f"on paper, {name.replace('_', ' ')}: {value:,}")
    if asked.json:
        print(json.dumps({"ratios": ratios(rows), "measured": [*rows, coarse], "on_paper": paper}))


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Processor time of a document, in times of that in the smallest build; and what stays serial with two workers."""
    cost = {(row["documents"], row["workers"]): row["parent_us_a_document"] for row in rows}
    sizes = sorted({size for size, _ in cost})
    grown = {f"{size:,} documents": cost[size, 1] / cost[sizes[0], 1] for size in sizes[1:]}
    serial = {f"{size:,} documents, in the parent of two workers": cost[size, 2] / cost[size, 1] for size in sizes}
    return {name: round(value, 3) for name, value in (grown | serial).items()}


if __name__ == "__main__":
    main()
