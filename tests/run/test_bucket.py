"""Builds into a bucket of an S3 server on this machine: the bytes of a local build, through throttling and deaths."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core import bucket
from pipeline.core.errors import BuildFailed, RecipeError, StoreError
from pipeline.core.folders import remove_tree
from pipeline.core.manifest import read_manifest
from pipeline.core.mirror import Remote, located, make_room
from pipeline.core.shards import read_table, whole, write_text
from pipeline.report.rehearse.server import serve
from pipeline.run import engine
from pipeline.run.store import Store
from tests import buckets, projects

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'gristmill[s3]'")
pytest.importorskip("moto", reason="moto is not installed: pip install 'gristmill[dev]'")

slow = pytest.mark.slow
ROOT = f"s3://{buckets.BUCKET}/some/where"
SOURCES = [
    {"files": {"name": name, "paths": [f"data/{name}/*.jsonl"], "columns": projects.COLUMNS}}
    for name in ("good", "web")
]
WHOLE = {**projects.RECIPE, "sources": SOURCES}
LENGTH = {"length": {"min_characters": 100}}
SHORT = {"recipe": "small", "version": "1.0", "sources": SOURCES, "stages": ["text_statistics", "exact", LENGTH]}


@pytest.fixture(scope="module")
def service() -> Iterator[buckets.Service]:
    with buckets.serve() as running:
        yield running


@pytest.fixture
def shelf(service: buckets.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[buckets.Service]:
    monkeypatch.setattr(bucket, "PAUSES", (0.01, 0.02, 0.05))
    with buckets.empty(service, tmp_path / "cache"):
        yield service


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return projects.make_project(tmp_path_factory.mktemp("short"), n_files=3, per_file=20, recipe=SHORT)


@pytest.fixture(scope="module")
def local(short: Path, tmp_path_factory: pytest.TempPathFactory) -> engine.Built:
    return projects.build(short, tmp_path_factory.mktemp("local"))


def another_machine(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """From here on this process has a mirror with nothing in it."""
    monkeypatch.setenv("GRISTMILL_CACHE", str(cache))
    buckets.afresh()


def run(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None, (result.output, result.exception)
    return result.stdout


def test_addresses_become_paths_and_are_found_again_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_machine(monkeypatch, tmp_path / "one")
    path = located("s3://shelf/a/") / "store" / "x.arrow"
    assert isinstance(path, Remote) and isinstance(path.parent, Remote)
    assert str(path) == path.url == "s3://shelf/a/store/x.arrow"
    assert path.with_name("y.json").url == "s3://shelf/a/store/y.json" and path.resolve() == path
    assert path.relative_to(located("s3://shelf/a")).as_posix() == "store/x.arrow"
    assert (path.parent / ".tmp-1-x.arrow").url == ""
    assert path == path.local and path.local == path and len({path, path.local}) == 1
    sent = pickle.dumps(path)
    another_machine(monkeypatch, tmp_path / "two")
    found = pickle.loads(sent)
    assert found.local == (tmp_path / "two/mirror/s3/shelf/a/store/x.arrow").resolve() and found != path
    assert type(located("build")) is type(Path()) and located(tmp_path) == tmp_path
    for wrong in ("ftp://host/x", "s3://", "s3://shelf//a", "s3://shelf/../a"):
        with pytest.raises(StoreError, match="BUCKET/PREFIX"):
            located(wrong)
    buckets.afresh()


@slow
def test_files_are_seen_whole_and_listed_by_the_service(
    shelf: buckets.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = located(ROOT)
    write_text(root / "a" / "one.json", "1")
    with pytest.raises(ZeroDivisionError), whole(root / "a" / "two.json") as temporary:
        temporary.write_text("2")
        raise ZeroDivisionError
    assert shelf.names() == ["some/where/a/one.json"]
    another_machine(monkeypatch, tmp_path / "other")
    root = located(ROOT)
    assert root.is_dir() and not (root / "a" / "two.json").exists()
    assert [path.url for path in root.glob("*/*.json")] == [f"{ROOT}/a/one.json"]
    assert [path.name for path in root.rglob("*")] == ["a", "one.json"]
    file = root / "a" / "one.json"
    assert file.stat().st_size == 1 and file.read_text() == "1" and not (root / "b").exists()
    shelf.seen.clear()
    assert file.read_text() == "1" and not shelf.seen
    shelf.put("some/where/a/one.json", b"3")
    buckets.afresh()
    assert file.read_text() == "3"
    file.unlink()
    assert not shelf.names() and not file.exists()


@slow
def test_large_files_go_in_parts_and_a_part_that_fails_leaves_nothing(
    shelf: buckets.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "PART_BYTES", 5 << 20)
    content = os.urandom(11 << 20)
    file = tmp_path / "large"
    file.write_bytes(content)
    missed = iter([True, True])
    shelf.refuse = lambda method, path: "partNumber=2" in path and next(missed, False)
    assert bucket.upload(file, f"{ROOT}/large").size == len(content)
    parts = {path.partition("partNumber=")[2][0] for method, path in shelf.requests if "partNumber=" in path}
    assert parts == {"1", "2", "3"} and shelf.content("some/where/large") == content
    bucket.delete([f"{ROOT}/large"])
    shelf.refuse = lambda method, path: "partNumber=2" in path
    with pytest.raises(StoreError, match=r"cannot be written .*the same command goes on"):
        bucket.upload(file, f"{ROOT}/large")
    assert not shelf.names()
    assert not shelf.client.list_multipart_uploads(Bucket=buckets.BUCKET).get("Uploads")


@slow
def test_a_corpus_in_a_bucket_has_the_bytes_of_a_local_one_and_commands_read_it(
    shelf: buckets.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = projects.make_project(tmp_path, n_files=3, per_file=30, recipe=WHOLE)
    local = projects.build(project, tmp_path / "local")
    monkeypatch.chdir(tmp_path)
    corpus, asked = f"{ROOT}/small", iter(range(1_000_000))
    shelf.refuse = lambda method, path: next(asked) % 5 == 0
    built = json.loads(run("build", project, "--root", ROOT, "--workers", 1, "--json"))
    shelf.refuse = lambda method, path: False
    assert built == {"folder": corpus, "worked": built["worked"], "digest": local.manifest.digest}
    far = located(corpus)
    assert projects.digests(far) == projects.digests(local.folder)
    assert not [key for key in shelf.names() if ".tmp-" in key or ".lock" in key or ".scratch" in key]

    another_machine(monkeypatch, tmp_path / "other")
    assert {sweep["done"] for sweep in json.loads(run("plan", project, "--root", ROOT, "--json"))["sweeps"]} == {2}
    dropped = json.loads(run("peek", corpus, "--reason", "near_duplicate", "--json"))
    fate = json.loads(run("explain", corpus, dropped["sample"][0]["document"]["id"], "--json"))
    assert fate["fates"][0]["reason"] == "near_duplicate"
    run("card", corpus)
    run("audit", corpus)


@slow
def test_a_corpus_in_a_bucket_is_handed_on_and_gives_up_documents(
    shelf: buckets.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {**SHORT, **{part: WHOLE[part] for part in ("tokenizer", "pack", "card")}}
    project = projects.make_project(tmp_path, n_files=2, per_file=20, recipe=recipe)
    local = projects.build(project, tmp_path / "local")
    projects.build(project, located(ROOT))
    another_machine(monkeypatch, tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    corpus, far = f"{ROOT}/small", located(ROOT) / "small"
    run("export", corpus, "--out", f"s3://{buckets.BUCKET}/else/release")
    run("export", local.folder, "--out", tmp_path / "release")
    for path in (tmp_path / "release").rglob("*.parquet"):
        name = path.relative_to(tmp_path / "release").as_posix()
        assert shelf.content(f"else/release/{name}") == path.read_bytes()
    run("pack", corpus, "--out", f"s3://{buckets.BUCKET}/else/bin")
    run("pack", local.folder, "--out", tmp_path / "bin")
    assert shelf.content("else/bin/train-00000.bin") == (tmp_path / "bin/train-00000.bin").read_bytes()
    difference = json.loads(run("diff", local.folder, corpus, "--json"))
    assert [difference[kind] for kind in ("added", "removed", "changed")] == [[], [], []]

    gone = read_table(far / "documents/shard-00000.arrow", ["id"])["id"][0].as_py()
    run("remove", corpus, gone, "--date", "2026-11-26", "--purge")
    run("build", project, "--root", ROOT, "--workers", 1, "--json")
    assert gone not in read_table(far / "documents/shard-00000.arrow", ["id"])["id"].to_pylist()
    assert json.loads(run("gc", "--root", ROOT, "--json"))["paths"] == []
    remove_tree(far)
    assert len(json.loads(run("gc", "--root", ROOT, "--json"))["paths"]) >= 3
    assert not [key for key in shelf.names() if "/store/" in key]


@slow
def test_what_fails_for_good_is_told_and_the_same_command_goes_on(
    shelf: buckets.Service, short: Path, local: engine.Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.refuse = lambda method, path: method == "PUT" and "shard-00001.receipt" in path
    with pytest.raises(BuildFailed, match=r"shard-00001.receipt.json: cannot be written \(.*reduce your request rate"):
        projects.build(short, located(ROOT))
    assert "some/where/.lock" not in shelf.names()
    shelf.refuse = lambda method, path: method == "PUT" and "/small/" in path
    with pytest.raises(StoreError, match=r"small/.*cannot be"):
        projects.build(short, located(ROOT))
    shelf.refuse = lambda method, path: False
    far = projects.build(short, located(ROOT))
    assert far.worked == 0 and far.manifest.digest == local.manifest.digest
    another_machine(monkeypatch, tmp_path / "other")
    shelf.requests.clear()
    assert projects.build(short, located(ROOT)).worked == 0
    assert not [path for method, path in shelf.requests if method == "GET" and path.endswith(".arrow")]


@slow
def test_a_killed_build_goes_on_from_an_empty_mirror(
    shelf: buckets.Service, short: Path, local: engine.Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "build", str(short), "--root", ROOT, "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not any("shard-00001.receipt" in path for _, path in shelf.requests):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    another_machine(monkeypatch, tmp_path / "other")
    with pytest.raises(StoreError, match=rf"holds it since .*gristmill gc --root {ROOT} --unlock"):
        projects.build(short, located(ROOT))
    assert json.loads(run("gc", "--root", ROOT, "--unlock", "--json")) == [".lock"]
    far = projects.build(short, located(ROOT))
    assert 0 < far.worked < 5 and far.manifest.digest == local.manifest.digest
    assert projects.digests(far.folder) == projects.digests(local.folder)


@slow
def test_one_build_holds_a_bucket_and_its_own_dead_lock_is_no_hindrance(
    shelf: buckets.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(located(ROOT))
    with store.locked():
        lock = shelf.content("some/where/.lock")
        assert b"since" in lock and buckets.KEYS["AWS_SECRET_ACCESS_KEY"].encode() not in lock
        with pytest.raises(StoreError, match="another build"), store.locked():
            raise AssertionError
    assert bucket.create(f"{ROOT}/.lock", lock.decode()) and not bucket.create(f"{ROOT}/.lock", "late")
    with store.locked():
        assert b"since" in shelf.content("some/where/.lock")
    with store.locked(shared=True), store.locked(shared=True):
        another_machine(monkeypatch, tmp_path / "other")
        with pytest.raises(StoreError, match="--unlock"), Store(located(ROOT)).locked():
            raise AssertionError
    assert not shelf.names()


@slow
def test_shards_of_a_build_are_shared_out_over_a_bucket(
    shelf: buckets.Service, short: Path, local: engine.Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(short.parent.parent)
    left = 1
    while left:
        for number in (0, 1):
            another_machine(monkeypatch, tmp_path / str(number))
            told = run("build", short, "--root", ROOT, "--workers", 1, "--shards", number, "--json")
            left = json.loads(told)["left"]
    another_machine(monkeypatch, tmp_path / "last")
    assert projects.build(short, located(ROOT)).manifest.digest == local.manifest.digest


@slow
def test_a_shard_that_is_not_what_its_receipt_says_is_named(shelf: buckets.Service, short: Path) -> None:
    projects.build(short, located(ROOT))
    keys = shelf.names()
    key = next(key for key in keys if re.search(r"/store/text_statistics-\w+/shard-00000\.arrow", key))
    spoilt = bytearray(shelf.content(key))
    spoilt[len(spoilt) // 2] ^= 1
    shelf.put(key, bytes(spoilt))
    for later in [key for key in keys if "/store/length-" in key]:
        shelf.client.delete_object(Bucket=buckets.BUCKET, Key=later)
    buckets.afresh()
    with pytest.raises(BuildFailed, match=r"shard-00000.arrow: sha256 is .*delete .*receipt.json and build again"):
        projects.build(short, located(ROOT))


@slow
def test_sources_lie_in_a_bucket_too(shelf: buckets.Service, short: Path, local: engine.Built, tmp_path: Path) -> None:
    data = short.parent.parent / "data"
    for path in data.rglob("*.jsonl"):
        shelf.put(f"in/{path.relative_to(data).as_posix()}", path.read_bytes())
    sources = [
        {"files": {**one["files"], "paths": [f"s3://{buckets.BUCKET}/in/{one['files']['name']}/*.jsonl"]}}
        for one in SOURCES
    ]
    far = projects.build(projects.write_recipe(tmp_path, {**SHORT, "sources": sources}), located(ROOT))
    texts = [[read_table(b.folder / f.path, ["text"]) for f in b.manifest.documents] for b in (far, local)]
    assert texts[0] == texts[1]


@slow
def test_a_refusal_is_told_at_once_and_without_secrets(shelf: buckets.Service) -> None:
    started = time.monotonic()
    with pytest.raises(StoreError, match="cannot be written") as told:
        bucket.upload(Path(__file__), "s3://absent/x")
    assert time.monotonic() - started < 5 and buckets.KEYS["AWS_SECRET_ACCESS_KEY"] not in str(told.value)
    with pytest.raises(StoreError, match="no manifest here"):
        read_manifest(located(ROOT) / "absent")


def test_a_mirror_lets_go_of_what_was_opened_longest_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    another_machine(monkeypatch, tmp_path)
    monkeypatch.setenv("GRISTMILL_MIRROR", "2e-6")
    folder = located(ROOT).local
    folder.mkdir(parents=True)
    now = time.time_ns()
    for number in range(5):
        (folder / f"{number}").write_bytes(bytes(1000))
        os.utime(folder / f"{number}", ns=(now - (number + 1) * 500 * 10**9, 5))
    (folder / "unsent").write_bytes(bytes(5000))
    make_room()
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1", "unsent"]
    buckets.afresh()


@slow
def test_an_older_build_in_a_bucket_is_compared_with(
    shelf: buckets.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {**SHORT, "recipe": "old", "sources": SOURCES[:1], "stages": ["exact", "minhash", LENGTH]}
    project = projects.make_project(tmp_path, n_files=4, per_file=30, recipe=old)
    projects.build(project, located(ROOT))
    projects.build(project, tmp_path / "local")
    found = {}
    for against in (f"{ROOT}/old", "local/old"):
        another_machine(monkeypatch, tmp_path / f"cache-{len(found)}")
        stages = [{"exact": {"against": against}}, {"minhash": {"against": against}}, LENGTH]
        new = {**SHORT, "recipe": "new", "sources": SOURCES[1:], "stages": stages}
        built = projects.build(projects.write_recipe(tmp_path, new), located(f"{ROOT}-{len(found)}"))
        found[against] = built
    far, near = found.values()
    assert far.manifest.key == near.manifest.key and far.manifest.root == near.manifest.root
    dropped = [stage.dropped for sweep in far.manifest.sweeps for stage in sweep.stages]
    assert dropped == [stage.dropped for sweep in near.manifest.sweeps for stage in sweep.stages]
    assert sum(reasons.get("built_before", 0) for reasons in dropped) > 0
    corpus = f"{ROOT}-0/new"
    sample = json.loads(run("peek", corpus, "--reason", "built_before", "--json"))["sample"]
    told = json.loads(run("explain", corpus, sample[0]["document"]["id"], "--json"))
    assert told["fates"][0]["twin_fate"]["build"] == "old@1.0"
    gone = {"exact": {"against": f"{ROOT}/old"}}
    shelf.clear()
    buckets.afresh()
    with pytest.raises(RecipeError, match=rf"stages.exact: {ROOT}/old/manifest.json: no manifest here"):
        projects.build(projects.write_recipe(tmp_path, new | {"stages": [gone]}), tmp_path / "else")


@slow
@pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")
def test_a_corpus_in_a_bucket_is_published_reported_and_learnt_from(
    shelf: buckets.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {**SHORT, **{part: WHOLE[part] for part in ("tokenizer", "pack", "card")}}
    built = projects.build(projects.make_project(tmp_path, n_files=2, per_file=20, recipe=recipe), located(ROOT))
    another_machine(monkeypatch, tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    corpus = f"{ROOT}/small"
    with serve(tmp_path / "hub") as hub:
        for name, value in (hub.environment | {"HF_HOME": str(tmp_path / "home")}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        said = run("publish", corpus, "miller/small", "--json")
        assert json.loads(said)["tag"] == "v1.0" and json.loads(said)["sent"] > 0
        released = shelf.content("some/where/small.release/manifest.json")
        found = hub.answers.shelf.get("miller/small")
        assert found
        sent = {file.path: file.sha256 for file in found.commits[found.branches["main"]].files}
        assert hub.answers.shelf.content(sent["manifest.json"]).read_bytes() == released
        again = run("publish", corpus, "miller/small", "--dry-run", "--against", f"{corpus}.release", "--json")
        assert json.loads(again)["new_chunks"] == 0
        assert "FAIL" not in run("rehearse", corpus)
    run("report", corpus)
    assert b"<html" in shelf.content("some/where/small/report.html")[:500]
    if importlib.util.find_spec("torch"):
        learnt = json.loads(run("train", corpus, "--out", tmp_path / "model", "--steps", 2, "--batch", 2, "--json"))
        assert learnt["loss"] > 0
        scored = run("evaluate", tmp_path / "model", "--held-out", corpus, "--baseline", corpus, "--json")
        assert all(found["total"]["ngram"] > 0 for found in json.loads(scored)["held_out"].values())
    outside = tmp_path / "outside.jsonl"
    others = [{"text": " ".join(f"w{n}x{word}" for word in range(200))} for n in range(20)]
    outside.write_text("".join(json.dumps(other) + "\n" for other in others))
    asked = ["--held-out", outside, "--tiers", "ngram", "--seeds", 2, "--workers", 1, "--json"]
    run("validate", corpus, *asked)
    assert "ngram" in shelf.content("some/where/small/validation.json").decode()
    assert built.manifest.digest == read_manifest(located(corpus)).digest
