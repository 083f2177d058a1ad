"""Checks of where the corpus comes from: a shard made again by the recipe, an earlier audit, a signature."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.again import different
from pipeline.core.errors import GristmillError, StoreError
from pipeline.core.manifest import digest
from pipeline.core.shards import read_table
from pipeline.report.audit import attest
from pipeline.report.audit.evidence import Evidence
from pipeline.report.audit.outcome import Outcome, differ, fails, holds, unknown
from pipeline.report.findings import Finding
from pipeline.report.grid import Grid


def rebuild(evidence: Evidence) -> Outcome:
    """A drawn shard, made again by the recipe from the inputs, has these documents and no others."""
    if not evidence.rebuild:
        return unknown("on request: --rebuild makes a shard again, where the inputs are at hand")
    if not evidence.again:
        return unknown("the recipe's stages are not at hand")
    manifest = evidence.manifest
    file = min(manifest.documents, key=lambda one: digest([evidence.seed, one.path]), default=None)
    if file is None:
        return unknown("the corpus has no shard")
    here = read_table(evidence.path(file.path))
    source, read, name = (here[column][0].as_py() for column in ("source", "file", "id"))
    try:
        made = evidence.again.rebuild(source, read, name)
    except GristmillError as error:
        return unknown(f"{file.path} cannot be made again: {' '.join(str(error).split())}")
    problems = []
    if made.key != manifest.key:
        problems.append(f"recipe and inputs have the key {made.key[:16]}…, the manifest says {manifest.key[:16]}…")
    stated = {(item.source, item.name): item.sha256 for item in manifest.inputs}
    problems += [
        f"{item.name} has the sha256 {item.sha256[:16]}…, the manifest says otherwise"
        for item in made.inputs
        if stated.get((item.source, item.name)) != item.sha256
    ]
    kept = made.documents.filter(pc.invert(pc.is_in(made.documents["id"], pa.array(evidence.tombstones, pa.string()))))
    problems += _otherwise(here, kept)
    same = "byte for byte" if made.sha256 == file.sha256 else "in every column"
    said = f"{here.num_rows:,} documents of {file.path} made again, equal {same}; decisions: {made.decided}"
    return differ(problems, said, f"1 of {len(manifest.documents):,} shards, from its inputs")


def _otherwise(here: pa.Table, made: pa.Table) -> Iterator[str]:
    """How the documents of a shard differ from those that the recipe makes."""
    names, wanted = here["id"].to_pylist(), made["id"].to_pylist()
    yield from (f"{name} stands there, and the recipe does not make it" for name in names if name not in set(wanted))
    yield from (f"the recipe makes {name}, and it is not there" for name in wanted if name not in set(names))
    if sorted(names) != sorted(wanted):
        return
    if names != wanted:
        yield "the documents stand in another order"
        return
    for column in made.column_names:
        if column not in here.column_names:
            yield f"the column {column} is not there"
            continue
        odd = different(here[column].combine_chunks(), made[column].combine_chunks())
        yield from (f"{names[row]} has another {column} than the recipe makes" for row in odd)


def attested(evidence: Evidence) -> Outcome:
    """Somebody has signed exactly this manifest and card, with the key that belongs to the one given."""
    if not (evidence.folder / attest.FILE).exists():
        said = "there is no signature"
        return fails(said) if evidence.key else unknown(f"{said}; `gristmill audit --sign KEY` makes one")
    if not evidence.key:
        return unknown(f"{attest.FILE} is signed: give the signer's public key with --verify KEY")
    try:
        result = attest.verify(evidence.folder, evidence.key)
    except StoreError as error:
        return fails(str(error), "manifest and card")
    return holds(f"signed by the key given, with the result {result}", "manifest and card")


def earlier(evidence: Evidence, findings: Iterable[Finding]) -> Outcome:
    """What the audit beside the card says is found again: equal where it is exact, within the intervals where not."""
    before = evidence.earlier
    if before is None:
        return holds("there is none beside the card")
    if before.corpus != evidence.manifest.digest:
        return holds("it is about another state of the corpus, and the card does not show it")
    mine = {finding.check: finding for finding in findings}
    problems = [problem for finding in before.findings for problem in _against(finding, mine.get(finding.check))]
    again = [f for f in before.findings if f.check in mine and mine[f.check].status != "CANNOT VERIFY"]
    return differ(problems, f"{len(again):,} of {len(before.findings):,} findings found again", "every finding")


def _against(had: Finding, now: Finding | None) -> Iterable[str]:
    if now is None or now.status == "CANNOT VERIFY" or had.status == "CANNOT VERIFY":
        return
    if had.status != now.status:
        yield f"{had.check} was {had.status} and is {now.status}"
    elif had.grid and now.grid and not had.sampled and had.grid != now.grid:
        yield f"{had.check} has another table now"
    elif had.grid and now.grid and had.sampled and (odd := _apart(had.grid, now.grid)):
        yield f"{had.check} is outside of the interval for {', '.join(odd)}"


def _apart(had: Grid, now: Grid) -> list[str]:
    """Rows of both tables whose intervals have nothing in common."""
    at = [index for index, (_, kind) in enumerate(had.columns) if kind == "interval"]
    rows = {str(row[0]): row for row in now.rows}
    odd = []
    for row in had.rows:
        other = rows.get(str(row[0]))
        for index in at if other else ():
            first, second = row[index], other[index]  # type: ignore[index]
            if (
                isinstance(first, tuple)
                and isinstance(second, tuple)
                and (first[0] > second[1] or second[0] > first[1])
            ):
                odd.append(str(row[0]))
    return odd
