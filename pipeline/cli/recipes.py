"""Commands on a recipe: build it, or ask what a build would do."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import (
    AsJson,
    Data,
    Hosts,
    Limit,
    Offline,
    OnDevice,
    OnEngine,
    RecipePath,
    Root,
    Sets,
    checked,
    options_for,
    planned,
    shard_numbers,
    show,
    start_workers,
)


def build(
    recipe: RecipePath,
    root: Root = Path("build"),
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: one a core")] = None,
    batch_rows: Annotated[int, typer.Option(min=1, max=65536, help="documents that a stage sees at once")] = 256,
    memory: Annotated[int | None, typer.Option(min=16, help="MiB for the shuffles of deduplication")] = None,
    sets: Sets = None,
    limit: Limit = None,
    data: Data = None,
    offline: Offline = False,
    hosts: Hosts = None,
    device: OnDevice = "auto",
    engine: OnEngine = "processes",
    shards: Annotated[
        str | None, typer.Option(metavar="A-B", help="only these shards, with others on the same root at the same time")
    ] = None,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="hash what is stored; make again what was damaged")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="let changed content keep its name and version")] = False,
    as_json: AsJson = False,
) -> None:
    """Build a corpus: documents, tokens, tokenizer, manifest and card. Run again, it goes on where it stopped."""
    if engine == "processes":
        start_workers(workers)
    from rich.console import Console

    from pipeline.library import carried_out
    from pipeline.report import funnel
    from pipeline.run.checking import project_folder
    from pipeline.run.engine import build_share
    from pipeline.run.options import run_options
    from pipeline.run.progress import Bars, Lines, Quiet

    options = run_options(
        project_folder(recipe),
        root=root,
        workers=workers,
        batch_rows=batch_rows,
        memory=memory,
        data=data or (),
        offline=offline,
        allow=hosts or (),
        device=device,
        engine=engine,
        recheck=recheck,
        replace=replace,
    )
    plan = planned(recipe, sets, limit, options)
    console = Console(stderr=as_json)
    listener = Quiet() if as_json else Bars(console) if console.is_terminal else Lines(console)
    with listener if isinstance(listener, Bars) else nullcontext():
        if shards is not None:
            share = build_share(plan, options, listener, shard_numbers(shards))
            left = (
                f"{share.left} shards of the sweep {share.sweep} are left to others; when they are done, run this again"
            )
            rest = (
                left
                if share.left
                else "All shards are done: the same command without --shards puts the corpus together"
            )
            show(share, f"{share.worked} done here. {rest}.", as_json=as_json)
            return
        built = carried_out(plan, options, listener)
    if as_json:
        print(json.dumps({"folder": str(built.folder), "worked": built.worked, "digest": built.manifest.digest}))
        return
    console.print(funnel.as_table(built.manifest))
    for warning in built.manifest.warnings:
        console.print(f"note: {warning.stage} {warning.message}", highlight=False, markup=False)
    done = "Nothing to do: everything was built before." if not built.worked else "Done."
    console.print(f"{done} The corpus is in {built.folder}; its card is {built.folder / 'README.md'}", soft_wrap=True)
    if not built.manifest.documents:
        console.print(f"No document was kept; this shows why: gristmill peek {built.folder}", soft_wrap=True)
    unchanged = root / plan.recipe.header.recipe
    if plan.recipe.overrides and (unchanged / "manifest.json").exists():
        console.print(f"What is other in it: gristmill diff {unchanged} {built.folder}", soft_wrap=True)


def plan(
    recipe: RecipePath,
    root: Root = Path("build"),
    sets: Sets = None,
    limit: Limit = None,
    data: Data = None,
    offline: Offline = False,
    hosts: Hosts = None,
    as_json: AsJson = False,
) -> None:
    """Show the sweeps of a recipe: what is cached and what is to do. Reads no document."""
    from rich.console import Console
    from rich.table import Table

    from pipeline.run.engine import progress_of

    options = options_for(recipe, root, data, offline=offline, hosts=hosts)
    made = planned(recipe, sets, limit, options)
    rows = progress_of(made, options)
    notes = {named.label: note for named in made.recipe.stages if (note := named.stage.note())}
    if as_json:
        print(json.dumps({"key": made.key, "sweeps": rows, "notes": notes}, indent=1))
        return
    table = Table("sweep", "stages", "shards", "state", title=f"{made.recipe.name}@{made.recipe.header.version}")
    for number, row in enumerate(rows, 1):
        state = "cached" if row["done"] == row["shards"] else f"to do: {row['shards'] - row['done']}"
        table.add_row(str(number), " → ".join(row["stages"]), str(row["shards"]), state)
    Console().print(table)
    for label, note in notes.items():
        Console().print(f"{label}: {note}", highlight=False, markup=False, soft_wrap=True)


def census(
    recipe: RecipePath,
    sample: Annotated[int, typer.Option(min=1, help="documents to judge at most, chosen by hash")] = 10_000,
    root: Root = Path("build"),
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: one a core")] = None,
    sets: Sets = None,
    limit: Limit = None,
    data: Data = None,
    offline: Offline = False,
    hosts: Hosts = None,
    as_json: AsJson = False,
) -> None:
    """Ask every rule about every document and drop none: what each removes alone, with others, at other limits.

    Run again with --set on a limit: the stored measures are judged again, nothing is measured, and the shares before
    the change stand beside.
    """
    from rich.console import Console

    from pipeline.report import census as censuses
    from pipeline.report import census_tables
    from pipeline.run.census import is_measured, take_census

    options = options_for(recipe, root, data, offline=offline, hosts=hosts, workers=workers)
    asked = planned(recipe, sets, limit, options)
    taken = take_census(asked, options, sample=sample)
    report = censuses.census(taken.folder)
    if as_json:
        print(json.dumps({"folder": str(taken.folder), "measured": taken.measured, **report.model_dump(mode="json")}))
        return
    before = None
    if sets and not taken.measured:
        unchanged = planned(recipe, None, limit, options)
        if is_measured(unchanged, options, sample=sample):
            before = censuses.census(take_census(unchanged, options, sample=sample).folder)
    console = Console()
    if console.width < census_tables.WIDTH:
        console = Console(width=census_tables.WIDTH)
    for part in census_tables.as_tables(report, before):
        console.print(part, highlight=False, markup=False, soft_wrap=isinstance(part, str))
    told = f"Measured: {', '.join(taken.measured)}." if taken.measured else "Nothing was re-measured."
    console.print(f"{told} The census is in {taken.folder}", highlight=False, markup=False, soft_wrap=True)


def limits(
    recipe: RecipePath,
    lang: Annotated[str, typer.Option(help="language to derive limits for, such as sv")],
    method: Annotated[str, typer.Option(help="tail, quantile or mean_std")] = "tail",
    share: Annotated[
        float, typer.Option(min=0, max=0.5, help="share of the trusted text that a limit may drop")
    ] = 0.01,
    like: Annotated[str, typer.Option(help="language whose limits quantile and mean_std follow")] = "en",
    field: Annotated[list[str] | None, typer.Option(help="only this limit; may be repeated")] = None,
    sample: Annotated[int, typer.Option(min=1, help="documents to measure at most, chosen by hash")] = 10_000,
    root: Root = Path("build"),
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: one a core")] = None,
    sets: Sets = None,
    data: Data = None,
    offline: Offline = False,
    hosts: Hosts = None,
    as_json: AsJson = False,
) -> None:
    """Derive limits for a language from trusted text: a recipe whose sources are that text and whose stages measure.

    Prints YAML for `by_language`. tail: each limit drops --share of the trusted text; quantile: as much as its limit
    drops in --like; mean_std: as many standard deviations from the mean as there.
    """
    from pydantic import TypeAdapter, ValidationError

    from pipeline.core.errors import UsageError
    from pipeline.report import limits as deriving
    from pipeline.run.census import take_census

    try:
        chosen = TypeAdapter(deriving.Method).validate_python(method)
    except ValidationError:
        raise UsageError(f"--method {method}: tail, quantile or mean_std") from None
    options = options_for(recipe, root, data, offline=offline, hosts=hosts, workers=workers)
    taken = take_census(planned(recipe, sets, None, options), options, sample=sample)
    found = deriving.derive(taken.folder, lang, method=chosen, share=share, like=like, only=field or ())
    show(found, deriving.as_yaml(found), as_json=as_json)


def lsh(
    bands: Annotated[int | None, typer.Option(min=1, max=1024, help="bands")] = None,
    rows: Annotated[int | None, typer.Option(min=1, max=64, help="rows of each band")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="similarity that bands and rows follow from")] = 0.75,
    preset: Annotated[str | None, typer.Option(help="fineweb, nemo or strict")] = None,
    shingle: Annotated[int | None, typer.Option(min=1, max=64, help="tokens of a shingle, with --on")] = None,
    on: Annotated[
        Path | None, typer.Option(metavar="CORPUS|RECIPE", help="measure on these documents, all pairs exactly")
    ] = None,
    sample: Annotated[int, typer.Option(min=2, help="documents to measure on at most")] = 10_000,
    data: Data = None,
    hosts: Hosts = None,
    as_json: AsJson = False,
) -> None:
    """What bands and rows of minhash find: the probability by similarity, or what they find in your documents."""
    from pipeline.core.errors import GristmillError
    from pipeline.dedup import curve
    from pipeline.dedup.minhash import Minhash

    given = {"bands": bands, "rows": rows, "preset": preset, "shingle": shingle, "threshold": threshold}
    stage = checked(Minhash, **{name: value for name, value in given.items() if value is not None})
    shape = stage.shape
    if on is None:
        show(
            {"bands": shape.bands, "rows": shape.rows, "probability": curve.curve(shape.bands, shape.rows)},
            curve.as_text(shape.bands, shape.rows),
            as_json=as_json,
        )
        return
    texts = _sample(on, sample, data, hosts)
    if len(texts) < 2:
        raise GristmillError(f"{on}: no two texts to compare (pages are text after `extract`: give the built corpus)")
    found = curve.measured(texts, shape, threshold)
    text = f"{curve.as_text(shape.bands, shape.rows)}\n\n{curve.measured_as_text(found)}"
    show({"bands": shape.bands, "rows": shape.rows, "measured": found._asdict()}, text, as_json=as_json)


def _sample(path: Path, limit: int, data: list[Path] | None, hosts: list[str] | None) -> list[str]:
    """Texts of a built corpus, with its near-duplicates, or of the sources of a recipe."""
    if path.is_dir():
        from pipeline.report import ledger

        return ledger.texts(path, ("near_duplicate",), limit)
    from pipeline.run.plan import first_texts

    options = options_for(path, Path("build"), data, offline=False, hosts=hosts)
    made = planned(path, None, None, options)
    with options.place.active():
        return first_texts(made, limit)
