from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import GristmillError, MissingBackend, StoreError
from pipeline.core.manifest import FileDigest, Manifest
from pipeline.core.packed import packed_schema
from pipeline.core.schema import documents
from pipeline.core.shards import read_table, write_table
from pipeline.core.stage import Decision
from pipeline.tokens import layouts
from pipeline.tokens.layouts import export
from pipeline.tokens.pack import Pack

LENGTH = 16


@pytest.fixture(scope="module")
def corpus(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of two shards of packed rows, without its documents."""
    folder = tmp_path_factory.mktemp("packed") / "mill"
    (folder / "tokenizer").mkdir(parents=True)
    for file in tiny.iterdir():
        (folder / "tokenizer" / file.name).write_bytes(file.read_bytes())
    files = []
    for shard in range(2):
        rows = ({"id": f"{shard}-{n}", "text": f"the miller {n} " * (n % 9), "lang": "en"} for n in range(40))
        stage = Pack(length=LENGTH, holdout=0.2)
        made = list(stage.reshape(iter([documents(rows)]), Decision(tiny)))
        for split in stage.splits:
            table = pa.Table.from_batches([b for name, b in made if name == split], schema=packed_schema(LENGTH))
            path = f"tokens/{split}/shard-{shard:05d}.arrow"
            write_table(folder / path, table)
            files.append(FileDigest(path=path, rows=table.num_rows, bytes=1, sha256="0" * 64))
    manifest = Manifest(
        gristmill="1", recipe={}, key="k", sweeps=(), inputs=(), composition=(), documents=(), tokens=tuple(files)
    )
    (folder / "manifest.json").write_text(manifest.to_json())
    return folder


def rows_of(corpus: Path, split: str = "train") -> pa.Table:
    return pa.concat_tables(read_table(path) for path in sorted((corpus / "tokens" / split).glob("*.arrow")))


def ids_of(table: pa.Table) -> np.ndarray:
    return np.array(table["input_ids"].to_pylist())


def test_bin_is_the_rows_and_its_indexes_lead_back_to_the_documents(corpus: Path, tmp_path: Path) -> None:
    sheet = export(corpus, "bin", tmp_path / "out")
    table = rows_of(corpus)
    stream = np.memmap(tmp_path / "out" / "train-00000.bin", dtype=sheet.dtype).reshape(-1, LENGTH)
    assert sheet.dtype == "uint16" and np.array_equal(stream, ids_of(table))
    bounds, at = (np.load(tmp_path / "out" / f"train-00000.{name}.npy") for name in ("cu", "cuoff"))
    for row, pieces in enumerate(table["documents"].to_pylist()):
        filled = pieces[-1]["start"] + pieces[-1]["length"]
        assert bounds[at[row] : at[row + 1]].tolist() == [*(piece["start"] for piece in pieces), filled]
    found = pq.read_table(tmp_path / "out" / "train-00000.docs.parquet").to_pylist()
    expected = [{"row": i, **piece} for i, pieces in enumerate(table["documents"].to_pylist()) for piece in pieces]
    assert found == expected
    written = json.loads((tmp_path / "out" / "layout.json").read_text())
    assert written["splits"]["train"]["rows"] == table.num_rows and written["length"] == LENGTH
    assert {file["path"] for file in written["files"]} >= {"train-00000.bin", "holdout-00000.bin", "tokenizer.json"}


def test_large_vocabularies_take_four_bytes(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "SMALL", 10)
    sheet = export(corpus, "bin", tmp_path / "out")
    stream = np.fromfile(tmp_path / "out" / "train-00000.bin", dtype="<u4").reshape(-1, LENGTH)
    assert sheet.dtype == "int32" and np.array_equal(stream, ids_of(rows_of(corpus)))


@pytest.mark.parametrize("layout", ["bin", "megatron", "parquet"])
def test_files_are_cut_between_rows(corpus: Path, tmp_path: Path, layout: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = export(corpus, layout, tmp_path / "whole")
    monkeypatch.setattr(layouts, "FILE_TOKENS", 7 * LENGTH + 3)
    cut = export(corpus, layout, tmp_path / "cut")
    assert cut.splits == whole.splits
    suffix = "parquet" if layout == "parquet" else "bin"
    parts = sorted((tmp_path / "cut").glob(f"train-*[0-9].{suffix}"))
    assert len(parts) == -(-whole.splits["train"]["rows"] // 7)
    if suffix == "bin":
        joined = b"".join(path.read_bytes() for path in parts)
        assert joined == (tmp_path / "whole" / "train-00000.bin").read_bytes()
    else:
        assert pa.concat_tables(map(pq.read_table, parts)) == pq.read_table(tmp_path / "whole" / "train-00000.parquet")


def test_parquet_has_the_lengths_of_the_pieces(corpus: Path, tmp_path: Path) -> None:
    export(corpus, "parquet", tmp_path / "out")
    found, table = pq.read_table(tmp_path / "out" / "train-00000.parquet"), rows_of(corpus)
    assert found["input_ids"].to_pylist() == table["input_ids"].to_pylist()
    lengths = [[piece["length"] for piece in pieces] for pieces in table["documents"].to_pylist()]
    assert found["seq_lengths"].to_pylist() == lengths


def test_a_shuffle_keeps_every_row_and_depends_on_the_seed_alone(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(name: str, seed: int | None) -> list[tuple[int, ...]]:
        export(corpus, "bin", tmp_path / name, seed)
        stream = np.fromfile(tmp_path / name / "train-00000.bin", dtype="<u2")
        return [tuple(row) for row in stream.reshape(-1, LENGTH).tolist()]

    plain, one, two = rows("plain", None), rows("one", 1), rows("two", 2)
    monkeypatch.setattr(layouts, "SHUFFLE_BYTES", 5 * 4 * LENGTH)
    assert rows("one-again", 1) == one
    assert len({tuple(plain), tuple(one), tuple(two)}) == 3
    assert sorted(plain) == sorted(one) == sorted(two)


def test_what_cannot_be_written_is_named(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(GristmillError, match="not empty"):
        export(corpus, "bin", tmp_path / "full")
    monkeypatch.setitem(sys.modules, "streaming", None)
    with pytest.raises(MissingBackend, match=r"pip install 'gristmill\[mds\]'"):
        export(corpus, "mds", tmp_path / "mds")
    monkeypatch.setitem(sys.modules, "litdata", None)
    with pytest.raises(MissingBackend, match=r"pip install 'gristmill\[litdata\]'"):
        export(corpus, "litdata", tmp_path / "litdata")


def test_absent_shards_and_corpora_without_tokens_are_named(corpus: Path, tmp_path: Path) -> None:
    manifest = json.loads((corpus / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"shard-00000\.arrow: the manifest has this shard"):
        export(tmp_path, "bin", tmp_path / "out")
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "tokens": []}))
    with pytest.raises(GristmillError, match="no packed rows"):
        export(tmp_path, "bin", tmp_path / "out")


def test_megatron_reads_its_layout(corpus: Path, tmp_path: Path) -> None:
    indexed = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="megatron-core is not installed")
    export(corpus, "megatron", tmp_path / "out")
    dataset = indexed.IndexedDataset(str(tmp_path / "out" / "train-00000"))
    expected = ids_of(rows_of(corpus))
    assert len(dataset) == len(expected)
    assert np.array_equal(np.stack([dataset[i] for i in range(len(dataset))]), expected)
    assert dataset.document_indices.tolist() == list(range(len(expected) + 1))


def test_the_index_of_megatron_is_what_its_format_says(corpus: Path, tmp_path: Path) -> None:
    export(corpus, "megatron", tmp_path / "out")
    index = (tmp_path / "out" / "train-00000.idx").read_bytes()
    n = rows_of(corpus).num_rows
    assert index[:9] == b"MMIDIDX\x00\x00" and index[17] == 8
    assert np.frombuffer(index, "<u8", 1, 9).tolist() == [1] and np.frombuffer(index, "<u8", 2, 18).tolist() == [
        n,
        n + 1,
    ]
    assert np.frombuffer(index, "<i4", n, 34).tolist() == [LENGTH] * n
    assert np.frombuffer(index, "<i8", n, 34 + 4 * n).tolist() == [2 * LENGTH * row for row in range(n)]
    assert np.frombuffer(index, "<i8", n + 1, 34 + 12 * n).tolist() == list(range(n + 1))
    assert len(index) == 34 + 12 * n + 8 * (n + 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", ["mds", "litdata"])
def test_streaming_libraries_read_their_layouts(corpus: Path, tmp_path: Path, layout: Any) -> None:
    read: dict[str, Callable[[Path], list[list[int]]]] = {"mds": mds, "litdata": litdata}
    pytest.importorskip({"mds": "streaming", "litdata": "litdata"}[layout], reason=f"the writer of {layout} is absent")
    export(corpus, layout, tmp_path / "out")
    assert read[layout](tmp_path) == ids_of(rows_of(corpus)).tolist()


def mds(folder: Path) -> list[list[int]]:
    from streaming import StreamingDataset

    dataset = StreamingDataset(local=str(folder / "out" / "train"), shuffle=False, batch_size=1)
    return [dataset[i]["tokens"].tolist() for i in range(len(dataset))]


def litdata(folder: Path) -> list[list[int]]:
    from litdata import StreamingDataset
    from litdata.streaming.item_loader import TokensLoader

    dataset = StreamingDataset(str(folder / "out" / "train"), item_loader=TokensLoader(LENGTH), shuffle=False)
    return [dataset[i].tolist() for i in range(len(dataset))]
