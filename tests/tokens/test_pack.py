from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.backends.tokenizer import load
from pipeline.core import schema
from pipeline.core.packed import packed_schema, segments, token_facts
from pipeline.core.shards import read_batches, write_table
from pipeline.core.stage import Decision
from pipeline.tokens.fit import fit
from pipeline.tokens.pack import Pack

STRATEGIES = ("best_fit", "concat", "none")
WORD = st.sampled_from(["the ", "miller", "磨坊", "\n\n", "<|endoftext|>", "9", "é", " "])
TEXTS = st.lists(st.one_of(st.none(), st.lists(WORD, max_size=30).map("".join)), max_size=25)
FIELDS = st.builds(
    Pack,
    length=st.integers(8, 24),
    strategy=st.sampled_from(STRATEGIES),
    holdout=st.sampled_from([0.0, 0.3, 1.0]),
    window=st.integers(1, 12),
    window_tokens=st.integers(1, 300),
    seed=st.integers(0, 3),
)
law = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def documents(texts: Sequence[str | None], prefix: str = "doc") -> pa.RecordBatch:
    rows = ({"id": f"{prefix}-{index}", "text": text} for index, text in enumerate(texts))
    return schema.documents(rows).select(["id", "text", "source", "lang"])


def packed(stage: Pack, batches: Sequence[pa.RecordBatch], folder: Path) -> dict[str, pa.Table]:
    rows = defaultdict(list)
    for split, batch in stage.reshape(iter(batches), Decision(folder)):
        rows[split].append(batch)
    return {split: pa.Table.from_batches(rows[split], schema=packed_schema(stage.length)) for split in stage.splits}


def pieces(table: pa.Table) -> list[tuple[str, int, list[int]]]:
    """Document, offset and tokens of every piece, in order of rows."""
    return [
        (piece["id"], piece["offset"], ids[piece["start"] : piece["start"] + piece["length"]])
        for ids, row in zip(table["input_ids"].to_pylist(), table["documents"].to_pylist(), strict=True)
        for piece in row
    ]


def put_together(table: pa.Table) -> dict[str, list[int]]:
    """The tokens of each document, from its pieces; fails where they overlap or leave a gap."""
    whole: dict[str, list[int]] = defaultdict(list)
    for name, offset, tokens in sorted(pieces(table), key=lambda piece: piece[:2]):
        assert offset == len(whole[name])
        whole[name] += tokens
    return dict(whole)


@pytest.mark.slow
@law
@given(stage=FIELDS, texts=TEXTS)
def test_every_token_of_every_document_is_in_exactly_one_row(tiny: Path, stage: Pack, texts: list[str | None]) -> None:
    encoder = load(tiny / "tokenizer.json")
    batch = documents(texts)
    tables = packed(stage, [batch], tiny)
    train, holdout = put_together(tables["train"]), put_together(tables["holdout"])
    assert not set(train) & set(holdout)
    assert {**train, **holdout} == {
        name: [*encoder.encode([text or ""])[0].tolist(), encoder.end]
        for name, text in zip(batch["id"].to_pylist(), texts, strict=True)
    }


@pytest.mark.slow
@law
@given(stage=FIELDS, texts=TEXTS, cuts=st.lists(st.integers(0, 25), max_size=5))
def test_the_cut_into_batches_does_not_matter(
    tiny: Path, stage: Pack, texts: list[str | None], cuts: list[int]
) -> None:
    batch = documents(texts)
    edges = sorted({0, *(cut for cut in cuts if cut < len(texts)), len(texts)})
    parts = [batch.slice(a, b - a) for a, b in pairwise(edges)]
    assert packed(stage, parts, tiny) == packed(stage, [batch], tiny)


@law
@given(stage=FIELDS, texts=TEXTS)
def test_pieces_follow_each_other_and_the_rest_is_padding(tiny: Path, stage: Pack, texts: list[str | None]) -> None:
    for table in packed(stage, [documents(texts)], tiny).values():
        for ids, row in zip(table["input_ids"].to_pylist(), table["documents"].to_pylist(), strict=True):
            assert [piece["start"] for piece in row] == np.cumsum([0, *(p["length"] for p in row)]).tolist()[:-1]
            filled = sum(piece["length"] for piece in row)
            assert 0 < filled <= stage.length == len(ids)
            assert set(ids[filled:]) <= {0}


@pytest.mark.slow
@law
@given(stage=FIELDS, texts=TEXTS)
def test_facts_are_what_counting_gives_and_add_up_over_rows(tiny: Path, stage: Pack, texts: list[str | None]) -> None:
    for table in packed(stage, [documents(texts)], tiny).values():
        found = pieces(table)
        tokens = sum(len(ids) for _, _, ids in found)
        facts = stage.facts(table)
        assert facts == {
            "rows": table.num_rows,
            "tokens": tokens,
            "padding": table.num_rows * stage.length - tokens,
            "pieces": len(found),
            "documents": len({name for name, _, _ in found}),
            "cut_documents": sum(count > 1 for count in Counter(name for name, _, _ in found).values()),
        }
        halves = [token_facts(table.slice(0, 2)), token_facts(table.slice(2))]
        assert facts == {name: halves[0][name] + halves[1][name] for name in facts}


