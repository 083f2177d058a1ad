from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from fastwarc.stream_io import BrotliWriter, GzipWriter, Lz4Writer, ZstdWriter
from fastwarc.warc import WarcRecord, WarcRecordType

from pipeline.core.asset import Place
from pipeline.core.stage import Source
from pipeline.sources.body import decode
from pipeline.sources.expand import Damaged
from pipeline.sources.records import record_id
from pipeline.sources.warc import Warc, Wet

Rows = Callable[[Source], list[dict]]
WRITERS = {"": None, ".gz": GzipWriter, ".zst": ZstdWriter, ".lz4": Lz4Writer}


def warc(path: str, **fields: object) -> Warc:
    return Warc.model_validate({"name": "crawl", "paths": [path], **fields}, strict=False)


def wet(path: str) -> Wet:
    return Wet(name="crawl", paths=(path,))


def record(kind: str, content: bytes, number: int, **headers: str) -> WarcRecord:
    made = WarcRecord()
    made.init_headers(getattr(WarcRecordType, kind), f"uuid:00000000-0000-4000-8000-{number:012d}".encode())
    made.headers["WARC-Target-URI"] = f"http://example.org/{number}"
    made.headers["WARC-Date"] = "2024-05-18T01:58:10Z"
    if kind in ("response", "request"):
        made.headers["Content-Type"] = "application/http; msgtype=response"
    for name, value in headers.items():
        made.headers[name.replace("_", "-")] = value
    made.set_bytes_content(content)
    return made


def http(body: bytes, kind: str | None = "text/html; charset=UTF-8", status: str = "200 OK", more: str = "") -> bytes:
    typed = f"Content-Type: {kind}\r\n" if kind else ""
    return f"HTTP/1.1 {status}\r\n{typed}{more}\r\n".encode() + body


def write(path: Path, records: list[WarcRecord]) -> list[int]:
    """Write the records and say where each begins in the file."""
    starts, data = [], b""
    for made in records:
        plain = io.BytesIO()
        made.write(plain)
        starts.append(len(data))
        data += packed(WRITERS.get(path.suffix), plain.getvalue())
    path.write_bytes(data)
    return starts


class Sink(io.BytesIO):
    """Stays open: fastwarc's writers close their sink, and hold the last bytes back until then."""

    def close(self) -> None:
        pass


def packed(writer: type | None, data: bytes) -> bytes:
    if writer is None:
        return data
    sink = Sink()
    stream = writer(sink)
    stream.write(data)
    stream.close()
    return sink.getvalue()


def pages(n: int) -> list[WarcRecord]:
    found = [record("warcinfo", b"software: test\r\n", 0)]
    for number in range(1, n + 1):
        found.append(record("request", b"GET / HTTP/1.1\r\n\r\n", 1000 + number))
        found.append(record("response", http(b"<p>" + os.urandom(200).hex().encode()), number))
    return found


def problems(found: list[dict]) -> list[tuple[int, str]]:
    return [(row["offset"], row["unreadable"]) for row in found if row["unreadable"]]


@pytest.mark.parametrize("suffix", WRITERS)
def test_pages_of_every_compression(place: Place, rows: Rows, suffix: str) -> None:
    starts = write(place.base / f"a.warc{suffix}", pages(5))
    found = rows(warc(f"a.warc{suffix}", license="unknown", terms="ask"))
    assert [row["offset"] for row in found] == starts[2::2]
    assert [row["id"] for row in found] == [f"00000000-0000-4000-8000-{number:012d}" for number in range(1, 6)]
    assert found[0]["url"] == "http://example.org/1"
    assert found[0]["date"] == "2024-05-18T01:58:10Z"
    assert found[0]["content_type"] == "text/html; charset=UTF-8"
    assert found[0]["html"].startswith(b"<p>") and len(found[0]["html"]) == 403
    assert (found[0]["text"], found[0]["terms"], found[0]["unreadable"]) == (None, "ask", None)


