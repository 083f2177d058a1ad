"""Commands for the first minutes: which recipes there are, and a new one from four answers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, show

if TYPE_CHECKING:
    from pipeline.run.starting import Wishes


def recipes(as_json: AsJson = False) -> None:
    """The recipes that come with Gristmill; `gristmill new --from NAME` copies one."""
    from pipeline.run.starting import shipped

    found = shipped()
    width = max(len(recipe.name) for recipe in found)
    lines = [f"{recipe.name:{width}}  {recipe.description}" for recipe in found]
    show(found, "\n".join([*lines, "", "Copy one:  gristmill new --from fineweb"]), as_json=as_json)


def new(
    name: Annotated[str | None, typer.Option(help="name of the corpus, and of its folder")] = None,
    files: Annotated[list[str] | None, typer.Option(help="file, folder or glob to read; may be repeated")] = None,
    languages: Annotated[str | None, typer.Option(help="to keep, such as en,zh; empty: all")] = None,
    license: Annotated[str | None, typer.Option(help="licence of the documents, such as cc-by-4.0")] = None,
    purpose: Annotated[str, typer.Option(help="what it is for, in one sentence")] = "",
    shipped: Annotated[str | None, typer.Option("--from", metavar="RECIPE", help="copy this shipped recipe")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="file; default: recipes/NAME.yaml")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="ask nothing: take defaults")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a recipe: asks for name, files, languages and licence, or takes them from options. It loads and plans."""
    from pipeline.run import starting

    if shipped:
        target = out or Path("recipes") / f"{name or shipped}.yaml"
        path, told = starting.copied(shipped, target, name), ""
    else:
        wishes = _asked(name, files, languages, license, purpose, quiet=yes or as_json)
        path = out or Path("recipes") / f"{wishes.name}.yaml"
        starting.created(wishes, path)
        told = "".join(f" --data {folder}" for folder in starting.outside(wishes.files, Path()))
    read = "it says where its numbers are from" if shipped else "every line says what it does"
    steps = {"plan": "what would be done", "census": "what each rule would drop", "build": "do it"}
    typed = {f"gristmill {command} {path}{told}": meaning for command, meaning in steps.items()}
    width = max(map(len, typed))
    lines = [f"{path} is written. Read it: {read}. Then:", *(f"  {t:{width}}  {m}" for t, m in typed.items())]
    show({"recipe": path}, "\n".join(lines), as_json=as_json)


def _asked(
    name: str | None, files: list[str] | None, languages: str | None, license: str | None, purpose: str, *, quiet: bool
) -> Wishes:
    """The answers, from options, and from a person where there is one to ask."""
    from pipeline.core.errors import UsageError
    from pipeline.run.starting import Wishes, checked_name

    there = someone_there() and not quiet
    if not there and not (name and files):
        raise UsageError(
            "there is nobody to ask here: give --name NAME and --files 'data/*.jsonl', and if need be --languages en,zh"
        )
    name = checked_name(name or typer.prompt("What is the corpus called? (it names a folder)", "mine"))
    files = files or typer.prompt("Which files? (paths, globs or folders, with spaces between)").split()
    if languages is None:
        languages = typer.prompt("Which languages? (en,zh; empty: all)", "", show_default=False) if there else ""
    if license is None:
        license = typer.prompt("What licence do the documents have? (cc-by-4.0)", "unknown") if there else "unknown"
    codes = tuple(code for code in languages.replace(" ", ",").split(",") if code)
    return Wishes(name, tuple(files), codes, license, purpose)


def someone_there() -> bool:
    """Whether a person sits at a terminal."""
    return sys.stdin.isatty()
