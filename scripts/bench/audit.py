"""The exact checks of an audit against reading and hashing the same bytes: gristmill audit's speed, as a ratio.

`python scripts/bench/audit.py [--documents N] [--json]` builds a corpus of made-up words, then measures, in turns and
several times: hashing every file with sha256; the same and, besides, reading every batch and hashing its buffers,
which are the bytes that the checks look at; and all exact checks. Seconds are those of the processor, of all threads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.core.asset import Place
from pipeline.core.manifest import Manifest, read_manifest
from pipeline.core.shards import read_batches
from pipeline.report.audit import EXACT
from pipeline.report.audit.evidence import Evidence
from pipeline.report.card import write_card
from pipeline.run import engine
from pipeline.run.again import AskedAgain
from pipeline.run.checking import recipe_of
from pipeline.run.options import Options
from pipeline.run.plan import make_plan
from pipeline.run.progress import Quiet

RECIPE = {
    "recipe": "speed",
    "version": "1",
    "sources": [{"files": {"name": "words", "paths": ["*.jsonl"], "columns": {"id": "id", "url": "url"}}}],
    "stages": ["exact"],
    "tokenizer": {"train_bpe": {"vocab": 8192}},
    "pack": {"length": 1024},
}


def main() -> None:
    """Build, time in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        corpus = make(Path(scratch), given.documents)
        manifest = read_manifest(corpus)
        asked = AskedAgain(recipe_of(manifest.recipe, Path(scratch)), Place(base=Path(scratch), offline=True))
        jobs: dict[str, Callable[[], None]] = {
            "files hashed": lambda: hash_files(corpus, manifest),
            "files and content hashed": lambda: hash_both(corpus, manifest),
            "exact checks": lambda: check(corpus, asked),
        }
        seconds: dict[str, list[float]] = {name: [] for name in jobs}
        for turn in range(given.repeats + 1):
            for name, job in jobs.items():
                started = time.process_time()
                job()
                seconds[name] += [time.process_time() - started] if turn else []
        files = (*manifest.documents, *manifest.tokens)
        size = sum(file.bytes for file in files)
        text = sum(group.size.bytes for group in manifest.composition)
        medians = {name: statistics.median(times) for name, times in seconds.items()}
        done = medians["exact checks"]
        ratios = {f"speed of exact checks / {name}": medians[name] / done for name in list(medians)[:2]}
        for name, value in medians.items():
            print(
                f"{name:24} {value:7.3f} s   {size / value / 1e6:7.1f} MB/s of files, {text / value / 1e6:7.1f} of text"
            )
        for name, value in ratios.items():
            print(f"{name}: {value:.2f}")
        if given.json:
            print(json.dumps({"documents": given.documents, "bytes": size, "seconds": medians, "ratios": ratios}))


def make(folder: Path, n_documents: int) -> Path:
    """A corpus of made-up words, 200 to 900 a document, 3.6 kB in the mean as on the web, built by the engine."""
    drawn = random.Random(0)
    words = ["".join(drawn.choices("abcdefghijklmnopqrstuvwxyz", k=drawn.randint(2, 9))) for _ in range(20_000)]
    for number in range(8):
        with (folder / f"part-{number}.jsonl").open("w", encoding="utf-8") as stream:
            for row in range(n_documents // 8):
                text = " ".join(drawn.choices(words, k=drawn.randint(200, 900)))
                url = f"https://www.{words[row % 500]}.org/{number}/{row}"
                stream.write(json.dumps({"id": f"{number}-{row}", "url": url, "text": text}) + "\n")
    options = Options(folder / "build", 1, 256, Place(base=folder, offline=True))
    with options.place.active():
        built = engine.build(make_plan(recipe_of(RECIPE, folder)), options, Quiet())
    write_card(built.folder, folder)
    return built.folder


def hash_files(corpus: Path, manifest: Manifest) -> None:
    """sha256 of every file."""
    for file in (*manifest.documents, *manifest.tokens):
        with (corpus / file.path).open("rb") as stream:
            hashlib.file_digest(stream, "sha256")


def hash_both(corpus: Path, manifest: Manifest) -> None:
    """Files as they are, and what is in them."""
    hash_files(corpus, manifest)
    hash_content(corpus, manifest)


def hash_content(corpus: Path, manifest: Manifest) -> None:
    """sha256 of all that is in the files once they are unpacked: every buffer of every column."""
    for file in (*manifest.documents, *manifest.tokens):
        for batch in read_batches(corpus / file.path):
            for column in batch.columns:
                for buffer in column.buffers():
                    hashlib.sha256(buffer or b"").digest()


def check(corpus: Path, asked: AskedAgain) -> None:
    """All exact checks, on fresh evidence."""
    evidence = Evidence(corpus, seed="speed", again=asked)
    outcomes = {one.__name__: one(evidence) for one in EXACT}
    failed = {name: outcome.said for name, outcome in outcomes.items() if outcome.status == "FAIL"}
    assert not failed, failed


if __name__ == "__main__":
    main()