def test_what_is_a_document(place: Place, rows: Rows) -> None:
    made = [
        record("response", http(b"<p>a"), 1),
        record("response", http(b"png", "image/png"), 2),
        record("response", http(b"gone", status="404 Not Found"), 3),
        record("response", http(b"plain", "TEXT/PLAIN"), 4),
        record("response", http(b"x", None), 5, WARC_Identified_Payload_Type="application/xhtml+xml"),
        record("revisit", b"", 6),
        record("resource", b"<p>", 7),
        record("response", http(b"<p>" + b"x" * 5000), 8),
    ]
    starts = write(place.base / "a.warc.gz", made)
    found = rows(warc("a.warc.gz", max_payload=3000))
    assert [row["html"] for row in found] == [b"<p>a", b"plain", b"x", None]
    assert problems(found) == [(starts[7], "payload of 5003 bytes over the limit of 3000")]
    assert [row["html"] for row in rows(warc("a.warc.gz", status=[404], mime=["text/html"]))] == [b"gone"]


def test_long_headers_do_not_end_the_file(place: Place, rows: Rows) -> None:
    sizes = (50_000, 2_000_000)
    made = [record("response", http(b"<p>", more=f"X: {'x' * size}\r\n"), size) for size in sizes]
    starts = write(place.base / "a.warc.gz", [*made, record("response", http(b"last"), 3)])
    found = rows(warc("a.warc.gz"))
    assert [row["offset"] for row in found] == starts
    assert [row["html"] for row in (found[0], found[-1])] == [b"<p>", b"last"]


def test_an_id_that_is_no_uuid_is_replaced(place: Place, rows: Rows) -> None:
    write(place.base / "a.warc", [record("response", http(b"a"), 1, WARC_Record_ID="<urn:mine:1>")])
    assert rows(warc("a.warc"))[0]["id"] == record_id("crawl", "a.warc", 0)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".lz4"])
def test_a_cut_file_keeps_what_comes_before(place: Place, rows: Rows, suffix: str) -> None:
    path = place.base / f"a.warc{suffix}"
    starts = write(path, pages(20))
    whole = rows(warc(path.name))
    data = path.read_bytes()
    path.write_bytes(data[: starts[20] + 300])
    *good, last = rows(warc(path.name))
    assert good == whole[: len(good)] and len(good) == 9
    assert starts[19] < last["offset"] <= starts[20] + 300
    assert any(word in last["unreadable"] for word in ("truncated", "damaged"))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_cut_inside_a_header_is_not_taken_for_whole(place: Place, rows: Rows, suffix: str) -> None:
    path = place.base / f"a.warc{suffix}"
    starts = write(path, pages(3))
    data = path.read_bytes()
    path.write_bytes(data[: starts[4] + 15])
    *good, last = rows(warc(path.name))
    assert (len(good), last["unreadable"] is not None) == (1, True)
    path.write_bytes(data[: starts[4]])
    assert [row["unreadable"] for row in rows(warc(path.name))] == [None]
    path.write_bytes(data + b"\0" * (512 if suffix else 0))
    assert not problems(rows(warc(path.name)))


def test_a_damaged_member_is_named(place: Place, rows: Rows) -> None:
    path = place.base / "a.warc.gz"
    starts = write(path, pages(20))
    data = bytearray(path.read_bytes())
    data[starts[20] + 100 : starts[20] + 120] = b"\xff" * 20
    path.write_bytes(data)
    *good, last = rows(warc(path.name))
    assert len(good) == 9
    assert last["offset"] == starts[20] and last["unreadable"].startswith("damaged archive")


def test_archives_compressed_as_one_piece(place: Place, rows: Rows) -> None:
    write(place.base / "a.warc", pages(20))
    data = (place.base / "a.warc").read_bytes()
    plain = [row["html"] for row in rows(warc("a.warc"))]
    for name, pack in (("b.warc.gz", gzip.compress), ("b.warc.zst", zstandard.ZstdCompressor().compress)):
        packed = pack(data)
        (place.base / name).write_bytes(packed)
        found = rows(warc(name))
        assert [row["html"] for row in found] == plain
        assert len({row["offset"] for row in found}) == 20
        (place.base / name).write_bytes(packed[:-3])
        *_, last = rows(warc(name))
        assert last["unreadable"]


@pytest.mark.parametrize(
    "content",
    [b"", b"not a WARC\n" * 50, gzip.compress(b"filedesc://x.arc 0.0.0.0\n"), b"\x1f\x8b\x08bad"],
    ids=["empty", "other text", "an ARC file", "damaged gzip"],
)
def test_a_file_without_records(place: Place, rows: Rows, content: bytes) -> None:
    (place.base / "a.warc.gz").write_bytes(content)
    for source in (warc("a.warc.gz"), wet("a.warc.gz")):
        (row,) = rows(source)
        assert row["offset"] == 0 and row["unreadable"].startswith(("no WARC record", "damaged archive"))


