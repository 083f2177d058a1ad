"""Limits that were published for languages other than English: one file a language in `languages/`, as data.

A file holds, by the name of the table that published them, the fields of the families that differ. FineWeb-2 (Penedo et
al. 2025; one configuration a language in its repository) set its limits from the distributions of Wikipedia and Common
Crawl in each language. Words of Japanese, Korean and Thai are cut by other segmenters there (see
`kernels.textstats`). It switches three repetition limits off for every language.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pipeline.core.document import parse_yaml

Table = Literal["fineweb2"]


@cache
def published(table: Table, family: str) -> dict[str, dict[str, float | None]]:
    """The limits of a family by language, as a table has them."""
    return {lang: limits[table][family] for lang, limits in _languages().items()}


@cache
def _languages() -> dict[str, Any]:
    folder = files("pipeline.filters").joinpath("languages")
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return {file.name.removesuffix(".yaml"): parse_yaml(file.read_bytes(), file.name).value for file in found}
