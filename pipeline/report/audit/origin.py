"""Checks of where the corpus comes from: an input read again by the recipe, an earlier audit, a signature."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from pipeline.core.errors import GristmillError, StoreError
from pipeline.core.shards import read_batches
from pipeline.report.audit import attest
from pipeline.report.audit.evidence import Evidence
from pipeline.report.audit.outcome import Outcome, differ, fails, holds, unknown
from pipeline.report.findings import Finding
from pipeline.report.grid import Grid


def rebuild(evidence: Evidence) -> Outcome:
    """The recipe reads a drawn input again: the corpus holds nothing of it that the recipe does not make of it."""
    if not evidence.rebuild:
        return unknown("on request: --rebuild reads an input again, where the inputs are at hand")
    if not evidence.again:
        return unknown("the recipe's stages are not at hand")
    held = evidence.documents.frame.select("source", "file").unique()
    try:
        made = evidence.again.rebuild(evidence.seed, set(held.iter_rows()))
    except GristmillError as error:
        return unknown(f"the inputs cannot be read: {' '.join(str(error).split())}")
    manifest, frame = evidence.manifest, evidence.documents.frame
    problems = []
    if made.key != manifest.key:
        problems.append(f"recipe and inputs have the key {made.key[:16]}…, the manifest says {manifest.key[:16]}…")
    stated = [item.sha256 for item in manifest.inputs if (item.source, item.name) == (made.source, made.file)]
    if stated != [made.sha256]:
        problems.append(f"{made.file} has the sha256 {made.sha256[:16]}…, the manifest says otherwise")
    here = frame.filter((pl.col("source") == made.source) & (pl.col("file") == made.file))["id"].to_list()
    problems += [f"{name} is said to be from {made.file} and is not" for name in here if name not in made.texts]
    wanted = {name: text for name, text in made.texts.items() if text is not None}
    for file in manifest.documents:
        for batch in read_batches(evidence.path(file.path)):
            pairs = zip(batch.column("id").to_pylist(), batch.column("text").to_pylist(), strict=True)
            problems += [
                f"{name} has another text than in {made.file}" for name, text in pairs if wanted.get(name, text) != text
            ]
    return differ(
        problems, f"{len(here):,} documents of {made.file} made again", f"1 of {len(manifest.inputs):,} inputs"
    )


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
