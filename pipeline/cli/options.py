"""What several commands share: their arguments, how these become run options, and how an answer is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pipeline.run.options import Options
    from pipeline.run.plan import Plan

M = TypeVar("M", bound="BaseModel")

ANSWER_IS_NO = 3
"""The exit code of a command that has done its work and found that something does not hold."""


def folder(given: str | Path) -> Path:
    """The folder meant: of this machine, or at s3:// or gs://."""
    if isinstance(given, Path) or "://" not in given:
        return Path(given)
    from pipeline.core.mirror import located

    return located(given)


RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="a recipe, such as recipes/quickstart.yaml")]
Corpus = Annotated[
    Path,
    typer.Argument(metavar="CORPUS", parser=folder, help="folder of a built corpus, such as build/quickstart"),
]
Root = Annotated[
    Path,
    typer.Option(
        metavar="DIR|URL",
        parser=folder,
        help="folder of the store and of finished corpora, or s3://BUCKET/PREFIX",
        envvar="GRISTMILL_ROOT",
    ),
]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="change one value of the recipe")]
Limit = Annotated[int | None, typer.Option(min=1, help="documents to read of each source at most")]
Data = Annotated[list[Path] | None, typer.Option(help="another folder that the recipe's paths may lie in")]
Offline = Annotated[bool, typer.Option("--offline", help="download nothing")]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host", metavar="HOST", help="a host or network that addresses may reach though it is private"
    ),
]
Device = Literal["auto", "cpu", "cuda"]
OnDevice = Annotated[Device, typer.Option(help="where text is tokenized: auto is a GPU if there is one")]
EngineName = Literal["processes", "ray"]
OnEngine = Annotated[EngineName, typer.Option(help="where jobs run: processes here, or a Ray cluster ($RAY_ADDRESS)")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def one_of(choices: Any, given: str, option: str) -> Any:
    """The word given, which has to be one of a Literal; GristmillError lists them."""
    from pipeline.core.errors import UsageError

    if given not in get_args(choices):
        raise UsageError(f"{option} {given!r}: choose one of {', '.join(get_args(choices))}")
    return given


def options_for(
    recipe: Path,
    root: Path,
    data: list[Path] | None,
    *,
    offline: bool,
    hosts: list[str] | None = None,
    workers: int | None = None,
) -> Options:
    """Run options of the commands that ask about a recipe."""
    from pipeline.run.checking import project_folder
    from pipeline.run.options import run_options

    base = project_folder(recipe)
    return run_options(base, root=root, workers=workers, data=data or (), offline=offline, allow=hosts or ())


def start_workers(workers: int | None) -> None:
    """Let worker processes be made ready beside what this one has to import: a command says so first of all."""
    import os

    from pipeline.run.executors import start_server

    if (workers or os.cpu_count() or 1) > 1:
        start_server()


def planned(recipe: Path, sets: list[str] | None, limit: int | None, options: Options) -> Plan:
    """The plan of a recipe with its overrides."""
    from pipeline.library import planned as plan_of
    from pipeline.run.checking import load_recipe

    overrides = [*(sets or ()), *([f"limit={limit}"] if limit else ())]
    with options.place.active():
        loaded = load_recipe(recipe, overrides)
    return plan_of(loaded, options)


def shard_numbers(given: str) -> range:
    """`3-7`, both included, or one number."""
    from pipeline.core.errors import UsageError

    first, _, last = given.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal() and int(first) <= int(last or first)):
        raise UsageError(f"--shards {given}: give the first and the last number, such as 0-99")
    return range(int(first), int(last or first) + 1)


def checked(kind: type[M], **values: Any) -> M:
    """Settings from options of the same names; UsageError says which is wrong."""
    from pydantic import ValidationError

    from pipeline.core.errors import UsageError

    try:
        return kind(**values)
    except ValidationError as error:
        wrong = "; ".join(
            " ".join([*(f"--{str(part).replace('_', '-')}:" for part in problem["loc"]), _plainly(problem["msg"])])
            for problem in error.errors()
        )
        raise UsageError(wrong) from None


def _plainly(message: str) -> str:
    """What pydantic says, to somebody who types."""
    return message.removeprefix("Value error, ").replace("Input should be", "should be")


def show(value: Any, text: str, *, as_json: bool) -> None:
    """Print an answer: for people, or as JSON."""
    if as_json:
        from pydantic_core import to_jsonable_python

        print(json.dumps(to_jsonable_python(value), ensure_ascii=False, indent=1))
    else:
        from rich.console import Console

        Console().print(text, highlight=False, markup=False, soft_wrap=True)
