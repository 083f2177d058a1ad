"""The main job on small projects: conservation, resume, and bytes that no run option changes."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import BuildFailed, DriftError, StoreError
from pipeline.core.manifest import Receipt
from pipeline.core.merkle import root_of
from pipeline.core.shards import read_table
from pipeline.core.verdict import Verdict
from pipeline.filters.length import Length
from pipeline.run.engine import Built
from pipeline.run.options import Options
from pipeline.run.store import Store
from tests import projects


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Built]:
    folder = tmp_path_factory.mktemp("project")
    recipe = projects.make_project(folder)
    return recipe, projects.build(recipe, folder / "build")


def sweep_folders(root: Path) -> list[Path]:
    return [path.parent for path in (root / "store").glob("*/seal.json")]


def test_every_document_is_accounted_for(built: tuple[Path, Built]) -> None:
    """From the files alone: what a shard's input had is in the shard or in its ledger, and nowhere twice."""
    recipe, _ = built
    root = recipe.parent.parent / "build"
    checked = 0
    for folder in sweep_folders(root):
        for path in sorted(folder.glob("*.receipt.json")):
            receipt = Receipt.model_validate_json(path.read_text())
            if not (folder / "ledger").exists():
                continue
            name = path.name.removesuffix(".receipt.json") + ".arrow"
            kept, dropped = read_table(folder / name), read_table(folder / "ledger" / name)
            assert receipt.rows_in == kept.num_rows + dropped.num_rows
            assert receipt.rows_out == kept.num_rows
            assert not set(kept["id"].to_pylist()) & set(dropped["id"].to_pylist())
            by_stage = Counter(zip(dropped["stage"].to_pylist(), dropped["reason"].to_pylist(), strict=True))
            told = {(c.stage, reason): n for c in receipt.stages for reason, n in c.dropped.items()}
            assert by_stage == told
            checked += 1
    assert checked >= 3 * 6


def test_the_ids_of_the_input_are_the_ids_of_documents_and_ledgers(built: tuple[Path, Built]) -> None:
    recipe, done = built
    project = recipe.parent.parent
    lines = [line for path in project.glob("data/*/*.jsonl") for line in path.read_text().splitlines()]
    given = Counter(json.loads(line)["text"] for line in lines)
    documents = [read_table(path)["text"].to_pylist() for path in (done.folder / "documents").glob("*.arrow")]
    ledgers = [
        read_table(path)["text"].to_pylist() for f in sweep_folders(project / "build") for path in f.glob("ledger/*")
    ]
    assert Counter(text for texts in (*documents, *ledgers) for text in texts) == given


def test_the_manifest_adds_up(built: tuple[Path, Built]) -> None:
    _, done = built
    manifest = done.manifest
    for before, after in zip(manifest.sweeps, manifest.sweeps[1:], strict=False):
        assert before.rows_out == after.rows_in
    counts = [count for sweep in manifest.sweeps for count in sweep.stages]
    for count in counts:
        assert count.read.documents == count.kept.documents + sum(count.dropped.values())
    reasons = {reason for count in counts for reason in count.dropped}
    assert {"too_few_characters", "exact_duplicate", "near_duplicate", "above_limit"} & reasons >= {
        "exact_duplicate",
        "near_duplicate",
    }
    documents = sum(file.rows for file in manifest.documents)
    assert documents == sum(group.size.documents for group in manifest.composition) == manifest.sweeps[-1].rows_in


def test_shards_open_with_polars_and_datasets(built: tuple[Path, Built], tmp_path: Path) -> None:
    _, done = built
    frame = pl.scan_ipc(done.folder / "documents" / "*.arrow").collect()
    assert frame.height == sum(file.rows for file in done.manifest.documents)
    assert {"id", "text", "source", "license", "file", "offset", "n_words"} <= set(frame.columns)
    assert "html" not in frame.columns


def test_a_dropped_duplicate_names_its_twin(built: tuple[Path, Built]) -> None:
    recipe, done = built
    root = recipe.parent.parent / "build"
    kept = {i for path in (done.folder / "documents").glob("*.arrow") for i in read_table(path)["id"].to_pylist()}
    ledgers = [read_table(path) for f in sweep_folders(root) for path in f.glob("ledger/*.arrow")]
    near = [row for table in ledgers for row in table.to_pylist() if row["reason"] == "near_duplicate"]
    assert near and all(row["twin"] in kept and row["twin"] != row["id"] for row in near)


def test_the_root_is_of_the_documents_whatever_the_shards(built: tuple[Path, Built], tmp_path: Path) -> None:
    _, done = built
    files = sorted((done.folder / "documents").glob("*.arrow"))
    one = tmp_path / "all.parquet"
    pq.write_table(pa.concat_tables([read_table(path) for path in reversed(files)]), one)
    assert done.manifest.root == root_of(files) == root_of([one])


