"""Gopher's quality rules (Rae et al. 2021, table A1): is this a text in sentences, or a list, a menu, a log?

Counted as datatrove counts, on whose numbers FineWeb-2's limits rest: ratios are by all tokens, marks included; `words`
are the tokens that are not only marks. Otherwise: blank lines do not count, more
signs are bullets, `......` is one ellipsis, and stop words are those of the document's language, in any case.

The share of alphabetic words is of words, as in the paper. datatrove has marks among them (`count_marks: true`), which
makes it a limit on punctuation: of 1,310 chapters of English novels that drops 14 %, those with much dialogue.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from pipeline.core.stage import Count, Share
from pipeline.filters.limits import Bound, Limits, Measure, ratio
from pipeline.filters.published import Table
from pipeline.kernels.textstats import Columns


class Gopher(Limits):
    """Drops by the quality rules of Gopher; for 23 languages other than English with the limits of FineWeb-2."""

    version: ClassVar[int] = 3
    bounds: ClassVar[tuple[Bound, ...]] = (
        Bound("too_few_words", "n_words", "min_words", least=True),
        Bound("too_many_words", "n_words", "max_words"),
        Bound("mean_word_too_short", "mean_word", "min_mean_word", least=True),
        Bound("mean_word_too_long", "mean_word", "max_mean_word"),
        Bound("too_many_hash_signs", "hash_signs", "max_hash_signs"),
        Bound("too_many_ellipses", "ellipses", "max_ellipses"),
        Bound("too_many_bullet_lines", "bullet_lines", "max_bullet_lines"),
        Bound("too_many_ellipsis_lines", "ellipsis_lines", "max_ellipsis_lines"),
        Bound("too_few_alphabetic_words", "alphabetic_words", "min_alphabetic_words", least=True),
        Bound("too_few_stop_words", "n_stop_words", "min_stop_words", least=True),
    )
    reasons: ClassVar[tuple[str, ...]] = tuple(bound.reason for bound in bounds)

    min_words: Count | None = Field(50, description="fewest words, marks not counted")
    max_words: Count | None = Field(100_000, description="most words")
    min_mean_word: float | None = Field(3, ge=0, description="shortest mean word, in characters")
    max_mean_word: float | None = Field(10, ge=0, description="longest mean word, in characters")
    max_hash_signs: float | None = Field(0.1, ge=0, description="most # signs per token")
    max_ellipses: float | None = Field(0.1, ge=0, description="most ellipses per token")
    max_bullet_lines: Share | None = Field(0.9, description="largest share of lines that begin with a bullet")
    max_ellipsis_lines: Share | None = Field(0.3, description="largest share of lines that end in an ellipsis")
    min_alphabetic_words: Share | None = Field(0.8, description="smallest share of words with a letter")
    min_stop_words: Count | None = Field(2, description="fewest distinct function words of the document's language")
    count_marks: bool = Field(
        False, description="marks count as words in the share of alphabetic words (datatrove and FineWeb: true)"
    )
    published: Table | None = Field(
        "fineweb2", description="published table that `by_language` starts from; null: the limits above for all"
    )

    def measures(self, counted: Columns) -> dict[str, Measure]:
        """Counts, ratios and shares; the number of stop words is NaN where the language is not known or not listed."""
        tokens, words, lines = counted["n_tokens"], counted["n_words"], counted["n_lines"]
        return {
            "n_words": words.astype(np.float64),
            "mean_word": ratio(counted["word_characters"], words),
            "hash_signs": ratio(counted["hash_signs"], tokens),
            "ellipses": ratio(counted["ellipses"], tokens),
            "bullet_lines": ratio(counted["bullet_lines"], lines),
            "ellipsis_lines": ratio(counted["ellipsis_lines"], lines),
            "alphabetic_words": ratio(counted["alphabetic_tokens"], tokens if self.count_marks else words),
            "n_stop_words": np.where(counted["stop_words"] < 0, np.nan, counted["stop_words"]),
        }
