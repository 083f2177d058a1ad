from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import shards
from pipeline.core.errors import StoreError
from pipeline.core.shards import ShardWriter, read_batches, read_schema, read_table, rebatch, sweep_away, whole

SCHEMA = pa.schema([("id", pa.string()), ("text", pa.large_string())])


def batch(texts: list[str | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"id": [str(i) for i in range(len(texts))], "text": texts}, schema=SCHEMA)


def write(path: Path, rows: pa.RecordBatch, cut: int) -> bytes:
    with ShardWriter(path, SCHEMA) as writer:
        for start in range(0, rows.num_rows, cut):
            writer.write(rows.slice(start, cut))
    return path.read_bytes()


@pytest.mark.slow
@given(st.lists(st.one_of(st.none(), st.text(max_size=40)), max_size=60), st.integers(1, 60))
def test_bytes_do_not_depend_on_batches(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str | None], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "GROUP_ROWS", 7)
        patch.setattr(shards, "GROUP_BYTES", 100)
        first = write(folder / "a.arrow", batch(texts), 1)
        assert write(folder / "b.arrow", batch(texts), cut) == first
    assert read_table(folder / "a.arrow").to_pylist() == batch(texts).to_pylist()


def test_record_batches_are_bounded(tmp_path: Path) -> None:
    big = "x" * (6 << 20)
    write(tmp_path / "a.arrow", batch([big] * 5), 5)
    assert [b.num_rows for b in read_batches(tmp_path / "a.arrow")] == [2, 2, 1]
    write(tmp_path / "b.arrow", batch(["x"] * 2500), 100)
    assert [b.num_rows for b in read_batches(tmp_path / "b.arrow")] == [1024, 1024, 452]


def test_nothing_is_seen_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    with pytest.raises(ValueError, match="crash"), ShardWriter(path, SCHEMA) as writer:
        writer.write(batch(["x"]))
        raise ValueError("crash")
    assert list(tmp_path.iterdir()) == []
    with whole(tmp_path / "b.txt") as temporary:
        temporary.write_text("half")
        assert not (tmp_path / "b.txt").exists()
    assert (tmp_path / "b.txt").read_text() == "half"


def test_strays_of_killed_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    stray = tmp_path / "deep" / ".tmp-abc-shard-00000.arrow"
    stray.write_bytes(b"half")
    (tmp_path / "deep" / "shard-00000.arrow").write_bytes(b"whole")
    sweep_away(tmp_path)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["shard-00000.arrow"]


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_a_cut_file_is_named(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "a.arrow"
    whole_file = write(path, batch(["some text"] * 100), 100)
    path.write_bytes(whole_file[: int(len(whole_file) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(StoreError, match=r"a\.arrow: not a whole Arrow file"):
        list(read_batches(path))


@pytest.mark.parametrize("suffix", [".arrow", ".parquet"])
def test_a_release_in_parquet_is_read_by_the_same_functions(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    rows = pa.Table.from_batches([batch(["one", None, "three"])])
    if suffix == ".parquet":
        pq.write_table(rows, path, row_group_size=2, write_page_checksum=True, compression="none")
    else:
        write(path, rows.to_batches()[0], 2)
    assert read_table(path) == rows and read_schema(path) == SCHEMA
    assert read_table(path, ["text", "id"]) == rows.select(["text", "id"])
    path.write_bytes(path.read_bytes().replace(b"three", b"thrEe"))
    if suffix == ".parquet":
        with pytest.raises(StoreError, match=r"a\.parquet: not a whole Parquet file"):
            read_table(path)


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 20))
def test_rebatch_keeps_rows_and_bounds_batches(sizes: list[int], rows: int) -> None:
    texts = iter(range(1000))
    batches = [batch([str(next(texts)) for _ in range(size)]) for size in sizes]
    out = list(rebatch(batches, rows))
    assert all(0 < b.num_rows <= rows for b in out)
    flat = [t for b in out for t in b.column("text").to_pylist()]
    assert flat == [str(i) for i in range(sum(sizes))]
