"""Near-deduplication against its peers on the same documents: text in, keep list out, one core, interleaved.

The documents are the prose under $GRISTMILL_DATA in languages that put spaces between words, or else those of a built
corpus (--corpus build/quickstart): repeated with other words where there are too few, and one in seven a copy of
another with words replaced, so that its similarity is known to be spread from 0.5 to 1. Rates are documents a second
of CPU time, the median of the rounds. Peers that would take minutes are given the first part of the documents, which is
shown.

Recall is the share of what the true similarity at 0.8 would drop that is dropped, precision the share of what is
dropped that has a true partner (of more documents than all pairs are compared of, only the share of the planted pairs
of that similarity that lost one of the two). Which pairs bands miss is chance: every round draws other permutations
(gaoya has no seed), recall is the mean, and beside it stands ours on the same documents. "as good" says that ours is
not below the peer's by more than two standard errors of the difference.
Needs bench-env/, which scripts/bench/setup.sh makes; a peer that is not there is left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.core.shards import read_table
from pipeline.dedup.clusters import components
from pipeline.dedup.curve import similar_pairs
from pipeline.kernels.minhash import Shape, distinct, jaccard, sketch

ROOT = Path(__file__).parent.parent.parent
OURS = ("gristmill", "gristmill_verified")
AT_MOST = {"datatrove": 2_000, "datasketch": 10_000, "rensa": 50_000, "gaoya": 50_000}
"""Documents given to a peer: enough for seconds of work."""
GOALS = {"datasketch": 50, "rensa": 25, "gaoya": 15, "daft": 6, "datatrove": 500}
SPACED = ("cs", "de", "en", "es", "fr", "hu", "no", "ru", "sv")
PLANTED = 7
"""One document in so many is an edited copy."""
FEW = 20
"""Recall of fewer duplicates than these is not worth a number."""
SEEDLESS = ("gaoya",)
EXACT = 60_000
"""Of so many documents at most, all pairs are compared exactly."""


def main() -> None:
    """Make the documents, run everything in turns, and print the table; with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--corpus", type=Path, default=ROOT / "build" / "quickstart", help="used without $GRISTMILL_DATA"
    )
    parser.add_argument("--python", type=Path, default=ROOT / "bench-env" / "bin" / "python", help="the peers' Python")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    peers = [peer for peer in GOALS if installed(options.python, peer)]
    found = {}
    for count in options.documents:
        with tempfile.TemporaryDirectory() as name:
            texts, pairs = documents(count, originals(options.corpus))
            found[str(count)] = compared(texts, pairs, peers, options, Path(name))
    if options.json:
        ratios = {count: {peer: rows[peer]["times_slower"] for peer in peers} for count, rows in found.items()}
        print(json.dumps({"documents": found, "ratios": ratios}))


def compared(
    texts: list[str], pairs: np.ndarray, peers: list[str], options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Every program's figures on these documents, printed as a table."""
    file = folder / "documents.arrow"
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    with pa.ipc.new_file(str(file), table.schema) as writer:
        writer.write_table(table)
    counts = {name: min(len(texts), AT_MOST.get(name, len(texts))) for name in (*OURS, *peers)}
    sizes = np.cumsum([len(text.encode()) for text in texts])
    truth = {count: Truth(table["text"].slice(0, count), pairs, 0.8) for count in set(counts.values())}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in counts}
    ours: dict[int, list[float]] = {count: [] for count in truth}
    for seed in range(1, options.rounds + 1):
        for name, count in counts.items():
            python = sys.executable if name in OURS else str(options.python)
            figures = run(python, name, file, count, folder / "kept.json", seed)
            runs[name].append(figures | truth[count].quality(json.loads((folder / "kept.json").read_text())))
        for count, recalls in ours.items():
            run(sys.executable, OURS[0], file, count, folder / "kept.json", seed)
            recalls.append(truth[count].quality(json.loads((folder / "kept.json").read_text())).get("recall", np.nan))
    table_of = {}
    for name, several in runs.items():
        count = counts[name]
        cpu = statistics.median(one["cpu"] for one in several)
        row = {
            "documents": count,
            "cpu_seconds": [round(one["cpu"], 3) for one in several],
            "documents_per_second": round(count / cpu),
            "mb_per_second": round(int(sizes[count - 1]) / cpu / 1e6, 2),
            "peak_mib": round(statistics.median(one["peak_mib"] for one in several)),
            "added_mib": round(statistics.median(one["added_mib"] for one in several)),
        }
        for quality in ("recall", "precision"):
            if quality in several[0]:
                row[quality] = round(statistics.mean(one[quality] for one in several), 4)
        if name in GOALS and "recall" in row:
            draws = 1 if name in SEEDLESS else len(several)
            row |= beside(row["recall"], draws, statistics.mean(ours[count]), len(several), truth[count].duplicates)
        table_of[name] = row
        rate = table_of["gristmill"]["mb_per_second"] / row["mb_per_second"]
        row |= {"times_slower": round(rate, 1), **({"goal": GOALS[name]} if name in GOALS else {})}
    show(table_of, len(texts))
    return table_of


def beside(theirs: float, their_draws: int, ours: float, our_draws: int, duplicates: int) -> dict[str, Any]:
    """Our recall on the same documents, the standard error of the difference, and whether it is as good."""
    error = np.sqrt(sum(r * (1 - r) / (n * duplicates) for r, n in ((theirs, their_draws), (ours, our_draws))))
    return {
        "recall_of_gristmill": round(ours, 4),
        "standard_error": round(float(error), 4),
        "as_good": bool(ours >= theirs - 2 * error),
    }


