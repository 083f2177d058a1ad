"""Rules that take lines out of a text: those of C4, of RefinedWeb, and lines of nothing but given symbols.

What is left of the text is the document from here on; the ledger holds documents of which too little was left, with the
text as the rules left it.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.core.stage import Count, Local, Share
from pipeline.core.text import count_sentences, has_words, is_unspaced, words
from pipeline.core.verdict import Reason, Verdict


class LineRules(Local):
    """What such rules share: each text is rewritten on its own, with its language known where it is."""

    optional: ClassVar[tuple[str, ...]] = ("lang",)
    writes: ClassVar[Mapping[str, pa.DataType]] = {"text": pa.large_string()}

    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """Rewrite every text, and drop those of which too little is left."""
        rows = zip(batch.column("text").to_pylist(), batch.column("lang").to_pylist(), strict=True)
        done = [self.rewrite(text or "", lang) for text, lang in rows]
        texts = pa.array([text for text, _ in done], pa.large_string())
        return Verdict.of([reason for _, reason in done], {"text": texts})

    @abstractmethod
    def rewrite(self, text: str, lang: str | None) -> tuple[str, Reason | None]:
        """The lines that stay, and why the document goes if it does."""


class C4Lines(LineRules):
    """C4's rules for lines and pages, in the order of its code, with the code's limits.

    The paper (Raffel et al. 2020) has 3 words a line and 5 sentences a page; the code (TensorFlow Datasets) has 5 and
    3. Sentences are counted by their marks where C4 asks NLTK's punkt; words are those of `core.text`.
    """

    reasons: ClassVar[tuple[str, ...]] = ("lorem_ipsum", "curly_bracket", "too_few_sentences", "nothing_left")

    end_marks: tuple[str, ...] = Field(
        (".", "?", "!", '"', "。", "？", "！"),
        description="a line must end in one of these, and not in `...`; empty: any",
    )
    min_words: Count = Field(5, description="fewest words of a line")
    max_word: int | None = Field(1000, ge=1, description="longest word of a line that stays, in characters")
    citations: bool = Field(True, description="take out [1], [edit] and [citation needed]")
    javascript: bool = Field(True, description="take out lines that mention JavaScript")
    policies: bool = Field(True, description="take out lines about cookies, privacy and terms of use")
    lorem_ipsum: bool = Field(True, description="drop pages with `lorem ipsum` in a line that has stayed so far")
    curly_bracket: bool = Field(True, description="drop pages with a { in a line that has stayed so far")
    min_sentences: Count = Field(3, description="fewest sentences in all lines that stay")

    def rewrite(self, text: str, lang: str | None) -> tuple[str, Reason | None]:
        """Line by line; a page rule met on the way ends it."""
        kept: list[str] = []
        is_plain = not any(mark in text.lower() for mark in _TELLING)
        for raw in text.splitlines():
            line = self._cleaned(raw.strip(), lang)
            if line is None:
                continue
            if is_plain:
                kept.append(line)
                continue
            lower = line.lower()
            if self.lorem_ipsum and "lorem ipsum" in lower:
                return text, Reason("lorem_ipsum")
            if self.javascript and "javascript" in lower:
                continue
            if self.curly_bracket and "{" in line:
                return text, Reason("curly_bracket")
            if self.policies and any(phrase in lower for phrase in _POLICIES):
                continue
            kept.append(line)
        n_sentences = self._sentences(kept)
        left = "\n".join(kept).strip()
        if n_sentences < self.min_sentences:
            return left, Reason("too_few_sentences", n_sentences, self.min_sentences)
        return left, None if left else Reason("nothing_left")

    def _sentences(self, lines: list[str]) -> int:
        """How many there are, counted as far as it matters."""
        found = 0
        for line in lines:
            if found >= self.min_sentences:
                break
            found += count_sentences(line)
        return found

    def _cleaned(self, line: str, lang: str | None) -> str | None:
        """The line without citations; None where it has a word too long, no end, or too few words."""
        if self.max_word is not None and _longest_word(line, lang, self.max_word) > self.max_word:
            return None
        if self.citations:
            line = _CITATION.sub("", line)
        if self.end_marks and (not line.endswith(self.end_marks) or line.endswith("...")):
            return None
        return line if has_words(line, self.min_words, lang) else None


class RefinedwebLines(LineRules):
    """RefinedWeb's corrections of lines (Penedo et al. 2023, appendix G.2), with DCLM's limits.

    Takes out lines of capitals, of digits, of counters such as `12 likes`, and of one word, and three phrases out of
    short lines. A document that loses more than `max_removed` of its words this way was mostly such lines: dropped.
    """

    reasons: ClassVar[tuple[str, ...]] = ("too_much_removed", "nothing_left")

    max_uppercase: Share = Field(0.5, description="largest share of a line's characters that are capitals")
    max_digits: Share = Field(
        0.999999, description="largest share of a line's characters, blanks aside, that are digits"
    )
    counters: bool = Field(True, description="take out lines such as `12 likes` or `1.5K followers`")
    min_words: Count = Field(2, description="fewest words of a line")
    phrases: bool = Field(
        True, description="take `items in cart`, `Read more...` at the end and `Sign-in` at the start out"
    )
    phrase_words: Count = Field(10, description="most words of a line in which phrases are looked for")
    max_removed: Share = Field(0.05, description="largest share of the words that may be removed")

    def rewrite(self, text: str, lang: str | None) -> tuple[str, Reason | None]:
        """Blank lines stay, one between two others."""
        kept: list[str] = []
        before = after = 0
        for raw in text.splitlines():
            line = raw.strip()
            n_words = len(words(line, lang))
            before += n_words
            cleaned = self._cleaned(line, n_words) if line else line
            if cleaned is not None:
                kept.append(cleaned)
                after += n_words if cleaned == line else len(words(cleaned, lang))
        left = _BLANK_LINES.sub("\n\n", "\n".join(kept)).strip()
        removed = (before - after) / before if before else 0.0
        if removed > self.max_removed:
            return left, Reason("too_much_removed", removed, self.max_removed)
        return left, None if left else Reason("nothing_left")

    def _cleaned(self, line: str, n_words: int) -> str | None:
        """The line without phrases; None where it goes."""
        if n_words < self.min_words or (self.counters and _COUNTER.match(line)):
            return None
        if line != line.lower() and sum(map(str.isupper, line)) > self.max_uppercase * len(line):
            return None
        if _DIGIT.search(line) and sum(map(str.isdigit, line)) > self.max_digits * len("".join(line.split())):
            return None
        if self.phrases and n_words <= self.phrase_words and _PHRASES.search(line):
            return _PHRASES.sub("", line).strip() or None
        return line


class DropLines(LineRules):
    """Takes out lines of nothing but given symbols, and lines that contain one of given phrases (case ignored)."""

    reasons: ClassVar[tuple[str, ...]] = ("nothing_left",)
    example: ClassVar[Mapping[str, Any]] = {"symbols": "|"}

    symbols: str = Field("", description="a line of these symbols and blanks alone goes, as FineWeb-2 has it for |")
    containing: tuple[str, ...] = Field((), description="a line that contains one of these goes")

    @model_validator(mode="after")
    def _drops_something(self) -> Self:
        if not self.symbols.strip() and not any(self.containing):
            raise ValueError("give `symbols`, `containing` or both")
        return self

    def rewrite(self, text: str, lang: str | None) -> tuple[str, Reason | None]:
        """Blank lines stay."""
        phrases = tuple(phrase.lower() for phrase in self.containing if phrase)
        kept = [line for line in text.splitlines() if not self._goes(line, phrases)]
        left = "\n".join(kept).strip()
        return left, None if left else Reason("nothing_left")

    def _goes(self, line: str, phrases: tuple[str, ...]) -> bool:
        bare = "".join(line.split())
        if bare and not bare.strip(self.symbols):
            return True
        lower = line.lower()
        return any(phrase in lower for phrase in phrases)


_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_TELLING = ("lorem ipsum", "javascript", "{", "[", *_POLICIES)
"""A text without any of these has no line that a rule on phrases takes out; a citation may stand inside of a phrase."""
_COUNTER = re.compile(
    r"\W*\d[\d,.]*[KkMmBb]?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads"
    r"|views|followers)"
)
_PHRASES = re.compile(r"^Sign-in|items in cart|Read more\.\.\.$")
_DIGIT = re.compile(r"\d")
_BLANK_LINES = re.compile(r"\n{3,}")


def _longest_word(line: str, lang: str | None, limit: int) -> int:
    """Characters of the longest run without white space, or of the longest word in scripts without spaces."""
    if len(line) <= limit:
        return 0
    return max(map(len, words(line, lang) if is_unspaced(line) else line.split()), default=0)