@law
@given(texts=TEXTS, length=st.integers(8, 24), seed=st.integers(0, 5))
def test_best_fit_cuts_only_what_is_longer_than_a_row(tiny: Path, texts: list[str], length: int, seed: int) -> None:
    table = packed(Pack(length=length, seed=seed), [documents(texts)], tiny)["train"]
    sizes = {name: len(tokens) for name, tokens in put_together(table).items()}
    cut = Counter(name for name, _, _ in pieces(table))
    assert all(count == -(-sizes[name] // length) for name, count in cut.items())


@law
@given(sizes=st.lists(st.integers(1, 20), max_size=60))
def test_fit_is_best_fit_decreasing(sizes: list[int]) -> None:
    space: list[int] = []
    for size in sorted(sizes, reverse=True):
        roomy = [index for index, free in enumerate(space) if free >= size]
        row = min(roomy, key=lambda index: space[index]) if roomy else len(space)
        if not roomy:
            space.append(20)
        space[row] -= size
    filled = Counter[int]()
    for row, size in zip(fit(sizes, 20), sizes, strict=True):
        filled[row] += size
    assert sorted(filled.values()) == sorted(20 - free for free in space)


def test_of_equally_full_rows_the_one_touched_last_is_taken() -> None:
    assert fit([6, 6, 4], 10).tolist() == [0, 1, 1]


def test_concat_pads_the_last_row_only_and_keeps_the_order(tiny: Path) -> None:
    table = packed(Pack(length=8, strategy="concat"), [documents(["miller " * 5, "", "grain " * 7])], tiny)["train"]
    padding = (segments(table.combine_chunks().to_batches()[0])[0] < 0).sum(axis=1)
    assert (padding[:-1] == 0).all()
    assert [name for name, offset, _ in pieces(table) if offset == 0] == ["doc-0", "doc-1", "doc-2"]


def test_none_puts_one_document_in_a_row(tiny: Path) -> None:
    table = packed(Pack(length=8, strategy="none"), [documents(["a", "miller " * 9, ""])], tiny)["train"]
    assert all(len(row) == 1 for row in table["documents"].to_pylist())
    assert [row[0]["id"] for row in table["documents"].to_pylist()][0 :: table.num_rows - 1] == ["doc-0", "doc-2"]


def test_the_holdout_is_chosen_by_document_and_seed_alone(tiny: Path) -> None:
    batch = documents(["a b"] * 2000)
    held = {
        seed: set(put_together(packed(Pack(length=64, holdout=0.1, seed=seed), [batch], tiny)["holdout"]))
        for seed in (0, 1)
    }
    assert 150 < len(held[0]) < 250 and held[0] != held[1]
    few = batch.take(pa.array(range(1999, -1, -3)))
    again = set(put_together(packed(Pack(length=8, strategy="none", holdout=0.1), [few], tiny)["holdout"]))
    assert again == held[0] & set(few["id"].to_pylist())


def test_rows_of_a_window_are_shuffled_by_the_seed(tiny: Path) -> None:
    batch = documents([f"{index} " * 3 for index in range(60)])
    orders = [[p[0] for p in pieces(packed(Pack(length=8, seed=seed), [batch], tiny)["train"])] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


def test_a_window_bounds_what_is_held_and_no_row_crosses_it(tiny: Path) -> None:
    batch = documents(["a b c"] * 12)
    rows = packed(Pack(length=64, window=4), [batch], tiny)["train"]["documents"].to_pylist()
    assert [sorted(int(piece["id"][4:]) for piece in row) for row in rows] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]
    assert packed(Pack(length=64, window_tokens=1), [batch], tiny)["train"].num_rows == 12


def test_positions_begin_anew_in_every_piece(tiny: Path) -> None:
    rows = packed(Pack(length=16, strategy="concat"), [documents(["miller " * 3, "", "a"])], tiny)["train"]
    number, position = segments(rows.combine_chunks().to_batches()[0])
    lengths = [piece["length"] for piece in rows["documents"].to_pylist()[0]]
    expected = [(index, at) for index, length in enumerate(lengths) for at in range(length)]
    filled = number[0] >= 0
    assert list(zip(number[0][filled].tolist(), position[0][filled].tolist(), strict=True)) == expected
    assert (position[~(number >= 0)] == -1).all()


def test_long_rows_leave_in_small_batches(tiny: Path) -> None:
    stage = Pack(length=1 << 20, strategy="none")
    sizes = [rows.num_rows for _, rows in stage.reshape(iter([documents(["a"] * 9)]), Decision(tiny))]
    assert sizes == [4, 4, 1]


def test_record_batches_of_a_shard_are_bounded_where_rows_are_long(tiny: Path, tmp_path: Path) -> None:
    table = packed(Pack(length=1 << 20, strategy="none"), [documents(["a"] * 9)], tiny)["train"]
    write_table(tmp_path / "shard.arrow", table)
    assert [batch.num_rows for batch in read_batches(tmp_path / "shard.arrow")] == [4, 4, 1]


def test_no_document_no_row(tiny: Path) -> None:
    stage = Pack(length=8, holdout=0.5)
    assert list(stage.reshape(iter([]), Decision(tiny))) == []
    assert set(token_facts(stage.row_schema(Decision(tiny)).empty_table()).values()) == {0}


@pytest.mark.slow
def test_datasets_loads_the_shard(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    stage = Pack(length=16)
    table = packed(stage, [documents(["the miller " * n for n in range(12)])], tiny)["train"]
    write_table(tmp_path / "shard-00000.arrow", table)
    loaded = datasets.load_dataset(
        "arrow", data_files=str(tmp_path / "shard-00000.arrow"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert len(loaded) == table.num_rows
    assert loaded["input_ids"][:] == table["input_ids"].to_pylist()
    assert loaded["documents"][:] == table["documents"].to_pylist()
    block = loaded.with_format("numpy")[:]["input_ids"]
    assert block.shape == (table.num_rows, 16) and np.issubdtype(block.dtype, np.integer)
    for ids, row in zip(loaded["input_ids"][:], loaded["documents"][:], strict=True):
        assert ids[sum(piece["length"] for piece in row) :] == [0] * (16 - sum(piece["length"] for piece in row))
