"""A field of a datasheet as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.report.fields import Code, Field, Line, Points, Said
from pipeline.report.grid import Grid
from pipeline.report.grid import as_markdown as grid_as_markdown
from pipeline.report.safe import fenced, prose, word
from pipeline.report.words import Say


def blocks(field: Field, say: Say = str) -> Iterator[str]:
    """The caption, and the value as a table, sentences, a question with its answer, or what is to be copied."""
    value = field.value
    if field.caption:
        yield _line(field.caption, say)
    if isinstance(value, Grid):
        yield grid_as_markdown(value, say)
    elif isinstance(value, Line):
        yield _line(value, say)
    elif isinstance(value, Points):
        yield "\n".join(f"- {_line(line, say)}" for line in value.lines)
    elif isinstance(value, Code):
        yield fenced(value.text, value.language)
    elif isinstance(value, Said):
        yield f"### {say(value.question)}"
        yield say("Not stated.") if not value.text else fenced(value.text) if value.verbatim else prose(value.text)


def _line(line: Line, say: Say) -> str:
    safe = {name: word(value) if isinstance(value, str) else value for name, value in line.values.items()}
    return say(line.text).format(**safe)
