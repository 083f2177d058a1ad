"""The first minutes at the command line: recipes, a new one, completion, and how commands end."""

from __future__ import annotations

import inspect
import json
import re
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
import typer.main
from click.testing import Result
from typer.testing import CliRunner

from pipeline import Recipe
from pipeline.cli import COMMANDS as PANELS
from pipeline.cli import app, main, starting
from pipeline.core.errors import GristmillError, UsageError
from pipeline.run.plan import make_plan
from pipeline.run.starting import SHIPPED, shipped
from tests import projects

ROOT = Path(__file__).parents[1]
COMMANDS = typer.main.get_group(app).commands


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    projects.make_project(tmp_path, n_files=2, per_file=5)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: object, given: str | None = None) -> Result:
    done = CliRunner().invoke(app, [str(word) for word in words], input=given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def ended(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["gristmill", *map(str, words)])
    with pytest.raises(SystemExit) as ending:
        main()
    return int(ending.value.code or 0)


@pytest.mark.slow
def test_recipes_are_listed_and_found_where_the_package_is() -> None:
    names = {recipe["name"] for recipe in json.loads(run("recipes", "--json").stdout)}
    assert names == {path.stem for path in (ROOT / "recipes").glob("*.yaml")}
    assert SHIPPED.parent.name == "pipeline" and all(recipe.description for recipe in shipped())
    assert "gristmill new --from" in run("recipes").output


def test_a_new_recipe_loads_plans_and_says_how_to_go_on(project: Path) -> None:
    said = run("new", "--name", "mine", "--files", "data", "--languages", "en,zh", "--license", "cc0-1.0").output
    assert "gristmill build recipes/mine.yaml" in said and "--data" not in said
    recipe = Recipe.load("recipes/mine.yaml")
    assert [named.label for named in recipe.stages] == [
        "normalize",
        "language",
        "gopher",
        "repetition",
        "exact",
        "minhash",
    ]
    assert recipe.data["sources"][0]["files"] == {"name": "own", "paths": ["data/**/*.jsonl"], "license": "cc0-1.0"}
    assert make_plan(recipe).key
    with pytest.raises(UsageError, match="there is a recipe already"):
        run("new", "--name", "mine", "--files", "data")


def test_four_questions_are_asked_where_somebody_is_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "someone_there", lambda: True)
    said = run("new", given="asked\ndata/*/*.jsonl\nno\n\n").output
    assert said.count("?") == 4
    text = (project / "recipes" / "asked.yaml").read_text()
    assert "language: {keep: {no: 0.65}}" in text and 'license: "unknown"' in text


def test_pages_are_extracted_and_folders_elsewhere_are_named(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    far = tmp_path_factory.mktemp("far")
    (far / "page.html").write_text("<p>The miller ground the grain.</p>")
    said = run("new", "--name", "pages", "--files", far / "*.html").output
    assert f"gristmill build recipes/pages.yaml --data {far}" in said
    assert "\n  - extract" in (project / "recipes" / "pages.yaml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--name mine", "there is nobody to ask here"),
        ("--name Mine! --files data", "'mine' would do"),
        ("--name mine --files data/*.csv", "what kind of file"),
        ("--name mine --files recipes", "no file in it that is read"),
        ("--name mine --files data --languages english", "codes such as en"),
        ("--name mine --files none/*.jsonl", "no file matches"),
        ("--from finweb", "did you mean 'fineweb'"),
    ],
)
def test_nothing_is_written_where_something_is_wrong(project: Path, words: str, message: str) -> None:
    with pytest.raises(GristmillError, match=message):
        run("new", *words.split())
    assert [path.name for path in (project / "recipes").iterdir()] == ["small.yaml"]


@pytest.mark.slow
def test_a_shipped_recipe_is_copied_with_its_comments(project: Path) -> None:
    run("new", "--from", "fineweb")
    assert (project / "recipes" / "fineweb.yaml").read_text() == (ROOT / "recipes" / "fineweb.yaml").read_text()
    run("new", "--from", "quickstart", "--name", "own")
    assert Recipe.load("recipes/own.yaml").name == "own"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_prints_json_on_request(command: str) -> None:
    options = {option for parameter in COMMANDS[command].params for option in parameter.opts}
    assert "--json" in options or command == "schema"


