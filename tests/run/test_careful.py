"""What dies in native code costs the document that it dies of, wherever in a sweep, and no other byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.core.asset import Place
from pipeline.core.errors import WorkerDied
from pipeline.core.manifest import read_manifest
from pipeline.core.shards import read_table
from pipeline.core.stage import Decision, Exchange, Global, Local, Part, Sketches
from pipeline.core.verdict import Verdict
from pipeline.report.audit import books
from pipeline.report.audit import tokens as packing
from pipeline.report.audit.evidence import Evidence
from pipeline.run import engine
from pipeline.run.checking import load_recipe
from pipeline.run.options import Options
from pipeline.run.plan import Plan, make_plan
from pipeline.run.progress import Quiet
from pipeline.run.recipe import Named
from pipeline.run.remove import remove
from pipeline.sources.files import Files
from pipeline.tokens.pack import Pack
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


def project(folder: Path, deadly: dict[str, str], **more: object) -> Path:
    """Forty documents in two files, some of them marked."""
    (folder / "data").mkdir(parents=True)
    for name in ("a", "b"):
        texts = {f"{name}{n}": f"a quiet document about grain, number {n} of file {name}" for n in range(20)}
        rows = [json.dumps({"id": key, "text": text + deadly.get(key, "")}) for key, text in texts.items()]
        (folder / "data" / f"{name}.jsonl").write_text("\n".join(rows))
    source = {"files": {"name": "web", "paths": ["data/*.jsonl"], "part_bytes": 1000, "columns": {"id": "id"}}}
    return projects.write_recipe(folder, {"recipe": "small", "version": "1", "sources": [source], **more})


class DeadlyPack(Pack):
    word = "pack"

    def _splits(self, batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
        die_of(batch, "packed")
        yield from super()._splits(batch)


class DeadlyDecision(Global):
    """Dies where it decides: in the process of the build, or in a job of its shuffle, there every time or once."""

    where: str
    folder: str

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select(["row"])

    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        if self.where == "build":
            os.kill(os.getpid(), signal.SIGKILL)
        exchange(sketches.files, keyed, partial(die_reducing, self.where, Path(self.folder) / "died"))


def keyed(table: pa.Table) -> pa.Table:
    return table.append_column("key", table["row"].cast(pa.uint64()))


def die_reducing(where: str, mark: Path, table: pa.Table) -> pa.Table:
    if where == "shuffle" or not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return table


def plan_of(path: Path, place: Place, where: str = "") -> Plan:
    with place.active():
        recipe = load_recipe(path)
        stages = [Named("deadly", Deadly()), Named("deadly_global", DeadlyGlobal())]
        if where == "pack":
            stages = []
        elif where:
            stages.append(Named("decides", DeadlyDecision(where=where, folder=str(path.parent))))
        files = recipe.sources[0]
        assert isinstance(files, Files)
        deadly = DeadlyFiles.model_validate(dict(files))
        pack = Named("pack", DeadlyPack(length=32, holdout=0.2)) if recipe.tokenizer else None
        return make_plan(replace(recipe, sources=(deadly,), stages=tuple(stages), pack=pack))


def built(path: Path, workers: int, where: str = "") -> engine.Built:
    place = Place(base=path.parent.parent)
    options = Options(path.parent.parent / f"build-{workers}", workers, 8, place)
    return engine.build(plan_of(path, place, where), options, Quiet())


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


def audited(corpus: Path) -> list[str]:
    """What of the books and the tokens does not hold."""
    evidence = Evidence(corpus, seed="a")
    checks = (books.funnel, books.ledger, books.removed, packing.tokens, packing.tokenizer)
    return [outcome.said for check in checks if (outcome := check(evidence)).status != "PASS"]


@pytest.mark.slow
def test_a_document_that_kills_the_packing_has_no_tokens_and_stays_a_document(tmp_path: Path) -> None:
    path = project(tmp_path, {"a5": "packed", "b7": "packed"}, tokenizer={"train_bpe": {"vocab": 300}}, pack={})
    done = built(path, 2, "pack")
    assert ledger(tmp_path / "build-2") == {id: ("pack", "crashed_worker", "SIGSEGV") for id in ("a5", "b7")}
    assert sum(file.rows for file in done.manifest.documents) == 40
    count = done.manifest.sweeps[-1].stages[0]
    assert (count.read.documents, count.kept.documents, count.dropped) == (40, 38, {"crashed_worker": 2})
    assert sum(group.documents for group in done.manifest.token_groups) == 38
    [warned] = [warned for warned in done.manifest.warnings if warned.stage == "pack"]
    assert "2 documents, which have no tokens" in warned.message
    assert audited(done.folder) == []
    for id in ("a6", "a5"):
        remove(done.folder, [id], "asked for", "2026-11-26")
        assert audited(done.folder) == []
    last = read_manifest(done.folder).sweeps[-1].stages[0]
    assert (last.read.documents, last.kept.documents, last.dropped) == (38, 37, {"crashed_worker": 1})


@pytest.mark.slow
def test_a_job_of_a_shuffle_that_always_kills_ends_the_build_with_its_name(tmp_path: Path) -> None:
    path = project(tmp_path, {})
    with pytest.raises(WorkerDied) as error:
        built(path, 2, "shuffle")
    told = str(error.value)
    assert "stage 'decides' cannot decide over all documents: reduction of partition 0 of 1 in its shuffle" in told
    assert "died 3 times, at last by SIGKILL" in told and "lower --workers or --memory" in told
    assert "the same command goes on from there" in told
    assert not list(tmp_path.rglob("*.begun"))


@pytest.mark.slow
def test_a_job_of_a_shuffle_that_dies_once_costs_a_retry(tmp_path: Path) -> None:
    path = project(tmp_path, {})
    assert sum(file.rows for file in built(path, 2, "once").manifest.documents) == 40
    assert (path.parent / "died").exists()


@pytest.mark.slow
def test_a_decision_that_kills_the_build_is_told_of_when_it_runs_again(tmp_path: Path) -> None:
    path = project(tmp_path, {})
    told = f"from pathlib import Path; from tests.run.test_careful import built; built(Path({str(path)!r}), 2, 'build')"
    first = subprocess.run([sys.executable, "-c", told], capture_output=True)
    assert first.returncode == -signal.SIGKILL
    with pytest.raises(WorkerDied, match=r"'decides'.*died again, alone and by SIGKILL.*lower --workers or --memory"):
        built(path, 2, "build")
    assert not list(tmp_path.rglob("*.begun"))
