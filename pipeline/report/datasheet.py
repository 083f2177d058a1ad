"""The datasheet: numbers from the manifest and from the audit beside it, people's words only from `answers.yaml`."""

from __future__ import annotations

import re

from pipeline.core.manifest import Manifest
from pipeline.core.validation import Validation
from pipeline.report import sections
from pipeline.report.answers import Answers
from pipeline.report.diff import Diff
from pipeline.report.fields import Datasheet
from pipeline.report.findings import Audit
from pipeline.report.funnel import check_books
from pipeline.report.measures import Measures
from pipeline.report.told import Told


def datasheet(
    manifest: Manifest,
    answers: Answers | None = None,
    audit: Audit | None = None,
    measures: Measures | None = None,
    validation: Validation | None = None,
    changes: Diff | None = None,
) -> Datasheet:
    """The datasheet of a corpus; StoreError where the books of the manifest do not close."""
    check_books(manifest)
    told = Told(
        manifest,
        answers or Answers(),
        audit if audit and audit.corpus == manifest.digest else None,
        measures if measures and measures.corpus == manifest.digest else None,
        validation if validation and validation.corpus == manifest.digest else None,
        changes if changes and changes.corpus == manifest.digest else None,
    )
    recipe = manifest.recipe
    name = str(recipe.get("recipe", "corpus"))
    labels = sorted({group.lang for group in manifest.composition if group.lang})
    return Datasheet(
        name=name,
        version=str(recipe.get("version", "unversioned")),
        title=told.answers.text("title") or name,
        description=str(recipe.get("description", "")),
        license=(recipe.get("card") or {}).get("license"),
        languages=tuple(lang for lang in labels if re.fullmatch(r"[a-z]{2,3}", lang) and lang != "und"),
        documents=told.total.documents,
        unanswered=told.answers.unanswered,
        questions=len(Answers.model_fields),
        opening=sections.opening(told),
        sections=tuple(sections.all_sections(told)),
    )