def test_an_option_means_the_same_in_every_command_and_the_corpus_comes_first() -> None:
    kinds: dict[str, set[str]] = {}
    for name, command in COMMANDS.items():
        hints = get_type_hints(command.callback)
        options = [p.name for p in command.params if p.opts[0].startswith("-") and p.name in hints]
        for option in options:
            kind = str(hints[option]).removesuffix(" | None")
            if (name, option) not in {("verify", "root"), ("audit", "seed")}:
                kinds.setdefault(option, set()).add(re.sub(r"<class '(.*)'>|list\[(.*)\]", r"\1\2", kind))
    assert {option: found for option, found in kinds.items() if len(found) > 1} == {}
    for name in [
        "audit",
        "card",
        "explain",
        "export",
        "measures",
        "pack",
        "peek",
        "prove",
        "publish",
        "rehearse",
        "remove",
        "train",
        "validate",
    ]:
        assert COMMANDS[name].params[0].name == "corpus"


@pytest.mark.slow
def test_exit_codes(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("build", "recipes/small.yaml", "--workers", 1)
    corpus = "build/small"
    assert ended(monkeypatch, "peek", corpus) == 0
    assert ended(monkeypatch, "peek", "recipes") == 1
    assert ended(monkeypatch, "build", "recipes/small.yaml", "--root", "recipes/small.yaml", "--workers", 1) == 1
    assert capsys.readouterr().err.endswith("error: recipes/small.yaml: File exists\n")
    assert ended(monkeypatch, "peek", corpus, "--stage", "exactt") == 2
    assert ended(monkeypatch, "peek", corpus, "--colour") == 2
    assert ended(monkeypatch, "build", "recipes/small.yaml", "--set", "pack.length=0") == 2
    assert ended(monkeypatch, "explain", corpus, "no such document") == 3
    readme = project / corpus / "README.md"
    readme.write_text(readme.read_text().replace("small", "large"))
    assert ended(monkeypatch, "audit", corpus, "--base", ".") == 3


@pytest.mark.slow
def test_a_corpus_of_nothing_says_so_and_a_changed_one_how_to_compare(project: Path) -> None:
    build = ("build", "recipes/small.yaml", "--workers", 1)
    assert "gristmill peek" not in run(*build).output
    said = run(*build, "--set", "stages.length.min_characters=99999").output
    assert "No document was kept; this shows why: gristmill peek build/small~" in said
    assert "gristmill diff build/small build/small~" in said


@pytest.mark.slow
def test_what_was_meant_is_named(project: Path) -> None:
    projects.build(project / "recipes" / "small.yaml", project / "build")
    for words, hint in {
        ("peek", "build"): "did you mean build/small?",
        ("peek", "bild"): "there is no such folder as bild",
        ("build", "small"): "did you mean recipes/small.yaml?",
        ("build", "recipes/smal.yaml"): "did you mean recipes/small.yaml?",
        ("build", "build/small"): "did you mean build/small/recipe.yaml?",
        ("lsh", "--bands", "3"): "^give `bands` and `rows`",
        ("lsh", "--preset", "x"): "--preset: should be",
        ("audit", "build/small", "--benchmark", "x.jsonl"): "x.jsonl: there is no such file",
        ("remove", "build/small", "x", "--date", "today"): "write it as 2026-11-24",
    }.items():
        with pytest.raises(GristmillError, match=hint.replace("?", r"\?")):
            run(*words)


def test_completion_knows_commands_and_options() -> None:
    def completed(typed: str) -> str:
        words = {"_GRISTMILL_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
        return CliRunner().invoke(app, [], prog_name="gristmill", env=words).stdout

    assert completed("gristmill cen").split() == ["census"]
    assert "--workers" in completed("gristmill build recipe.yaml --wo")


def test_help_shows_commands_by_what_they_are_for() -> None:
    said = run("--help").output
    assert all(panel in said for panel in PANELS) and run("--version").output.startswith("gristmill 20")
    assert sum(map(len, PANELS.values())) == len(COMMANDS)


def test_the_page_on_the_command_line_has_every_exit_code() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for code in (0, 1, 2, 3, 130):
        assert f"| {code} |" in text
    assert inspect.cleandoc(GristmillError.__doc__ or "")
