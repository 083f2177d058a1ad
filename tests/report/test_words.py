"""Every fixed string of a card has its Chinese form: read from the code that puts them into fields."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pipeline.report
from pipeline.report.answers import Answers
from pipeline.report.findings import Status
from pipeline.report.grid import Kind
from pipeline.report.words import translations

ROOM = Path(pipeline.report.__file__).parent
MODULES = (
    *(ROOM / f"{name}.py" for name in ("article53", "card", "changes", "composition", "contamination", "facts")),
    *(ROOM / f"{name}.py" for name in ("fields", "funnel", "gebru", "licences", "markdown", "measures", "sections")),
    *(ROOM / f"{name}.py" for name in ("told", "validation")),
    ROOM.parent / "train" / "validate.py",
    *sorted((ROOM / "audit").glob("*.py")),
)
SAID = frozenset({"text", "method", "scope", "unchecked", "title", "caption", "question", "sentence"})
"""Keywords, and names of variables, that hold what a card says."""

ELSEWHERE = frozenset({"funnel", "{said}", "gristmill build recipe.yaml"})
"""The title of a table on a terminal, a value, and what is to be typed."""

OUTCOMES = frozenset({"holds", "fails", "unknown", "differ"})


def fixed(tree: ast.AST) -> Iterator[str]:
    """The constants that end up in a card: what is said, headings of columns, outcomes of checks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in SAID:
            yield from constants(node.value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.AST):
            names = [
                name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
            ]
            if any(name.strip("_").lower() in SAID or name.isupper() for name in names):
                yield from (said for said in constants(node.value) if " " in said.strip() == said)
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:
            heading, kind = (next(constants(part), None) for part in node.elts)
            if heading and kind in get_args(Kind):
                yield heading
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in {*OUTCOMES, "say"}:
                yield from (said for value in node.args for said in constants(value))
            elif node.func.id == "from_run" and len(node.args) > 2:
                yield from constants(node.args[2])


def constants(node: ast.AST) -> Iterator[str]:
    """Strings of an expression, those of f-strings aside."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (said for part in (node.body, node.orelse) for said in constants(part))
    elif isinstance(node, ast.Tuple | ast.List):
        yield from (said for part in node.elts for said in constants(part))
    elif isinstance(node, ast.Dict):
        yield from (said for part in node.values for said in constants(part))


def sayings() -> dict[str, str]:
    found = {str(question.description): "answers" for question in Answers.model_fields.values()}
    found |= dict.fromkeys((*get_args(Status),), "cells")
    for path in MODULES:
        found |= dict.fromkeys(fixed(ast.parse(path.read_text(encoding="utf-8"))), path.stem)
    return {said: where for said, where in found.items() if re.search(r"[A-Za-z]{2}", said) and said not in ELSEWHERE}


def test_every_fixed_string_has_its_chinese_form() -> None:
    known = translations("zh")
    missing = [f"{where}: {said}" for said, where in sayings().items() if said not in known]
    assert not missing, "\n".join(missing)


def test_a_translation_has_the_same_values() -> None:
    for english, chinese in translations("zh").items():
        values = [sorted(re.findall(r"\{[^{}]*\}|`[^`]*`", text)) for text in (english, chinese)]
        assert values[0] == values[1], english
