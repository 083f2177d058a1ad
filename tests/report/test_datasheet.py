from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.errors import RecipeError
from pipeline.core.manifest import read_manifest
from pipeline.report.answers import Answers, ask, read_answers
from pipeline.report.datasheet import datasheet
from pipeline.report.fields import Datasheet, Field, Line
from pipeline.report.grid import Grid


def grid(sheet: Datasheet, name: str) -> Grid:
    field = sheet.field(name)
    assert field and isinstance(field.value, Grid)
    return field.value


def test_composition_adds_up_in_every_direction(corpus: Path) -> None:
    sheet = datasheet(read_manifest(corpus))
    for name in ("by_language", "by_source", "by_license"):
        rows = grid(sheet, name).rows
        assert sum(row[1] for row in rows) == 4  # type: ignore[misc]
        assert sum(row[4] for row in rows) == pytest.approx(1)  # type: ignore[misc]
    assert [row[:2] for row in grid(sheet, "by_language").rows] == [("en", 2), ("de", 1), ("zh", 1)]


def test_a_figure_that_nothing_verifies_must_say_why() -> None:
    with pytest.raises(ValueError, match="name the checks that re-verify it, or say why there is none"):
        Field(name="n", standing="run", value=Line(text="{n}", values={"n": 1}))


def test_the_sheet_survives_json_and_depends_on_no_clock(corpus: Path) -> None:
    manifest = read_manifest(corpus)
    sheet = datasheet(manifest)
    assert Datasheet.model_validate_json(sheet.to_json()) == sheet
    later = manifest.model_copy(update={"execution": {**manifest.execution, "seconds": 99}})
    assert datasheet(later).to_json() == sheet.to_json()


def test_expected_shares_are_checked_against_the_funnel(corpus: Path) -> None:
    rows = grid(datasheet(read_manifest(corpus)), "expected").rows
    assert [(row[0], row[3], row[4]) for row in rows] == [
        ("gopher", pytest.approx(3 / 9), False),
        ("minhash", pytest.approx(2 / 6), True),
    ]


def test_what_was_not_done_is_a_limit(corpus: Path) -> None:
    limits = str(datasheet(read_manifest(corpus)).field("limits"))
    assert "No stage looked for personal data" in limits
    assert "'n': 2, 'share': 0.5" in limits and "state no licence" in limits
    assert "near duplicates" not in limits


def test_asking_adds_what_is_said_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "cards" / "answers.yaml"
    replies = {"What is the corpus called?": "Tiny: a corpus", "Whom to write to?": " me@example.org "}
    asked: list[str] = []

    def reply(question: str) -> str:
        asked.append(question)
        return replies.get(question, "")

    left = ask(path, reply)
    assert len(asked) == len(Answers.model_fields) and set(left) == set(Answers.model_fields) - {"title", "contact"}
    path.write_text("# by hand\n" + path.read_text(encoding="utf-8") + "motivation:\n", encoding="utf-8")
    asked.clear()
    ask(path, lambda question: asked.append(question) or "- a list\n: of lines")  # type: ignore[func-returns-value]
    assert len(asked) == len(Answers.model_fields) - 3, "neither what is answered nor what is named"
    answers = read_answers(path)
    assert (answers.title, answers.contact, answers.unanswered) == ("Tiny: a corpus", "me@example.org", ("motivation",))
    assert answers.citation == "- a list\n: of lines" and path.read_text(encoding="utf-8").startswith("# by hand\n")


def test_a_question_without_an_answer_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "answers.yaml"
    path.write_text('title: Tiny\nintended_uses: ["tests", "talks"]\ncontact: "  "\n', encoding="utf-8")
    answers = read_answers(path)
    assert answers.text("intended_uses") == "- tests\n- talks"
    assert set(answers.unanswered) == set(Answers.model_fields) - {"title", "intended_uses"}
    assert read_answers(None).unanswered == tuple(Answers.model_fields)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("motivaton: because", "motivaton: there is no such question; did you mean 'motivation'?"),
        ("zzz: 1", "the questions are title, creators"),
        ("contact: 20261101", "contact: should be a text or a list of texts, not int; put it in quotes"),
        ("title: [a, b]", "title: should be a text, not list"),
        ("intended_uses: [1]", "intended_uses: should be a text or a list"),
        ("3: x", "3: there is no such question"),
        ("- a", "should be a map of questions"),
        ("a: [", "not YAML"),
        ("title: !!python/object/apply:os.getcwd []", "recipes are plain data"),
    ],
)
def test_mistakes_in_the_answers_name_file_and_place(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "answers.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as error:
        read_answers(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)


def test_all_mistakes_are_shown_at_once(tmp_path: Path) -> None:
    path = tmp_path / "answers.yaml"
    path.write_text("titel: x\ncontact: 3\n", encoding="utf-8")
    with pytest.raises(RecipeError) as error:
        read_answers(path)
    assert [problem.path for problem in error.value.problems] == ["contact", "titel"]


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no file"):
        read_answers(tmp_path / "none.yaml")


def test_the_command_line_asks(build_corpus, tmp_path: Path) -> None:
    recipe = {"recipe": "tiny", "version": "1", "card": {"license": "mit", "answers": "cards/answers.yaml"}}
    corpus = build_corpus([{"id": "a", "text": "t"}], recipe)
    questions = "\n" * (len(Answers.model_fields) - 1)
    done = CliRunner().invoke(app, ["card", str(corpus), "--ask", "--base", str(tmp_path)], input=f"Asked\n{questions}")
    assert done.exit_code == 0, done.output
    assert "14 questions have no answer" in done.output
    assert "# Asked\n" in (corpus / "README.md").read_text(encoding="utf-8")
