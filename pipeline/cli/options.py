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

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="a recipe, such as recipes/quickstart.yaml")]
Corpus = Annotated[Path, typer.Argument(metavar="CORPUS", help="folder of a built corpus, such as build/quickstart")]
Root = Annotated[Path, typer.Option(help="folder of the store and of finished corpora", envvar="GRISTMILL_ROOT")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="change one value of the recipe")]
Limit = Annotated[int | None, typer.Option(min=1, help="documents to read of each source at most")]
Data = Annotated[list[Path] | None, typer.Option(help="another folder that the recipe's paths may lie in")]
Offline = Annotated[bool, typer.Option("--offline", help="download nothing")]
Device = Literal["auto", "cpu", "cuda"]
OnDevice = Annotated[Device, typer.Option(help="where text is tokenized: auto is a GPU if there is one")]
EngineName = Literal["processes", "ray"]
OnEngine = Annotated[EngineName, typer.Option(help="where jobs run: processes here, or a Ray cluster ($RAY_ADDRESS)")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def one_of(choices: Any, given: str, option: str) -> Any:
    """The word given, which has to be one of a Literal; GristmillError lists them."""
    from pipeline.core.errors import GristmillError

    if given not in get_args(choices):
        raise GristmillError(f"{option} {given!r}: choose one of {', '.join(get_args(choices))}")
    return given


def checked(kind: type[M], **values: Any) -> M:
    """Settings; GristmillError says which option is wrong."""
    from pydantic import ValidationError

    from pipeline.core.errors import GristmillError

    try:
        return kind(**values)
    except ValidationError as error:
        wrong = "; ".join(
            " ".join([*(f"--{str(part).replace('_', '-')}" for part in problem["loc"]), problem["msg"]])
            for problem in error.errors()
        )
        raise GristmillError(wrong) from None


def run_options(
    recipe: Path,
    root: Path,
    data: list[Path] | None,
    *,
    offline: bool,
    workers: int | None = None,
    batch_rows: int = 256,
    memory: int | None = None,
    device: Device = "auto",
    engine: EngineName = "processes",
    replace: bool = False,
) -> Options:
    """Run options from what the command line says."""
    import os

    from pipeline.core.asset import Place
    from pipeline.kernels import pack
    from pipeline.run.options import Options
    from pipeline.run.recipe import project_folder

    if device == "cuda":
        pack.find("cuda")
    place = Place(base=project_folder(recipe).resolve(), data=tuple(data or ()), offline=offline, device=device)
    where = root.resolve() if engine == "ray" else root
    return Options(where, workers or os.cpu_count() or 1, batch_rows, place, memory, engine=engine, replace=replace)


def start_workers(workers: int | None) -> None:
    """Let worker processes be made ready beside what this one has to import: a command says so first of all."""
    import os

    from pipeline.run.executors import start_server

    if (workers or os.cpu_count() or 1) > 1:
        start_server()


def planned(recipe: Path, sets: list[str] | None, limit: int | None, options: Options) -> Plan:
    """The plan of a recipe with its overrides."""
    from pipeline.run.plan import make_plan
    from pipeline.run.recipe import load_recipe

    with options.place.active():
        overrides = [*(sets or ()), *([f"limit={limit}"] if limit else ())]
        return make_plan(load_recipe(recipe, overrides))


def shard_numbers(given: str) -> range:
    """`3-7`, both included, or one number."""
    from pipeline.core.errors import GristmillError

    first, _, last = given.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal() and int(first) <= int(last or first)):
        raise GristmillError(f"--shards {given}: give the first and the last number, such as 0-99")
    return range(int(first), int(last or first) + 1)


def show(value: Any, text: str, *, as_json: bool) -> None:
    """Print an answer: for people, or as JSON."""
    if as_json:
        from pydantic_core import to_jsonable_python

        print(json.dumps(to_jsonable_python(value), ensure_ascii=False, indent=1))
    else:
        from rich.console import Console

        Console().print(text, highlight=False, markup=False, soft_wrap=True)
