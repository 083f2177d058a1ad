"""Thirty and more mistakes that people make in recipes, each with the message that they need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError, RecipeError
from pipeline.run.checking import load_recipe
from pipeline.run.plan import make_plan
from pipeline.run.recipe import Recipe


def good() -> dict[str, Any]:
    return {
        "recipe": "good",
        "version": "1.0",
        "sources": [{"files": {"name": "local", "paths": ["data/*.jsonl"]}}],
        "stages": [
            "text_statistics",
            {"length": {"min_characters": 10}},
            {"threshold": {"column": "n_words", "min": 2}},
        ],
        "tokenizer": {"train_bpe": {"vocab": 300}},
        "pack": {"length": 64},
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").write_text('{"text": "some words are here"}\n')
    (tmp_path / "secret.txt").write_text("secret")
    return tmp_path


def load(project: Path, data: dict[str, Any] | str, *overrides: str) -> Recipe:
    path = project / "recipes" / "r.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))
    with Place(base=project).active():
        recipe = load_recipe(path, overrides)
        make_plan(recipe)
    return recipe


def test_a_good_recipe_is_good(project: Path) -> None:
    recipe = load(project, good())
    assert [named.label for named in recipe.all_stages] == [
        "text_statistics", "length", "threshold", "train_bpe", "pack"
    ]  # fmt: skip


Change = Callable[[dict[str, Any]], Any]

MISTAKES: list[tuple[str, Change, str]] = [
    ("no name", lambda r: r.pop("recipe"), r"recipe.*is missing"),
    ("bad name", lambda r: r.update(recipe="../up"), r"recipe.*should match pattern"),
    ("version as a number", lambda r: r.update(version=1.5), r'version.*must be text: write "1\.5" in quotes'),
    ("misspelt top-level key", lambda r: r.update(stage=[]), r"unknown key; did you mean 'stages'\?"),
    ("no sources", lambda r: r.pop("sources"), r"sources.*list of stages with at least one entry"),
    ("empty sources", lambda r: r.update(sources=[]), r"sources.*at least one entry"),
    ("stages is a map", lambda r: r.update(stages={"length": {}}), r"stages.*must be a list"),
    ("unknown stage", lambda r: r["stages"].append("lenght"), r"unknown stage 'lenght'; did you mean 'length'\?"),
    ("nothing near", lambda r: r["stages"].append("zzzzz"), r"unknown stage 'zzzzz'; known: .*exact"),
    ("two words in one entry", lambda r: r["stages"].append({"exact": {}, "length": {}}), r"map with one word"),
    ("a number for a stage", lambda r: r["stages"].append(3), r"must be a word"),
    (
        "misspelt key",
        lambda r: r["stages"].append({"length": {"min_chars": 1}}),
        r"min_chars.*unknown key; did you mean",
    ),
    ("wrong type", lambda r: r["stages"][1]["length"].update(min_characters="ten"), r'valid integer.*not "ten"'),
    (
        "out of range",
        lambda r: r["stages"][1]["length"].update(min_characters=-5),
        r"greater than or equal to 0, not -5",
    ),
    ("settings are a list", lambda r: r["stages"].append({"length": [1]}), r"must be a map of settings"),
    ("missing field", lambda r: r["stages"].append({"threshold": {"min": 1}, "as": "t"}), r"column.*is missing"),
    (
        "missing column",
        lambda r: r["stages"].append({"threshold": {"column": "n_word", "min": 1}, "as": "t"}),
        r"reads the column 'n_word', which nothing before it writes; did you mean 'n_words'\?",
    ),
    (
        "column too late",
        lambda r: r["stages"].reverse(),
        r"'n_words', which nothing before it writes; written by: text_",
    ),
    (
        "same stage twice",
        lambda r: r["stages"].append({"length": {"min_words": 1}}),
        r"two stages are called 'length': .*`as:`",
    ),
    ("bad label", lambda r: r["stages"].append({"length": {}, "as": "a b"}), r"as.*letters, digits and _"),
    ("same source twice", lambda r: r["sources"].append(good()["sources"][0]), r"two sources are called 'local'"),
    ("a stage for a source", lambda r: r["sources"].append("exact"), r"'exact' is a global and does not belong here"),
    ("a source for a stage", lambda r: r["stages"].append("files"), r"'files' is a source .*under `sources:`"),
    ("pack for a stage", lambda r: r["stages"].append("pack"), r"'pack' is a reshape .*`pack:` at the top level"),
    ("pack without tokenizer", lambda r: r.pop("tokenizer"), r"pack.*needs a `tokenizer:` section"),
    ("no such tokenizer", lambda r: r.update(tokenizer={"train_bp": {}}), r"unknown stage 'train_bp'; did you mean"),
    ("not a tokenizer", lambda r: r.update(tokenizer={"minhash": {}}), r"'minhash' does not make a tokenizer"),
    ("bad tokenizer section", lambda r: r.update(tokenizer="gpt2"), r"must be a map with one word"),
    ("expectation of nobody", lambda r: r.update(expect={"lenght": [0, 1]}), r"no stage is called 'lenght'; did you"),
    ("expectation upside down", lambda r: r.update(expect={"length": [0.5, 0.1]}), r"0 <= least <= most <= 1"),
    ("limit of nothing", lambda r: r.update(limit=0), r"limit.*greater than or equal to 1"),
    ("missing file", lambda r: r["sources"][0]["files"].update(paths=["data/b.jsonl"]), r"data/b\.jsonl"),
    ("glob of nothing", lambda r: r["sources"][0]["files"].update(paths=["data/*.parquet"]), r"data/\*\.parquet"),
    ("path outside", lambda r: r["sources"][0]["files"].update(paths=["../../etc/passwd"]), r"outside of"),
    ("absolute path outside", lambda r: r["sources"][0]["files"].update(paths=["/etc/passwd"]), r"outside of.*--data"),
    (
        "model that is not there",
        lambda r: r["stages"].append({"language": {"model": "models/none.bin"}}),
        r"models/none\.bin",
    ),
    (
        "wrong sha256",
        lambda r: r.update(tokenizer={"tokenizer_file": {"path": "secret.txt", "sha256": "0" * 64}}),
        r"sha256|digest",
    ),
    ("unknown key in card", lambda r: r.update(card={"licence": "mit"}), r"card\.licence.*did you mean 'license'\?"),
]


@pytest.mark.parametrize(("change", "message"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_mistakes(project: Path, change: Change, message: str) -> None:
    recipe = good()
    change(recipe)
    with pytest.raises(GristmillError, match=message):
        load(project, recipe)


def test_a_link_out_of_the_root_is_followed_and_refused(project: Path) -> None:
    outside = project.parent / "outside.jsonl"
    outside.write_text('{"text": "x"}\n')
    (project / "data" / "link.jsonl").symlink_to(outside)
    with pytest.raises(GristmillError, match="outside of"):
        load(project, good())


def test_all_problems_are_shown_at_once_with_lines(project: Path) -> None:
    text = (
        "recipe: r\nversion: '1'\nsources:\n  - fils: {}\nstages:\n  - lenght\n  - length: {min_chars: 3}\nlimit: 0\n"
    )
    with pytest.raises(RecipeError) as caught:
        load(project, text)
    shown = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "sources[0] (line 4)" in shown and "stages[0] (line 6)" in shown and "(line 7)" in shown


def test_overrides(project: Path) -> None:
    recipe = load(
        project, good(), "stages.length.min_characters=33", "sources.local.license=mit", "limit=5", "pack.length=32"
    )
    assert recipe.stages[1].stage.fields()["min_characters"] == 33
    assert recipe.sources[0].license == "mit"
    assert recipe.header.limit == 5
    assert recipe.name.startswith("good~")
    assert load(project, good()).name == "good"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.lenght.min=3", "nothing here is called 'lenght'; did you mean 'length'"),
        ("stage.length.min=3", "the recipe has no 'stage'; did you mean 'stages'"),
        ("limit", "must read path=value"),
        ("limit=many", "limit"),
        ("limit=&a 3", "anchors"),
        ("stages.length.nope=3", "unknown key"),
        ("recipe.deeper.still=1", "nothing to set below"),
    ],
)
def test_wrong_overrides(project: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(project, good(), override)


def test_identity_is_content_not_place(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    (other / "data").mkdir()
    (other / "data" / "a.jsonl").write_bytes((project / "data" / "a.jsonl").read_bytes())
    keys = []
    for folder in (project, other):
        recipe = load(folder, good())
        with Place(base=folder).active():
            keys.append(make_plan(recipe).key)
    assert keys[0] == keys[1]
    (other / "data" / "a.jsonl").write_text('{"text": "some other words"}\n')
    with Place(base=other).active():
        assert make_plan(recipe).key != keys[0]


def test_a_plan_reads_once_more_than_it_has_globals(project: Path) -> None:
    recipe = good()
    recipe["stages"] += ["exact", {"length": {"max_characters": 10**6}, "as": "upper"}, "minhash"]
    with Place(base=project).active():
        plan = make_plan(load(project, recipe))
    assert [sweep.labels for sweep in plan.all_sweeps] == [
        ("read:local", "text_statistics", "length", "threshold", "exact: sketch"),
        ("exact", "upper", "minhash: sketch"),
        ("minhash", "train_bpe: sketch"),
        ("train_bpe", "pack"),
    ]
