"""A worksheet for the summary that providers of models publish under Article 53(1)(d) of the EU AI Act.

The duty is theirs. Filled in is what the files show; the layout follows the three parts of the AI Office's template of
July 2025. Nothing here is a statement of compliance.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.core.manifest import Manifest
from pipeline.report.answers import Answers
from pipeline.report.fields import Datasheet
from pipeline.report.grid import Grid, as_markdown
from pipeline.report.safe import inline, prose, table, word
from pipeline.report.words import Say

_TITLE = "Worksheet for the public summary of training content (EU AI Act, Article 53(1)(d))"

_BANDS = ((10**9, "less than 1 billion tokens"), (10**13, "1 billion to 10 trillion tokens"))


def article53(sheet: Datasheet, manifest: Manifest, answers: Answers, say: Say = str) -> str:
    """Markdown of the worksheet."""
    return "\n\n".join(_blocks(sheet, manifest, answers, say)) + "\n"


def _blocks(sheet: Datasheet, manifest: Manifest, answers: Answers, say: Say) -> Iterator[str]:
    def said(question: str) -> str:
        text = answers.text(question)
        return prose(text) if text else say("Not stated.")

    yield f"# {say(_TITLE)}: {inline(sheet.title)}"
    yield say("For the provider of a model to check and complete; it is no statement of compliance.")
    yield f"## {say('1. General information')}"
    tokens = sum(n for name, n in manifest.facts.items() if name.endswith("_tokens"))
    facts = [
        (say("Name and version"), f"{word(sheet.name)} {inline(sheet.version)}"),
        (say("Modality"), say("Text")),
        (say("Documents"), f"{sheet.documents:,}"),
        (say("Size band"), say(_band(tokens)) if tokens else say("not counted: the corpus has no tokens")),
        (say("Tokens"), f"{tokens:,}" if tokens else ""),
        (say("Languages"), ", ".join(sheet.languages)),
        (say("Latest acquisition"), inline(answers.text("released") or say("Not stated."))),
    ]
    yield table((say("What"), say("Value")), facts)
    yield f"## {say('2. Sources')}"
    yield f"### {say('Publicly available and licensed datasets, crawled and other data, by source')}"
    yield from _grid(sheet, "by_source", say)
    yield said("collection")
    yield f"### {say('Licences')}"
    yield from _grid(sheet, "by_license", say)
    yield said("license_note")
    yield f"### {say('Main domain names of crawled content')}"
    found = list(_grid(sheet, "audit.domains", say))
    yield from found or [say("Not measured: `gristmill audit CORPUS --write` counts them from the URLs.")]
    yield f"## {say('3. Processing')}"
    yield f"### {say('Respect of reservations of rights (Article 4(3) of Directive (EU) 2019/790)')}"
    rights = [f for f in sheet.fields() if f.name.startswith(("found.", "decided.")) and "opt" in f.name]
    yield from (as_markdown(field.value, say) for field in rights if isinstance(field.value, Grid))
    yield from [] if rights else [say("No stage looked for signals of a reservation.")]
    yield f"### {say('Removal of illegal and unwanted content')}"
    yield from _grid(sheet, "funnel", say)
    yield f"### {say('Other')}"
    yield said("sensitive_content")
    yield said("maintenance")


def _band(tokens: int) -> str:
    return next((name for most, name in _BANDS if tokens < most), "more than 10 trillion tokens")


def _grid(sheet: Datasheet, name: str, say: Say) -> Iterator[str]:
    field = sheet.field(name)
    if field and isinstance(field.value, Grid):
        yield as_markdown(field.value, say)
