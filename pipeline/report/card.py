"""README.md of a corpus: the Hub's YAML front matter, then the datasheet in Markdown. No clock, no machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.asset import Place
from pipeline.core.errors import UsageError
from pipeline.core.manifest import Manifest, read_manifest
from pipeline.core.shards import write_text
from pipeline.core.validation import Validation, read_validation
from pipeline.report import answers as answering
from pipeline.report.answers import Answers, read_answers
from pipeline.report.article53 import article53
from pipeline.report.changes import bring_up, read_changes
from pipeline.report.croissant import croissant
from pipeline.report.datasheet import datasheet
from pipeline.report.diff import Diff
from pipeline.report.fields import Datasheet, Field, Standing
from pipeline.report.findings import Audit, read_audit
from pipeline.report.front_matter import front_matter
from pipeline.report.gebru import gebru
from pipeline.report.markdown import blocks
from pipeline.report.measures import Measures, read_measures
from pipeline.report.safe import inline
from pipeline.report.words import Say, words

CARD = "README.md"

FORMATS = ("hub", "json", "croissant", "gebru", "eu-article-53")


def write_card(corpus: Path, base: Path) -> Path:
    """Write README.md, with the answers and the changes that it quotes, into a built corpus; returns the card's path.

    The recipe's answers, and the version before where it names one, are looked for below `base`.
    """
    manifest = read_manifest(corpus)
    answers = answers_of(manifest.recipe, base)
    if previous := (manifest.recipe.get("card") or {}).get("previous"):
        bring_up(Place(base=base).resolve(previous), corpus)
    write_text(corpus / answering.FILE, answering.as_yaml(answers))
    path = corpus / CARD
    write_text(path, rendered(corpus, manifest, answers))
    return path


def render_again(folder: Path) -> Path:
    """Write README.md from what lies beside it alone: manifest, answers, audit, measures and validation."""
    path = folder / CARD
    write_text(path, card_of(folder))
    return path


def card_of(folder: Path) -> str:
    """The card as what lies beside it has it."""
    return rendered(folder, read_manifest(folder), answers_beside(folder))


def rendered(folder: Path, manifest: Manifest, answers: Answers) -> str:
    """The card of a manifest, with what else lies in the folder."""
    audit, measures, validation = read_audit(folder), read_measures(folder), read_validation(folder)
    changes = read_changes(folder)
    return render_card(manifest, answers, audit=audit, measures=measures, validation=validation, changes=changes)


def answers_beside(folder: Path) -> Answers:
    """The answers that a card quotes; none where there is no file of them."""
    path = folder / answering.FILE
    return read_answers(path if path.exists() else None)


def answers_of(recipe: Mapping[str, Any], base: Path) -> Answers:
    """The answers that a recipe names; RecipeError where they cannot be used."""
    named = (recipe.get("card") or {}).get("answers")
    return read_answers(Place(base=base).resolve(named) if named else None)


def printed(corpus: Path, base: Path, form: str, lang: str) -> str:
    """The datasheet in another format or language; GristmillError lists what there is."""
    if form not in FORMATS:
        raise UsageError(f"there is no format {form!r}: choose one of {', '.join(FORMATS)}")
    manifest = read_manifest(corpus)
    answers, audit, say = answers_of(manifest.recipe, base), read_audit(corpus), words(lang)
    measures, validation, changes = read_measures(corpus), read_validation(corpus), read_changes(corpus)
    sheet = datasheet(manifest, answers, audit, measures, validation, changes)
    if form == "json":
        return sheet.to_json()
    if form == "croissant":
        return croissant(sheet, manifest, answers)
    if form == "gebru":
        return gebru(sheet, answers, say)
    if form == "eu-article-53":
        return article53(sheet, manifest, answers, say)
    return _hub_card(sheet, manifest, None, say)


def render_card(
    manifest: Manifest,
    answers: Answers | None = None,
    *,
    suffix: str | None = None,
    audit: Audit | None = None,
    measures: Measures | None = None,
    validation: Validation | None = None,
    changes: Diff | None = None,
) -> str:
    """The card; `suffix` is that of the shards where it will lie (`parquet`), by default those of the manifest."""
    return _hub_card(datasheet(manifest, answers, audit, measures, validation, changes), manifest, suffix)


def _hub_card(sheet: Datasheet, manifest: Manifest, suffix: str | None, say: Say = str) -> str:
    header = yaml.safe_dump(front_matter(sheet, manifest, suffix), sort_keys=False, allow_unicode=True, width=10_000)
    return f"---\n{header}---\n\n" + "\n\n".join(body(sheet, say)) + "\n"


def body(sheet: Datasheet, say: Say = str) -> Iterator[str]:
    """The blocks of the card below its front matter."""
    yield f"# {inline(sheet.title)}"
    yield from blocks(sheet.opening, say)
    yield from ([inline(sheet.description)] if sheet.description else [])
    counts = {"left": len(sheet.unanswered), "all": sheet.questions}
    yield say(_LEGEND).format(**counts)
    for section in sheet.sections:
        yield f"## {say(section.title)}"
        for provenance, fields in groupby(section.fields, key=lambda field: _provenance(field, say)):
            yield from ([provenance] if provenance else [])
            for field in fields:
                yield from blocks(field, say)
        if not section.fields:
            yield say("Nothing was measured, and nothing is stated.")


_LEGEND = (
    "Every number on this page comes from `manifest.json` or `audit.json`. Above it stands how it was made, and which "
    "check of `gristmill audit` makes it again from the files. Sentences under a question are the authors' own words: "
    "{left} of {all} questions have no answer."
)


def _provenance(field: Field, say: Say) -> str:
    """How the numbers of a field were made, and what verifies them; empty for people's words."""
    if not (field.method or field.checks):
        return ""
    verified = ", ".join(f"`{check}`" for check in field.checks)
    parts = [
        f"{say(_STANDING[field.standing])}: {say(field.method)}",
        *([say(field.scope)] if field.scope else []),
        say("verified by {checks}").format(checks=verified) if verified else "",
        f"{say('no check verifies it')}: {say(field.unchecked)}" if not verified else "",
    ]
    return f"*{'; '.join(part for part in parts if part)}.*"


_STANDING: dict[Standing, str] = {
    "measured": "Measured",
    "run": "From the run",
    "declared": "Declared",
    "not stated": "Not stated",
}
