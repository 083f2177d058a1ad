"""The code in the documents runs, and the recipe in the README is one."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import types
from collections import Counter
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
import typer.main
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.document import parse_yaml
from pipeline.kernels.minhash import PRESETS
from pipeline.run.checking import check_recipe
from pipeline.run.reference import schema
from pipeline.run.registry import stages
from tests import projects

ROOT = Path(__file__).parents[1]
WORD = re.compile(r"`([a-z0-9_]+)`")


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_filter_in_contributing_works_and_so_does_its_test(monkeypatch: pytest.MonkeyPatch) -> None:
    filter_code, test_code = blocks("CONTRIBUTING.md", "python")
    module = types.ModuleType("pipeline.filters.shouting")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(filter_code, module.__dict__)
    names: dict[str, object] = {}
    exec(test_code, names)
    test = names["test_shouting_is_dropped_with_its_measure"]
    assert callable(test)
    test()
    stage = module.__dict__["Shouting"](max_share=1.0)
    assert stage.word == "shouting"
    assert stage.judge(pa.RecordBatch.from_pydict({"text": ["BUY"]})).reason.to_pylist() == [None]


def test_the_recipe_in_the_readme_is_a_recipe() -> None:
    [text] = blocks("README.md", "yaml")
    recipe = check_recipe(parse_yaml(text.encode()), "README.md", ROOT)
    assert recipe.name == "pages" and len(recipe.stages) == 7


def test_every_script_and_file_that_the_documents_name_exists() -> None:
    for document in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        text = document.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            assert "://" in link or (document.parent / link).exists(), f"{document} links to {link}"
        for script in re.findall(r"\bscripts/[\w/]+\.(?:sh|py)\b", text):
            assert (ROOT / script).exists(), f"{document} names {script}"


def test_every_command_and_option_that_the_documents_name_exists() -> None:
    commands = typer.main.get_group(app).commands
    for document in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "scripts" / "quickstart.sh"):
        text = document.read_text(encoding="utf-8").replace("\\\n", " ")
        typed = re.findall(r"`gristmill ([^`\n]*)`", text)
        typed += [line.partition(" #")[0] for line in re.findall(r"(?m)^[ $]*(?:\S*/)?gristmill (.*)$", text)]
        for word, *rest in (line.split() for line in typed if re.match("[a-z]", line)):
            name = word.strip(",.…")
            assert name in commands or name.endswith(("-", "COMMAND")), f"{document.name}: gristmill {word}"
            known = {o for p in commands[name].params for o in (*p.opts, *p.secondary_opts)} if name in commands else {}
            for option in (part.partition("=")[0] for part in rest if re.match("--[a-z]", part)):
                assert option in {*known, "--help"}, f"{document.name}: gristmill {name} {option}"


def test_the_readmes_have_the_same_parts_commands_links_and_figures() -> None:
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
    for what, pattern in {
        "headings": r"(?m)^#+ ",
        "code": r"(?ms)^```.*?^```",
        "typed": r"(?m)^    [$./\w-]+(?: [\w./:-]+)*",
        "commands": r"(?m)^\| `gristmill [^`]*` \|",
        "rows": r"(?m)^\|",
        "links": r"\]\(((?!README)[^)]+)\)",
        "figures": r"\d+(?:[.,]\d+)*",
    }.items():
        ours, theirs = Counter(re.findall(pattern, english)), Counter(re.findall(pattern, chinese))
        assert ours == theirs, f"{what}: README.md alone has {ours - theirs}, README.zh-CN.md alone {theirs - ours}"


def test_the_page_on_recipes_has_every_key_and_its_recipe_is_one() -> None:
    [text] = blocks("docs/recipes.md", "yaml")
    recipe = check_recipe(parse_yaml(text.encode()), "docs/recipes.md", ROOT)
    assert [named.label for named in recipe.stages].count("not_too_short") == 1
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert {key for key in schema()["properties"] if f"| `{key}` |" not in page} == set()
    assert set(schema()["properties"]) == set(recipe.data)
    assert set(WORD.findall(page.split("## Which stage where")[1].partition("\n## ")[0])) <= {*stages(), "lang"}


def test_the_page_on_deduplication_runs(folder: Path) -> None:
    follow("docs/dedup.md")
    page = (ROOT / "docs" / "dedup.md").read_text(encoding="utf-8")
    for word in (word for word, stage in stages().items() if stage.__module__.startswith("pipeline.dedup.")):
        assert f"| `{word}` |" in page
    for preset in PRESETS:
        assert f"`{preset}`" in page


def follow(document: str) -> None:
    """Do what a page says, in the working folder: write its YAML files, run its Python and its commands.

    A line `# prints: …` after a command is part of what it prints.
    """
    text = (ROOT / document).read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for language, body in re.findall(r"^```(yaml|python|sh)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language == "python":
            exec(compile(body, document, "exec"), names)
        elif language == "yaml":
            path = Path(body.partition("\n")[0].removeprefix("# "))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body, encoding="utf-8")
        else:
            output = ""
            for line in body.replace("\\\n", " ").splitlines():
                if line.startswith("# prints: "):
                    assert line.removeprefix("# prints: ") in output, f"{document}: {line}\n{output}"
                elif line.startswith("gristmill "):
                    done = CliRunner().invoke(app, shlex.split(line)[1:])
                    output = done.output
                    assert done.exit_code == 0, f"{document}: {line}\n{output}{done.exception}"
                else:
                    subprocess.run(["bash", "-euo", "pipefail", "-c", line], check=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, on one core."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    return tmp_path


@pytest.mark.slow
def test_the_page_on_the_library_runs(folder: Path) -> None:
    made = projects.make_project(folder, n_files=3, per_file=40, recipe=projects.RECIPE | {"recipe": "mine"})
    made.rename(made.with_name("mine.yaml"))
    follow("docs/library.md")
    exec(compile(blocks("README.md", "python")[-1], "README.md", "exec"), {})


@pytest.mark.slow
def test_the_page_on_growing_runs_from_an_empty_folder(folder: Path) -> None:
    follow("docs/growing.md")
