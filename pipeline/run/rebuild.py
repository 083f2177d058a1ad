"""One shard of documents made again from the recipe: its inputs through all sweeps, into a folder that then goes.

What stages decided that need all documents is taken from the store where it lies there; else it is made again too,
which takes as long as a build.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from pipeline.core.again import Rebuilt
from pipeline.core.asset import sha256_file
from pipeline.core.manifest import Input
from pipeline.core.shards import read_table
from pipeline.run import engine
from pipeline.run.options import Options
from pipeline.run.plan import Plan, PlannedSweep, ReadPart, make_plan
from pipeline.run.progress import Quiet
from pipeline.run.recipe import Recipe
from pipeline.run.store import Store, SweepFolder
from pipeline.run.sweep import ShardJob, read_part, run_shard


def rebuild_shard(recipe: Recipe, options: Options, source: str, file: str, name: str) -> Rebuilt:
    """The shard with the document `name`, read from `file` of a source; without rows where no input has the document.

    `options.root` is where a store may lie; nothing is written there.
    """
    with options.place.active(), TemporaryDirectory(prefix="gristmill-rebuild-") as scratch:
        plan = make_plan(recipe)
        number = _part_of(plan, options, source, file, name)
        if number is None:
            return Rebuilt(plan.key, (), pa.table({"id": pa.array([], pa.string())}), "", "")
        decisions, decided = _decisions(plan, options, Path(scratch) / "again")
        shard, inputs = _through(plan, options, number, decisions, Path(scratch) / "shard")
        return Rebuilt(plan.key, inputs, read_table(shard).combine_chunks(), sha256_file(shard), decided)


def _part_of(plan: Plan, options: Options, source: str, file: str, name: str) -> int | None:
    """The number of the part that has this document: of those that read its file, else of those of its source."""
    mine = [(number, read) for number, read in enumerate(plan.sweeps[0].parts) if read.source.name == source]
    named = [(number, read) for number, read in mine if any(piece.name == file for piece in read.part.slices)]
    return next((number for number, read in named or mine if name in _ids(read, options.batch_rows)), None)


def _ids(read: ReadPart, batch_rows: int) -> frozenset[str]:
    return frozenset(name for batch in read_part(read, batch_rows) for name in batch.column("id").to_pylist())


def _decisions(plan: Plan, options: Options, scratch: Path) -> tuple[list[Path | None], str]:
    """The decision that each sweep but the last closes with, and where they are from."""
    closed = plan.sweeps[:-1]
    kept = _folders(closed, options.root)
    if all(folder is None or folder.is_dir() for folder in kept):
        return kept, "the store's" if any(kept) else "none needed"
    engine.build_decisions(plan, replace(options, root=scratch), Quiet())
    return _folders(closed, scratch), "made again"


def _folders(sweeps: tuple[PlannedSweep, ...], root: Path) -> list[Path | None]:
    store = Store(root)
    return [
        store.decision(sweep.closing.label, sweep.decision_key) / "decision" if sweep.closing else None
        for sweep in sweeps
    ]


def _through(
    plan: Plan, options: Options, number: int, decisions: list[Path | None], folder: Path
) -> tuple[Path, tuple[Input, ...]]:
    """One part through all sweeps: its shard after the last, and the inputs that were read."""
    inputs: tuple[Input, ...] = ()
    shard: Path | None = None
    for sweep, decision in zip(plan.sweeps, [None, *decisions], strict=True):
        into = SweepFolder(folder / sweep.key[:16])
        read = sweep.parts[number] if sweep.parts else None
        job = ShardJob(number, replace(sweep, parts=()), into, options.place, options.batch_rows, read, shard, decision)
        inputs += run_shard(job).inputs
        shard = into.shard(number)
    assert shard
    return shard, inputs
