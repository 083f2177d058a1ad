"""FineWeb's own rules (Penedo et al. 2024): lines that end in sentences, few short ones, few repeated, few breaks.

Counted as datatrove counts. Limits are those of its code; the paper gives 0.1 for repeated characters, and FineWeb-2
uses that.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pipeline.core.stage import Share
from pipeline.filters.limits import Bound, Limits, Measure, ratio
from pipeline.filters.published import Table
from pipeline.kernels.textstats import Columns


class Fineweb(Limits):
    """Drops by the rules of FineWeb; for 23 languages other than English with the limits of FineWeb-2."""

    bounds: ClassVar[tuple[Bound, ...]] = (
        Bound("no_lines", "n_lines", "min_lines", least=True),
        Bound("too_few_sentence_ends", "sentence_ends", "min_sentence_ends", least=True),
        Bound("too_many_short_lines", "short_lines", "max_short_lines"),
        Bound("repeated_line_characters", "repeated_characters", "max_repeated_characters"),
        Bound("too_many_line_breaks", "line_breaks", "max_line_breaks"),
    )
    reasons: ClassVar[tuple[str, ...]] = tuple(bound.reason for bound in bounds)

    min_lines: int | None = Field(1, ge=0, description="fewest lines that are not blank")
    min_sentence_ends: Share | None = Field(0.12, description="smallest share of lines that end as a sentence does")
    max_short_lines: Share | None = Field(0.67, description="largest share of lines of at most 30 characters")
    max_repeated_characters: Share | None = Field(
        0.01, description="largest share of characters in lines that occurred before"
    )
    max_line_breaks: float | None = Field(0.3, ge=0, description="most line breaks per token")
    published: Table | None = Field(
        "fineweb2", description="published table that `by_language` starts from; null: the limits above for all"
    )

    def measures(self, counted: Columns) -> dict[str, Measure]:
        """Shares of lines that are not blank, and of characters without line breaks; line breaks per token."""
        lines = counted["n_lines"]
        return {
            "n_lines": lines.astype(float),
            "sentence_ends": ratio(counted["terminal_lines"], lines),
            "short_lines": ratio(counted["short_lines"], lines),
            "repeated_characters": ratio(
                counted["repeated_line_characters"], counted["n_characters"] - counted["n_newlines"]
            ),
            "line_breaks": ratio(counted["n_newlines"], counted["n_tokens"]),
        }
