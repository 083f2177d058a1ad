"""What a report shows of a corpus besides its documents: funnel, composition, tokens, card, audit and validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.manifest import Group, Manifest, TokenGroup
from pipeline.core.validation import Validation, read_validation
from pipeline.report.card import answers_beside
from pipeline.report.changes import read_changes
from pipeline.report.composition import portions
from pipeline.report.datasheet import datasheet
from pipeline.report.fields import Datasheet
from pipeline.report.findings import Audit, read_audit
from pipeline.report.funnel import funnel
from pipeline.report.measures import read_measures
from pipeline.report.words import translations

_READ = "read:"
_DIMENSIONS: tuple[tuple[str, Callable[[Group], str | None]], ...] = (
    ("lang", lambda group: group.lang),
    ("source", lambda group: group.source),
    ("license", lambda group: group.license),
)


def figures(corpus: Path, manifest: Manifest) -> dict[str, Any]:
    """All of it as plain values."""
    audit, measures, validation = read_audit(corpus), read_measures(corpus), read_validation(corpus)
    sheet = datasheet(manifest, answers_beside(corpus), audit, measures, validation, read_changes(corpus))
    return {
        "title": sheet.title,
        "name": sheet.name,
        "version": sheet.version,
        "description": sheet.description,
        "license": sheet.license,
        "digest": manifest.digest,
        "gristmill": manifest.gristmill,
        "funnel": _funnel(manifest),
        "composition": {name: _portions(manifest.composition, key) for name, key in _DIMENSIONS},
        "tokens": _tokens(manifest.token_groups),
        "checks": _checks(sheet, manifest, audit, validation),
        "sheet": _sheet(sheet),
        "words": translations("zh"),
    }


def _funnel(manifest: Manifest) -> dict[str, Any]:
    """Documents by source, then every stage; packing makes rows and drops nothing."""
    rows = funnel(manifest)
    packing = manifest.sweeps[-1].name if manifest.recipe.get("pack") is not None and manifest.sweeps else None
    stages = [
        {
            "stage": row.stage,
            "read": row.read.documents,
            "kept": row.kept.documents,
            "characters": row.kept.characters,
            "reasons": row.reasons,
            "source": row.stage.removeprefix(_READ) if row.stage.startswith(_READ) else None,
        }
        for row in rows
        if row.sweep != packing
    ]
    return {"stages": stages, "kept": sum(group.size.documents for group in manifest.composition)}


def _portions(groups: Sequence[Group], key: Callable[[Group], str | None]) -> list[list[Any]]:
    """Name, documents, characters and bytes, the most documents first."""
    return [list(row[:4]) for row in portions("", groups, key).rows]


def _tokens(groups: Sequence[TokenGroup]) -> list[list[Any]]:
    """By language: documents, tokens and bytes of text, the most tokens first."""
    sums: dict[str | None, list[int]] = {}
    for group in groups:
        had = sums.setdefault(group.lang, [0, 0, 0])
        for at, n in enumerate((group.documents, group.tokens, group.bytes)):
            had[at] += n
    return [[lang, *counts] for lang, counts in sorted(sums.items(), key=lambda item: (-item[1][1], item[0] or ""))]


def _checks(sheet: Datasheet, manifest: Manifest, audit: Audit | None, validation: Validation | None) -> dict[str, Any]:
    """What is known of card, audit, validation, contamination and warnings; None where nobody has looked."""
    current = audit if audit and audit.corpus == manifest.digest else None
    valid = validation if validation and validation.corpus == manifest.digest else None
    dropped = {
        stage["stage"]: dict(stage["reasons"])["contaminated"]
        for stage in _funnel(manifest)["stages"]
        if "contaminated" in dict(stage["reasons"])
    }
    looked = [stage for stage in manifest.recipe.get("stages") or [] if "contamination" in str(stage)]
    return {
        "answered": sheet.questions - len(sheet.unanswered),
        "questions": sheet.questions,
        "audit": current
        and {
            "figures": current.figures.model_dump(),
            "findings": [[one.check, one.status, one.said, one.scope] for one in current.findings],
        },
        "validation": valid and [[one.against, one.outcome, one.because] for one in valid.decisions],
        "contamination": sum(dropped.values()) if looked else None,
        "warnings": [[warned.stage, warned.message] for warned in manifest.warnings],
    }


def _sheet(sheet: Datasheet) -> list[dict[str, Any]]:
    """The card, section by section; long tables as the card has them."""
    told = []
    for section in sheet.sections:
        fields = []
        for field in section.fields:
            value = field.value.model_dump(mode="json")
            if field.value.kind == "grid":
                value["rows"] = field.value.shown()
            fields.append({**field.model_dump(mode="json", exclude={"value"}), "value": value})
        told.append({"title": section.title, "fields": fields})
    return told
