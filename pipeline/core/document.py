"""Recipes as plain data: YAML without tags, anchors, duplicate keys or surprises, with the line of every value.

Scalars follow the YAML 1.2 core schema: `no` is the Norwegian language, not false, and `2026-11-01` is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import Problem, RecipeError

MAX_BYTES = 1 << 20
MAX_DEPTH = 16


@dataclass(frozen=True)
class Document:
    """Parsed YAML: the value, and the line number by path (`stages[2].gopher`)."""

    value: Any
    lines: dict[str, int] = field(default_factory=dict)

    def where(self, path: str) -> str:
        """The path with its line, or with the line of the nearest part of it that is written down."""
        known = path
        while known and known not in self.lines:
            known = re.sub(r"(\.[^.\[]*|\[\d+\])$|^[^.\[]*$", "", known)
        return f"{path} (line {self.lines[known]})" if known else path


def read_yaml(path: Path) -> Document:
    """Parse a file; RecipeError says what is not allowed and where."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RecipeError([Problem("", f"cannot be read: {error.strerror}{_instead(path)}")], str(path)) from None
    return parse_yaml(raw, str(path))


def parse_yaml(raw: bytes, name: str = "recipe") -> Document:
    """Parse bytes of YAML."""
    if len(raw) > MAX_BYTES:
        raise RecipeError([Problem("", f"{len(raw):,} bytes is more than a recipe may have ({MAX_BYTES:,})")], name)
    try:
        text = raw.decode("utf-8-sig")
        problem = _forbidden(text)
        node = None if problem else yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise RecipeError([Problem("", f"not UTF-8 at byte {error.start}")], name) from None
    except yaml.YAMLError as error:
        raise RecipeError([Problem("", f"not YAML: {_one_line(error)}")], name) from None
    if problem:
        raise RecipeError([problem], name)
    reader = _Reader()
    value = reader.value(node, "") if node is not None else None
    if reader.problems:
        raise RecipeError(reader.problems, name)
    return Document(value, reader.lines)


def scalar(text: str) -> Any:
    """A plain scalar by the YAML 1.2 core schema."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return int(text)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?", text):
        return float(text)
    return text


class _Reader:
    """Turns nodes into values, noting lines and problems on the way."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, path: str) -> Any:
        self.lines[path] = _line(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, f"{path}[{index}]") for index, child in enumerate(node.value)]
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        return scalar(node.value) if plain else node.value

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(path, key, "a key must be a plain word")
                continue
            inner = f"{path}.{key.value}" if path else key.value
            if key.value in result:
                self._problem(inner, key, "written twice; one of the two would be lost")
            result[key.value] = self.value(child, inner)
        return result

    def _problem(self, path: str, node: yaml.Node, message: str) -> None:
        self.problems.append(Problem(f"{path} (line {_line(node)})", message))


def _forbidden(text: str) -> Problem | None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = f"line {_line(event)}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            return Problem(line, "anchors and aliases are not part of a recipe: write the value out")
        if (tag := getattr(event, "tag", None)) is not None:
            return Problem(line, f"the tag {tag!r} is not part of a recipe: recipes are plain data")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return Problem(line, f"nested deeper than {MAX_DEPTH} levels")
    return None


def _line(marked: yaml.Node | yaml.Event) -> int:
    return marked.start_mark.line + 1 if marked.start_mark else 1


def _one_line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).replace('in "<unicode string>", ', "at ").split())


def _instead(path: Path) -> str:
    """The YAML file that may have been meant."""
    for near in (
        path / "recipe.yaml",
        path.with_name(f"{path.name}.yaml"),
        path.parent / "recipes" / f"{path.stem}.yaml",
    ):
        if near.is_file():
            return f"; did you mean {near}?"
    there = {file.name: file for file in sorted(path.parent.glob("*.y*ml"))}
    close = get_close_matches(path.name, there, n=1)
    return f"; did you mean {there[close[0]]}?" if close else "; `gristmill new` writes a recipe"
