"""Where in a text a rule fired: the lines said again, the n-grams, the signs. Nothing for a rule that names no place.

Words and lines are those of `kernels.textstats_twin`, the specification that the rules are counted by.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from pipeline.core.text import folded, stop_words
from pipeline.kernels.columns import SHORT_LINE
from pipeline.kernels.textstats_twin import places

Span = tuple[int, int]
MOST = 400
"""Places that are marked in one text."""


def marks(reason: str, text: str, lang: str | None) -> list[Span]:
    """The places of a reason in a text, in characters, ascending and apart; of a text that was cut, those in it."""
    for pattern, find in _FINDERS:
        if found := re.fullmatch(pattern, reason):
            numbers = [int(number) for number in found.groups()]
            return list(_apart(find(text, lang, *numbers)))[:MOST]
    return []


def _matches(pattern: str) -> Callable[[str, str | None], Iterator[Span]]:
    compiled = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    return lambda text, lang: (found.span() for found in compiled.finditer(text))


def _again(unit: str) -> Callable[[str, str | None], Iterator[Span]]:
    """Lines or paragraphs that occurred before."""
    pattern = re.compile(unit)

    def find(text: str, lang: str | None) -> Iterator[Span]:
        seen: set[str] = set()
        for found in pattern.finditer(text):
            if found.group() in seen:
                yield found.span()
            seen.add(found.group())

    return find


def _top(text: str, lang: str | None, n: int) -> Iterator[Span]:
    """Every occurrence of the most frequent n-gram."""
    tokens, words = _words(text, lang)
    grams = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
    if grams:
        [(top, _)] = Counter(grams).most_common(1)
        yield from ((tokens[at][0], tokens[at + n - 1][1]) for at, gram in enumerate(grams) if gram == top)


def _repeated(text: str, lang: str | None, n: int) -> Iterator[Span]:
    """n-grams that occurred before, each skipped as a whole."""
    tokens, words = _words(text, lang)
    seen: set[tuple[str, ...]] = set()
    at = 0
    while at + n <= len(words):
        gram = tuple(words[at : at + n])
        if gram in seen:
            yield tokens[at][0], tokens[at + n - 1][1]
        at += n if gram in seen else 1
        seen.add(gram)


def _unlettered(text: str, lang: str | None) -> Iterator[Span]:
    return ((s, e) for s, e in places(text, lang) if not any(map(str.isalpha, text[s:e])))


def _stop_words(text: str, lang: str | None) -> Iterator[Span]:
    listed = stop_words(lang)
    return ((s, e) for s, e in places(text, lang) if folded(text[s:e]) in listed)


def _long_words(text: str, lang: str | None) -> Iterator[Span]:
    return ((s, e) for s, e in places(text, lang) if e - s > 10)


def _words(text: str, lang: str | None) -> tuple[Sequence[Span], list[str]]:
    tokens = places(text, lang)
    return tokens, [text[start:end] for start, end in tokens]


def _apart(spans: Iterable[Span]) -> Iterator[Span]:
    """The same characters as spans that do not touch."""
    held: Span | None = None
    for start, stop in sorted(spans):
        if held and start <= held[1]:
            held = (held[0], max(held[1], stop))
            continue
        if held:
            yield held
        held = (start, stop)
    if held:
        yield held


_FINDERS: tuple[tuple[str, Callable[..., Iterator[Span]]], ...] = (
    (r"repeated_line(?:s|_characters)", _again(r"[^\n]*[^\s][^\n]*")),
    (r"repeated_paragraph(?:s|_characters)", _again(r"(?:[^\n]+\n?)+")),
    (r"frequent_(\d+)_gram", _top),
    (r"repeated_(\d+)_grams", _repeated),
    ("too_many_hash_signs", _matches("#+")),
    ("too_many_ellipses", _matches(r"\.{3,}|…+|。{3,}")),
    ("too_many_ellipsis_lines", _matches(r"[^\n]*(?:\.{3}|…|。。。)[ \t]*$")),
    ("too_many_bullet_lines", _matches(r"^[ \t]*(?:[-–—] |[•●○■□▪▫‣⁃◦*·])[^\n]*")),
    ("too_many_short_lines", _matches(rf"^(?=[^\n]*\S)[^\n]{{1,{SHORT_LINE}}}$")),
    ("(?:filler_text|lorem_ipsum)", _matches("lorem ipsum")),
    ("curly_brackets?", _matches("[{}]")),
    ("too_many_brackets", _matches("[【】]")),
    ("too_many_digit_words", _matches(r"\b\d+\b")),
    ("too_many_read_more_lines", _matches(r"(?:read ?more|展开|更多|。。。)[ \t]*$")),
    ("too_few_alphabetic_words", _unlettered),
    ("too_few_stop_words", _stop_words),
    ("mean_word_too_long", _long_words),
    (r"(?:listed_words|too_much_personal_data)", _matches(r"<[A-Z_]{2,12}>")),
)
