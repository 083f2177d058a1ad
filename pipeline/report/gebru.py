"""The questions of "Datasheets for Datasets" (Gebru et al., 2021), answered by pointing into the datasheet.

Questions are put in our own short words. Each is answered by a section of the card, by what the authors said, by a fact
that holds for every corpus made here, or not at all; nothing is made up to fill a gap.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.report.answers import Answers
from pipeline.report.fields import Datasheet
from pipeline.report.safe import inline, prose
from pipeline.report.words import Say

_QUESTIONS: dict[str, tuple[tuple[str, tuple[str, ...], str], ...]] = {
    "Motivation": (
        ("For what purpose was it made?", ("motivation",), ""),
        ("Who made it, and on whose behalf?", ("creators", "motivation"), ""),
        ("Who paid?", ("motivation",), ""),
    ),
    "Composition": (
        ("What does an instance stand for?", (), "A document: a text, with where it was read and its licence."),
        ("How many are there, and of which kinds?", ("size", "by_language", "by_source"), ""),
        ("Is it all there is, or a sample of something larger?", ("funnel", "collection"), ""),
        ("What does an instance consist of?", (), "Text, id, URL, date, language, source, licence, file and offset."),
        ("Does it have a label or a target?", (), "No."),
        ("Is something missing from instances?", ("audit.columns", "limits"), ""),
        ("Are instances related to each other?", ("audit.near_duplicates",), "Only in that stages removed duplicates."),
        ("Are there splits to use?", ("splits",), ""),
        ("Which errors, noise and redundancies are known?", ("limitations", "limits", "audit.near_duplicates"), ""),
        ("Does it stand for itself, or lean on other resources?", (), "It stands for itself: the texts are in it."),
        ("Is anything in it confidential?", ("sensitive_content",), ""),
        ("Is anything in it offensive or frightening?", ("sensitive_content", "found.harmful"), ""),
        ("Does it tell of groups of people?", ("sensitive_content",), ""),
        ("Can single people be identified?", ("found.pii", "audit.personal_data", "sensitive_content"), ""),
        ("Does it hold data that are sensitive by law?", ("sensitive_content",), ""),
    ),
    "Collection": (
        ("How was each instance acquired?", ("collection", "inputs"), ""),
        ("By which machinery?", ("recipe",), ""),
        ("If a sample: how was it drawn?", ("recipe", "collection"), ""),
        ("Who took part, and how were they paid?", ("collection",), ""),
        ("Over which time?", ("collection",), ""),
        ("Was there an ethical review?", ("collection",), ""),
        ("From people themselves, or from third parties?", ("collection",), ""),
        ("Were they told, and did they consent? Can they withdraw?", ("collection", "maintenance"), ""),
        ("Was the impact on them looked into?", ("collection",), ""),
    ),
    "Preprocessing": (
        ("What was done to the raw data?", ("funnel", "recipe"), ""),
        ("Is the raw data kept?", ("inputs",), "It is named by sha256, and not part of the corpus."),
        ("Is the software available?", ("command",), ""),
    ),
    "Uses": (
        ("Has it been used already?", (), ""),
        ("Where are papers and systems that use it listed?", (), ""),
        ("What else could it be used for?", ("intended_uses",), ""),
        ("What in it bears on future uses?", ("limitations", "limits"), ""),
        ("What should it not be used for?", ("out_of_scope_uses",), ""),
    ),
    "Distribution": (
        ("Is it given to third parties, and how?", ("distribution", "url"), ""),
        ("When?", ("released",), ""),
        ("Under which licence or terms?", ("license", "license_note", "by_license"), ""),
        ("Have third parties rights in it?", ("by_license", "conflicts", "license_note"), ""),
        ("Do export controls apply?", (), ""),
    ),
    "Maintenance": (
        ("Who maintains it, and how are they reached?", ("maintenance", "contact"), ""),
        ("Is there an erratum?", ("maintenance",), ""),
        ("Will it be updated?", ("maintenance",), ""),
        ("Are there limits on keeping data of people?", ("maintenance", "removed"), ""),
        ("Are older versions kept?", ("maintenance",), ""),
        ("Can others contribute?", ("maintenance", "contact"), ""),
    ),
}


def gebru(sheet: Datasheet, answers: Answers, say: Say = str) -> str:
    """Markdown: each question, the authors' words to it, and the sections of the card that have the numbers."""
    return "\n\n".join(_blocks(sheet, answers, say)) + "\n"


def _blocks(sheet: Datasheet, answers: Answers, say: Say) -> Iterator[str]:
    places = {field.name: section.title for section in sheet.sections for field in section.fields}
    places |= {sheet.opening.name: "Identity"}
    yield f"# {inline(sheet.title)}"
    for section, questions in _QUESTIONS.items():
        yield f"## {say(section)}"
        for question, names, fact in questions:
            yield f"### {say(question)}"
            yield from _answers(names, fact, places, answers, say)


def _answers(names: tuple[str, ...], fact: str, places: dict[str, str], answers: Answers, say: Say) -> Iterator[str]:
    said = [text for name in names if name in Answers.model_fields and (text := answers.text(name))]
    yield from (prose(text) for text in dict.fromkeys(said))
    if fact:
        yield say(fact)
    measured = dict.fromkeys(places[name] for name in names if name in places and name not in Answers.model_fields)
    if measured:
        listed = ", ".join(say(title) for title in measured)
        yield say("The numbers are in the card, under: {sections}.").format(sections=listed)
    if not (said or fact or measured):
        yield say("Not stated.")
