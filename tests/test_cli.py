"""The doors, as a user opens them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
import yaml
from click.testing import Result
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.errors import GristmillError, UsageError
from pipeline.core.shards import read_table
from pipeline.run import reference
from pipeline.run.registry import stages
from tests import projects

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(typer.main.get_group(app).commands)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    recipe = projects.make_project(folder, n_files=3, per_file=40)
    run("build", recipe, "--root", folder / "build", "--workers", 1)
    return folder / "build" / "small"


def run(*words: object, fails: type[Exception] | None = None) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if fails:
        assert isinstance(result.exception, fails), result.output
    else:
        assert result.exception is None, (result.output, result.exception)
    return result


def test_help_is_quick_and_light() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom pipeline.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([m for m in ('torch', 'datasets', 'polars', 'ray', 'pyarrow', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_planning_and_the_registry_load_nothing_heavy() -> None:
    heavy = ("torch", "datasets", "ray", "huggingface_hub", "trafilatura", "fasttext", "langdetect", "polars", "numba")
    code = (
        "import sys\nfrom pipeline.run import plan, registry\nregistry.stages()\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_build_shows_its_funnel_and_says_where_things_are(tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path, n_files=2, per_file=20)
    first = run("build", recipe, "--root", tmp_path / "out", "--workers", 1)
    assert "exact" in first.output and "Done." in first.output and "README.md" in first.output
    made = {path.name for path in (tmp_path / "out" / "small").iterdir()}
    assert made == {"documents", "tokens", "tokenizer", "manifest.json", "recipe.yaml", "README.md", "answers.yaml"}
    second = run("build", recipe, "--root", tmp_path / "out", "--workers", 1)
    assert "Nothing to do" in second.output and "cached" in second.output
    answer = json.loads(run("build", recipe, "--root", tmp_path / "out", "--json").stdout)
    assert answer["worked"] == 0


@pytest.mark.slow
def test_overrides_and_limits_build_beside_the_corpus(corpus: Path) -> None:
    recipe = corpus.parents[1] / "recipes" / "small.yaml"
    result = run("build", recipe, "--root", corpus.parent, "--workers", 1, "--limit", 30, "--set", "pack.length=64")
    assert re.search(rf"gristmill diff {corpus} \S+/small~[0-9a-f]{{8}}", result.output)
    manifest = json.loads(next(corpus.parent.glob("small~*/manifest.json")).read_text())
    read = {c["stage"]: c["read"]["documents"] for c in manifest["sweeps"][0]["stages"]}
    assert read["read:good"] == 30 and read["read:web"] == 30


@pytest.mark.slow
def test_plan_tells_what_is_cached(corpus: Path, tmp_path: Path) -> None:
    recipe = corpus.parents[1] / "recipes" / "small.yaml"
    cached = json.loads(run("plan", recipe, "--root", corpus.parent, "--json").stdout)
    assert all(sweep["done"] == sweep["shards"] > 0 for sweep in cached["sweeps"])
    fresh = json.loads(run("plan", recipe, "--root", tmp_path, "--json").stdout)
    assert all(sweep["done"] == 0 for sweep in fresh["sweeps"])
    assert "to do" in run("plan", recipe, "--root", tmp_path).output


@pytest.mark.slow
def test_a_census_and_its_what_if(corpus: Path) -> None:
    recipe = corpus.parents[1] / "recipes" / "small.yaml"
    asked = ("census", recipe, "--root", corpus.parent, "--workers", 1)
    first = run(*asked)
    assert (
        "120 of 120 documents judged" in first.output
        and "Measured: text_statistics, length, threshold." in first.output
    )
    assert "not asked: minhash needs all documents" in first.output
    assert (corpus.parent / "small.census" / "census.arrow").exists()
    changed = run(*asked, "--set", "stages.length.min_characters=900")
    assert "Nothing was re-measured." in changed.output and "before" in changed.output
    answer = json.loads(run(*asked, "--json", "--set", "stages.threshold.max=300").stdout)
    assert answer["measured"] == [] and {rule["reason"] for rule in answer["rules"]} >= {"above_maximum"}


@pytest.mark.slow
def test_limits_for_a_language_are_yaml_to_paste(tmp_path: Path) -> None:
    stages = ["normalize", {"language": {"backend": "fasttext"}}, "gopher"]
    fields = {key: value for key, value in projects.RECIPE.items() if key not in ("tokenizer", "pack")}
    recipe = projects.make_project(tmp_path, n_files=3, per_file=50, recipe={**fields, "stages": stages})
    asked = ("limits", recipe, "--root", tmp_path / "out", "--workers", 1, "--lang", "en")
    text = run(*asked, "--share", 0.05, "--field", "min_words").stdout
    [entry] = yaml.safe_load(text)
    assert entry["gopher"]["by_language"]["en"]["min_words"] > 1
    run(*asked, "--method", "guess", fails=GristmillError)
    pasted = {**fields, "stages": [*stages[:-1], entry]}
    assert "gopher" in run("plan", projects.write_recipe(tmp_path, pasted), "--root", tmp_path / "out").output


@pytest.mark.slow
def test_peek_and_explain_agree(corpus: Path) -> None:
    peeked = json.loads(run("peek", corpus, "--reason", "near_duplicate", "-n", 1, "--json").stdout)
    [dropped] = peeked["sample"]
    told = run("explain", corpus, dropped["document"]["id"]).output
    assert "near_duplicate" in told and dropped["document"]["id"] in told
    assert "near_duplicate" in run("peek", corpus, "--stage", "minhash").output
    kept = json.loads(run("peek", corpus, "--kept", "-n", 1, "--json").stdout)["sample"][0]
    assert "kept" in run("explain", corpus, kept["document"]["url"]).output


@pytest.mark.slow
def test_what_bands_and_rows_mean(corpus: Path) -> None:
    shown = json.loads(run("lsh", "--bands", 14, "--rows", 8, "--json").output)
    assert shown["probability"]["0.8"] == pytest.approx(0.9235, abs=1e-4)
    assert "25 bands of 5 rows" in run("lsh", "--preset", "strict").output
    run("lsh", "--bands", 14, fails=GristmillError)
    for sample in (corpus, corpus.parents[1] / "recipes" / "small.yaml"):
        measured = json.loads(run("lsh", "--on", sample, "--json").output)["measured"]
        assert measured["pairs"] > 0 and measured["recall"] > 0.9, sample
    assert "minhash: 14 bands of 8 rows" in run("plan", corpus.parents[1] / "recipes" / "small.yaml").output


def test_the_card_can_be_written_again(corpus: Path) -> None:
    before = (corpus / "README.md").read_text()
    (corpus / "README.md").unlink()
    assert "README.md" in run("card", corpus).output
    assert (corpus / "README.md").read_text() == before


def test_doctor_looks_at_every_backend() -> None:
    findings = {finding["name"]: finding for finding in json.loads(run("doctor", "--json").stdout)}
    assert findings["language model"]["state"] == findings["encodings"]["state"] == "ok"
    assert findings["pyarrow"]["state"] == "ok"
    assert findings["devices"]["detail"]


def test_stages_shows_the_reference() -> None:
    assert "min_words" in run("stages", "gopher", "--markdown").stdout
    run("stages", "gofer", fails=GristmillError)


def test_an_error_is_a_message_not_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "build", str(tmp_path / "none.yaml")], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "none.yaml" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "s3://bucket/model"),
        ("train", "corpus", "--out", "s3://bucket/model"),
        ("audit", "corpus", "--benchmark", "here.jsonl", "--benchmark", "gs://bucket/there.jsonl"),
        ("build", "https://somewhere.org/recipe.yaml"),
    ],
    ids=" ".join,
)
def test_an_address_in_place_of_a_path_is_refused_by_name(words: tuple[str, ...], tmp_path: Path) -> None:
    refused = run(*words, fails=UsageError)
    option = words[-2] if words[-2].startswith("--") else "RECIPE" if words[0] == "build" else "MODEL"
    assert str(refused.exception).startswith(f"{option} {words[-1]}: this has to be a path of this machine")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_is_in_the_readme(command: str) -> None:
    assert len(run(command, "--help").output) > 100
    assert f"gristmill {command}" in (ROOT / "README.md").read_text()


def test_the_generated_reference_and_schema_are_current() -> None:
    assert (ROOT / "recipes" / "STAGES.md").read_text() == reference.reference(), "gristmill stages --markdown"
    schema = json.loads((ROOT / "recipes" / "recipe.schema.json").read_text())
    assert schema == reference.schema(), "gristmill schema > recipes/recipe.schema.json"
    assert all(f"`{word}`" in reference.reference() for word in stages())


@pytest.mark.slow
def test_help_answers_in_well_under_a_second() -> None:
    """Of processor time, which a busy machine does not stretch."""
    times = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "pipeline.cli", "--help"], check=True, capture_output=True)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(times) < 0.8


def test_pack_writes_a_layout_and_names_the_others(corpus: Path, tmp_path: Path) -> None:
    assert "rows of 128 tokens (uint16)" in run("pack", corpus, "--out", tmp_path / "bin").output
    sheet = json.loads(run("pack", corpus, "--out", tmp_path / "shuffled", "--shuffle", 7, "--json").output)
    assert sheet["shuffle"] == 7 and (tmp_path / "shuffled" / "train-00000.bin").exists()
    with pytest.raises(GristmillError, match="choose one of bin, megatron"):
        CliRunner().invoke(
            app, ["pack", str(corpus), "--out", str(tmp_path / "x"), "--layout", "tar"], catch_exceptions=False
        )


@pytest.mark.slow
def test_remove_takes_a_document_out_of_text_tokens_and_card(tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path, n_files=2, per_file=20)
    run("build", recipe, "--root", tmp_path / "out", "--workers", 1)
    corpus = tmp_path / "out" / "small"
    shard = next(iter(sorted((corpus / "documents").glob("*.arrow"))))
    name = read_table(shard)["id"][0].as_py()
    done = run("remove", corpus, name, "--date", "2026-11-24", "--reason", "asked")
    assert "1 documents removed" in done.output and "store" in done.output
    assert "`taken_down` 1" in (corpus / "README.md").read_text()
    assert name in (corpus / "removed.json").read_text()
    assert "Nothing to do" in run("remove", corpus, name, "--date", "2026-11-25").output
    purged = run("remove", corpus, name, "--date", "2026-11-25", "--purge").output
    assert "files of the store had their text, and have it no more" in purged
    assert "0 folders would go" in run("gc", "--root", tmp_path / "out", "--dry-run").output


@pytest.mark.slow
def test_a_model_is_trained_and_evaluated(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    words = ("train", corpus, "--out", tmp_path / "run", "--steps", 6, "--batch", 4, "--threads", 1, "--device", "cpu")
    said = run(*words, "--save-every", 3)
    assert "parameters" in said.output and "operations a token" in said.output and "holdout" in said.output
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"model.safetensors", "curve.jsonl", "curve.svg"}
    first = json.loads((tmp_path / "run" / "evaluation.json").read_text())["holdout"]
    assert set(first["by_source"]) == {"good", "web"} and first["total"]["bits_per_byte"] > 1
    again = json.loads(run(*words, "--resume", "--json").stdout)
    assert again["tokens"] == 0 and again["scores"]["holdout"] == first
    text = "the miller ground the grain"
    (tmp_path / "own.jsonl").write_text(json.dumps({"text": text, "lang": "en"}) + "\n")
    asked = ("evaluate", tmp_path / "run", "--held-out", f"own={tmp_path / 'own.jsonl'}", "--held-out", corpus)
    scores = json.loads(run(*asked, "--json").stdout)["held_out"]
    assert scores["own"]["total"]["score"]["bytes"] == len(text) and scores["small"] == first
    said = run("generate", tmp_path / "run", "the", "--tokens", 3, "--temperature", 0, "--device", "cpu").output
    assert said.startswith("the")
    run("export", tmp_path / "run", "--out", tmp_path / "hf")
    assert "bits/byte" in (tmp_path / "hf" / "README.md").read_text()
    small = ("quantize", tmp_path / "run", "--held-out", corpus, "--bits", 4)
    assert "bits per byte before" in run(*small, "--out", tmp_path / "small", "--bound", 1).output
    run(*small, "--out", tmp_path / "none", "--bits", 5, fails=GristmillError)
    rows = [{"text": f"{word} {n}", "label": word} for n in range(20) for word in ("river", "grain")]
    (tmp_path / "labelled.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    tuned = ("finetune", tmp_path / "run", tmp_path / "labelled.jsonl", "--out", tmp_path / "tuned", "--device", "cpu")
    assert "F1" in run(*tuned, "--epochs", 2).output
    odds = json.loads(run("classify", tmp_path / "tuned", "river 3", "grain 4", "--json").stdout)
    assert [set(row) for row in odds] == [{"river", "grain"}] * 2
    task = {"task": "t", "doc_to_text": "{{text}}", "doc_to_choice": ["river", "grain"], "doc_to_target": "label"}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({**task, "dataset_kwargs": {"data_files": "labelled.jsonl"}}))
    answered = json.loads(run("evaluate", tmp_path / "run", "--task", tmp_path / "t.yaml", "--json").stdout)
    assert answered["tasks"]["t"]["model"]["questions"] == 40
    run(*words[:-6], "--steps", 0, fails=SystemExit)
    run(*words, "--size", "giant", fails=GristmillError)
    run("evaluate", tmp_path / "run", fails=GristmillError)
    run("evaluate", tmp_path, "--held-out", corpus, fails=GristmillError)
