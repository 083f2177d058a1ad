from __future__ import annotations

import random
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup.paragraphs import Paragraphs
from pipeline.kernels.units import unit_ends
from tests.dedup.building import Row, cut, document, edited, judged

EVERY = {"min_length": 1, "min_documents": 1}


def test_a_line_that_stands_elsewhere_is_cut_and_the_first_one_stays(tmp_path: Path) -> None:
    notice = "All rights to this page are reserved."
    rows = [
        document("b", f"Bread is baked at night.\n\n{notice}\nThe end", source="second"),
        document("a", f"Flour comes from the mill.\n{notice.upper()}!\n", source="second"),
        document("z", f"{notice}\nThe river turns to the south."),
    ]
    assert edited(Paragraphs(), [rows[:1], rows[1:]], tmp_path) == {
        "b": "Bread is baked at night.\n\nThe end",
        "a": "Flour comes from the mill.",
        "z": rows[2]["text"],
    }


def test_short_lines_and_repeats_within_one_document_are_spared(tmp_path: Path) -> None:
    verse = "The mill goes round, the mill goes round,\nAll day,\n" * 2
    rows = [document("a", verse), document("b", "All day,\nsomething else")]
    assert edited(Paragraphs(), [rows], tmp_path) == {"a": rows[0]["text"], "b": rows[1]["text"]}
    assert edited(Paragraphs(min_documents=1), [rows], tmp_path)["a"] == verse.split("\n")[0] + "\nAll day," * 2
    assert edited(Paragraphs(**EVERY), [rows], tmp_path)["b"] == "something else"


def test_what_counts_as_equal(tmp_path: Path) -> None:
    rows = [
        document("a", "Café No. 12 — open!\nfirst"),
        document("b", "  CAFE no 37 open\nsecond"),
        document("c", "café no. 12 — open!\t\nthird"),
        document("d", "Café No. 12 — open!\nfourth"),
    ]
    left = {
        compare: {id for id, text in edited(Paragraphs(compare=compare, **EVERY), [rows], tmp_path).items()
                  if text != next(row["text"] for row in rows if row["id"] == id)}
        for compare in ("loose", "lower", "exact")
    }  # fmt: skip
    assert left == {"loose": {"b", "c", "d"}, "lower": {"c", "d"}, "exact": {"d"}}


def test_three_sentences_in_a_row(tmp_path: Path) -> None:
    stage = Paragraphs(level="sentence", span=3, compare="lower")
    story = "The miller rose early. He opened the sluice. The wheel began to turn."
    rows = [
        document("a", f"It was spring. {story} Then it rained."),
        document("b", f"Years passed. {story} He was old. The wheel began to turn."),
        document("c", "The miller rose early. He opened the sluice. The wheel stood still."),
        document("d", "磨坊主很早就起床了。他打开了水闸门。水车开始转动起来了。秋天过去了。"),
        document("e", "冬天来了。磨坊主很早就起床了。他打开了水闸门。水车开始转动起来了。他很高兴。"),
    ]
    left = edited(stage, [rows], tmp_path)
    assert left["b"] == "Years passed. He was old. The wheel began to turn."
    assert left["e"] == "冬天来了。他很高兴。"
    assert [id for id in left if left[id] != next(row["text"] for row in rows if row["id"] == id)] == ["b", "e"]


def test_a_document_of_which_too_little_is_left_is_dropped_with_the_numbers(tmp_path: Path) -> None:
    rows = [document("a", "x" * 60 + "\n" + "y" * 39), document("b", "x" * 60 + "\n" + "z" * 39)]
    rows.append(document("c", "x" * 60))
    assert edited(Paragraphs(min_share=0.39), [rows], tmp_path) == {"a": rows[0]["text"], "b": "z" * 39, "c": None}
    said = {}
    for row, verdict, place in judged(Paragraphs(min_share=0.4, min_left=5), [rows], tmp_path, lists="places-"):
        said[row["id"]] = [getattr(verdict, name)[place].as_py() for name in ("reason", "value", "limit", "detail")]
    assert said["a"] == [None] * 4
    assert said["b"] == ["too_little_left", 0.39, 0.4, "61 of 100 characters were repeated"]
    assert said["c"] == ["too_little_left", 0.0, 5.0, "60 of 60 characters were repeated"]


def test_a_bloom_filter_changes_neither_outcome_nor_identity(tmp_path: Path) -> None:
    rows = corpus(random.Random(4), 60)
    stage, filtered = Paragraphs(**EVERY), Paragraphs(**EVERY, bloom_bytes=1024)
    assert stage.fields() == filtered.fields()
    assert edited(filtered, cut(rows, [20, 41]), tmp_path) == edited(stage, [rows], tmp_path)


