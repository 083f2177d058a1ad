"""Questions planted in memory, as they are and as they are found in the wild: how many come to light, and false alarms.

Variants: word by word; other case and marks; one word in twelve replaced (a character in 24 of scripts compared by
characters); a template around (numbering, choices, an answer line) with other line breaks. Texts that should raise no
alarm hold the words of the questions in another order: the same vocabulary, and no question. Recall is of all
questions, those too short to be found included.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from pipeline.backends.benchmarks import Item
from pipeline.core.manifest import Trial
from pipeline.filters.questions import Index
from pipeline.kernels.grams import CHARACTER, spelled

PLANTED = 100
"""Questions of each benchmark that are planted in each way."""

_AROUND = (
    "The committee met on a rainy morning to look over the minutes of the last session. ",
    " After that the discussion turned to the bridge, which had been closed since the flood in March.",
)
_AROUND_CHARACTERS = (
    "委员会在一个下雨的早晨开会，审阅上次会议的记录。",
    "随后大家讨论了三月洪水以来一直关闭的那座桥。",
)
_OTHER_WORDS = ("quietly", "harbour", "seven", "lantern", "willow", "marble", "between", "copper", "autumn")
_OTHER_CHARACTERS = "山河灯柳铜秋远石海静"


def trials(index: Index, benchmarks: list[tuple[str, str | None, list[Item]]]) -> tuple[Trial, ...]:
    """By benchmark and variant."""
    results = []
    for number, (name, lang, listed) in enumerate(benchmarks):
        chosen = random.Random(name).sample(range(len(listed)), min(PLANTED, len(listed)))
        questions = [listed[item].question for item in chosen]
        draw = random.Random(f"{name}/order")
        shuffled = [around(in_another_order(question, draw)) for question in questions]
        alarms = len({row for row, _, _ in _found(index, shuffled)})
        for variant, change in VARIANTS.items():
            draw = random.Random(f"{name}/{variant}")
            planted = [around(change(question, draw)) for question in questions]
            hits = {(row, item) for row, benchmark, item in _found(index, planted) if benchmark == number}
            n_found = sum((row, item) in hits for row, item in enumerate(chosen))
            results.append(
                Trial(
                    kind=f"{name}, {variant}",
                    lang=lang,
                    planted=len(chosen),
                    found=n_found,
                    clean=len(shuffled),
                    false_alarms=alarms,
                )
            )
    return tuple(results)


def around(text: str) -> str:
    """The text between two sentences that have nothing to do with it."""
    before, behind = _AROUND_CHARACTERS if _is_compared_by_characters(text) else _AROUND
    return f"{before}{text}{behind}"


def _found(index: Index, texts: list[str]) -> list[tuple[int, int, int]]:
    met = index.look(pa.array(texts, pa.large_string()))
    parts = [(match.row, index.parts[match.part]) for match in index.matches(met, index.hashes[:0])]
    return [(row, part.benchmark, part.item) for row, part in parts]


def _is_compared_by_characters(text: str) -> bool:
    words = spelled(text)
    return sum(units == CHARACTER for _, units in words) > len(words) / 2


def _as_it_is(text: str, draw: random.Random) -> str:
    return text


def _case_and_marks(text: str, draw: random.Random) -> str:
    changed = text.upper() if draw.random() < 0.5 else text.lower()
    marks = {",": ";", ".": " -", "?": " ?!", "'": "’", '"': "“", "，": "、", "。": "！", "？": "?", "：": " "}
    return "".join(marks.get(character, character) for character in changed)


def _one_in_twelve(text: str, draw: random.Random) -> str:
    if _is_compared_by_characters(text):
        return _replaced(text, r"\w", 24, _OTHER_CHARACTERS, draw)
    return _replaced(text, r"\w+", 12, _OTHER_WORDS, draw)


def _replaced(text: str, unit: str, one_in: int, others: Sequence[str], draw: random.Random) -> str:
    """One of every so many units, at a place drawn for each stretch."""
    places = [match.span() for match in re.finditer(unit, text)]
    chosen = [draw.randrange(start, min(start + one_in, len(places))) for start in range(0, len(places), one_in)]
    pieces, at = [], 0
    for start, stop in (places[number] for number in chosen):
        pieces += [text[at:start], draw.choice(others)]
        at = stop
    return "".join([*pieces, text[at:]])


def _in_a_template(text: str, draw: random.Random) -> str:
    body = "\n".join(text.split(" ")) if draw.random() < 0.2 else text
    if _is_compared_by_characters(text):
        return f"\n\n{draw.randrange(1, 99)}、【题目】{body}\n【答案】{draw.choice('ABCD')}\n【解析】略\n\n"
    return f"\n\nQ{draw.randrange(1, 99)}) {body}\nAnswer: {draw.choice('ABCD')}\nExplanation: see below.\n\n"


def in_another_order(text: str, draw: random.Random) -> str:
    """The words of a question without their order."""
    by_character = _is_compared_by_characters(text)
    words = [word for word, _ in spelled(text)]
    draw.shuffle(words)
    return ("" if by_character else " ").join(words)


VARIANTS: Mapping[str, Callable[[str, random.Random], str]] = {
    "word by word": _as_it_is,
    "case and marks": _case_and_marks,
    "one word in twelve": _one_in_twelve,
    "in a template": _in_a_template,
}
