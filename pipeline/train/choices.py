"""Questions with several answers: the model's is the one that it finds likeliest, as in lm-evaluation-harness.

A task is a YAML file in that harness' form, its data beside it as JSON lines. Of its templates, columns are understood,
`choices` or `{{question}}` or `{{choices.text}}`; nothing in them is run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.document import read_yaml
from pipeline.core.errors import GristmillError, SourceError
from pipeline.core.manifest import Record
from pipeline.train import lines

if TYPE_CHECKING:
    from pipeline.backends.tokenizer import Encoder
    from pipeline.train.model import Model

NEEDED = ("task", "doc_to_text", "doc_to_choice", "doc_to_target")
UNDERSTOOD = {*NEEDED, "output_type", "dataset_path", "dataset_kwargs", "target_delimiter", "test_split"}
ROWS = 16


@dataclass(frozen=True)
class Question:
    """A text, its answers, and the number of the right one."""

    text: str
    answers: tuple[str, ...]
    right: int


class Answered(Record):
    """Shares of right answers: by likelihood, and by likelihood a byte; `chance` is that of guessing."""

    questions: int
    accuracy: float
    accuracy_by_byte: float
    chance: float


def read_task(path: Path) -> tuple[str, list[Question]]:
    """Name and questions of a task; GristmillError says what in it is not understood."""
    task = read_yaml(path).value
    if not isinstance(task, dict) or any(key not in task for key in NEEDED):
        raise GristmillError(f"{path}: a task has {', '.join(NEEDED)}")
    unknown = sorted(set(task) - UNDERSTOOD)
    if unknown or task.get("output_type", "multiple_choice") != "multiple_choice":
        raise GristmillError(f"{path}: only multiple_choice with {', '.join(sorted(UNDERSTOOD))}; not {unknown}")
    files = (task.get("dataset_kwargs") or {}).get("data_files")
    file = files.get(task.get("test_split", "test")) if isinstance(files, dict) else files
    if not isinstance(file, str):
        raise GristmillError(f"{path}: dataset_kwargs.data_files names no file of the split")
    delimiter = task.get("target_delimiter", " ")
    return task["task"], [_question(task, row, delimiter, where) for where, row in lines.rows(path.parent / file)]


def ask(likely: Callable[[Sequence[tuple[str, str]]], list[float]], questions: Sequence[Question]) -> Answered:
    """What a model answers, by its logarithm of p(answer | text) of pairs of both."""
    asked = [(question.text, answer) for question in questions for answer in question.answers]
    found = iter(likely(asked))
    right = by_byte = chance = 0.0
    for question in questions:
        logs = np.array([next(found) for _ in question.answers])
        sizes = np.array([max(1, len(answer.encode())) for answer in question.answers])
        right += int(logs.argmax()) == question.right
        by_byte += int((logs / sizes).argmax()) == question.right
        chance += 1 / len(question.answers)
    n = max(1, len(questions))
    return Answered(questions=len(questions), accuracy=right / n, accuracy_by_byte=by_byte / n, chance=chance / n)


def continued_bleu(write: Callable[[str], str], path: Path) -> float:
    """BLEU of what is written after each `text` of a file of JSON lines, beside its `reference`."""
    from pipeline.train.metrics import bleu

    rows = [(lines.text(row, "text", at), lines.text(row, "reference", at)) for at, row in lines.rows(path)]
    return bleu([write(text) for text, _ in rows], [reference for _, reference in rows])


def continued(model: Model, encoder: Encoder, text: str, tokens: int) -> str:
    """What a gpt adds to a text, the likeliest token each time."""
    from pipeline.train.generate import generate

    return "".join(generate(model, encoder, text, tokens=tokens, temperature=0.0))


def likelihoods(model: Model, encoder: Encoder, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """A gpt's logarithm of p(answer | text) of each pair; of what is too long, the beginning is left out.

    GristmillError for other models.
    """
    import torch

    from pipeline.train.batches import Maker, Piece, encoded

    if model.shape.kind != "gpt":
        raise GristmillError(f"a {model.shape.kind} has no likelihood of a text; train one with --model gpt")
    maker, length = Maker(model.shape), model.shape.length
    device = next(model.parameters()).device
    texts, whole = (encoded(encoder, group) for group in ([a for a, _ in pairs], [a + b for a, b in pairs]))
    # Where text and answer are encoded together, the answer begins at the first token that differs from the text's.
    tails = [len(ids) - shared(text, ids) for text, ids in zip(texts, whole, strict=True)]
    rows = [(ids[-length:], min(tail, length)) for ids, tail in zip(whole, tails, strict=True)]
    found: list[float] = []
    model.eval()
    for first in range(0, len(rows), ROWS):
        group = rows[first : first + ROWS]
        width = max(1, *(len(ids) for ids, _ in group))
        pieces = [
            Piece(
                np.pad(ids, (0, width - len(ids)), constant_values=model.shape.end),
                np.where(np.arange(width) < len(ids), 0, -1),
            )
            for ids, _ in group
        ]
        batch = maker.next_tokens(pieces).to(device)
        losses, _ = model.judge(batch)
        table = torch.zeros(len(group) * width).index_put((batch.at.cpu(),), losses.cpu()).view(-1, width)
        for row, number in enumerate(batch.order.tolist()):
            ids, tail = group[number]
            found.append((first + number, -float(table[row, len(ids) - tail : len(ids)].sum())))
    return [value for _, value in sorted(found)]


def _question(task: Mapping[str, Any], row: Mapping[str, Any], delimiter: str, where: str) -> Question:
    choices = task["doc_to_choice"]
    answers = (
        [_filled(each, row, where) for each in choices] if isinstance(choices, list) else _filled(choices, row, where)
    )
    if not isinstance(answers, list) or not answers or not all(isinstance(answer, str) for answer in answers):
        raise SourceError(where, f"doc_to_choice {choices!r} gives no list of texts")
    target = task["doc_to_target"]
    right = target if isinstance(target, int) else _filled(target, row, where)
    if isinstance(right, str):
        right = int(right) if right.isdigit() and right not in answers else _index(answers, right, where)
    if not isinstance(right, int) or not 0 <= right < len(answers):
        raise SourceError(where, f"doc_to_target {target!r} is none of the {len(answers)} answers")
    text = _filled(task["doc_to_text"], row, where)
    return Question(str(text), tuple(delimiter + answer for answer in answers), right)


def _index(answers: list[str], right: str, where: str) -> int:
    if right not in answers:
        raise SourceError(where, f"{right!r} is none of the answers")
    return answers.index(right)


def _filled(template: str, row: Mapping[str, Any], where: str) -> Any:
    """A column, by its bare name or as the only thing in a template, as it is; else the template, filled with texts."""
    if template in row:
        return row[template]
    whole = re.fullmatch(r"\{\{\s*([\w.]+)\s*\}\}", template)
    if whole:
        return _column(whole[1], row, where)
    filled = re.sub(r"\{\{\s*([\w.]+)\s*\}\}", lambda found: str(_column(found[1], row, where)), template)
    if "{{" in filled or "{%" in filled:
        raise GristmillError(f"{where}: {template!r} is more than columns in double braces, which are all that is read")
    return filled


def _column(name: str, row: Any, where: str) -> Any:
    for part in name.split("."):
        if not isinstance(row, dict) or part not in row:
            raise SourceError(where, f"has no {name!r}")
        row = row[part]
    return row


def shared(text: np.ndarray, whole: np.ndarray) -> int:
    """Tokens that both begin with, at least one being left of the whole."""
    n = min(len(text), len(whole) - 1)
    differ = np.flatnonzero(text[:n] != whole[:n])
    return int(differ[0]) if len(differ) else n
