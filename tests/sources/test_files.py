from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError, SourceError
from pipeline.core.schema import SOURCE
from pipeline.core.stage import Part, Source
from pipeline.sources import expand, records
from pipeline.sources.files import Files
from pipeline.sources.languages import language
from pipeline.sources.lines import split
from pipeline.sources.records import record_id
from tests.sources.conftest import Served

Rows = Callable[[Source], list[dict]]


def files(*paths: str, **fields: object) -> Files:
    return Files.model_validate({"name": "notes", "paths": list(paths), **fields}, strict=False)


def lines_of(*values: object) -> bytes:
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)


def problems(found: list[dict]) -> list[tuple[int, str]]:
    return [(row["offset"], row["unreadable"]) for row in found if row["unreadable"]]


def test_json_lines_with_every_kind_of_bad_line(place: Place, rows: Rows) -> None:
    good = lines_of({"text": "一 two"})
    bad = [b"{broken\n", b"[1]\n", b'{"text": null}\n', b'{"text": 5}\n', b'{"text": "\xff"}\n', b'{"other": ""}\n']
    bad += [b'{"text": "\\ud800"}\n', b'{"text": "' + b"x" * 200 + b'"}\n', b"[" * 90 + b"\n"]
    (place.base / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + good + b"\n" + b"".join(bad) + good.strip())
    found = rows(files("a.jsonl", max_line_bytes=100))
    assert [row["text"] for row in found if not row["unreadable"]] == ["一 two"] * 2
    starts = [len(good) + 4 + sum(map(len, bad[:index])) for index in range(len(bad) + 1)]
    assert [row["offset"] for row in found] == [0, *starts]
    assert [reason.split(" (")[0] for _, reason in problems(found)] == [
        "not JSON",
        "not a JSON object but a list",
        "text is null or absent",
        "text is a number, not a string",
        "invalid UTF-8 at byte 10 of the record",
        "text is null or absent",
        "lone surrogate U+D800 in text",
        "line of 212 bytes over max_line_bytes of 100",
        "not JSON",
    ]
    assert len({row["id"] for row in found}) == len(found)
    assert found[0]["id"] == record_id("notes", "a.jsonl", 0)
    assert {(row["source"], row["file"], row["license"]) for row in found} == {("notes", "a.jsonl", "unknown")}


def test_mapped_columns(place: Place, rows: Rows) -> None:
    first = {"body": "a", "key": "ID/1", "link": "u", "when": "2024-05-18T01:58:10Z", "tongue": "eng_Latn", "l": "cc0"}
    second = {"body": "b", "key": 7, "when": "last week", "tongue": "grc"}
    (place.base / "a.jsonl").write_bytes(lines_of(first, second))
    mapped = {"text": "body", "id": "key", "url": "link", "date": "when", "language": "tongue", "license": "l"}
    one, two = rows(files("a.jsonl", columns=mapped, license="mit", terms="be nice"))
    assert (one["id"], one["url"], one["date"], one["lang"], one["license"]) == (
        *("ID/1", "u", "2024-05-18T01:58:10Z"),
        *("en", "cc0"),
    )
    assert (two["id"], two["url"], two["date"], two["lang"], two["license"]) == ("7", None, None, "grc", "mit")
    assert one["terms"] == "be nice"


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_a_mapped_column_that_is_not_there(place: Place, rows: Rows, suffix: str) -> None:
    write_table(place.base / f"a.{suffix}", pa.table({"content": ["a"], "url": ["b"]}))
    with pytest.raises(
        SourceError, match=rf"a.{suffix}: no column 'contents'; did you mean 'content'\? It has content, url"
    ):
        rows(files(f"a.{suffix}", columns={"text": "contents"}))


