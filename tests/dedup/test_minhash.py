from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.schema import documents
from pipeline.core.stage import Decision
from pipeline.dedup import minhash
from pipeline.dedup.minhash import Minhash
from pipeline.kernels.minhash import Shape, tokens
from pipeline.run.executors import Processes
from tests import samples
from tests.dedup.building import Row, cut, decided, document, dropped

SURE = {"bands": 120, "rows": 2}
"""Bands with which a pair of Jaccard similarity 0.5 is missed once in 10^15."""


def shingle_set(text: str, width: int) -> set[tuple[str, ...]]:
    found = [token for _, _, token in tokens(text)]
    return {tuple(found[i : i + width]) for i in range(max(len(found) - width + 1, 1))} if found else set()


def similarity(a: str, b: str, width: int) -> float:
    first, second = shingle_set(a, width), shingle_set(b, width)
    return len(first & second) / len(first | second) if first | second else 0.0


def kept_instead(rows: list[Row], threshold: float, width: int) -> dict[object, object]:
    """By brute force: for each document that goes, the one that stays of its cluster."""
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["source"], rows[i]["id"]))
    ranked = [rows[i] for i in order]
    keeper = list(range(len(ranked)))
    pairs = [
        (a, b)
        for a, b in combinations(range(len(ranked)), 2)
        if similarity(str(ranked[a]["text"]), str(ranked[b]["text"]), width) >= threshold
    ]
    for _ in ranked:
        for a, b in pairs:
            keeper[a] = keeper[b] = min(keeper[a], keeper[b])
    return {ranked[i]["id"]: ranked[k]["id"] for i, k in enumerate(keeper) if i != k}


def planted(text: str, words: Callable[[str], list[str]], glue: str, seed: int) -> list[Row]:
    """Originals made of the words of a text, and copies with more and more of them replaced."""
    chance = random.Random(seed)
    vocabulary = words(text)
    rows = []
    for original in range(6):
        base = chance.choices(vocabulary, k=120)
        for copy, edits in enumerate((0, 0, 1, 2, 4, 8, 16)):
            edited = list(base)
            for place in chance.sample(range(len(base)), edits):
                edited[place] = chance.choice(vocabulary)
            source = "second" if copy % 2 else "first"
            rows.append(document(f"{copy}-{original}", glue.join(edited), source=source))
    chance.shuffle(rows)
    return rows


