"""What only people know of a corpus: the questions, and the answers that they wrote into a YAML file."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, Field, ValidationError

from pipeline.core.document import read_yaml
from pipeline.core.errors import Problem, RecipeError
from pipeline.core.manifest import Record
from pipeline.core.shards import write_text

FILE = "answers.yaml"
"""Their name beside a card: the words that the card quotes, so that whoever has it can render it again."""

Answer = str | list[str] | None


class Answers(Record):
    """What only people know: to each question a text or a list of texts. `None` is a question without an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: str | None = Field(default=None, description="What is the corpus called?")
    creators: Answer = Field(default=None, description="Who made it?")
    released: str | None = Field(default=None, description="When was it released?")
    url: str | None = Field(default=None, description="Where is its home, as a URL if it has one?")
    motivation: Answer = Field(default=None, description="Why was it made, by whom, and who paid?")
    intended_uses: Answer = Field(default=None, description="What is it meant for?")
    out_of_scope_uses: Answer = Field(default=None, description="What should it not be used for?")
    collection: Answer = Field(default=None, description="How, when and where was it collected, and with what consent?")
    sensitive_content: Answer = Field(default=None, description="Which personal, offensive or secret content is in it?")
    limitations: Answer = Field(default=None, description="Which biases and errors are known?")
    license_note: Answer = Field(default=None, description="Who checked the licences, and what do they ask of users?")
    distribution: Answer = Field(default=None, description="Where and under which terms is it distributed?")
    maintenance: Answer = Field(default=None, description="Who maintains it, and how are documents taken down?")
    contact: Answer = Field(default=None, description="Whom to write to?")
    citation: Answer = Field(default=None, description="How should it be cited?")

    def text(self, question: str) -> str | None:
        """The answer as one text, a list as `- ` lines; None where there is none or it is blank."""
        said = getattr(self, question)
        lines = [f"- {line.strip()}" for line in said if line.strip()] if isinstance(said, list) else [said or ""]
        return "\n".join(lines).strip() or None

    @property
    def unanswered(self) -> tuple[str, ...]:
        """The questions without an answer."""
        return tuple(question for question in type(self).model_fields if self.text(question) is None)


_ONE_LINE = ("title", "released", "url")


def read_answers(path: Path | None) -> Answers:
    """The answers in a YAML file; no path, no answers. RecipeError lists all that is wrong with the file."""
    if path is None:
        return Answers()
    if not path.exists():
        raise RecipeError([Problem("card.answers", f"there is no file {path}")], str(path))
    given = read_yaml(path).value or {}
    if not isinstance(given, dict):
        raise RecipeError([Problem("", "should be a map of questions to answers, as in `title: My corpus`")], str(path))
    try:
        return Answers.model_validate(given)
    except ValidationError as error:
        keys = dict.fromkeys(str(mistake["loc"][0]) for mistake in error.errors() if mistake["loc"])
        strange = [key for key in given if not isinstance(key, str)]
        wrong = [*keys, *(str(key) for key in strange)]
        by_text = {str(key): value for key, value in given.items()}
        raise RecipeError([_problem(key, by_text[key]) for key in dict.fromkeys(wrong)], str(path)) from None


def as_yaml(answers: Answers) -> str:
    """The answers that there are, in the order of the questions."""
    given = answers.model_dump(exclude_none=True)
    return yaml.safe_dump(given, sort_keys=False, allow_unicode=True, width=100) if given else "{}\n"


def ask(path: Path, reply: Callable[[str], str]) -> tuple[str, ...]:
    """Put each question that has no answer to `reply`, add what it says to the file, and return what is still open.

    A blank reply leaves a question open; lines that are there stay as they are, comments too. A question that the file
    names without an answer is not asked: it would stand there twice.
    """
    had = read_answers(path if path.exists() else None)
    named = (read_yaml(path).value or {}) if path.exists() else {}
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for question in (question for question in had.unanswered if question not in named):
        said = reply(str(Answers.model_fields[question].description)).strip()
        if said:
            body = "" if text.strip() in ("", "{}") else text if text.endswith("\n") else text + "\n"
            text = body + yaml.safe_dump({question: said}, allow_unicode=True, width=100)
            write_text(path, text)
    return read_answers(path if path.exists() else None).unanswered


def _problem(key: str, value: Any) -> Problem:
    if key in Answers.model_fields:
        texts = "a text" if key in _ONE_LINE else "a text or a list of texts"
        return Problem(key, f"should be {texts}, not {type(value).__name__}; put it in quotes")
    near = get_close_matches(key, Answers.model_fields, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the questions are {', '.join(Answers.model_fields)}"
    return Problem(key, f"there is no such question; {hint}")
