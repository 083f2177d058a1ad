"""Files of JSON lines that people bring: texts to score, questions to ask, texts with labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.core.errors import SourceError


def rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line as an object, after its place, `file:line`; SourceError names the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(str(path), f"cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise SourceError(f"{path}:{number}", f"not JSON: {error}") from None
        if not isinstance(row, dict):
            raise SourceError(f"{path}:{number}", "not a JSON object")
        yield f"{path}:{number}", row


def text(row: dict[str, Any], name: str, where: str) -> str:
    """A field that must be there and be text."""
    found = row.get(name)
    if not isinstance(found, str):
        raise SourceError(where, f"`{name}` should be text, and is {found!r:.80}")
    return found
