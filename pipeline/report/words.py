"""The words of a card in other languages. English is the key; numbers are put in afterwards, so they are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from pipeline.core.errors import UsageError

LANGUAGES = ("en", "zh")

Say = Callable[[str], str]


def words(lang: str) -> Say:
    """What translates; a text without a translation stays English."""
    if lang not in LANGUAGES:
        raise UsageError(f"there are no words in {lang!r}: choose one of {', '.join(LANGUAGES)}")
    known = {} if lang == "en" else translations(lang)
    return lambda text: known.get(text, text)


@cache
def translations(lang: str) -> dict[str, str]:
    """Translations by English text."""
    path = Path(__file__).with_name(f"words_{lang}.json")
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return known