LANGUAGES = {
    "en": (samples.ENGLISH, str.split, " "),
    "zh": (samples.CHINESE, list, ""),
    "de": (samples.GERMAN, str.split, " "),
    "th": (samples.THAI, list, ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("threshold", [0.6, 0.8])
def test_clusters_are_those_of_brute_force(lang: str, threshold: float, tmp_path: Path) -> None:
    rows = planted(*LANGUAGES[lang], seed=7)
    stage = Minhash(shingle=3, threshold=threshold, **SURE)
    found = dropped(stage, [rows[:20], [], rows[20:]], tmp_path)
    expected = kept_instead(rows, threshold, 3)
    assert len(expected) > 15
    assert {id: drop.twin for id, drop in found.items()} == expected
    text = {row["id"]: str(row["text"]) for row in rows}
    for id, drop in found.items():
        assert drop.reason == "near_duplicate" and drop.limit == threshold
        assert drop.value == similarity(text[id], text[drop.twin], 3)


@pytest.mark.slow
def test_unverified_candidates_connect_and_the_value_is_an_estimate(tmp_path: Path) -> None:
    rows = planted(*LANGUAGES["en"], seed=3)
    text = {row["id"]: str(row["text"]) for row in rows}
    found = dropped(Minhash(verify=False, bands=20, rows=6, shingle=3), [rows], tmp_path)
    assert {id for id, twin in kept_instead(rows, 0.9, 3).items()} <= set(found)
    errors = [drop.value - similarity(text[id], text[drop.twin], 3) for id, drop in found.items()]
    assert np.abs(errors).mean() < 0.05 and np.abs(errors).max() < 0.2
    assert {drop.limit for drop in found.values()} == {None}


def test_documents_without_a_word_are_never_duplicates_and_short_ones_are(tmp_path: Path) -> None:
    rows = [document(str(i), text) for i, text in enumerate(["", "", None, "…", "…", "Hi there", "hi, THERE!", "hi"])]
    assert set(dropped(Minhash(), [rows], tmp_path)) == {"6"}
    assert dropped(Minhash(), [rows[:5]], tmp_path) == {}


def test_a_declared_language_does_not_part_copies(tmp_path: Path) -> None:
    rows = [document(str(i), samples.CHINESE, lang=lang) for i, lang in enumerate(["zh", "ja", None, "en"])]
    assert set(dropped(Minhash(), [rows], tmp_path)) == {"1", "2", "3"}


def test_a_group_larger_than_is_compared_in_full_still_falls_to_one(tmp_path: Path) -> None:
    rows = [document(f"{i:03d}", samples.ENGLISH + f" {i}") for i in range(3 * minhash.COMPARED)]
    found = dropped(Minhash(), cut(rows, [10, 50]), tmp_path, batch_rows=40)
    assert set(found) == {row["id"] for row in rows[1:]}
    assert {drop.twin for drop in found.values()} == {"000"}


def test_a_chain_is_one_cluster_and_the_value_says_how_far_its_end_is(tmp_path: Path) -> None:
    words = [f"w{i}" for i in range(60)]
    rows = [document(f"{start:02d}", " ".join(words[start : start + 40])) for start in range(0, 20, 4)]
    found = dropped(Minhash(shingle=1, threshold=0.8, **SURE), [rows], tmp_path)
    assert set(found) == {"04", "08", "12", "16"}
    assert found["04"].value >= 0.8 > found["16"].value == 24 / 56


def near_copies(*columns: dict[str, object]) -> list[Row]:
    """Documents that are near-duplicates of one another, with these columns; and one that is not."""
    rows = [document(f"{i}", f"{samples.ENGLISH} {'more ' * i}", **one) for i, one in enumerate(columns)]
    return [*rows, document("other", samples.GERMAN)]


@pytest.mark.parametrize(
    ("keep", "column", "expected"),
    [("source_order", None, "1"), ("longest", None, "3"), ("newest", None, "2"), ("highest", "quality", "0")],
)
def test_who_is_kept(keep: str, column: str | None, expected: str, tmp_path: Path) -> None:
    rows = near_copies(
        {"source": "second", "date": None, "quality": 0.9},
        {"source": "first", "date": "2024-05", "quality": 0.1},
        {"source": "second", "date": "2024-05-01T10:30:00Z", "quality": 0.5},
        {"source": "second", "date": "2023-12-31", "quality": None},
    )
    stage = Minhash(keep=keep, column=column)
    extra = {"quality": pa.float64()}
    found = dropped(stage, [rows[:2], rows[2:]], tmp_path, extra=extra)
    assert set(found) == {"0", "1", "2", "3"} - {expected}
    assert {drop.twin for drop in found.values()} == {expected}


def test_ties_go_by_source_order_and_id(tmp_path: Path) -> None:
    same = {"source": "second", "date": "2024-05-01"}
    rows = near_copies(same, same, {**same, "source": "first"}, {**same, "date": "2024-05-01T00:00:00"})
    assert {drop.twin for drop in dropped(Minhash(keep="newest"), [rows], tmp_path).values()} == {"2"}


@pytest.mark.parametrize("verify", [True, False])
def test_clusters_are_counted(verify: bool, tmp_path: Path) -> None:
    rows = near_copies({}, {}, {})
    stage = Minhash(count=True, verify=verify)
    assert set(stage.columns_written()) == {"duplicates"} and not Minhash().columns_written()
    shards = [rows[:2], rows[2:], [document("alone", samples.CHINESE)]]
    out = decided(stage, shards, tmp_path)
    verdicts = [stage.judge(documents(shard), Decision(out, n)) for n, shard in enumerate(shards)]
    assert [verdict.columns["duplicates"].to_pylist() for verdict in verdicts] == [[3, 1], [1, 1], [1]]
    assert verdicts[0].reason.to_pylist() == [None, "near_duplicate"]
    assert verdicts[0].value.to_pylist()[0] is None
    assert verdicts[0].detail.to_pylist() == [None, "cluster of 3 documents"]
    plain = stage.model_copy(update={"count": False})
    assert dropped(stage, shards, tmp_path) == dropped(plain, shards, tmp_path)


def test_presets_are_defaults() -> None:
    assert Minhash(preset="fineweb").shape == Shape(5, "words", 14, 8)
    assert Minhash(preset="nemo").shape == Shape(24, "characters", 20, 13)
    strict = Minhash(preset="strict", threshold=0.8, seed=7)
    assert (strict.verify, strict.threshold, strict.shape) == (True, 0.8, Shape(5, "words", 25, 5, 7))
    assert Minhash(preset="fineweb", verify=True).verify
    assert Minhash.model_validate_json(strict.model_dump_json()) == strict
    assert Minhash(threshold=0.8).shape == Shape(bands=18, rows=7)


def test_the_plan_says_what_bands_and_rows_mean() -> None:
    assert "0.8: 0.924" in Minhash(preset="fineweb").note() and "without a check" in Minhash(preset="fineweb").note()
    assert Minhash(threshold=0.7).note().startswith("25 bands of 5 rows")


@pytest.mark.parametrize("fields", [{"bands": 3}, {"rows": 3}, {"keep": "highest"}, {"column": "quality"}])
def test_fields_that_belong_together(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        Minhash(**fields)


def test_runs_of_characters(tmp_path: Path) -> None:
    rows = [document("a", samples.GERMAN), document("b", samples.GERMAN.replace("Mühle", "Muehle").upper())]
    found = dropped(Minhash(preset="nemo", verify=True, threshold=0.6), [rows], tmp_path)
    characters = ["".join(c for _, _, c in tokens(str(row["text"]), "characters")) for row in rows]
    one, other = ({text[i : i + 24] for i in range(len(text) - 23)} for text in characters)
    assert found["b"].value == len(one & other) / len(one | other) < 1


def texts_of(chance: random.Random) -> list[str]:
    base = samples.ENGLISH.split()
    texts = []
    for _ in range(chance.randrange(1, 14)):
        edited = list(base)
        for _ in range(chance.choice((0, 1, 3, 6, 60))):
            edited[chance.randrange(len(base))] = chance.choice(base)
        texts.append(" ".join(edited))
    return texts


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    verify=st.booleans(),
    ends=st.lists(st.integers(0, 99), max_size=3),
    partitions=st.integers(1, 5),
    compared=st.sampled_from([1, 2, minhash.COMPARED]),
    keep=st.sampled_from(["source_order", "longest", "newest"]),
    count=st.booleans(),
    partition_bytes=st.sampled_from([1, 1 << 20]),
)
def test_the_decision_depends_on_the_documents_alone(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    verify: bool,
    ends: list[int],
    partitions: int,
    compared: int,
    keep: str,
    count: bool,
    partition_bytes: int,
) -> None:
    folder = tmp_path_factory.mktemp("minhash")
    chance = random.Random(seed)
    stage = Minhash(bands=12, rows=4, shingle=2, threshold=0.7, verify=verify, keep=keep, count=count)
    rows = [
        document(
            f"{i:02d}", text, source=chance.choice(("first", "second")), date=chance.choice((None, "2024", "2025"))
        )
        for i, text in enumerate(texts_of(chance))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minhash, "COMPARED", compared)
        found = dropped(stage, [rows], folder)
        chance.shuffle(rows)
        bounds = {"partitions": partitions, "partition_bytes": partition_bytes, "batch_rows": 5}
        assert dropped(stage, cut(rows, ends), folder, **bounds) == found


@pytest.mark.slow
def test_processes_decide_the_same(tmp_path: Path) -> None:
    rows = planted(*LANGUAGES["de"], seed=1)
    with Processes(2) as pool:
        bounds = {"partitions": 3, "partition_bytes": 1, "executor": pool}
        parallel = dropped(Minhash(), cut(rows, [10, 30]), tmp_path, **bounds)
    assert parallel and parallel == dropped(Minhash(), [rows], tmp_path)


@pytest.mark.parametrize("fields", [{"threshold": 1.2}, {"bands": 0}, {"rows": 0}, {"shingle": 0}, {"seed": -1}])
def test_fields_have_ranges(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        Minhash(**fields)
