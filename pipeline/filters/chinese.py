"""Rules for Chinese web text: those of EvalWeb (ChineseWebText) and of MAP-NEO, each limit switched on by the recipe.

Measures are EvalWeb's where it has them, as coded: of all characters, blanks included. MAP-NEO's are read from their
names: marks per word, entropy in nats, shares of words and of lines. Words are ICU's, where MAP-NEO has jieba's.
EvalWeb tells traditional characters by converting the text; here a character is traditional that Big5 has and GB 2312
has not, which needs no table. Against OpenCC: the same documents of 1,521 in simplified characters have one, and of
86,476 traditional characters 95 % are told (not 於, 後, 爲), 8 others are taken for one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from math import nan
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.backends.lists import entries, find_list
from pipeline.core.asset import Asset
from pipeline.core.stage import Count, Share
from pipeline.core.text import count_sentences, entropy, words
from pipeline.filters.limits import Bound, Limits, Measure
from pipeline.kernels.textstats import Columns

_GRAM = 13
_HAN = re.compile("[\u4e00-\u9fa5]")
_READ_MORE = re.compile("(?:readmore|read more|展开|更多|。。。)$", re.IGNORECASE)
_BLANKS = re.compile("[ \n\t]")


@dataclass(frozen=True)
class Measures:
    """What the rules are about; NaN for a document that is not Chinese, and where there is nothing to count."""

    n_characters: float
    n_sentences: float
    mean_line: float
    """Characters per line, blank lines included."""
    chinese: float
    """Share of characters that are Han (U+4E00 to U+9FA5)."""
    traditional: float
    """Share of Han characters that are traditional."""
    brackets: float
    """Marks 【 and 】 per word."""
    mean_word: float
    unique_words: float
    """Distinct words per word, case ignored."""
    entropy: float
    """Entropy of the distribution of words, in nats."""
    digit_words: float
    """Share of words of digits only."""
    read_more_lines: float
    """Share of lines (not blank) that end in readmore, 展开, 更多 or 。。。"""
    repeated_13_grams: float
    """Share of runs of 13 characters, blanks left out, that occur more than once."""
    sensitive: float
    """Distinct entries of the list found, per line."""


class Chinese(Limits):
    """Drops Chinese documents by the rules of EvalWeb and MAP-NEO; those labelled as another language pass.

    EvalWeb (Chen et al. 2023): min_characters 201, min_mean_line 10, min_chinese 0.3, max_traditional 0,
    max_sensitive 0.5, max_repeated_13_grams 0.5. MAP-NEO (Zhang et al. 2024): 50 to 10,000 characters, 2 sentences,
    max_brackets 0.1, mean word 1.3 to 10, min_unique_words 0.1, min_entropy 3, max_digit_words 0.3,
    max_read_more_lines 0.3.
    """

    version: ClassVar[int] = 2
    bounds: ClassVar[tuple[Bound, ...]] = (
        Bound("too_few_characters", "n_characters", "min_characters", least=True),
        Bound("too_many_characters", "n_characters", "max_characters"),
        Bound("mean_line_too_short", "mean_line", "min_mean_line", least=True),
        Bound("too_few_chinese_characters", "chinese", "min_chinese", least=True),
        Bound("too_many_traditional_characters", "traditional", "max_traditional"),
        Bound("too_many_sensitive_words", "sensitive", "max_sensitive"),
        Bound("repeated_13_grams", "repeated_13_grams", "max_repeated_13_grams"),
        Bound("too_few_sentences", "n_sentences", "min_sentences", least=True),
        Bound("too_many_brackets", "brackets", "max_brackets"),
        Bound("mean_word_too_short", "mean_word", "min_mean_word", least=True),
        Bound("mean_word_too_long", "mean_word", "max_mean_word"),
        Bound("too_few_unique_words", "unique_words", "min_unique_words", least=True),
        Bound("too_little_entropy", "entropy", "min_entropy", least=True),
        Bound("too_many_digit_words", "digit_words", "max_digit_words"),
        Bound("too_many_read_more_lines", "read_more_lines", "max_read_more_lines"),
    )
    reasons: ClassVar[tuple[str, ...]] = tuple(bound.reason for bound in bounds)
    example: ClassVar[Mapping[str, Any]] = {
        **{"min_characters": 50, "max_characters": 10000, "min_mean_line": 10, "min_chinese": 0.3},
        **{"max_traditional": 0.01, "max_repeated_13_grams": 0.5, "min_sentences": 2, "max_brackets": 0.1},
        **{"min_mean_word": 1.3, "max_mean_word": 10, "min_unique_words": 0.1, "min_entropy": 3},
        **{"max_digit_words": 0.3, "max_read_more_lines": 0.3},
    }

    min_characters: Count | None = Field(None, description="fewest characters")
    max_characters: Count | None = Field(None, description="most characters")
    min_mean_line: float | None = Field(None, ge=0, description="shortest mean line, in characters")
    min_chinese: Share | None = Field(None, description="smallest share of Chinese characters")
    max_traditional: Share | None = Field(None, description="largest share of Chinese characters that are traditional")
    max_sensitive: float | None = Field(None, ge=0, description="most entries of `sensitive` found, per line")
    max_repeated_13_grams: Share | None = Field(None, description="largest share of 13-grams of characters said again")
    min_sentences: Count | None = Field(None, description="fewest sentences")
    max_brackets: float | None = Field(None, ge=0, description="most 【 and 】 per word")
    min_mean_word: float | None = Field(None, ge=0, description="shortest mean word, in characters")
    max_mean_word: float | None = Field(None, ge=0, description="longest mean word, in characters")
    min_unique_words: Share | None = Field(None, description="smallest share of distinct words")
    min_entropy: float | None = Field(None, ge=0, description="smallest entropy of words, in nats")
    max_digit_words: Share | None = Field(None, description="largest share of words that are numbers")
    max_read_more_lines: Share | None = Field(None, description="largest share of lines that end in 展开 and the like")
    sensitive: str | None = Field(None, description="file with sensitive words, one a line, plain or gzip")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="digest that the file must have")

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if not self.by_language and all(limit is None for limit in self.limits(None).values()):
            raise ValueError(f"give at least one of {', '.join(self.limits(None))}")
        if (self.sensitive is None) != (self.max_sensitive is None):
            raise ValueError("`sensitive` and `max_sensitive` belong together: a list, and how much of it is allowed")
        return self

    def assets(self) -> tuple[Asset, ...]:
        """The list of sensitive words."""
        return (find_list(self.sensitive, self.sha256),) if self.sensitive else ()

    def counted(self, texts: pa.LargeStringArray, langs: list[str | None]) -> Columns:
        """The measures, text by text."""
        rows = [self._measured(text or "", lang) for text, lang in zip(texts.to_pylist(), langs, strict=True)]
        return {name: np.array([getattr(row, name) for row in rows]) for name in Measures.__dataclass_fields__}

    def measures(self, counted: Columns) -> dict[str, Measure]:
        """The same, as numbers."""
        return {name: values.astype(np.float64) for name, values in counted.items()}

    def _measured(self, text: str, lang: str | None) -> Measures:
        """The measures of one text; the sensitive words only where a list is named."""
        if lang not in ("zh", None):
            return Measures(*(nan,) * len(Measures.__dataclass_fields__))
        listed = _sensitive(self.assets()) if self.sensitive else None
        return measure(text, listed)


def measure(text: str, sensitive: re.Pattern[str] | None = None) -> Measures:
    """The measures of one Chinese text."""
    tokens = [word.lower() for word in words(text, "zh")]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    han = _HAN.findall(text)
    n_words, n_rows = len(tokens), text.count("\n") + 1
    return Measures(
        n_characters=len(text),
        n_sentences=count_sentences(text),
        mean_line=len(text) / n_rows,
        chinese=_share(len(han), len(text), 0.0),
        traditional=_share(sum(map(_is_traditional, han)), len(han), 0.0),
        brackets=_share(text.count("【") + text.count("】"), n_words),
        mean_word=_share(sum(map(len, tokens)), n_words),
        unique_words=_share(len(set(tokens)), n_words),
        entropy=entropy(Counter(tokens).values()) if tokens else nan,
        digit_words=_share(sum(map(str.isdigit, tokens)), n_words),
        read_more_lines=_share(sum(_READ_MORE.search(line) is not None for line in lines), len(lines)),
        repeated_13_grams=_repeated(_BLANKS.sub("", text).lower()),
        sensitive=len(set(sensitive.findall(text))) / n_rows if sensitive else nan,
    )


def _share(part: float, whole: float, empty: float = nan) -> float:
    return part / whole if whole else empty


@lru_cache(maxsize=32768)
def _is_traditional(character: str) -> bool:
    return _has(character, "big5") and not _has(character, "gb2312")


def _has(character: str, charset: str) -> bool:
    try:
        character.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def _repeated(text: str) -> float:
    """By a 64-bit hash of each run: two of a million runs are taken for one with probability 3e-8."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    n_grams = len(codes) - _GRAM + 1
    if n_grams < 2:
        return 0.0
    hashes = np.zeros(n_grams, dtype=np.uint64)
    for at in range(_GRAM):
        hashes = (hashes ^ codes[at : at + n_grams]) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    counts = np.unique(hashes, return_counts=True)[1]
    return float(counts[counts > 1].sum() / n_grams)


@cache
def _sensitive(assets: tuple[Asset, ...]) -> re.Pattern[str]:
    """Of entries that overlap the first, then the longest, is found."""
    listed = {entry for asset in assets for entry in entries(asset.path)}
    return re.compile("|".join(map(re.escape, sorted(listed, key=lambda entry: (-len(entry), entry)))) or "(?!)")
