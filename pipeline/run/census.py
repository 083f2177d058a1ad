"""A census: no rule drops, every rule judges every document of a sample, and what the rules measured is kept.

Each stage's measures have a key of their own, without its limits: another limit judges what is there and measures
nothing, another rule is measured alone (and the transforms before it done again). The sample is the documents with the
smallest hashes, so it does not depend on shards or workers; the sources are read once to draw it and once to measure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from pipeline.core.census import DOCUMENTS, About, Rule, write_census
from pipeline.core.manifest import digest
from pipeline.core.schema import DOCUMENT, RAW
from pipeline.core.shards import read_table, shard_name
from pipeline.core.stage import Checkpoint, Judgement, Local
from pipeline.run.checking import parts_of
from pipeline.run.executors import Executor, Failed
from pipeline.run.measuring import SAID, DrawJob, MeasureJob, draw_part, measure_part
from pipeline.run.options import Options
from pipeline.run.plan import Plan, read_identity
from pipeline.run.recipe import Named, Recipe
from pipeline.run.store import Store, seal

LAYOUT = 1
"""Raised when what a census stores changes."""

_DRAWS = ".draws"
"""Beside the labels of stages: what drew the sample."""

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Taken:
    """A census: where it lies, and the stages that had to be measured for it (none: all measures were there)."""

    folder: Path
    measured: tuple[str, ...]


def take_census(plan: Plan, options: Options, *, sample: int) -> Taken:
    """Judge at most `sample` documents by every rule; afterwards `<root>/<recipe>.census/` holds the answer."""
    store, recipe = Store(options.root), plan.recipe
    asked, left_out = _asked(recipe)
    with ExitStack() as stack:
        stack.enter_context(store.locked())
        stack.enter_context(options.place.active())
        places = _places(plan, store, sample)
        missing = {label: place for label, place in places.items() if not _is_whole(place)}
        if missing:
            executor = stack.enter_context(options.executor())
            _measure(plan, options, executor, sample, places, missing)
        counts = json.loads((places[_DRAWS] / "seal.json").read_text())
        found = {label: _read(place) for label, place in places.items() if label != _DRAWS}
    rules, table = judged(asked, found)
    about = About(
        recipe=recipe.name,
        version=recipe.header.version,
        key=digest(sorted(place.name for place in places.values())),
        documents=counts["documents"],
        sampled=table.num_rows,
        unreadable=counts["unreadable"],
        rules=rules,
        judges=tuple(sorted(recipe.judges)),
        left_out=left_out,
    )
    folder = store.corpus(f"{recipe.name}.census")
    write_census(folder, about, table)
    return Taken(folder, tuple(named.label for named in asked if named.label in missing))


def is_measured(plan: Plan, options: Options, *, sample: int) -> bool:
    """Whether this census needs nothing but judging."""
    with options.place.active():
        return all(map(_is_whole, _places(plan, Store(options.root), sample).values()))


def judged(asked: Sequence[Named], found: Mapping[str, pa.Table]) -> tuple[tuple[Rule, ...], pa.Table]:
    """Every rule's judgement of the measured documents, by the limits that the stages have now."""
    rules: list[Rule] = []
    columns = {name: found[SAID][name] for name in DOCUMENTS}
    for named in asked:
        assert isinstance(named.stage, Local)
        for judgement in named.stage.rules(
            {name: _one(found[named.label][name]) for name in found[named.label].column_names}
        ):
            rule = rule_of(named, judgement)
            rules.append(rule)
            columns[f"{rule.name}.dropped"] = judgement.dropped
            columns[f"{rule.name}.value"], columns[f"{rule.name}.limit"] = judgement.value, judgement.limit
    return tuple(rules), pa.table(columns)