def write_table(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=100)
    elif path.suffix == ".arrow":
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=100)
    elif path.suffix == ".arrows":
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=100)
    else:
        path.write_bytes(lines_of(*table.to_pylist()))


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow", "arrows"])
def test_all_formats_say_the_same(place: Place, rows: Rows, suffix: str) -> None:
    table = pa.table({"text": [f"text {n}" for n in range(950)], "n": list(range(950)), "l": ["fra"] * 950})
    write_table(place.base / f"a.{suffix}", table)
    found = rows(files(f"a.{suffix}", columns={"id": "n", "language": "l"}))
    assert [row["text"] for row in found] == table["text"].to_pylist()
    assert [row["id"] for row in found] == [str(n) for n in range(950)]
    assert {row["lang"] for row in found} == {"fr"}
    cut = files(f"a.{suffix}", columns={"id": "n", "language": "l"}, part_bytes=1000)
    assert len(cut.parts()) > 3 or suffix == "arrows"
    assert rows(cut) == found


def test_tables_with_bad_rows(place: Place, rows: Rows) -> None:
    broken = pa.array([b"fine", b"\xff", None, b"too"], pa.binary())
    when = pa.array([0, 1, 2, 3], pa.timestamp("s"))
    pq.write_table(pa.table({"text": broken, "at": when}), place.base / "a.parquet")
    found = rows(files("a.parquet", columns={"date": "at"}))
    assert problems(found) == [(1, "invalid UTF-8 at byte 0 of text"), (2, "text is null")]
    assert [row["date"] for row in found if not row["unreadable"]] == [
        "1970-01-01T00:00:00.000",
        "1970-01-01T00:00:03.000",
    ]
    invalid = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff"))
    pq.write_table(pa.table({"text": invalid}), place.base / "b.parquet")
    assert problems(rows(files("b.parquet"))) == [(1, "invalid UTF-8 at byte 0 of text")]
    pq.write_table(pa.table({"text": [[1]]}), place.base / "c.parquet")
    with pytest.raises(SourceError, match=r"column 'text' is list<.*>, not text"):
        rows(files("c.parquet"))


