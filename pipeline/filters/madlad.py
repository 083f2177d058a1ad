"""Two of MADLAD-400's rules for sentences (Kudugunta et al. 2023, appendix), as OLMo 3 applies them to documents.

Rule 2: a list in the guise of a sentence. Rule 5: the marks of text that is broken or machine-made, from a list of
substrings and patterns that the recipe names. MADLAD's other rules (consistency of language, length, technical
characters) are not among those that OLMo 3 uses. Sentences end at `.`, `!` or `?` before white space, as in its code.
Rule 2 is for English: of German prose, where every noun is capitalised, it drops every fifth document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Self

import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.backends.lists import entries, find_list
from pipeline.core.asset import Asset
from pipeline.core.stage import Count, Local, Share
from pipeline.core.text import words
from pipeline.core.verdict import Reason, Verdict

_END = re.compile(r"[.!?]+\s+|[。！？]+\s*")


class Madlad(Local):
    """Drops documents of too few sentences, and those of which too many sentences are questionable (rules 2 and 5)."""

    optional: ClassVar[tuple[str, ...]] = ("lang",)
    reasons: ClassVar[tuple[str, ...]] = ("too_few_sentences", "too_many_questionable_sentences")
    example: ClassVar[Mapping[str, Any]] = {"patterns": ["^\\W*\\d+\\W*$"]}

    min_sentences: Count = Field(5, description="fewest sentences")
    questionable: Share = Field(0.2, description="share of sentences that are questionable from which a document goes")
    list_words: int | None = Field(12, ge=1, description="words from which a sentence may be a list; null: no rule 2")
    capitalised: Share = Field(0.5, description="share of capitalised words above which such a sentence is a list")
    cursed: tuple[str, ...] = Field((), description="files with substrings that make a sentence questionable (rule 5)")
    patterns: tuple[str, ...] = Field((), description="regular expressions that do the same")
    sha256: dict[str, str] = Field({}, description="digests that the files must have, by path")

    @model_validator(mode="after")
    def _patterns_compile(self) -> Self:
        for pattern in self.patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"patterns: {pattern!r} is no regular expression: {error}") from None
        if unknown := sorted(set(self.sha256) - set(self.cursed)):
            raise ValueError(f"sha256: {unknown[0]!r} is none of the files that are named here")
        return self

    def assets(self) -> tuple[Asset, ...]:
        """The files of `cursed`."""
        return tuple(find_list(path, self.sha256.get(path)) for path in self.cursed)

    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """Count the sentences of every text, then those that are questionable."""
        cursed = _cursed(self.assets(), self.patterns)
        rows = zip(batch.column("text").to_pylist(), batch.column("lang").to_pylist(), strict=True)
        return Verdict.of([self._reason(text or "", lang, cursed) for text, lang in rows])

    def _reason(self, text: str, lang: str | None, cursed: re.Pattern[str]) -> Reason | None:
        sentences = [sentence for sentence in _END.split(text) if sentence.strip()]
        if len(sentences) < self.min_sentences:
            return Reason("too_few_sentences", len(sentences), self.min_sentences)
        bad = [sentence for sentence in sentences if self._is_list(sentence, lang) or cursed.search(sentence)]
        if bad and len(bad) >= self.questionable * len(sentences):
            share = len(bad) / len(sentences)
            return Reason("too_many_questionable_sentences", share, self.questionable, detail=bad[0].strip()[:80])
        return None

    def _is_list(self, sentence: str, lang: str | None) -> bool:
        if self.list_words is None:
            return False
        tokens = words(sentence, lang)
        return len(tokens) >= self.list_words and sum(t[0].isupper() for t in tokens) > self.capitalised * len(tokens)


@cache
def _cursed(assets: tuple[Asset, ...], patterns: tuple[str, ...]) -> re.Pattern[str]:
    literal = sorted({entry for asset in assets for entry in entries(asset.path)})
    return re.compile("|".join([*map(re.escape, literal), *(f"(?:{pattern})" for pattern in patterns)]) or "(?!)")
