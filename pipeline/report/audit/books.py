"""Exact checks of the books: the funnel's arithmetic, its ledgers, and what was taken out of the finished corpus."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import GristmillError, StoreError
from pipeline.core.manifest import REMOVED, REMOVED_LEDGER, Size, StageCount, Sweep
from pipeline.core.shards import read_batches, read_table
from pipeline.core.validation import compare, decide, read_validation
from pipeline.report.audit.evidence import Evidence
from pipeline.report.audit.outcome import Outcome, differ, fails, holds, unknown
from pipeline.report.funnel import check_books, packing_of
from pipeline.report.ledger import ledger_folders
from pipeline.report.recipe_text import entries


def funnel(evidence: Evidence) -> Outcome:
    """What each stage read is what the one before kept, sums close, and every stage of the recipe is told of."""
    manifest = evidence.manifest
    try:
        check_books(manifest)
    except StoreError as error:
        return fails(" ".join(str(error).split("\n")[1:]).strip(), "every stage")
    packing = packing_of(manifest)
    judging = manifest.sweeps[: len(manifest.sweeps) - len(packing)]
    problems = [
        f"{after.stage} read {after.read.documents:,} documents, {before.stage} kept {before.kept.documents:,}"
        for sweep in judging
        for before, after in pairwise(_judges(sweep))
        if before.kept != after.read
    ]
    composed = sum((group.size for group in manifest.composition), Size())
    last = [(count, "kept", count.kept) for sweep in judging[-1:] for count in _judges(sweep)[-1:]]
    last += [(count, "read", count.read) for sweep in packing for count in sweep.stages]
    for count, did, size in last:
        if size != composed:
            said = f"{count.stage} {did} {size.characters:,} characters"
            problems.append(f"{said}, the corpus has {composed.characters:,}")
    told = {count.stage for sweep in manifest.sweeps for count in sweep.stages}
    stages = [label for word, label in entries(manifest.recipe) if word != "checkpoint"]
    problems += [f"the recipe has the stage {label!r}, the funnel does not" for label in stages if label not in told]
    judged = [count.stage for sweep in judging for count in _judges(sweep) if sweep.name != REMOVED]
    problems += [f"the funnel has the stage {label!r}, the recipe does not" for label in judged if label not in stages]
    order = [c.stage for sweep in manifest.sweeps for c in sweep.stages if c.stage in stages]
    if not problems and order != stages:
        problems.append(f"the funnel has the stages in the order {', '.join(order)}, the recipe {', '.join(stages)}")
    return differ(problems, f"{len(told):,} stages in {len(manifest.sweeps):,} sweeps", "every stage")


def ledger(evidence: Evidence) -> Outcome:
    """The ledgers hold as many documents by stage and reason as the funnel dropped."""
    manifest = evidence.manifest
    folders = dict(
        zip((sweep.name for sweep in manifest.sweeps), ledger_folders(evidence.folder, manifest), strict=True)
    )
    packing, gone = packing_of(manifest), pa.array(evidence.tombstones, pa.string())
    problems, missing = [], []
    for sweep in manifest.sweeps:
        claimed = Counter({(c.stage, reason): n for c in sweep.stages for reason, n in c.dropped.items()})
        if sweep.name == REMOVED:
            paths = [path for path in [evidence.folder / REMOVED_LEDGER] if path.exists()]
        else:
            paths = sorted(folders[sweep.name].glob("shard-*.arrow"))
        if not paths and claimed:
            missing.append(sweep.name)
            continue
        counted: Counter[tuple[str, str]] = Counter()
        for path in paths:
            for batch in read_batches(path):
                if sweep in packing:  # what it could not pack may have been taken out since
                    batch = batch.filter(pc.invert(pc.is_in(batch.column("id"), value_set=gone)))
                pairs = zip(batch.column("stage").to_pylist(), batch.column("reason").to_pylist(), strict=True)
                counted.update(pairs)
        for stage, reason in sorted({*claimed, *counted}):
            if claimed[stage, reason] != counted[stage, reason]:
                found, said = counted[stage, reason], claimed[stage, reason]
                problems.append(
                    f"the ledger of {sweep.name} has {found:,} of {stage}/{reason}, the funnel says {said:,}"
                )
    if problems or not missing:
        n = sum(sum(count.dropped.values()) for sweep in manifest.sweeps for count in sweep.stages)
        return differ(problems, f"{n:,} dropped documents", "every dropped document")
    return unknown(f"the ledgers of {', '.join(missing)} are not published; they lie in the builder's store")


def removed(evidence: Evidence) -> Outcome:
    """No document with a tombstone is among documents or tokens; funnel and ledger have those that were taken out."""
    gone = set(evidence.tombstones)
    claimed = sum(sweep.rows_in - sweep.rows_out for sweep in evidence.manifest.sweeps if sweep.name == REMOVED)
    there = gone & set(evidence.documents.frame["id"].to_list())
    problems = [f"{name} has a tombstone and is among the documents" for name in sorted(there)]
    packed = gone & set(evidence.tokens.frame["id"].to_list())
    problems += [f"{name} has a tombstone and is among the tokens" for name in sorted(packed)]
    path = evidence.folder / REMOVED_LEDGER
    taken = read_table(path, ["id"])["id"].to_pylist() if path.exists() else []
    problems += [f"{name} is in {REMOVED_LEDGER} and has no tombstone" for name in taken if name not in gone]
    if claimed != len(taken):
        problems.append(f"{REMOVED_LEDGER} has {len(taken):,} documents, the funnel took out {claimed:,}")
    return differ(problems, f"{len(gone):,} tombstones, {len(taken):,} documents taken out", "every tombstone")


def warnings(evidence: Evidence) -> Outcome:
    """The warnings are those that a build gives for these counts."""
    if not evidence.again:
        return unknown("the recipe's stages are not at hand")
    given = {(w.stage, w.message) for w in evidence.again.warnings(evidence.manifest)}
    stated = {(w.stage, w.message) for w in evidence.manifest.warnings}
    problems = [f"there should be a warning of {stage}: {message}" for stage, message in sorted(given - stated)]
    problems += [f"nothing gives the warning of {stage}: {message}" for stage, message in sorted(stated - given)]
    return differ(problems, f"{len(stated):,} warnings", "every stage")


def trials(evidence: Evidence) -> Outcome:
    """Detectors do on planted positives as the manifest says."""
    if not evidence.again:
        return unknown("the recipe's stages are not at hand")
    try:
        held, stated = dict(evidence.again.trials()), evidence.manifest.trials
    except GristmillError as error:
        return unknown(f"a detector cannot be tried: {' '.join(str(error).split())}")
    odd = [stage for stage in sorted({*held, *stated}) if tuple(held.get(stage, ())) != tuple(stated.get(stage, ()))]
    problems = [f"{stage} does otherwise on its planted positives than the manifest says" for stage in odd]
    return differ(problems, f"{len(held):,} detectors", "every trial")


def _judges(sweep: Sweep) -> list[StageCount]:
    """The stages of a sweep that read one after the other: not the sources, which are read beside each other."""
    return [count for count in sweep.stages if not count.stage.startswith("read:")]


def validation(evidence: Evidence) -> Outcome:
    """The comparisons and decisions of `validation.json` follow from its runs, and it is about this corpus."""
    found = read_validation(evidence.folder)
    if found is None:
        return holds("nobody has validated this corpus, and nothing is said of it")
    if found.corpus != evidence.manifest.digest:
        return holds("a validation of another state of the corpus lies here, and the card does not quote it")
    comparisons = compare(found.runs, found.held_out, found.min_effect)
    problems = [
        f"against {said.against} ({said.tier}) it says {said.difference:+.4f}, its runs {own.difference:+.4f}"
        for said, own in zip(found.comparisons, comparisons, strict=False)
        if said != own
    ]
    if len(comparisons) != len(found.comparisons):
        problems.append(f"{len(found.comparisons)} comparisons are told of, the runs make {len(comparisons)}")
    decided = {one.against: one.outcome for one in decide(comparisons, found.min_effect)}
    problems += [
        f"against {one.against} it says {one.outcome}, its runs {decided.get(one.against)}"
        for one in found.decisions
        if decided.get(one.against) != one.outcome
    ]
    return differ(problems, f"{len(found.runs):,} runs, {len(comparisons)} comparisons", "every comparison")