def test_every_row_of_a_damaged_row_group_is_accounted_for(place: Place, rows: Rows) -> None:
    path = place.base / "a.parquet"
    texts = [os.urandom(50).hex() for _ in range(300)]
    pq.write_table(pa.table({"text": texts}), path, row_group_size=100, use_dictionary=False, write_page_checksum=True)
    group = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    at = group.data_page_offset
    data[at : at + 40] = b"\xff" * 40
    path.write_bytes(data)
    found = rows(files("a.parquet"))
    assert [row["offset"] for row in found] == list(range(300))
    assert [row["offset"] for row in found if row["unreadable"]] == list(range(100, 200))
    path.write_bytes(data[:5000])
    with pytest.raises(SourceError, match=r"a.parquet: not a whole Parquet file"):
        rows(files("a.parquet"))


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("zst", zstandard.ZstdCompressor().compress)])
def test_compressed_lines_and_the_place_where_they_are_cut(
    place: Place, rows: Rows, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    data = lines_of(*({"text": os.urandom(40).hex()} for _ in range(2000)))
    whole = pack(data[:70_000]) + pack(data[70_000:])
    (place.base / "plain.jsonl").write_bytes(data)
    path = place.base / f"a.jsonl.{suffix}"
    path.write_bytes(whole)
    texts = [row["text"] for row in rows(files("plain.jsonl"))]
    assert [row["text"] for row in rows(files(path.name))] == texts
    path.write_bytes(whole[: len(whole) // 2])
    *good, last = rows(files(path.name))
    assert 500 < len(good) < 1100
    assert [row["text"] for row in good] == texts[: len(good)]
    assert last["offset"] == data.index(texts[len(good)].encode()) - len(b'{"text": "')
    assert last["unreadable"].startswith("truncated ")
    path.write_bytes(whole + b"junk")
    *good, last = rows(files(path.name))
    assert len(good) == 2000 and last["unreadable"].startswith(("damaged ", "truncated "))


def test_a_bomb_is_stopped(place: Place, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.base / "a.jsonl.gz").write_bytes(gzip.compress(lines_of({"text": "a"}) + b" " * 50_000_000))
    assert problems(rows(files("a.jsonl.gz", max_bytes=1_000_000))) == [(14, "expands beyond max_bytes of 1000000")]
    monkeypatch.setattr(expand, "RATIO", 100)
    monkeypatch.setattr(expand, "RATIO_FROM", 1 << 20)
    assert problems(rows(files("a.jsonl.gz"))) == [(14, "expands to more than 100 times its size")]


def test_files_that_are_one_document(place: Place, rows: Rows) -> None:
    for name, content in {"b.md": "# Ü\n", "c.html": "<p>x", "d.txt": "one\r\n\ntwo"}.items():
        (place.base / name).write_bytes(content.encode())
    (place.base / "e.txt").write_bytes(b"ab\xff")
    (place.base / "f.txt.gz").write_bytes(gzip.compress(b"f"))
    found = rows(files("*.*"))
    assert [row["file"] for row in found] == ["b.md", "c.html", "d.txt", "e.txt", "f.txt.gz"]
    assert [row["text"] for row in found] == ["# Ü\n", None, "one\r\n\ntwo", None, "f"]
    assert (found[1]["html"], found[1]["content_type"]) == (b"<p>x", "text/html")
    assert problems(found) == [(0, "invalid UTF-8 at byte 2 of the record")]
    assert len(files("*.*").parts()) == 1
    assert [(row["offset"], row["text"]) for row in rows(files("d.txt", per="line"))] == [(0, "one"), (6, "two")]
    assert problems(rows(files("d.txt", max_line_bytes=3))) == [(0, "file over max_line_bytes of 3")]


@pytest.mark.slow
def test_batches_are_bounded(place: Place) -> None:
    texts = ["x" * (3 << 20)] * 7 + ["y"] * 1000
    for name in ("a.jsonl", "a.parquet"):
        write_table(place.base / name, pa.table({"text": texts}))
        found = [batch for part in files(name).parts() for batch in files(name).read(part)]
        assert {batch.schema for batch in found} == {pa.schema(list(SOURCE.items()))}
        assert sum(batch.num_rows for batch in found) == len(texts)
        assert max(batch.num_rows for batch in found) <= records.ROWS
        assert max(batch.nbytes for batch in found) < records.BYTES + (1 << 17)


def test_paths_and_globs(place: Place, tmp_path: Path) -> None:
    (place.base / "deep" / "er").mkdir(parents=True)
    for name in ("b.txt", "a.txt", "deep/c.txt", "deep/er/d.txt", "readme.pdf"):
        (place.base / name).write_text(name)
    names = [piece.name for part in files("**/*.txt", "a.txt").parts() for piece in part.slices]
    assert names == ["a.txt", "b.txt", "deep/c.txt", "deep/er/d.txt"]
    with pytest.raises(SourceError, match=r"deep/\*.text: no file matches in .*deep; nearest there: c.txt"):
        files("deep/*.text").parts()
    with pytest.raises(SourceError, match=r"no file matches.*nearest there: a.txt"):
        files("aa.txt").parts()
    with pytest.raises(SourceError, match=r"deep: is a folder"):
        files("deep").parts()
    with pytest.raises(SourceError, match=r"suffix '.pdf' names no format"):
        files("*.pdf").parts()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.txt").write_text("x")
    for path in ("../outside/*.txt", "../outside/x.txt", str(tmp_path / "outside" / "*.txt")):
        with pytest.raises(GristmillError, match="outside of"):
            files(path).parts()
    (tmp_path / "outside" / "a.txt").write_text("another")
    with Place(base=place.base, cache=place.cache, data=(tmp_path / "outside",)).active():
        with pytest.raises(SourceError, match=r"a.txt: two different files have this name"):
            files("*.txt", "../outside/*.txt").parts()
        (tmp_path / "outside" / "a.txt").unlink()
        assert [piece.name for piece in files("../outside/*.txt").parts()[0].slices] == ["x.txt"]


def test_the_identity_is_the_content_and_not_the_place(place: Place) -> None:
    (place.base / "a.txt").write_text("a")
    assert "paths" not in files("a.txt").fields()
    first = files("a.txt").parts()
    assert files("*.txt").parts()[0].slices[0].digest == first[0].slices[0].digest
    (place.base / "a.txt").write_text("b")
    assert files("a.txt").parts()[0].slices[0].digest != first[0].slices[0].digest
    with pytest.raises(SourceError, match="changed since it was planned"):
        list(files("a.txt").read(first[0]))


def test_small_files_share_a_part_and_large_ones_are_cut(place: Place, rows: Rows) -> None:
    for number in range(6):
        (place.base / f"{number}.jsonl").write_bytes(lines_of({"text": "x" * 100}))
    sizes = [len(part.slices) for part in files("*.jsonl", part_bytes=250).parts()]
    assert sizes == [2, 2, 2]
    assert [len(part.slices) for part in files("*.jsonl", part_bytes=50).parts()] == [1] * 18
    assert rows(files("*.jsonl", part_bytes=50)) == rows(files("*.jsonl"))


def test_addresses_and_lists_of_them(place: Place, served: Served, rows: Rows) -> None:
    for number in range(5):
        served.content[f"/data/{number}.jsonl"] = lines_of({"text": str(number)})
    served.content["/list.gz"] = gzip.compress(b"".join(b"data/%d.jsonl\n" % number for number in range(5)))
    listed = {"list": f"{served.url}/list.gz", "prefix": f"{served.url}/"}
    source = files(first=2, **listed)
    parts: list[Part] = source.parts()
    assert not [path for _, path, _ in served.seen if path == "/data/2.jsonl"]
    assert [row["text"] for row in rows(source)] == ["0", "1"]
    assert [row["file"] for row in rows(source)] == [f"{served.url}/data/{number}.jsonl" for number in (0, 1)]
    assert all(len(digest) == 64 for digest in source.digests(parts[0]).values())
    samples = {tuple(row["text"] for row in rows(files(sample=2, seed=seed, **listed))) for seed in range(4)}
    assert {len(sample) for sample in samples} == {2} and len(samples) > 1
    with pytest.raises(SourceError, match="http has no globs"):
        files(f"{served.url}/data/*.jsonl").parts()


def test_globs_in_a_store(place: Place, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryFileSystem()
    for number in (1, 0):
        store.pipe(f"/globbed/{number}.txt", str(number).encode())
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda uri: (store, uri.removeprefix("gs:/")))
    found = rows(files("gs://globbed/*.txt"))
    assert [(row["file"], row["text"]) for row in found] == [("gs://globbed/0.txt", "0"), ("gs://globbed/1.txt", "1")]
    with pytest.raises(SourceError, match="no file matches"):
        files("gs://globbed/*.md").parts()


def test_a_server_that_states_no_tag_is_read_when_the_plan_is_made(place: Place, served: Served, rows: Rows) -> None:
    served.content["/a.txt"], served.etag["/a.txt"] = b"a", ""
    source = files(f"{served.url}/a.txt")
    assert len(source.parts()[0].slices[0].digest) == 64
    assert [row["text"] for row in rows(source)] == ["a"]


def test_what_the_recipe_says_wrong(place: Place) -> None:
    for fields, message in (
        ({}, "name files in `paths`"),
        ({"list": "a", "first": 1, "sample": 2}, "exclude each other"),
        ({"paths": ["a"], "sha256": {"a": "xyz"}}, "64 lower-case hex"),
        ({"paths": ["a"], "columns": {"texts": "a"}}, "texts"),
    ):
        with pytest.raises(ValidationError, match=message):
            Files.model_validate_json(json.dumps({"name": "x", **fields}))


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.integers(1, 40), st.integers(1, 9))
def test_lines_do_not_depend_on_the_pieces(lines: list[bytes], limit: int, step: int) -> None:
    data = b"\n".join(lines)
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    found = list(split(pieces, limit))
    assert found == list(split([data], limit))
    for line in found:
        end = data.find(b"\n", line.offset)
        whole = data[line.offset : end if end >= 0 else len(data)]
        assert line.data == (b"" if line.problem else whole)
        assert bool(line.problem) == (len(whole) > limit)


def test_language_codes() -> None:
    given = ["eng", "en-GB", "zho", "cmn_Hani", "ger", "grc", "EN", "", "english", None, "fra,eng"]
    assert [language(code) for code in given] == ["en", "en", "zh", "zh", "de", "grc", "en", None, None, None, "fr"]
