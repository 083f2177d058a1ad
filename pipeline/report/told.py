"""Fields that come from what stages told and from what an audit measured, put into the section of their concern."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pipeline.core.manifest import Manifest, Size
from pipeline.core.validation import Validation
from pipeline.report import facts
from pipeline.report.answers import Answers
from pipeline.report.diff import Diff
from pipeline.report.fields import Field, Line, from_run, measured
from pipeline.report.findings import Audit, Finding
from pipeline.report.measures import Measures
from pipeline.report.recipe_text import entries


@dataclass(frozen=True)
class Told:
    """What the sections are made from; `audit` and the others only where they are about exactly this manifest."""

    manifest: Manifest
    answers: Answers
    audit: Audit | None
    measures: Measures | None
    validation: Validation | None
    changes: Diff | None

    @cached_property
    def total(self) -> Size:
        """All kept documents."""
        return sum((group.size for group in self.manifest.composition), Size())

    def finding(self, check: str) -> Finding | None:
        """What the audit found by this check."""
        found = self.audit.findings if self.audit else ()
        return next((finding for finding in found if finding.check == check), None)


def of_stages(told: Told, room: str) -> Iterator[Field]:
    """What stages of this concern found, decided, and how they did on trial."""
    words = {label: word for word, label in entries(told.manifest.recipe)}
    mine = {
        label
        for label in {*words, *told.manifest.decided, *told.manifest.trials, *_counted(told)}
        if _ROOMS.get(words.get(label, label), "funnel") == room
    }
    for count in (count for sweep in told.manifest.sweeps for count in sweep.stages):
        if count.found and count.stage in mine:
            caption = Line(text="Found in the documents by {stage}:", values={"stage": count.stage})
            method = "counted by the stage in all documents that it read, kept or dropped"
            unchecked = "it needs the texts as they were before"
            yield from_run(f"found.{count.stage}", facts.found(count), method, unchecked=unchecked, caption=caption)
    for stage, told_facts in told.manifest.decided.items():
        for number, grid in enumerate(facts.decided(told_facts) if stage in mine else ()):
            caption = Line(text="Decided by {stage}:", values={"stage": stage})
            method = "by a stage that looks at all documents before it judges any; the facts are its own"
            unchecked = "it needs the documents that were dropped; building again shows it"
            name = f"decided.{stage}.{number}"
            yield from_run(name, grid, method, unchecked=unchecked, caption=None if number else caption)
    for stage, held in told.manifest.trials.items():
        if stage in mine:
            caption = Line(text="{stage} on trial:", values={"stage": stage})
            method = "positives were planted in memory and the detector was run on them, with clean texts beside"
            yield from_run(f"trials.{stage}", facts.trials(held), method, "trials", caption=caption)


def _counted(told: Told) -> set[str]:
    return {count.stage for sweep in told.manifest.sweeps for count in sweep.stages}


_ROOMS = {
    **dict.fromkeys(("pii",), "personal"),
    **dict.fromkeys(("contamination",), "decontamination"),
    **dict.fromkeys(("language",), "language"),
    **dict.fromkeys(("harmful",), "harmful"),
    **dict.fromkeys(("rights", "licenses", "opt_out"), "rights"),
    **dict.fromkeys(
        ("classifier", "train_classifier", "perplexity", "train_ngram", "quantile", "ccnet_size", "importance"),
        "quality",
    ),
}
"""Where the card tells of a stage, by its word; of all others it tells with the funnel."""


def audited(told: Told, *checks: str) -> Iterator[Field]:
    """What these checks of the audit beside the card measured, where they have a table."""
    for check in checks:
        finding = told.finding(check)
        if finding and finding.status != "CANNOT VERIFY" and finding.grid:
            yield measured(finding, AUDITED.get(check, "by the audit"))


AUDITED = {
    "domains": "registered domains of the URLs, by the Public Suffix List",
    "columns": "counted in every document",
    "texts": "counted in every document",
    "rules": "the recipe's own rules, asked again about documents that they kept",
    "near_duplicates": (
        "documents whose least min-hash is below a bound, so that similar ones come together; each pair counts by the "
        "inverse of the chance that both are drawn"
    ),
    "language": "an identifier that the recipe does not use, on drawn documents; 95% intervals (Wilson)",
    "personal_data": "a second, plainer detector than the recipe's; 95% intervals (Wilson)",
    "contamination": "runs of words that stand in a benchmark; 95% intervals (Wilson)",
}


_WITHOUT = {
    "language": "No stage checked the language: the column `lang` is what the source declared.",
    "exact": "No stage removed exact duplicates.",
    "minhash": "No stage removed near duplicates.",
    "pii": "No stage looked for personal data: addresses, telephone numbers and the like stand as they were collected.",
    "contamination": "No stage looked for benchmark questions: a test set may be part of this corpus.",
}


def limits(told: Told) -> Iterator[Line]:
    """What the numbers and the recipe show to be missing, whatever the authors say."""
    used = {word for word, _ in entries(told.manifest.recipe)}
    yield from (Line(text=sentence) for word, sentence in _WITHOUT.items() if word not in used)
    documents = told.total.documents or 1
    for key, missing, text in (
        ("license", {None, "", "unknown"}, "{n:,} documents ({share:.2%}) state no licence."),
        ("lang", {None, "", "und"}, "{n:,} documents ({share:.2%}) have no language."),
    ):
        groups = [group for group in told.manifest.composition if getattr(group, key) in missing]
        if n := sum(group.size.documents for group in groups):
            yield Line(text=text, values={"n": n, "share": n / documents})
