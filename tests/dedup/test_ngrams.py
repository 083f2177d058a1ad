from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup.ngrams import Ngrams
from pipeline.kernels.units import unit_ends
from tests import samples
from tests.dedup.building import Row, cut, document, edited, judged

TOKEN = re.compile(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+|[^\w\s]")
NOTICE = "This page may be copied by anyone who says where it is from, and who does so with care."


def test_a_line_that_was_mostly_seen_is_cut_and_the_first_one_stays(tmp_path: Path) -> None:
    own = "Flour comes from the mill at the end of the valley, where the river turns to the south again."
    rows = [
        document("b", f"{own.upper()}\n{NOTICE}\nshort", source="second"),
        document("a", f"{own}\n{NOTICE.replace('with care', 'now')}\n", source="second"),
        document("z", f"{samples.ENGLISH}\n{NOTICE}\nshort"),
    ]
    found = edited(Ngrams(length=5), [rows[:1], rows[1:]], tmp_path)
    assert found == {"b": f"{own.upper()}\nshort", "a": own, "z": rows[2]["text"]}
    assert edited(Ngrams(length=5, threshold=1.0), [rows], tmp_path)["b"] == rows[0]["text"]
    assert edited(Ngrams(length=30), [rows], tmp_path) == {row["id"]: row["text"] for row in rows}


def test_a_document_never_meets_itself(tmp_path: Path) -> None:
    """Where n-grams are remembered before they are looked for, as in DCLM's `naive-both`, nearly all text goes."""
    rows = [document("a", samples.ENGLISH), document("b", samples.GERMAN), document("c", "buy now " * 60)]
    assert edited(Ngrams(), [rows], tmp_path) == {row["id"]: row["text"] for row in rows}


def test_a_document_that_was_mostly_seen_goes_with_the_numbers(tmp_path: Path) -> None:
    rows = [document("a", samples.ENGLISH), document("b", f"{samples.ENGLISH}\n{NOTICE}")]
    said = {}
    for row, verdict, place in judged(Ngrams(remove="documents"), [rows], tmp_path, lists="places-"):
        said[row["id"]] = [getattr(verdict, name)[place].as_py() for name in ("reason", "value", "limit", "detail")]
    assert said["a"] == [None] * 4
    reason, value, limit, detail = said["b"]
    assert (reason, limit) == ("mostly_repeated", 0.8) and 0.8 < value < 1
    assert re.fullmatch(r"\d+ of \d+ runs of 13 tokens stand elsewhere", detail)
    assert edited(Ngrams(remove="units"), [rows], tmp_path)["b"] == NOTICE
    assert edited(Ngrams(), [rows], tmp_path)["b"] is None


def test_chinese_is_compared_by_characters(tmp_path: Path) -> None:
    rows = [document("a", samples.CHINESE), document("b", samples.CHINESE[:60] + "\n老人说他很高兴。")]
    assert edited(Ngrams(remove="units"), [rows], tmp_path)["b"] == "老人说他很高兴。"


def expected(stage: Ngrams, rows: list[Row]) -> dict[object, str | None]:
    """The definition, by a set of all n-grams of earlier units."""
    order = {"first": 0, "second": 1}
    earlier: set[tuple[str, ...]] = set()
    left: dict[object, str | None] = {}
    for row in sorted(rows, key=lambda row: (order[str(row["source"])], str(row["id"]))):
        text, kept, seen, total = str(row["text"]), "", 0, 0
        for start, end in pairwise([0, *unit_ends(text, stage.level)]):
            tokens = TOKEN.findall(text[start:end])
            ngrams = [tuple(tokens[at : at + stage.length]) for at in range(len(tokens) - stage.length + 1)]
            here = sum(ngram in earlier for ngram in ngrams)
            kept += "" if here > stage.threshold * len(ngrams) else text[start:end]
            seen, total = seen + here, total + len(ngrams)
            earlier.update(ngrams)
        if stage.remove != "units" and seen > stage.threshold * total:
            left[row["id"]] = None
        elif stage.remove == "documents" or kept == text:
            left[row["id"]] = text
        else:
            left[row["id"]] = kept.strip() or None
    return left


WORDS = ("mill", "the", "of", "grain", "Sack", "12", "，", "磨", "坊", "—", "ü")


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    ends=st.lists(st.integers(0, 99), max_size=3),
    partitions=st.integers(1, 5),
    length=st.integers(2, 4),
    threshold=st.sampled_from([0.0, 0.3, 0.5, 0.8]),
    remove=st.sampled_from(["both", "units", "documents"]),
    bloom=st.sampled_from([None, 1024]),
)
def test_it_is_the_definition_however_it_is_computed(
    tmp_path_factory: pytest.TempPathFactory, seed, ends, partitions, length, threshold, remove, bloom
) -> None:
    chance = random.Random(seed)
    lines = [" ".join(chance.choices(WORDS, k=chance.randrange(8))) for _ in range(8)]
    rows = []
    for i in range(8):
        listed = [chance.choice(lines) + chance.choice(["", " grain the", " 12 mill of"]) for _ in range(3)]
        rows.append(document(f"{i}", "\n".join(listed), source=chance.choice(["first", "second"])))
    stage = Ngrams(length=length, threshold=threshold, remove=remove, bloom_bytes=bloom)
    wanted = expected(stage, rows)
    chance.shuffle(rows)
    left = edited(stage, cut(rows, ends), tmp_path_factory.mktemp("ngrams"), partitions=partitions, batch_rows=2)
    bare = {id: text and re.sub(r"\s", "", text) for id, text in left.items()}
    assert bare == {id: text and re.sub(r"\s", "", text) for id, text in wanted.items()}
