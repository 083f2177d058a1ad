"""Gopher's repetition rules (Rae et al. 2021, table A1): how much of a text is said again.

The paper leaves open what counts; here it is as datatrove counts, on whose numbers FineWeb-2's limits rest: a line,
paragraph or n-gram is repeated where it occurred before in the same text, so the first occurrence is free; a repeated
n-gram is skipped as a whole, so that none overlaps; and all shares are of all characters of the text. Otherwise: blank
lines do not count, and n-grams are compared by words, not by joined letters. The most frequent n-gram counts even if it
occurs once, so a text of a few words is dropped; occurrences may overlap, so a share may exceed 1.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pipeline.core.stage import Share
from pipeline.filters.limits import Bound, Limits, Measure, ratio
from pipeline.filters.published import Table
from pipeline.kernels.textstats import Columns

_TOP = (2, 3, 4)
_GRAMS = (5, 6, 7, 8, 9, 10)


class Repetition(Limits):
    """Drops by the repetition rules of Gopher; for 23 languages other than English with the limits of FineWeb-2."""

    version: ClassVar[int] = 2
    bounds: ClassVar[tuple[Bound, ...]] = (
        Bound("repeated_lines", "lines", "max_repeated_lines"),
        Bound("repeated_paragraphs", "paragraphs", "max_repeated_paragraphs"),
        Bound("repeated_line_characters", "line_characters", "max_repeated_line_characters"),
        Bound("repeated_paragraph_characters", "paragraph_characters", "max_repeated_paragraph_characters"),
        *(Bound(f"frequent_{n}_gram", f"top_{n}_gram", f"max_top_{n}_gram") for n in _TOP),
        *(Bound(f"repeated_{n}_grams", f"repeated_{n}_grams", f"max_repeated_{n}_grams") for n in _GRAMS),
    )
    reasons: ClassVar[tuple[str, ...]] = tuple(bound.reason for bound in bounds)

    max_repeated_lines: Share | None = Field(0.3, description="largest share of lines that occurred before")
    max_repeated_paragraphs: Share | None = Field(0.3, description="largest share of paragraphs that occurred before")
    max_repeated_line_characters: Share | None = Field(0.2, description="the same, by characters of lines")
    max_repeated_paragraph_characters: Share | None = Field(0.2, description="the same, by characters of paragraphs")
    max_top_2_gram: Share | None = Field(0.2, description="largest share of characters in the most frequent 2-gram")
    max_top_3_gram: Share | None = Field(0.18, description="largest share of characters in the most frequent 3-gram")
    max_top_4_gram: Share | None = Field(0.16, description="largest share of characters in the most frequent 4-gram")
    max_repeated_5_grams: Share | None = Field(0.15, description="largest share of characters in repeated 5-grams")
    max_repeated_6_grams: Share | None = Field(0.14, description="largest share of characters in repeated 6-grams")
    max_repeated_7_grams: Share | None = Field(0.13, description="largest share of characters in repeated 7-grams")
    max_repeated_8_grams: Share | None = Field(0.12, description="largest share of characters in repeated 8-grams")
    max_repeated_9_grams: Share | None = Field(0.11, description="largest share of characters in repeated 9-grams")
    max_repeated_10_grams: Share | None = Field(0.1, description="largest share of characters in repeated 10-grams")
    published: Table | None = Field(
        "fineweb2", description="published table that `by_language` starts from; null: the limits above for all"
    )

    def measures(self, counted: Columns) -> dict[str, Measure]:
        """Shares of lines, of paragraphs, and of the characters of the text."""
        characters = counted["n_characters"]
        return {
            "lines": ratio(counted["repeated_lines"], counted["n_lines"]),
            "paragraphs": ratio(counted["repeated_paragraphs"], counted["n_paragraphs"]),
            "line_characters": ratio(counted["repeated_line_characters"], characters),
            "paragraph_characters": ratio(counted["repeated_paragraph_characters"], characters),
            **{f"top_{n}_gram": ratio(counted[f"top_{n}_gram_characters"], characters) for n in _TOP},
            **{f"repeated_{n}_grams": ratio(counted[f"repeated_{n}_gram_characters"], characters) for n in _GRAMS},
        }
