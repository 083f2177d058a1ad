"""Parquet and Arrow files whose metadata lies, and benchmark files of all forms."""

from __future__ import annotations

import gzip
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.hostile.archives import zeros
from tests.hostile.kinds import Read, files, kind

TEXTS = [f"a line about grain and the mill, number {n} of {n * n}" for n in range(2000)]
FEW = pa.table({"text": TEXTS[:200]})


def parquet(rows: pa.Table | None = None, **options: object) -> bytes:
    """A Parquet file of quiet lines."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": TEXTS}) if rows is None else rows, sink, **{"row_group_size": 500, **options})
    return bytes(sink.getvalue())


def arrow(table: pa.Table | None = None, *, stream: bool = False, codec: str | None = None) -> bytes:
    """An Arrow file, or a stream, of quiet lines."""
    table = pa.table({"text": TEXTS}) if table is None else table
    sink, options = pa.BufferOutputStream(), pa.ipc.IpcWriteOptions(compression=codec)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=max(2, table.num_rows // 4))
    return bytes(sink.getvalue())


def write(folder: Path, name: str, content: bytes, **fields: object) -> Read:
    """Write one file."""
    (folder / name).write_bytes(content)
    return files(name, **fields)


def many(folder: Path, suffix: str, variants: list[bytes]) -> Read:
    """Write files that are read each for itself: a refusal of one must not hide the others."""
    for number, content in enumerate(variants):
        (folder / f"{number:03d}{suffix}").write_bytes(content)
    return files(f"*{suffix}", part_bytes=max(map(len, variants)))


def flipped(
    content: bytes, n_variants: int, n_bytes: int, seed: int, start: int = 0, stop: int | None = None
) -> list[bytes]:
    """Copies with some bytes changed at random."""
    rng, made = random.Random(seed), []
    for _ in range(n_variants):
        copy = bytearray(content)
        for _ in range(n_bytes):
            copy[rng.randrange(start, stop or len(copy))] = rng.randrange(256)
        made.append(bytes(copy))
    return made


@kind("tables", "Parquet, cut in the middle")
def parquet_cut(folder: Path) -> Read:
    return write(folder, "a.parquet", parquet()[:-5000])


@kind("tables", "Parquet of nothing but its marks")
def parquet_marks(folder: Path) -> Read:
    return write(folder, "a.parquet", b"PAR1PAR1")


@kind("tables", "Parquet whose footer says it is 4 GB long")
def parquet_footer_length(folder: Path) -> Read:
    return write(folder, "a.parquet", parquet()[:-8] + struct.pack("<I", 0xFFFFFFF0) + b"PAR1")


@kind("tables", "Parquet with the footer of another: rows, offsets and sizes lie")
def parquet_lies(folder: Path) -> Read:
    many_rows, few = parquet(pa.table({"text": TEXTS * 50})), parquet(pa.table({"text": TEXTS[:100]}))
    length = struct.unpack("<I", many_rows[-8:-4])[0] + 8
    return write(folder, "a.parquet", few[: len(few) // 2] + many_rows[-length:])


@kind("tables", "Parquet with bytes changed in its pages: 40 files")
def parquet_pages(folder: Path) -> Read:
    return many(folder, ".parquet", flipped(parquet(FEW, row_group_size=50), 40, 8, 1, start=4, stop=2500))


@kind("tables", "Parquet with bytes changed in its footer: 40 files")
def parquet_footer(folder: Path) -> Read:
    content = parquet(FEW)
    length = struct.unpack("<I", content[-8:-4])[0]
    return many(folder, ".parquet", flipped(content, 40, 3, 2, start=len(content) - 8 - length, stop=len(content) - 8))


@kind("tables", "Parquet in which 100,000 rows share one text of 4 MB: 400 GB in 20 kB")
def parquet_bomb(folder: Path) -> Read:
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["grain " * 700_000]))
    options = {"compression": "zstd", "dictionary_pagesize_limit": 1 << 30, "row_group_size": 100_000}
    return write(folder, "a.parquet", parquet(pa.table({"text": shared}), **options))


@kind("tables", "Parquet with one text of 500 MB, in 50 kB")
def parquet_large_text(folder: Path) -> Read:
    options = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    return write(folder, "a.parquet", parquet(pa.table({"text": [" " * (500 << 20), "grain"]}), **options))


@kind("tables", "Parquet with invalid UTF-8 and nulls in its texts")
def parquet_not_utf8(folder: Path) -> Read:
    raw = pa.array([b"\xff\xfe", b"grain", None, b"\xed\xa0\x80"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 4, raw.buffers())
    return write(folder, "a.parquet", parquet(pa.table({"text": text})))


@kind("tables", "Parquet whose texts are lists, numbers, or not there")
def parquet_types(folder: Path) -> Read:
    (folder / "a.parquet").write_bytes(parquet(pa.table({"text": [["a"], ["b"]]})))
    (folder / "b.parquet").write_bytes(parquet(pa.table({"text": [1, 2]})))
    (folder / "c.parquet").write_bytes(parquet(pa.table({"texts": ["a"]})))
    return files("*.parquet", part_bytes=2000)


@kind("tables", "Parquet with 3,000 columns")
def parquet_columns(folder: Path) -> Read:
    return write(folder, "a.parquet", parquet(pa.table({"text": ["a"], **{f"c{n}": [n] for n in range(3000)}})))


@kind("tables", "Arrow files cut at every 4 KiB")
def arrow_cut(folder: Path) -> Read:
    content = arrow()
    return many(folder, ".arrow", [content[:at] for at in range(0, len(content), 4096)])


@kind("tables", "Arrow streams cut at every 4 KiB")
def arrow_stream_cut(folder: Path) -> Read:
    content = arrow(stream=True)
    return many(folder, ".arrows", [content[:at] for at in range(0, len(content), 4096)])


@kind("tables", "Arrow with bytes changed anywhere: 60 files and 60 streams")
def arrow_flipped(folder: Path) -> Read:
    made = [
        flipped(arrow(FEW, stream=stream, codec=codec), 30, 6, 3)
        for stream in (False, True)
        for codec in (None, "zstd")
    ]
    return many(folder, ".arrow", [one for variants in made for one in variants])


@kind("tables", "Arrow with bytes changed in its metadata: 60 files")
def arrow_metadata(folder: Path) -> Read:
    content = arrow(FEW)
    made = flipped(content, 30, 2, 4, stop=600) + flipped(content, 30, 2, 5, start=len(content) - 600)
    return many(folder, ".arrow", made)


@kind("tables", "Arrow whose offsets lead out of its texts, or backwards")
def arrow_offsets(folder: Path) -> Read:
    good, told = arrow(pa.table({"text": ["grain", "and mill."]})), struct.pack("<3i", 0, 5, 14)
    assert good.count(told) == 1
    lies = ((0, 5, 1 << 30), (0, 5, -1), (5, 0, 5), (0, (1 << 31) - 1, 5))
    return many(folder, ".arrow", [good.replace(told, struct.pack("<3i", *lie)) for lie in lies])


@kind("tables", "Arrow whose dictionary has fewer entries than are pointed at")
def arrow_dictionary(folder: Path) -> Read:
    shared = pa.DictionaryArray.from_arrays(pa.array([0, 99, -5], pa.int32()), pa.array(["grain"]), safe=False)
    return write(folder, "a.arrow", arrow(pa.table({"text": shared})))


@kind("tables", "Arrow in which 100,000 rows share one text of 4 MB")
def arrow_bomb(folder: Path) -> Read:
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["grain " * 700_000]))
    return write(folder, "a.arrow", arrow(pa.table({"text": shared}), codec="zstd"))


@kind("tables", "Arrow with views that lead out of their buffers")
def arrow_views(folder: Path) -> Read:
    good = arrow(pa.table({"text": pa.array(["grain for the mill"], pa.string_view())}))
    told = struct.pack("<i4sii", 18, b"grai", 0, 0)
    assert good.count(told) == 1
    lies = ((400, 0, 0), (18, 7, 0), (18, 0, 1 << 20), (-1, 0, 0))
    made = [struct.pack("<i4sii", size, b"grai", buffer, offset) for size, buffer, offset in lies]
    return many(folder, ".arrow", [good.replace(told, lie) for lie in made])


def benchmark(folder: Path, name: str, content: bytes) -> Read:
    """A file of questions, read as `contamination` reads it."""
    from pipeline.backends.benchmarks import Layout, items

    (folder / name).write_bytes(content)
    return Read(call=lambda: items(folder / name, Layout(("question",), ("answer",))))


@kind("benchmarks", "a gzip bomb of 1.25 GiB")
def benchmark_bomb(folder: Path) -> Read:
    return benchmark(folder, "a.jsonl.gz", zeros(1280 << 20))


@kind("benchmarks", "gzip, cut")
def benchmark_cut(folder: Path) -> Read:
    return benchmark(folder, "a.jsonl.gz", gzip.compress(b'{"question": "a"}\n' * 99)[:-9])


@kind("benchmarks", "brackets in brackets, 200,000 of them")
def benchmark_nested(folder: Path) -> Read:
    return benchmark(folder, "a.json", b"[" * 200_000)


@kind("benchmarks", "a question of 5,000 lists, one inside the other")
def benchmark_deep(folder: Path) -> Read:
    return benchmark(folder, "a.jsonl", b'{"question": ' + b"[" * 900 + b'"a"' + b"]" * 900 + b"}")


@kind("benchmarks", "lines of wrong types")
def benchmark_types(folder: Path) -> Read:
    return benchmark(folder, "a.jsonl", b'{"question": 7}\n[1]\n"a"\n')


@kind("benchmarks", "a list of what is no object")
def benchmark_list(folder: Path) -> Read:
    return benchmark(folder, "a.json", json.dumps([1, "a", None]).encode())


@kind("benchmarks", "bytes that are no text")
def benchmark_bytes(folder: Path) -> Read:
    return benchmark(folder, "a.jsonl", b"\xff\xfe\x00\x01" * 100)


@kind("benchmarks", "Parquet with the footer of another")
def benchmark_lies(folder: Path) -> Read:
    few, many_rows = (parquet(pa.table({"question": TEXTS * times})) for times in (1, 50))
    length = struct.unpack("<I", many_rows[-8:-4])[0] + 8
    return benchmark(folder, "a.parquet", few[: len(few) // 2] + many_rows[-length:])


@kind("benchmarks", "Parquet in which 100,000 questions share one text of 4 MB")
def benchmark_parquet_bomb(folder: Path) -> Read:
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["grain " * 700_000]))
    options = {"compression": "zstd", "dictionary_pagesize_limit": 1 << 30, "row_group_size": 100_000}
    return benchmark(folder, "a.parquet", parquet(pa.table({"question": shared}), **options))


@kind("benchmarks", "Arrow, cut")
def benchmark_arrow_cut(folder: Path) -> Read:
    return benchmark(folder, "a.arrow", arrow(pa.table({"question": TEXTS}))[:9000])


def cached_on_the_hub(folder: Path, content: bytes) -> Read:
    """A Parquet file of a dataset, as it lies in the cache after its download."""
    import hashlib

    from pipeline.core.asset import current
    from pipeline.core.manifest import digest
    from pipeline.core.shards import write_text
    from pipeline.sources import fetch

    commit, sha256 = "0" * 40, hashlib.sha256(content).hexdigest()
    uri = f"hf://datasets/someone/hostile@{commit}/a.parquet"
    lying = fetch._folder(uri)
    lying.mkdir(parents=True)
    (lying / sha256).write_bytes(content)
    write_text(lying / "record.json", fetch.Download(uri=uri, sha256=sha256, bytes=len(content), etag=sha256).to_json())
    listing = current().cache / "hub" / f"{digest(['someone/hostile', commit, None, 'train'])}.json"
    write_text(listing, json.dumps([(uri, uri, sha256, len(content), 0, None)]))
    return Read("hub", {"name": "hostile", "dataset": "someone/hostile", "revision": commit})


def hub(what: str) -> Callable[[Callable[[], bytes]], object]:
    """List a file that the hub gave."""

    def listed(content: Callable[[], bytes]) -> object:
        def make(folder: Path) -> Read:
            return cached_on_the_hub(folder, content())

        make.__name__ = content.__name__
        return kind("hub", what)(make)

    return listed


@hub("a dataset whose file is cut")
def hub_cut() -> bytes:
    return parquet()[:-5000]


@hub("a dataset whose pages are damaged")
def hub_pages() -> bytes:
    return flipped(parquet(), 1, 200, 7, start=4, stop=20_000)[0]


@hub("a dataset that is a page of HTML")
def hub_html() -> bytes:
    return b"<html><body>503</body></html>"