def show(figures: dict[str, Any], n_documents: int) -> None:
    """Print a table."""
    print(f"\n{n_documents:,} documents; recall and precision at Jaccard 0.8, means of the rounds")
    print(
        "program             documents  docs/s    MB/s  Gristmill is  peak MiB (added)  recall  precision"
        "  (recall of ours, as good)"
    )
    for name, row in figures.items():
        goal = f"{row['times_slower']:6.1f}x" + (f" (goal {row['goal']})" if "goal" in row else "")
        ours = (
            f"  ({row['recall_of_gristmill']:.4f} ± {row['standard_error']:.4f}, {'yes' if row['as_good'] else 'no'})"
            if "as_good" in row
            else ""
        )
        print(
            f"{name:18} {row['documents']:10,} {row['documents_per_second']:7,} {row['mb_per_second']:7.2f} {goal:>17}"
            f" {row['peak_mib']:6,} ({row['added_mib']:,}) {row.get('recall', float('nan')):10.4f}"
            f" {row.get('precision', float('nan')):8.4f}{ours}"
        )


def run(python: str, name: str, file: Path, count: int, out: Path, seed: int) -> dict[str, Any]:
    """One program, once, in a process of its own."""
    command = [python, str(Path(__file__).parent / "dedup_peers.py"), name, str(file), str(count), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_SEED": f"{seed}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def installed(python: Path, peer: str) -> bool:
    """Whether the peers' environment has this one; says so if not."""
    done = subprocess.run([str(python), "-c", f"import {peer}"], capture_output=True) if python.exists() else None
    if done is None or done.returncode:
        print(f"{peer} is not in {python}: left out (scripts/bench/setup.sh installs it)")
        return False
    return True


def originals(corpus: Path) -> Iterator[str]:
    """Texts in languages with spaces: the prose, or a built corpus."""
    if data := os.environ.get("GRISTMILL_DATA"):
        for lang in SPACED:
            with gzip.open(Path(data) / "prose" / f"{lang}.jsonl.gz", "rt", encoding="utf-8") as lines:
                yield from (json.loads(line)["text"] for line in lines)
        return
    shards = sorted((corpus / "documents").glob("*.arrow"))
    if not shards:
        sys.exit(f"no documents: set GRISTMILL_DATA, or build {corpus} (gristmill build recipes/quickstart.yaml)")
    for shard in shards:
        for row in read_table(shard).select(["text", "lang"]).to_pylist():
            if row["lang"] in SPACED:
                yield row["text"]


def documents(count: int, source: Iterator[str]) -> tuple[list[str], np.ndarray]:
    """So many documents in random order, always the same; and the planted pairs, a row each."""
    chance = random.Random(1)
    base = list(source)
    texts = [salted(base[n % len(base)], n // len(base)) for n in range(count - count // PLANTED)]
    origins = [chance.randrange(len(texts)) for _ in range(count - len(texts))]
    texts += [edited(texts[origin], chance) for origin in origins]
    order = list(range(count))
    chance.shuffle(order)
    place = np.argsort(order)
    pairs = np.stack([place[origins], place[count - len(origins) :]], axis=1)
    return [texts[n] for n in order], pairs


def salted(text: str, copy: int) -> str:
    """A copy that shares no run of five words with the original or with other copies."""
    if not copy:
        return text
    return " ".join(f"{word}{copy}" if n % 3 == 0 else word for n, word in enumerate(text.split(" ")))


def edited(text: str, chance: random.Random) -> str:
    """A copy with words replaced, so many that the similarity is about a number drawn from 0.5 to 1."""
    words = text.split(" ")
    similarity = chance.uniform(0.5, 1)
    # With a share r of words replaced, a run of five stays whole with (1 - r)^5 = s, and J = s / (2 - s).
    replaced = 1 - (2 * similarity / (1 + similarity)) ** 0.2
    return " ".join(f"x{chance.randrange(10**6)}" if chance.random() < replaced else word for word in words)


class Truth:
    """What true similarity says of documents, to judge a keep list by."""

    def __init__(self, texts: pa.ChunkedArray, pairs: np.ndarray, threshold: float) -> None:
        n = len(texts)
        sets = distinct(sketch(texts.combine_chunks(), Shape(bands=1, rows=1)).shingles)
        self.exact = n <= EXACT
        if self.exact:
            left, right, _ = similar_pairs(sets, threshold)
            self.root = components(left, right, n)
            self.paired = np.zeros(n, dtype=bool)
            self.paired[left] = self.paired[right] = True
            self.duplicates = n - int((self.root == np.arange(n)).sum())
        else:
            inside = pairs[(pairs < n).all(axis=1)]
            self.pairs = inside[jaccard(sets, inside[:, 0], inside[:, 1]) >= threshold]
            self.duplicates = len(self.pairs)
        self.size = n

    def quality(self, kept: list[int]) -> dict[str, float]:
        """Recall: of each true cluster all but one should go. Precision: what goes should have a true partner."""
        gone = np.ones(self.size, dtype=bool)
        gone[kept] = False
        if not self.exact:
            if len(self.pairs) < FEW:
                return {}
            return {"recall": round(float(gone[self.pairs].any(axis=1).mean()), 4)}
        sizes, dropped = np.bincount(self.root), np.bincount(self.root, weights=gone)
        should = np.maximum(sizes - 1, 0)
        if should.sum() < FEW:
            return {}
        return {
            "recall": round(float(np.minimum(dropped, should).sum() / should.sum()), 4),
            "precision": round(float((gone & self.paired).sum() / max(gone.sum(), 1)), 4),
        }


if __name__ == "__main__":
    main()
