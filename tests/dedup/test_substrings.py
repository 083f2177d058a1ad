from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup.substrings import Substrings
from tests.dedup.building import Row, cut, document, edited

TOKEN = re.compile(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+|[^\w\s]")


def test_a_span_is_cut_wherever_it_begins_and_the_first_one_stays(tmp_path: Path) -> None:
    span = "the miller still keeps a book in which every sack is written"
    rows = [
        document("b", f"They say {span} down, with the date.", source="second"),
        document("a", f"In our valley {span} and counted.", source="first"),
        document("c", "The miller still keeps a book in which every sack is written.", source="second"),
    ]
    left = edited(Substrings(length=10), [rows[:1], rows[1:]], tmp_path)
    assert left == {"a": rows[1]["text"], "b": "They say down, with the date.", "c": "The ."}
    assert edited(Substrings(length=13), [rows], tmp_path) == {row["id"]: row["text"] for row in rows}


def test_chinese_is_compared_by_characters(tmp_path: Path) -> None:
    rows = [document("a", "这座磨坊在山谷的尽头，河流转向南方。"), document("b", "老人说磨坊在山谷的尽头，他很高兴。")]
    assert edited(Substrings(length=8), [rows], tmp_path)["b"] == "老人说他很高兴。"


def test_of_what_repeats_itself_the_first_period_stays(tmp_path: Path) -> None:
    rows = [document("a", "buy now " * 50)]
    assert edited(Substrings(length=10), [rows], tmp_path) == {"a": "buy now"}


def test_documents_may_be_dropped_instead(tmp_path: Path) -> None:
    span = " ".join(str(i) for i in range(20))
    rows = [document("a", span), document("b", f"{span} and something else"), document("c", "something else")]
    left = edited(Substrings(length=10, min_share=1.0), [rows], tmp_path)
    assert left == {"a": span, "b": None, "c": "something else"}


def symbols(stage: Substrings, text: str) -> list[tuple[str, int]]:
    if stage.unit == "character":
        return [(character, at) for at, character in enumerate(text)]
    return [(match.group(), match.start()) for match in TOKEN.finditer(text)]


def expected(stage: Substrings, rows: list[Row]) -> dict[object, str | None]:
    """The definition, by a set of all windows: quadratic in nothing, but with the text in memory `length` times."""
    order = {"first": 0, "second": 1}
    seen: set[tuple[str, ...]] = set()
    left: dict[object, str | None] = {}
    for row in sorted(rows, key=lambda row: (order[str(row["source"])], str(row["id"]))):
        text = str(row["text"])
        mine = symbols(stage, text)
        gone: set[int] = set()
        for at in range(len(mine) - stage.length + 1):
            window = tuple(symbol for symbol, _ in mine[at : at + stage.length])
            if window in seen:
                gone.update(range(at, at + stage.length))
            seen.add(window)
        ends = [*(start for _, start in mine), len(text)][1:]
        kept = text[: mine[0][1]] if mine else text
        kept += "".join(text[start:end] for at, ((_, start), end) in enumerate(zip(mine, ends, strict=True))
                        if at not in gone)  # fmt: skip
        left[row["id"]] = (kept.rstrip() or None) if gone else text
    return left


WORDS = ("mill", "the", "of", "grain", "Sack", "12", "，", "磨", "坊", "在", "山", "\n", "—", "ü")


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    ends=st.lists(st.integers(0, 99), max_size=3),
    partitions=st.integers(1, 5),
    length=st.integers(4, 12),
    unit=st.sampled_from(["word", "character"]),
    bloom=st.sampled_from([None, 1024]),
)
def test_it_is_the_definition_however_it_is_computed(
    tmp_path_factory: pytest.TempPathFactory, seed, ends, partitions, length, unit, bloom
) -> None:
    chance = random.Random(seed)
    shared = [" ".join(chance.choices(WORDS, k=30)) for _ in range(3)]
    rows = []
    for i in range(8):
        text = " ".join(chance.choices(WORDS, k=chance.randrange(12)))
        for _ in range(chance.randrange(3)):
            start = chance.randrange(40)
            text += " " + chance.choice(shared)[start : start + chance.randrange(50)] + chance.choice(["", " grain "])
        rows.append(document(f"{i}", text, source=chance.choice(["first", "second"])))
    stage = Substrings(length=length, unit=unit, bloom_bytes=bloom)
    wanted = expected(stage, rows)
    chance.shuffle(rows)
    folder = tmp_path_factory.mktemp("substrings")
    assert edited(stage, cut(rows, ends), folder, partitions=partitions, batch_rows=2) == wanted
