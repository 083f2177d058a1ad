"""The recipe as the manifest holds it: as YAML for people, and its stages as words and labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

_ORDER = (
    "recipe",
    "version",
    "description",
    "sources",
    "stages",
    "tokenizer",
    "pack",
    "card",
    "expect",
    "published",
)


def recipe_yaml(recipe: dict[str, Any]) -> str:
    """The recipe as YAML, its name first and its limits last."""
    order = [key for key in _ORDER if key in recipe] + [key for key in recipe if key not in _ORDER]
    return yaml.safe_dump({key: recipe[key] for key in order}, sort_keys=False, allow_unicode=True, width=100)


def entries(recipe: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Word and label of each stage, in order."""
    for entry in recipe.get("stages") or []:
        if isinstance(entry, str):
            yield entry, entry
        else:
            word = next(key for key in entry if key != "as")
            yield word, str(entry.get("as", word))


def fields(recipe: dict[str, Any], word: str) -> dict[str, Any]:
    """What the recipe sets of the first stage of this word; nothing where it sets nothing or has none."""
    return next(of_word(recipe, word), {})


def of_word(recipe: dict[str, Any], word: str) -> Iterator[dict[str, Any]]:
    """What the recipe sets of each stage of this word, in order."""
    for entry in recipe.get("stages") or []:
        if entry == word:
            yield {}
        elif isinstance(entry, dict) and word in entry:
            yield dict(entry[word] or {})