def test_the_second_run_does_nothing(built: tuple[Path, Built]) -> None:
    recipe, done = built
    stamps = {path: path.stat().st_mtime_ns for path in done.folder.rglob("*") if path.is_file()}
    again = projects.build(recipe, recipe.parent.parent / "build")
    assert again.worked == 0 and again.manifest == done.manifest
    assert stamps == {path: path.stat().st_mtime_ns for path in done.folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("batch_rows", [1, 7, 10_000])
def test_batch_size_changes_no_byte(built: tuple[Path, Built], tmp_path: Path, batch_rows: int) -> None:
    recipe, done = built
    other = projects.build(recipe, tmp_path, batch_rows=batch_rows)
    assert projects.digests(other.folder) == projects.digests(done.folder)
    assert other.manifest.digest == done.manifest.digest


@pytest.mark.slow
def test_a_bound_on_memory_changes_no_byte(built: tuple[Path, Built], tmp_path: Path) -> None:
    recipe, done = built
    assert Options(workers=1, memory=0).partition_bytes == 1 << 16
    other = projects.build(recipe, tmp_path, memory=0)
    assert projects.digests(other.folder) == projects.digests(done.folder)


@pytest.mark.slow
def test_two_workers_change_no_byte(built: tuple[Path, Built], tmp_path: Path) -> None:
    recipe, done = built
    other = projects.build(recipe, tmp_path, workers=2)
    assert projects.digests(other.folder) == projects.digests(done.folder)
    assert other.manifest.digest == done.manifest.digest


@pytest.mark.slow
def test_a_lost_shard_is_made_again(built: tuple[Path, Built], tmp_path: Path) -> None:
    recipe, done = built
    first = projects.build(recipe, tmp_path)
    before = projects.digests(first.folder)
    folder = next(f for f in sweep_folders(tmp_path) if f.name.startswith("length-"))
    (folder / "shard-00001.arrow").unlink()
    (folder / "shard-00002.arrow").write_bytes(b"cut")
    again = projects.build(recipe, tmp_path)
    assert again.worked == 2
    assert projects.digests(again.folder) == before == projects.digests(done.folder)


def test_a_changed_limit_redoes_only_what_follows(built: tuple[Path, Built], tmp_path: Path) -> None:
    recipe, _ = built
    projects.build(recipe, tmp_path)
    changed = json.loads(json.dumps(projects.RECIPE))
    changed["stages"][-1]["minhash"]["rows"] = 4
    changed["version"] = "1.1"
    project = tmp_path / "project"
    (project / "data").parent.mkdir()
    (project / "data").symlink_to(recipe.parent.parent / "data")
    stamps = {f: f.stat().st_mtime_ns for f in (tmp_path / "store").rglob("shard-*.arrow")}
    with pytest.raises(Exception, match="outside of"):
        projects.build(projects.write_recipe(project, changed), tmp_path)
    projects.write_recipe(recipe.parent.parent, changed)
    try:
        again = projects.build(recipe, tmp_path)
    finally:
        projects.write_recipe(recipe.parent.parent, projects.RECIPE)
    assert again.worked > 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


@pytest.mark.slow
def test_changed_content_needs_a_new_version(built: tuple[Path, Built], tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path / "project", n_files=2, per_file=20)
    projects.build(recipe, tmp_path)
    changed = {**projects.RECIPE, "stages": ["text_statistics", "exact"]}
    projects.write_recipe(tmp_path / "project", changed)
    with pytest.raises(DriftError, match=r"small@1\.0 already stands for other content"):
        projects.build(recipe, tmp_path)
    assert projects.build(recipe, tmp_path, replace=True).worked > 0


def test_a_second_build_into_the_same_root_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.locked(), pytest.raises(StoreError, match="another build is running"), store.locked():
        pass


def test_damaged_input_shards_are_named(built: tuple[Path, Built], tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        (tmp_path / "x.arrow").write_bytes(b"ARROW1")
        read_table(tmp_path / "x.arrow")
    assert pa.__version__


KILLS = 8


@pytest.mark.slow
def test_killed_anywhere_and_resumed_is_never_killed(tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path / "project", n_files=6, per_file=150)
    command = [sys.executable, "-m", "pipeline.cli", "build", str(recipe), "--workers", "2", "--root"]
    seconds = math.inf
    for name in ("compiled", "calm"):
        started = time.monotonic()
        subprocess.run([*command, str(tmp_path / name)], check=True, capture_output=True)
        seconds = min(seconds, time.monotonic() - started)
    rng = random.Random(11)
    calm = projects.digests(tmp_path / "calm" / "small")
    kills, builds = 0, 0
    while kills < KILLS:
        root, started = tmp_path / f"killed-{builds}", time.monotonic()
        process = subprocess.Popen([*command, str(root)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert process.wait(timeout=rng.uniform(0.3, 0.9) * seconds) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        else:
            seconds = min(seconds, time.monotonic() - started)
            _check_whole(root, calm)
            builds += 1
    subprocess.run([*command, str(root)], check=True, capture_output=True)
    _check_whole(root, calm)


def _check_whole(root: Path, calm: dict[str, str]) -> None:
    assert projects.digests(root / "small") == calm
    assert [path.name for path in root.rglob(".*")] == [".lock"]


def test_a_failing_stage_fails_its_shard_and_names_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = projects.make_project(tmp_path, n_files=3, per_file=10)
    judge = Length.judge

    def fragile(self: Length, batch: pa.RecordBatch) -> Verdict:
        if any(text.startswith("too short") for text in batch.column("text").to_pylist()):
            raise RuntimeError("cannot bear it")
        return judge(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Length, "judge", fragile)
        with pytest.raises(BuildFailed, match=r"stage 'length' failed on document '\d-\d' .*cannot bear it") as caught:
            projects.build(recipe, tmp_path / "build")
    assert 0 < len(caught.value.failures) < 4
    assert projects.build(recipe, tmp_path / "build").manifest.documents
