"""What dies in native code costs the document that it dies of, wherever in a sweep, and no other byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.core.asset import Place
from pipeline.core.shards import read_table
from pipeline.core.stage import Decision, Global, Local, Part, Sketches
from pipeline.core.verdict import Verdict
from pipeline.run import engine
from pipeline.run.options import Options
from pipeline.run.plan import Plan, make_plan
from pipeline.run.progress import Quiet
from pipeline.run.recipe import Named, load_recipe
from pipeline.sources.files import Files
from tests import projects


def die_of(batch: pa.RecordBatch, mark: str) -> None:
    """End this process as a fault in native code does, if a text has the mark."""
    if any(text and mark in text for text in batch.column("text").to_pylist()):
        os.kill(os.getpid(), signal.SIGSEGV)


class Deadly(Local):
    def judge(self, batch: pa.RecordBatch) -> Verdict:
        die_of(batch, "judged")
        return Verdict()


class DeadlyGlobal(Global):
    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        die_of(batch, "sketched")
        return batch.select(["row"])

    def decide(self, sketches: Sketches, out: Path, exchange: object) -> None:
        pass

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        die_of(batch, "decided")
        return Verdict()


class DeadlyFiles(Files):
    word = "files"

    def read(self, part: Part) -> Iterator[pa.RecordBatch]:
        for batch in super().read(part):
            die_of(batch, "read by")
            yield batch


def project(folder: Path, deadly: dict[str, str]) -> Path:
    """Forty documents in two files, some of them marked."""
    (folder / "data").mkdir(parents=True)
    for name in ("a", "b"):
        texts = {f"{name}{n}": f"a quiet document about grain, number {n} of file {name}" for n in range(20)}
        rows = [json.dumps({"id": key, "text": text + deadly.get(key, "")}) for key, text in texts.items()]
        (folder / "data" / f"{name}.jsonl").write_text("\n".join(rows))
    source = {"files": {"name": "web", "paths": ["data/*.jsonl"], "part_bytes": 1000, "columns": {"id": "id"}}}
    return projects.write_recipe(folder, {"recipe": "small", "version": "1", "sources": [source]})


def plan_of(path: Path, place: Place) -> Plan:
    with place.active():
        recipe = load_recipe(path)
        stages = (Named("deadly", Deadly()), Named("deadly_global", DeadlyGlobal()))
        files = recipe.sources[0]
        assert isinstance(files, Files)
        deadly = DeadlyFiles.model_validate(dict(files))
        return make_plan(replace(recipe, sources=(deadly,), stages=stages))


def built(path: Path, workers: int) -> engine.Built:
    place = Place(base=path.parent.parent)
    options = Options(path.parent.parent / f"build-{workers}", workers, 8, place)
    return engine.build(plan_of(path, place), options, Quiet())


def ledger(root: Path) -> dict[str, tuple[str, str, str]]:
    rows = [row for file in root.glob("store/*/ledger/shard-*") for row in read_table(file).to_pylist()]
    return {row["id"]: (row["stage"], row["reason"], row["detail"]) for row in rows}


DEADLY = {"a3": "judged", "a4": "judged", "a17": "sketched", "b0": "decided"}


@pytest.mark.slow
def test_a_document_that_kills_its_worker_is_dropped_and_no_other(tmp_path: Path) -> None:
    path = project(tmp_path, DEADLY)
    manifest = built(path, 2).manifest
    kept = [
        id for file in (tmp_path / "build-2" / "small").glob("documents/*") for id in read_table(file)["id"].to_pylist()
    ]
    assert sorted(kept) == sorted({f"{name}{n}" for name in "ab" for n in range(20)} - set(DEADLY))
    assert ledger(tmp_path / "build-2") == {
        "a3": ("deadly", "crashed_worker", "SIGSEGV"),
        "a4": ("deadly", "crashed_worker", "SIGSEGV"),
        "a17": ("deadly", "crashed_worker", "its sketch: SIGSEGV"),
        "b0": ("deadly_global", "crashed_worker", "SIGSEGV"),
    }
    assert [warned.stage for warned in manifest.warnings] == ["deadly", "deadly_global"]
    assert "another machine may keep them" in manifest.warnings[0].message


@pytest.mark.slow
def test_a_file_that_kills_its_reader_is_read_up_to_there(tmp_path: Path) -> None:
    path = project(tmp_path, {"a0": "read by"})
    built(path, 2)
    [(stage, reason, detail)] = ledger(tmp_path / "build-2").values()
    assert (stage, reason) == ("read:web", "unreadable")
    assert detail == "killed its reader (SIGSEGV); nothing after 0 documents is read"


@pytest.mark.slow
def test_one_worker_finds_it_when_the_same_build_runs_again(tmp_path: Path) -> None:
    path = project(tmp_path, {"a3": "judged"})
    told = f"from pathlib import Path; from tests.run.test_careful import built; built(Path({str(path)!r}), 1)"
    command = [sys.executable, "-c", told]
    first = subprocess.run(command, capture_output=True)
    assert first.returncode == -signal.SIGSEGV
    subprocess.run(command, check=True, capture_output=True)
    assert ledger(tmp_path / "build-1") == {"a3": ("deadly", "crashed_worker", "SIGSEGV")}
    assert not list(tmp_path.rglob("*.begun"))