def test_texts_of_a_wet_file(place: Place, rows: Rows) -> None:
    made = [
        record("warcinfo", b"", 0),
        record("conversion", "Straße\n".encode(), 1, WARC_Identified_Content_Language="deu,eng"),
        record("conversion", b"none", 2),
        record("conversion", b"\xff", 3),
    ]
    starts = write(place.base / "a.warc.wet.gz", made)
    found = rows(wet("a.warc.wet.gz"))
    assert [(row["text"], row["lang"]) for row in found] == [("Straße\n", "de"), ("none", None), (None, None)]
    assert problems(found) == [(starts[3], "invalid UTF-8 at byte 0 of the record")]
    assert found[0]["url"] == "http://example.org/1"


PAGE = b"<html>" + b"word " * 100


def test_encoded_bodies(place: Place, rows: Rows) -> None:
    raw = zlib.compressobj(wbits=-15)
    for name, body in (
        ("gzip", gzip.compress(PAGE)),
        ("br", packed(BrotliWriter, PAGE)),
        ("deflate", zlib.compress(PAGE)),
        ("deflate", raw.compress(PAGE) + raw.flush()),
        ("zstd", zstandard.ZstdCompressor().compress(PAGE)),
        ("deflate, gzip", gzip.compress(zlib.compress(PAGE))),
        ("utf-8", PAGE),
    ):
        assert decode(body, "", name, 1000) == PAGE
        assert decode(PAGE, "", name, 1000) == PAGE  # already decoded by the crawler
        if body != PAGE:
            for limit, data in ((100, body), (1000, body[:-9])):
                with pytest.raises(Damaged, match=r"^body: "):
                    decode(data, "", name, limit)
    chunked = b"6\r\n<html>\r\n3;x=1\r\nabc\r\n0\r\n\r\n"
    assert decode(chunked, "Chunked", "", 1000) == b"<html>abc"
    assert decode(PAGE, "chunked", "", 1000) == PAGE
    for broken in (chunked[:14], chunked[:-5], chunked[:11] + b"??" + chunked[11:]):
        with pytest.raises(Damaged, match="chunked body broken at byte"):
            decode(broken, "chunked", "", 1000)


def test_a_body_that_cannot_be_decoded_is_unreadable(place: Place, rows: Rows) -> None:
    body = gzip.compress(PAGE)
    more = "Content-Encoding: gzip\r\n"
    made = [record("response", http(body, more=more), 1), record("response", http(body[:-9], more=more), 2)]
    starts = write(place.base / "a.warc.gz", made)
    found = rows(warc("a.warc.gz"))
    assert found[0]["html"] == PAGE
    assert problems(found) == [(starts[1], "body: truncated gzip stream")]


FOUND = {
    "whirl/whirlwind.warc.gz": (1, 0),
    "resi/warcfile.warc.gz": (16, 0),
    "resi/warcfile.warc.lz4": (16, 0),
    "resi/clipped.warc.gz": (0, 1),
    "dolma/sample-0001.warc.gz": (15, 0),
    "wac/IAH-urls-wget.warc.gz": (3, 0),
    "warcio/example.warc": (1, 0),
    "warcio/example.warc.gz": (1, 0),
    "warcio/example-bad-non-chunked.warc.gz": (1, 0),
    "warcio/example-trunc.warc": (0, 1),
    "warcio/example-iana.org-chunked.warc": (1, 0),
    "warcio/example.arc.gz": (0, 1),
    "warcio/bad.arc": (0, 1),
}
"""Pages and unreadable records of real and of deliberately broken archives."""


@pytest.mark.skipif("GRISTMILL_DATA" not in os.environ, reason="GRISTMILL_DATA names no folder with warc/")
def test_archives_of_other_projects(rows: Rows, tmp_path: Path) -> None:
    folder = Path(os.environ["GRISTMILL_DATA"]) / "warc"
    with Place(base=folder, cache=tmp_path).active():
        for path in sorted(folder.glob("*/*")):
            name = path.relative_to(folder).as_posix()
            found = rows(warc(name))
            assert all((row["html"] is None) == (row["unreadable"] is not None) for row in found), name
            counts = len(found) - len(problems(found)), len(problems(found))
            assert counts == FOUND.get(name, counts), name
        texts = rows(wet("whirl/whirlwind.warc.wet.gz"))
        assert [(row["lang"], len(row["text"].encode())) for row in texts] == [("es", 4456)]