def test_documents_without_text_stay(tmp_path: Path) -> None:
    rows = [document(str(i), text) for i, text in enumerate(["", None, " \n\n", "...", "...", "\n"])]
    assert edited(Paragraphs(**EVERY), [rows], tmp_path) == {row["id"]: row["text"] for row in rows}


LINES = (
    "The mill stands at the end of the valley.", "the mill stands at the end of the valley", "- one", "", "  ", "---",
    "In 1850 the wheel was new.", "In 1923 the wheel was new!", "这座磨坊在山谷的尽头。", "这座磨坊，在山谷的尽头",
    "他打开了水闸。水车转动了。", "चक्की घाटी में है।", "Straße", "STRASSE", "Ünïcödé", "unicode", "I. He said: “no.” Yes.",
)  # fmt: skip


def corpus(chance: random.Random, n: int) -> list[Row]:
    texts = ["\n".join(chance.choices(LINES, k=chance.randrange(7))) for _ in range(n)]
    return [
        document(f"{chance.randrange(n)}", text, source=chance.choice(["first", "second", "?"]), offset=i)
        for i, text in enumerate(texts)
    ]


def expected(stage: Paragraphs, rows: list[Row]) -> dict[object, str | None]:
    """The definition, by sets of strings: who holds which spans, in order of precedence."""
    order = {"first": 0, "second": 1}
    ranked = sorted(rows, key=lambda row: (order.get(str(row["source"]), 2), str(row["id"])))
    units = {row["id"]: [str(row["text"])[a:b] for a, b in pairwise([0, *unit_ends(str(row["text"]), stage.level)])]
             for row in rows}  # fmt: skip
    holders: dict[tuple[str, ...], set[object]] = {}
    for row in ranked:
        for span in spans(stage, units[row["id"]]):
            holders.setdefault(span, set()).add(row["id"])
    seen: set[tuple[str, ...]] = set()
    left: dict[object, str | None] = {}
    for row in ranked:
        mine, gone = units[row["id"]], set()
        for at, span in enumerate(spans(stage, mine)):
            if sum(map(len, span)) < stage.min_length:
                continue
            if span in seen and len(holders[span]) >= stage.min_documents:
                gone.update(range(at, at + stage.span))
            seen.add(span)
        text = re.sub(r"\s", "", "".join(unit for at, unit in enumerate(mine) if at not in gone))
        left[row["id"]] = (text or None) if gone else re.sub(r"\s", "", str(row["text"]))
    return left


def spans(stage: Paragraphs, units: list[str]) -> list[tuple[str, ...]]:
    forms = [loose(unit) if stage.compare == "loose" else unit.strip().lower() for unit in units]
    return [tuple(forms[at : at + stage.span]) for at in range(len(forms) - stage.span + 1)]


def loose(unit: str) -> str:
    kept = []
    for character in unit.lower():
        parts = [part for part in unicodedata.normalize("NFD", character) if unicodedata.combining(part) < 200]
        kept += ["0" if part.isdigit() else part for part in parts if unicodedata.category(part)[0] not in "PZC"]
    return "".join(kept)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    ends=st.lists(st.integers(0, 99), max_size=3),
    partitions=st.integers(1, 5),
    span=st.integers(1, 3),
    level=st.sampled_from(["line", "sentence", "paragraph"]),
    compare=st.sampled_from(["loose", "lower"]),
    least=st.sampled_from([(1, 1), (8, 2), (20, 3)]),
    bloom=st.sampled_from([None, 1024]),
)
def test_it_is_the_definition_however_it_is_computed(
    tmp_path_factory: pytest.TempPathFactory, seed, ends, partitions, span, level, compare, least, bloom
) -> None:
    chance = random.Random(seed)
    rows = list({row["id"]: row for row in corpus(chance, 12)}.values())
    fields = {"span": span, "level": level, "compare": compare, "min_length": least[0], "min_documents": least[1]}
    stage = Paragraphs(**fields, bloom_bytes=bloom)
    wanted = expected(stage, rows)
    chance.shuffle(rows)
    folder = tmp_path_factory.mktemp("paragraphs")
    left = edited(stage, cut(rows, ends), folder, partitions=partitions, batch_rows=2)
    assert {id: text if text is None else re.sub(r"\s", "", text) for id, text in left.items()} == wanted
