"""Runs every benchmark against the peers that are installed, and rewrites docs/performance.md from what they measured.

`python scripts/bench/all.py` runs all, one after another, on a machine that should have nothing else to do;
`--only rules pii` runs these and leaves the other sections as they are; `--repeat 3` runs each three times, so that
the page shows medians and spreads of whole runs. Results are kept in docs/performance.json, of which the page is a
function: `--render` writes it again. A benchmark that fails keeps its old figures and is named, and the exit code is 1;
one that needs a GPU keeps them where there is none.
Peers live in bench-env/ (scripts/bench/setup.sh), texts in $GRISTMILL_DATA.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "docs" / "performance.json", ROOT / "docs" / "performance.md"
PRINTED_LINES = 40


@dataclass(frozen=True)
class Bench:
    """A script beside this one; what its ratios compare, in the words of the page."""

    name: str
    title: str
    ratios: str = "times as fast as"
    arguments: tuple[str, ...] = ()
    script: str = ""
    on_gpu: bool = False

    @property
    def command(self) -> list[str]:
        """As a person would type it."""
        return ["scripts/bench/" + (self.script or f"{self.name}.py"), *self.arguments]


BENCHES = (
    Bench("pipeline", "The whole pipeline: extracted text to packed tokens", arguments=("--rounds", "1")),
    Bench("rules", "Rules: gopher, repetition, c4 and fineweb together"),
    Bench("dedup", "Near-deduplication, text in, keep list out", arguments=("--documents", "20000", "--rounds", "1")),
    Bench("dedup_scale", "Deciding on ten million sketches under one GiB", "times the cost"),
    Bench("tokenize", "Tokenize and pack, shards to rows on disk", arguments=("--code", "240", "--rounds", "1")),
    Bench("pii", "Personal data"),
    Bench("contamination", "Benchmark questions planted into prose", "share found of"),
    Bench("audit", "The exact checks of an audit", "share of"),
    Bench("rethreshold", "One limit changed on a built corpus of 100,000 documents"),
    Bench(
        "memory",
        "Peak memory against the size of the corpus",
        "times the memory, at documents times",
        ("build/quickstart",),
    ),
    Bench("report", "A report of 100,000 documents, written and opened in a browser"),
    Bench("scale", "Cost of a document, from a thousand to a million of them", "times the cost", ("--million",)),
    Bench("train", "A step of training"),
    Bench(
        "train_gpu",
        "A step of training on a GPU",
        arguments=(
            *("--device", "cuda", "--sizes", "nano", "small", "base"),
            *("--length", "1024", "--rows", "16", "--turns", "9"),
        ),
        script="train.py",
        on_gpu=True,
    ),
    Bench("gpu_pack", "Tokenize and pack on a GPU", arguments=("--device", "cuda", "--megabytes", "40"), on_gpu=True),
)


def main() -> None:
    """Run, keep and render."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[bench.name for bench in BENCHES], default=None)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--render", action="store_true", help="write the page from the results that are there")
    parser.add_argument("--json", action="store_true", help="print the results as the last line")
    options = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    failed = []
    for bench in [] if options.render else BENCHES:
        if options.only is not None and bench.name not in options.only:
            continue
        if bench.on_gpu and not gpu():
            print(f"{bench.name}: needs a GPU, and nvidia-smi names none", file=sys.stderr, flush=True)
        else:
            print(f"{bench.name}: {' '.join(bench.command)}", file=sys.stderr, flush=True)
            try:
                results[bench.name] = measure(bench, options.repeat)
            except RuntimeError as error:
                failed.append(bench.name)
                print(f"{bench.name} failed: {error}", file=sys.stderr, flush=True)
            RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(render(results), encoding="utf-8")
    if options.json:
        print(json.dumps({"ratios": {name: found["ratios"] for name, found in results.items()}, "failed": failed}))
    sys.exit(1 if failed else 0)


def measure(bench: Bench, repeat: int) -> dict[str, Any]:
    """Ratios of each run, what the last one printed, and where and when that was; RuntimeError where a run fails."""
    runs: list[dict[str, float]] = []
    card = f"{gpu()}, " if bench.on_gpu else ""
    load, started = os.getloadavg()[0], time.perf_counter()
    for _ in range(repeat):
        done = subprocess.run(
            [sys.executable, *bench.command, "--json"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        lines = done.stdout.strip().splitlines()
        if done.returncode or not lines:
            raise RuntimeError((done.stderr or done.stdout).strip()[-1500:])
        runs.append(dict(flat(json.loads(lines[-1]).get("ratios", {}))))
    return {
        "ratios": {
            name: [round(value, 3) for value in sorted(run[name] for run in runs if name in run)] for name in runs[-1]
        },
        "printed": [line.rstrip() for line in lines[:-1]][:PRINTED_LINES],
        "date": datetime.date.today().isoformat(),
        "machine": f"{card}{os.cpu_count()} cores of {processor()}, Python {platform.python_version()}",
        "load_before": round(load, 1),
        "seconds": round((time.perf_counter() - started) / repeat),
    }


def flat(ratios: dict[str, Any], above: str = "") -> list[tuple[str, float]]:
    """Ratios that stand in maps of maps, under names joined by commas."""
    found: list[tuple[str, float]] = []
    for name, value in ratios.items():
        path = f"{above}, {name}" if above else str(name)
        if isinstance(value, dict):
            found += flat(value, path)
        elif isinstance(value, int | float):
            found.append((path, float(value)))
    return found


def processor() -> str:
    """What the processor calls itself; its architecture where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] != "unknown" else platform.machine()


def gpu() -> str:
    """The name of the first GPU; empty where there is none."""
    try:
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.partition("\n")[0].strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def render(results: dict[str, Any]) -> str:
    """The page."""
    parts = [
        "# Performance",
        "Each figure is from a script that anyone can run. Ratios count, measured side by side in one run on the same\n"
        "input; seconds are of one machine. This page is written by `scripts/bench/all.py` from\n"
        "[performance.json](performance.json), after `scripts/bench/setup.sh` has installed the peers.",
    ]
    for bench in BENCHES:
        found = results.get(bench.name)
        parts.append(f"## {bench.title}")
        parts.append(f"    python {' '.join(bench.command)}")
        if not found:
            parts.append("Not measured yet.")
            continue
        if found["ratios"]:
            parts.append("\n".join(table(bench.ratios, found["ratios"])))
        if found["printed"]:
            parts.append("\n".join(["```text", *found["printed"], "```"]))
        load = f"load {found['load_before']} before, " if "load_before" in found else ""
        parts.append(f"{found['date']}, {found['machine']}, {load}{found['seconds']} s a run.")
    return "\n\n".join(parts) + "\n"


def table(meaning: str, ratios: dict[str, list[float]]) -> list[str]:
    """A row a ratio: its median, and the least and the most where there were several runs."""
    several = any(len(values) > 1 for values in ratios.values())
    head = [meaning, "median" if several else "ratio", *(["spread", "runs"] if several else [])]
    rows = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for name, values in ratios.items():
        cells = [name, f"{statistics.median(values):.4g}"]
        if several:
            cells += [f"{values[0]:.4g} to {values[-1]:.4g}", str(len(values))]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


if __name__ == "__main__":
    main()