def _asked(recipe: Recipe) -> tuple[tuple[Named, ...], dict[str, str]]:
    """The stages that a census can ask, and why it cannot ask the others."""
    have = set.intersection(*({*DOCUMENT, *RAW, *source.columns_written()} for source in recipe.sources))
    asked, left_out = [], {}
    for named in recipe.stages:
        missing = set(named.stage.columns_read()) - have
        if isinstance(named.stage, Checkpoint):
            continue
        if not isinstance(named.stage, Local):
            rewrites = "text" in named.stage.columns_written()
            left_out[named.label] = "needs all documents" + ("; those after it judge another text" if rewrites else "")
        elif missing:
            left_out[named.label] = f"reads {', '.join(sorted(missing))} of a stage that needs all documents"
        else:
            asked.append(named)
            have |= set(named.stage.columns_written())
    return tuple(asked), left_out


def _places(plan: Plan, store: Store, sample: int) -> dict[str, Path]:
    """The folders of the draws, of each stage's measures and of what is said of the documents."""
    drawn = digest([LAYOUT, [read_identity(read) for read in plan.sweeps[0].parts], sample])
    places, before = {_DRAWS: store.folder("census.draws", drawn)}, drawn
    for named in _asked(plan.recipe)[0]:
        stage = named.stage
        assert isinstance(stage, Local)
        assets = sorted(asset.sha256 for asset in stage.assets())
        key = digest([before, named.label, stage.word, stage.version, stage.measuring(), assets])
        places[named.label] = store.folder(f"census.{named.label}", key)
        before = key if stage.columns_written() else before
    return {**places, SAID: store.folder("census.documents", digest([before, "documents"]))}


def _measure(
    plan: Plan, options: Options, executor: Executor, sample: int, places: Mapping[str, Path], missing: Collection[str]
) -> None:
    """Make what is missing; the seal of a folder comes last."""
    reads, place, rows = plan.sweeps[0].parts, options.place, options.batch_rows
    if _DRAWS in missing:
        drawn = list(_run(executor, draw_part, [DrawJob(read, place, rows, sample) for read in reads]))
        smallest = np.sort(np.concatenate([part.smallest for part in drawn]))[:sample]
        counts = {name: sum(getattr(part, name) for part in drawn) for name in ("documents", "unreadable")}
        cut = float(smallest[-1]) if len(smallest) else -1.0
        seal(places[_DRAWS], json.dumps({**counts, "cut": cut}) + "\n")
    cut = json.loads((places[_DRAWS] / "seal.json").read_text())["cut"]
    out = {label: places[label] for label in missing if label != _DRAWS}
    asked, _ = _asked(plan.recipe)
    jobs = [MeasureJob(index, read, place, rows, cut, asked, out) for index, read in enumerate(reads)]
    for _ in _run(executor, measure_part, jobs):
        pass
    for folder in out.values():
        seal(folder, json.dumps({"shards": len(reads)}) + "\n")


def _is_whole(place: Path) -> bool:
    """Sealed, and no file of it has been deleted since."""
    if not (place / "seal.json").exists():
        return False
    n_shards = json.loads((place / "seal.json").read_text()).get("shards", 0)
    return all((place / f"{shard_name(index)}.arrow").exists() for index in range(n_shards))


def _read(place: Path) -> pa.Table:
    return pa.concat_tables(read_table(path) for path in sorted(place.glob("shard-*.arrow"))).combine_chunks()


def _run(executor: Executor, fn: Callable[[J], R], jobs: Sequence[J]) -> Iterator[R]:
    for _, result in executor.map(fn, jobs):
        if isinstance(result, Failed):
            raise result.error
        yield result


def rule_of(named: Named, judgement: Judgement) -> Rule:
    """What a census says of a rule besides its judgements."""
    field = type(named.stage).model_fields.get(judgement.field or "")
    kinds = parts_of(field.annotation) if field else []
    return Rule(
        stage=named.label,
        reason=judgement.reason,
        field=judgement.field,
        least=judgement.least,
        whole=int in kinds and float not in kinds,
        by_language=field is not None and "by_language" in type(named.stage).model_fields,
    )


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
