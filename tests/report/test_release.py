from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import GristmillError, StoreError
from pipeline.core.manifest import read_manifest
from pipeline.core.shards import read_table, write_table
from pipeline.report import release
from pipeline.report.measures import measure, read_measures
from pipeline.report.publish_plan import refused_by_viewer
from pipeline.report.release import check_files, export, released, write_parquet


@pytest.mark.slow
def test_a_release_has_the_rows_of_the_corpus_in_their_order(releases: tuple[Path, Path]) -> None:
    manifest = read_manifest(releases[0])
    check_files(releases[0], (*manifest.documents, *manifest.tokens))
    corpus = releases[0].parent / "build" / "small"
    second = read_manifest(releases[1])
    assert second.root == read_manifest(corpus).root != manifest.root
    for built, file in zip(read_manifest(corpus).documents, second.documents, strict=True):
        assert read_table(releases[1] / file.path) == read_table(corpus / built.path)
    assert pa.types.is_large_string(read_table(releases[1] / second.documents[0].path).schema.field("text").type)
    assert refused_by_viewer(releases[1], second) == ()


def test_exported_again_only_what_differs_is_written(releases: tuple[Path, Path], tmp_path: Path) -> None:
    corpus = releases[0].parent / "build" / "small"
    out = shutil.copytree(releases[0], tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    again = export(corpus, out)
    assert again.to_json() == read_manifest(releases[1]).to_json() == read_manifest(out).to_json()
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    changed = {path.relative_to(out).as_posix() for path in after if after[path] != before.get(path)}
    assert 0 < len(changed) < len(after)
    stray = out / "documents" / "shard-99999.parquet"
    stray.write_bytes(b"of an older export")
    (out / "LICENSE").write_text("by hand")
    (out / "croissant.json").write_text("{}")
    export(corpus, out)
    assert not stray.exists() and (out / "LICENSE").exists() and (out / "croissant.json").exists()
    (out / "manifest.json").write_text(read_manifest(releases[0]).to_json())
    export(corpus, out)
    assert (out / "LICENSE").exists() and not (out / "croissant.json").exists()


def test_the_measures_of_a_corpus_are_those_of_its_release(releases: tuple[Path, Path], tmp_path: Path) -> None:
    corpus = shutil.copytree(releases[0].parent / "build" / "small", tmp_path / "small")
    found = measure(corpus)
    done = export(corpus, tmp_path / "out")
    assert read_measures(tmp_path / "out") == found.model_copy(update={"corpus": done.digest})
    (corpus / "measures.json").write_text(found.model_copy(update={"corpus": "of another"}).to_json())
    export(corpus, tmp_path / "other")
    assert read_measures(tmp_path / "other") is None


def test_arrow_on_request(releases: tuple[Path, Path], tmp_path: Path) -> None:
    corpus = releases[0].parent / "build" / "small"
    done = export(corpus, tmp_path / "out", form="arrow")
    assert {file.sha256 for file in done.documents} == {file.sha256 for file in read_manifest(corpus).documents}
    check_files(tmp_path / "out", (*done.documents, *done.tokens))
    assert "documents/*.arrow" in (tmp_path / "out" / "README.md").read_text()


def test_a_folder_with_other_things_is_left_alone(releases: tuple[Path, Path], tmp_path: Path) -> None:
    corpus = releases[0].parent / "build" / "small"
    (tmp_path / "README.md").write_text("somebody's")
    with pytest.raises(GristmillError, match="something else than a release"):
        export(corpus, tmp_path)
    with pytest.raises(GristmillError, match="outside of its corpus"):
        export(corpus, corpus / "release")
    with pytest.raises(GristmillError, match="a release already"):
        export(releases[0], tmp_path / "twice")
    assert released(releases[0]) == releases[0]


def test_a_damaged_corpus_is_not_exported(releases: tuple[Path, Path], tmp_path: Path) -> None:
    corpus = shutil.copytree(releases[0].parent / "build" / "small", tmp_path / "small")
    victim = corpus / read_manifest(corpus).documents[0].path
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match="not the file that manifest"):
        export(corpus, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_row_groups_end_before_they_grow_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "ROW_GROUP_BYTES", 1000)
    sizes = [10, 600, 600, 2500, 10, 10, 990, 500, 500, 1]
    shard = tmp_path / "a.arrow"
    write_table(shard, pa.table({"text": pa.array(["x" * size for size in sizes], pa.large_string())}))
    write_parquet(shard, tmp_path / "a.parquet", "0" * 64)
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        groups = [file.read_row_group(at)["text"].to_pylist() for at in range(file.num_row_groups)]
        column = file.metadata.row_group(0).column(0)
        assert column.compression == "ZSTD" and column.has_offset_index
    assert [[len(text) for text in group] for group in groups] == [
        [10, 600],
        [600],
        [2500],
        [10, 10],
        [990],
        [500, 500],
        [1],
    ]
    assert read_table(tmp_path / "a.parquet") == read_table(shard)


def test_what_the_viewer_refuses_is_said(releases: tuple[Path, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(releases[0], tmp_path / "long")
    manifest = read_manifest(folder)
    table = read_table(folder / manifest.documents[0].path)
    longer = np.full(table.num_rows, "y" * (3 << 20), dtype=object)[:1].tolist() + table["text"].to_pylist()[1:]
    at = table.schema.get_field_index("text")
    maps = pa.array([[("a", 1)]] * table.num_rows, pa.map_(pa.string(), pa.int64()))
    table = table.set_column(at, "text", pa.array(longer, pa.large_string())).append_column("odd", maps)
    pq.write_table(table, folder / manifest.documents[0].path)
    told = "\n".join(refused_by_viewer(folder, manifest))
    assert "a text of 3,145,728 bytes" in told and "odd is a map" in told
