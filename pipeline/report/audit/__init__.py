"""The audit: every claim of a card checked from the files alone. A check is a function; it is listed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from pipeline import __version__
from pipeline.core.errors import GristmillError
from pipeline.core.validation import read_validation
from pipeline.report.audit import books, contamination, documents, files, near, origin, samples, tokens
from pipeline.report.audit.evidence import Evidence
from pipeline.report.audit.outcome import Outcome, fails
from pipeline.report.card import answers_beside
from pipeline.report.changes import read_changes
from pipeline.report.datasheet import datasheet
from pipeline.report.fields import Datasheet
from pipeline.report.findings import Audit, Figures, Finding
from pipeline.report.measures import read_measures

Check = Callable[[Evidence], Outcome]

EXACT: tuple[Check, ...] = (
    *(files.files, files.rows, files.columns, files.root, files.recipe, files.card),
    *(documents.composition, documents.licences, documents.domains, documents.texts),
    *(books.funnel, books.ledger, books.removed, books.warnings, books.trials, books.validation, tokens.tokens),
)
"""Checks of everything that there is; what they find is no estimate."""

SAMPLED: tuple[Check, ...] = (
    *(tokens.tokenizer, samples.rules, samples.language, near.near_duplicates),
    *(samples.personal_data, contamination.contamination),
)
"""Checks of drawn documents."""

ORIGIN: tuple[Check, ...] = (origin.rebuild, origin.attested)
"""Checks that need more than the files: the inputs, a public key."""

CHECKS: dict[str, Check] = {check.__name__: check for check in (*EXACT, *SAMPLED, *ORIGIN)}
EARLIER = "audit"
"""The check of the audit that lies beside the card; it comes last, for it compares with all others."""


def audit(evidence: Evidence, *, beside: bool = False) -> Audit:
    """Run every check. With `beside`, figures are counted in the card as it will be with this audit beside it."""
    manifest = evidence.manifest
    seed = evidence.seed or manifest.digest
    evidence = replace(evidence, seed=seed)
    findings = [_ask(check, evidence).finding(name) for name, check in CHECKS.items()]
    findings.append(_ask(lambda asked: origin.earlier(asked, findings), evidence).finding(EARLIER))
    found = Audit(
        gristmill=__version__,
        corpus=manifest.digest,
        root=manifest.root,
        seed=seed,
        findings=tuple(findings),
        figures=Figures(verified=0, wrong=0, unverifiable=0),
    )
    try:
        shown, folder = found if beside else evidence.earlier, evidence.folder
        validation, changes = read_validation(folder), read_changes(folder)
        sheet = datasheet(manifest, answers_beside(folder), shown, read_measures(folder), validation, changes)
    except GristmillError:
        return found
    return found.model_copy(update={"figures": count_figures(sheet, found)})


def count_figures(sheet: Datasheet, found: Audit) -> Figures:
    """Every number of the card by what its checks say: re-verified where all pass, wrong where one fails."""
    outcome = {finding.check: finding.status for finding in found.findings}
    counts = {"verified": 0, "wrong": 0, "unverifiable": 0}
    for field in sheet.fields():
        said = [outcome[check] for check in field.checks]
        kind = "wrong" if "FAIL" in said else "verified" if said and set(said) == {"PASS"} else "unverifiable"
        counts[kind] += field.value.n_figures
    return Figures(**counts)


def _ask(check: Check, evidence: Evidence) -> Outcome:
    """A file that cannot be read fails the check that reads it: what is published must be readable."""
    try:
        return check(evidence)
    except GristmillError as error:
        return fails(" ".join(str(error).split()))
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        return fails(f"the files cannot be read as what they are said to be: {type(error).__name__}: {error}"[:300])


def as_text(found: Audit) -> str:
    """The table for a terminal, and how many figures of the card it accounts for."""
    marks: dict[str, list[Finding]] = {"FAIL": [], "CANNOT VERIFY": [], "PASS": []}
    width = max(len(finding.check) for finding in found.findings)
    for finding in found.findings:
        marks[finding.status].append(finding)
    lines = []
    for finding in found.findings:
        scope = f" [{finding.scope}]" if finding.scope else ""
        lines.append(f"{finding.status:13}  {finding.check:{width}}  {finding.said}{scope}")
    figures = found.figures
    counted = (
        f"Figures of the card: {figures.verified:,} re-verified, {figures.wrong:,} wrong, "
        f"{figures.unverifiable:,} that cannot be verified."
    )
    passed = f"{len(marks['PASS'])} checks pass, {len(marks['FAIL'])} fail, {len(marks['CANNOT VERIFY'])} cannot say."
    return "\n".join([*lines, "", passed, counted])
