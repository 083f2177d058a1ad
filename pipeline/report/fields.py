"""What a datasheet is made of: fields with a value, its standing, how it was measured, and what re-verifies it.

Texts are English, and the keys of their translations (`words.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field as Of
from pydantic import model_validator

from pipeline.core.manifest import Record
from pipeline.report.answers import Answers
from pipeline.report.findings import Finding
from pipeline.report.grid import Grid

Standing = Literal["measured", "run", "declared", "not stated"]
"""Measured by an audit from the files; counted by the run that made them; said by people; or said by nobody."""


class Line(Record):
    """A sentence; `{names}` in its text stand for `values`."""

    kind: Literal["line"] = "line"
    text: str
    values: Mapping[str, str | int | float] = {}

    @property
    def n_figures(self) -> int:
        """Values that are numbers."""
        return sum(isinstance(value, int | float) for value in self.values.values())


class Points(Record):
    """Sentences, one below the other."""

    kind: Literal["points"] = "points"
    lines: tuple[Line, ...]

    @property
    def n_figures(self) -> int:
        """Values that are numbers."""
        return sum(line.n_figures for line in self.lines)


class Said(Record):
    """A question, and what people say to it; `verbatim` for what is to be copied."""

    kind: Literal["said"] = "said"
    question: str
    text: str | None
    verbatim: bool = False
    n_figures: Literal[0] = 0


class Code(Record):
    """Text to be copied."""

    kind: Literal["code"] = "code"
    text: str
    language: str
    n_figures: Literal[0] = 0


Value = Annotated[Grid | Line | Points | Said | Code, Of(discriminator="kind")]


class Field(Record):
    """One thing that the sheet says.

    `checks` are those of the audit that re-verify it, all of them; where there are none, `unchecked` says why.
    """

    name: str
    standing: Standing
    value: Value
    caption: Line | None = None
    method: str = ""
    scope: str = ""
    checks: tuple[str, ...] = ()
    unchecked: str = ""

    @model_validator(mode="after")
    def _accounted(self) -> Self:
        if self.standing in ("measured", "run") and not (self.checks or self.unchecked):
            raise ValueError(f"{self.name}: name the checks that re-verify it, or say why there is none")
        return self


class Section(Record):
    """Fields about one concern."""

    name: str
    title: str
    fields: tuple[Field, ...]


class Datasheet(Record):
    """A corpus described. No clock: the same manifest, answers and audit give the same sheet."""

    name: str
    version: str
    title: str
    description: str
    license: str | None
    languages: tuple[str, ...]
    documents: int
    unanswered: tuple[str, ...]
    questions: int
    opening: Field
    sections: tuple[Section, ...]

    def fields(self) -> Iterator[Field]:
        """All of them, in order."""
        yield self.opening
        for section in self.sections:
            yield from section.fields

    def field(self, name: str) -> Field | None:
        """The field of this name, if the corpus has it."""
        return next((field for field in self.fields() if field.name == name), None)


def from_run(name: str, value: Grid | Line | Points | Code, method: str, *checks: str, **more: Any) -> Field:
    """A field counted by the run."""
    return Field(name=name, standing="run", value=value, method=method, checks=checks, **more)


def said(answers: Answers, question: str, *, verbatim: bool = False) -> Field:
    """A field with people's own words."""
    text = answers.text(question)
    value = Said(question=str(Answers.model_fields[question].description), text=text, verbatim=verbatim)
    return Field(name=question, standing="declared" if text else "not stated", value=value)


def measured(finding: Finding, method: str) -> Field:
    """A field that an audit measured; with the table of the finding, or what it says where it has none."""
    value = finding.grid or Line(text="{said}", values={"said": finding.said})
    return Field(
        name=f"audit.{finding.check}",
        standing="measured",
        value=value,
        method=method,
        scope=finding.scope,
        checks=("audit",),
    )
