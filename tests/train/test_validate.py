"""The verdict on a corpus: the arithmetic by hand, refusals, and a small contest from end to end."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import GristmillError
from pipeline.core.shards import read_table, write_table
from pipeline.core.validation import CONTROL, CURATED, HeldOutSheet, RunSheet, compare, decide
from pipeline.report.validation import as_text, fields
from pipeline.train.arms import Arm, Pool, Shelf, _spread, make_pool
from pipeline.train.contest import Contest, Job, Ngram, Packed, run
from pipeline.train.held_out import COLUMNS, HeldOut
from pipeline.train.overlap import shared
from pipeline.train.validate import Outside, validate

SHEETS = (
    HeldOutSheet(name="x", in_domain=False, documents=9, bytes=9, left_out=0, domains={"x/a": 4, "x/b": 5}, digest="d"),
)


def runs(arm: str, *values: float, rate: float = 1.0) -> list[RunSheet]:
    return [
        RunSheet(
            arm=arm, seed=seed, tier="ngram", rate=rate, tokens=1, epochs=1, bits_per_byte={"x/a": v, "x/b": v + 1}
        )
        for seed, v in enumerate(values)
    ]


OWN, SAME = runs(CURATED, 2.00, 2.01, 1.99, 2.02, 1.98), runs(CONTROL, 2.01, 1.99, 2.00, 1.98, 2.02)


@pytest.mark.slow
def test_a_clear_difference_is_decided_with_the_numbers_of_welch() -> None:
    made = compare([*OWN, *SAME, *runs("raw", 2.20, 2.22, 2.18, 2.21, 2.19)], SHEETS, 0.01)
    raw = next(one for one in made if one.against == "raw")
    assert raw.difference == pytest.approx(-0.2)
    # Two samples of five with variance 0.00025: error 0.01, 8 degrees of freedom, t = 2.306.
    assert (raw.low, raw.high) == pytest.approx((-0.2 - 0.02306, -0.2 + 0.02306), abs=1e-5)
    assert raw.adjusted == raw.p < 1e-6 and raw.domains_worse == 0
    assert {one.against: one.outcome for one in decide(made, 0.01)} == {"raw": "better", CONTROL: "inconclusive"}


def test_seen_from_the_other_side_it_is_worse_and_a_flip_decides_nothing() -> None:
    worse = compare([*OWN, *SAME, *runs("other", 1.8, 1.81, 1.79, 1.82, 1.78)], SHEETS, 0.01)
    assert next(one.outcome for one in decide(worse, 0.01) if one.against == "other") == "worse"
    slow = [*runs(CURATED, 3.0, 3.01, 2.99, 3.02, 2.98, rate=0.1), *runs("other", 3.5, 3.51, 3.49, 3.5, 3.5, rate=0.1)]
    fast = [*OWN, *SAME, *runs("other", 1.8, 1.81, 1.79, 1.82, 1.78)]
    flipped = next(one for one in decide(compare([*fast, *slow], SHEETS, 0.01), 0.01) if one.against == "other")
    assert flipped.outcome == "inconclusive" and "flips" in flipped.because


def test_what_is_not_seen_is_said_with_what_would_have_been() -> None:
    close = decide(compare([*OWN, *SAME, *runs("raw", 2.03, 2.01, 2.04, 2.02, 2.05)], SHEETS, 0.01), 0.01)
    raw = next(one for one in close if one.against == "raw")
    assert raw.outcome == "inconclusive" and "too few seeds: about" in raw.because
    nothing = decide(compare([*OWN, *SAME, *runs("raw", 2.00, 2.005, 1.995, 2.01, 1.99)], SHEETS, 0.01), 0.01)
    assert "no difference that matters" in next(one.because for one in nothing if one.against == "raw")


def test_a_control_that_differs_takes_every_decision_back() -> None:
    odd = runs(CONTROL, 2.5, 2.51, 2.49, 2.52, 2.48)
    made = decide(compare([*OWN, *odd, *runs("raw", 2.2, 2.22, 2.18, 2.21, 2.19)], SHEETS, 0.01), 0.01)
    assert {one.outcome for one in made} == {"inconclusive"}


@pytest.mark.slow
@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6))
def test_p_values_of_holm_never_fall_and_never_pass_one(shifts: list[float]) -> None:
    arms = [row for n, shift in enumerate(shifts) for row in runs(f"a{n}", *(2 + shift + k / 97 for k in range(5)))]
    made = [one for one in compare([*OWN, *SAME, *arms], SHEETS, 0.01) if one.against != CONTROL]
    ordered = sorted(made, key=lambda one: one.p)
    assert all(one.p <= one.adjusted <= 1 for one in made)
    assert [one.adjusted for one in ordered] == sorted(one.adjusted for one in ordered)


def documents(texts: Iterable[str], prefix: str) -> pa.Table:
    listed = list(texts)
    columns = {
        "id": [f"{prefix}{n}" for n in range(len(listed))],
        "text": listed,
        "source": None,
        "lang": ["en"] * len(listed),
    }
    types = [pa.large_string() if name == "text" else pa.string() for name in COLUMNS]
    return pa.table(
        [pa.array(columns[n] or [None] * len(listed), t) for n, t in zip(COLUMNS, types, strict=True)], COLUMNS
    )


def prose(chance: random.Random, n: int, shuffled: bool = False) -> Iterator[str]:
    subjects, verbs = ("the miller", "a farmer", "the river", "an old mill"), ("carries", "counts", "grinds", "forgets")
    things = ("the grain", "seven sacks", "a book of sums", "the evening")
    for _ in range(n):
        said = " ".join(
            f"{chance.choice(subjects)} {chance.choice(verbs)} {chance.choice(things)} {chance.randrange(10**6)} times."
            for _ in range(12)
        )
        words = said.split()
        if shuffled:
            chance.shuffle(words)
        yield " ".join(words)


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Arm, Arm, HeldOut]:
    folder, chance = tmp_path_factory.mktemp("arms"), random.Random(1)
    write_table(folder / "good.arrow", documents(prose(chance, 150), "g"))
    write_table(folder / "bad.arrow", documents(prose(chance, 150, shuffled=True), "b"))
    own = Arm(CURATED, "sentences", (Shelf(folder / "good.arrow"),))
    return own, Arm("raw", "salad", (Shelf(folder / "bad.arrow"),)), HeldOut("out", documents(prose(chance, 20), "o"))


CONTEST = Contest(ngram=Ngram(8_000), vocabulary=400, seeds=3, per_domain=30)


def do(jobs: Iterable[Job]) -> Iterator[RunSheet]:
    yield from map(run, jobs)


@pytest.mark.slow
def test_sentences_beat_salad_and_the_same_command_again_runs_nothing(arms, tmp_path: Path) -> None:
    own, raw, held_out = arms
    made = validate([own, raw], [Outside(held_out, False)], CONTEST, tmp_path, do, corpus="c")
    assert {one.against: one.outcome for one in made.decisions} == {"raw": "better", CONTROL: "inconclusive"}
    low, high = made.bootstrap["raw/ngram/1"]
    assert low < high < 0
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("runs/*")}
    again = validate([own, raw], [Outside(held_out, False)], CONTEST, tmp_path, do, corpus="c")
    assert again == made and stamps == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("runs/*")}
    assert "better" in as_text(made)
    shown = {field.name: field.value for field in fields(made)}
    assert ("raw", "better") in [row[:2] for row in shown["verdict"].rows]
    assert [row[2] for row in shown["arms"].rows] == [150, 150]


@pytest.mark.slow
def test_an_ngram_model_counts_no_text_twice_and_every_seed_other_halves(arms, tmp_path: Path) -> None:
    own, raw, held_out = arms
    small = Arm("small", "a fifth of the sentences", own.shelves, 0.2)
    much = CONTEST.model_copy(update={"ngram": Ngram(10**9)})
    made = validate([own, raw, small], [Outside(held_out, False)], much, tmp_path, do, corpus="c")
    least = min(arm.tokens for arm in made.arms)
    assert {run.epochs for run in made.runs} == {1.0}
    assert {run.tokens for run in made.runs} <= set(range(least // 2, least // 2 + 256))
    assert made.settings["ngram"]["tokens"] == least // 2
    found = [tuple(run.bits_per_byte.values()) for run in made.runs if run.arm == "small"]
    assert len(set(found)) == CONTEST.seeds


def test_a_text_that_is_learnt_from_is_refused_or_left_out(arms, tmp_path: Path) -> None:
    own, raw, held_out = arms
    text = next(iter(own.documents(pa.array([], pa.string())))).column("text")[0].as_py()
    learnt = pa.concat_tables([held_out.documents, documents([text], "leak")])
    leaking = HeldOut("out", learnt)
    with pytest.raises(GristmillError, match=r"1 of 21 texts.*leak0.*--drop-overlap"):
        validate([own, raw], [Outside(leaking, False)], CONTEST, tmp_path, do, corpus="c")
    made = validate([own, raw], [Outside(leaking, False)], CONTEST, tmp_path, do, corpus="c", drop_overlap=True)
    assert (made.held_out[0].documents, made.held_out[0].left_out) == (20, 1)
    with pytest.raises(GristmillError, match="no texts from outside"):
        validate([own, raw], [Outside(held_out, True)], CONTEST, tmp_path, do, corpus="c")


def test_overlap_is_thirteen_tokens_in_a_row() -> None:
    line = " ".join(f"w{n}" for n in range(14))
    batches = [pa.record_batch({"text": pa.array([line, "w0 w1"])})]
    asked = [line, " ".join(f"w{n}" for n in range(12)), "磨坊在山谷的尽头河流从这里转向", f"w12 w13 {line[3:]} end"]
    assert shared(asked, batches).tolist() == [True, True, False, True]


def test_pieces_are_drawn_of_all_parts_of_a_pool_until_the_budget(arms, tmp_path: Path) -> None:
    own, _, _ = arms
    from pipeline.backends.bpe import learn

    without = pa.array(["g0"], pa.string())
    encoder = learn(prose(random.Random(2), 30), 300, tmp_path)
    sheet = make_pool(own, without, encoder, 1 << 30, tmp_path / "pool.arrow")
    assert sheet.documents == 149 and sheet.sampled == 1.0
    pool, end = Pool(tmp_path / "pool.arrow"), encoder.end
    total = sheet.tokens + 149
    ids, starts, epochs = pool.taken(1, 3_000, end, 64)
    assert 3_000 <= len(ids) == starts[-1] < 3_064 and epochs == 1.0
    sizes = np.diff(starts)
    n_full = int((sizes == 64).sum())
    assert sizes.max() == 64 and (sizes[:n_full] == 64).all() and (ids[starts[n_full + 1 :] - 1] == end).all()
    other, _, _ = pool.taken(2, 3_000, end, 64)
    assert not np.array_equal(ids[:100], other[:100])
    twice, edges, times = pool.taken(1, 2 * total, end, 64)
    assert times == 2.0 and len(twice) == 2 * total and (twice == end).sum() == 2 * 149
    table = read_table(tmp_path / "pool.arrow")["tokens"].to_pylist()
    known = {tuple(([*text, end])[at : at + 64]) for text in table for at in range(0, len(text) + 1, 64)}
    assert {tuple(twice[a:b].tolist()) for a, b in itertools.pairwise(edges.tolist())} == known
    rows = Packed(tmp_path, ids, starts, 64)
    assert len(rows) == len(ids) // 64 and rows.sheet.vocabulary == encoder.size
    row = rows[1]
    assert row["input_ids"].tolist() == ids[64:128].tolist() and (row["segment_ids"] == 0).all()
    last = rows[len(rows) - 1]
    assert last["segment_ids"][0] == 0 and (np.diff(last["segment_ids"]) == 1).sum() >= 1


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 40))
def test_every_stratum_is_met_before_one_is_met_twice(sizes: list[int], n: int) -> None:
    drawn = np.random.default_rng(len(sizes)).random(len(sizes))
    order = _spread(drawn, n)
    n = min(n, len(sizes))
    assert sorted(order.tolist()) == list(range(len(sizes)))
    assert sorted((order[:n] * n // len(sizes)).tolist()) == list(range(n))
