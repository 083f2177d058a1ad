"""Web archives that lie, break off or expand."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import zstandard

from tests.hostile.kinds import Read, kind, pages

BOMB = 512 << 20
"""Bytes that a bomb expands to; more than any kind may take in memory."""


def record(
    body: bytes, headers: str = "", *, http: str = "Content-Type: text/html\r\n", length: object = None
) -> bytes:
    """A response record, whatever its headers say."""
    content = f"HTTP/1.1 200 OK\r\n{http}\r\n".encode() + body
    stated = len(content) if length is None else length
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http; msgtype=response\r\n"
        f"WARC-Target-URI: http://example.org/\r\n{headers}Content-Length: {stated}\r\n\r\n"
    )
    return head.encode("utf-8", "surrogateescape") + content + b"\r\n\r\n"


def page(text: str = "A quiet page about grain and the mill that ground it. ") -> bytes:
    """A page with enough text to be found."""
    return f"<html><body><main><p>{text * 20}</p></main></body></html>".encode()


GOOD = record(page())


def warc(folder: Path, content: bytes, name: str = "a.warc") -> Read:
    """Write one archive."""
    (folder / name).write_bytes(content)
    return pages(name)


def zeros(n_bytes: int, wbits: int = 31, head: bytes = b"") -> bytes:
    """A gzip (31) or zlib (15) stream of `head` and so many spaces, made from one block of a megabyte."""
    piece, packer = b" " * (1 << 20), zlib.compressobj(9, wbits=-15)
    block = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH) + block * (n_bytes >> 20) + b"\x03\x00"
    check, total = (zlib.crc32, len(head) + n_bytes) if wbits == 31 else (zlib.adler32, 0)
    found = check(head)
    for _ in range(n_bytes >> 20):
        found = check(piece, found)
    if wbits == 31:
        return b"\x1f\x8b\x08" + b"\0" * 7 + packed + struct.pack("<II", found, total & 0xFFFFFFFF)
    return b"\x78\x9c" + packed + struct.pack(">I", found)


def zstd_zeros(n_bytes: int, head: bytes = b"") -> bytes:
    """A zstd frame of `head` and so many spaces."""
    packer, piece = zstandard.ZstdCompressor(level=1).compressobj(), b" " * (1 << 20)
    return packer.compress(head) + b"".join(packer.compress(piece) for _ in range(n_bytes >> 20)) + packer.flush()


@kind("warc", "an empty file")
def warc_empty(folder: Path) -> Read:
    return warc(folder, b"")


@kind("warc", "bytes that are no archive")
def warc_noise(folder: Path) -> Read:
    return warc(folder, bytes(range(256)) * 64)


@kind("warc", "a header that never ends: 8 MB without a line end")
def warc_endless_header(folder: Path) -> Read:
    return warc(folder, GOOD + b"WARC/1.0\r\nWARC-Type: " + b"x" * (8 << 20))


@kind("warc", "100,000 header lines in one record")
def warc_many_headers(folder: Path) -> Read:
    return warc(folder, record(page(), "".join(f"X-{n}: y\r\n" for n in range(100_000))))


@kind("warc", "a negative Content-Length")
def warc_negative_length(folder: Path) -> Read:
    return warc(folder, record(page(), length=-7) + GOOD)


@kind("warc", "a Content-Length that is no number")
def warc_length_of_letters(folder: Path) -> Read:
    return warc(folder, record(page(), length="many") + GOOD)


@kind("warc", "a Content-Length of 2^63 + 1")
def warc_length_overflows(folder: Path) -> Read:
    return warc(folder, record(page(), length=2**63 + 1) + GOOD)


@kind("warc", "a Content-Length of 10^15, and 2 kB behind it")
def warc_length_lies(folder: Path) -> Read:
    return warc(folder, GOOD + record(page(), length=10**15))


@kind("warc", "two Content-Length headers that differ")
def warc_two_lengths(folder: Path) -> Read:
    return warc(folder, record(page(), "Content-Length: 3\r\n") + GOOD)


@kind("warc", "cut in the middle of a page")
def warc_cut(folder: Path) -> Read:
    return warc(folder, GOOD + GOOD[:-200])


@kind("warc", "gzip, cut")
def warc_gzip_cut(folder: Path) -> Read:
    return warc(folder, gzip.compress(GOOD) + gzip.compress(GOOD)[:-30], "a.warc.gz")


@kind("warc", "gzip with a wrong checksum")
def warc_gzip_checksum(folder: Path) -> Read:
    packed = bytearray(gzip.compress(GOOD))
    packed[-6] ^= 0xFF
    return warc(folder, gzip.compress(GOOD) + bytes(packed), "a.warc.gz")


@kind("warc", "garbage between two gzip members")
def warc_gzip_garbage(folder: Path) -> Read:
    return warc(folder, gzip.compress(GOOD) + b"\xde\xad" * 500 + gzip.compress(GOOD), "a.warc.gz")


@kind("warc", "a page that is a gzip bomb: 0.5 MB that expand to 512 MiB")
def warc_page_is_a_bomb(folder: Path) -> Read:
    http = "Content-Type: text/html\r\nContent-Encoding: gzip\r\n"
    return warc(folder, record(zeros(BOMB), http=http) + GOOD)


@kind("warc", "a page that is a deflate bomb inside a gzip bomb")
def warc_page_is_two_bombs(folder: Path) -> Read:
    http = "Content-Type: text/html\r\nContent-Encoding: deflate, gzip\r\n"
    return warc(folder, record(gzip.compress(zeros(BOMB, wbits=15)), http=http) + GOOD)


@kind("warc", "a page that is a brotli bomb: 0.5 kB that expand to 512 MiB")
def warc_page_is_a_brotli_bomb(folder: Path) -> Read:
    import io

    from fastwarc.stream_io import BrotliWriter

    sink = io.BytesIO()
    writer = BrotliWriter(sink)
    for _ in range(512):
        writer.write(b" " * (1 << 20))
    writer.close()
    http = "Content-Type: text/html\r\nContent-Encoding: br\r\n"
    return warc(folder, record(sink.getvalue(), http=http) + GOOD)


@kind("warc", "a page with a Content-Encoding repeated 5,000 times")
def warc_encodings(folder: Path) -> Read:
    http = f"Content-Type: text/html\r\nContent-Encoding: {'gzip, ' * 5000}gzip\r\n"
    return warc(folder, record(gzip.compress(page()), http=http) + GOOD)


@kind("warc", "chunks whose lengths lie")
def warc_chunks_lie(folder: Path) -> Read:
    http = "Content-Type: text/html\r\nTransfer-Encoding: chunked\r\n"
    return warc(folder, record(b"7fffffff\r\n" + page(), http=http) + GOOD)


@kind("warc", "a million chunks of one byte")
def warc_tiny_chunks(folder: Path) -> Read:
    http = "Content-Type: text/html\r\nTransfer-Encoding: chunked\r\n"
    return warc(folder, record(b"1\r\na\r\n" * 1_000_000 + b"0\r\n\r\n", http=http) + GOOD)


@kind("warc", "a record of 512 MiB of spaces, in 0.5 MB of gzip")
def warc_gzip_bomb(folder: Path) -> Read:
    head = record(b"", length=BOMB).removesuffix(b"\r\n\r\n")
    return warc(folder, zeros(BOMB, head=head) + gzip.compress(GOOD), "a.warc.gz")


@kind("warc", "a record of 512 MiB of spaces, in zstd")
def warc_zstd_bomb(folder: Path) -> Read:
    head = record(b"", length=BOMB).removesuffix(b"\r\n\r\n")
    return warc(folder, zstd_zeros(BOMB, head) + zstandard.compress(GOOD), "a.warc.zst")


@kind("warc", "NULs and invalid UTF-8 in URL, date and type")
def warc_header_bytes(folder: Path) -> Read:
    made = record(page(), "WARC-Date: \udcff\udcfe\x00\r\nX: \u202e\x00\r\n").replace(b"example.org/", b"\x00\xff\xfe/")
    return warc(folder, made + GOOD)


@kind("warc", "an id that is a path out of the folder")
def warc_id_is_a_path(folder: Path) -> Read:
    return warc(folder, record(page(), "WARC-Record-ID: <urn:uuid:../../../../etc/passwd>\r\n"))


@kind("warc", "responses without a status line, or with one of 5 MB")
def warc_status(folder: Path) -> Read:
    none = record(page()).replace(b"HTTP/1.1 200 OK", b"\x00\x01\x02\x03\x04 \x05\x06\x07 \x08\x09")
    endless = record(page()).replace(b"OK", b"O" * (5 << 20)).replace(b"Content-Length: ", b"Content-Length: 9")
    return warc(folder, none + GOOD + endless)


@kind("warc", "a revisit, a request and a record of an unknown type")
def warc_other_types(folder: Path) -> Read:
    kinds = [GOOD.replace(b"WARC-Type: response", b"WARC-Type: " + name) for name in (b"revisit", b"request", b"\xff")]
    return warc(folder, b"".join(kinds) + GOOD)


def wet(folder: Path, text: bytes) -> Read:
    """Write one record of extracted text."""
    made = record(b"").partition(b"\r\n\r\n")[0].replace(b"response", b"conversion")
    head = made.rpartition(b"Content-Length")[0].replace(b"application/http; msgtype=conversion", b"text/plain")
    (folder / "a.wet").write_bytes(head + f"Content-Length: {len(text)}\r\n\r\n".encode() + text + b"\r\n\r\n")
    return Read("wet", {"name": "hostile", "paths": ["a.wet"]})


@kind("wet", "invalid UTF-8")
def wet_not_utf8(folder: Path) -> Read:
    return wet(folder, b"grain \xc0\xaf \xed\xa0\x80 \xf5\x80\x80\x80")


@kind("wet", "NULs, right-to-left overrides, and tags that nobody sees")
def wet_unseen(folder: Path) -> Read:
    return wet(folder, "mill\0\u202egnp.exe\u2066\u2069\U000e0041\U000e007f\ufeff".encode() * 50)


@kind("wet", "one letter with 500,000 combining marks")
def wet_combining(folder: Path) -> Read:
    made = wet(folder, ("a" + "\u0301" * 500_000).encode())
    return Read(made.source, made.fields, ("normalize", "text_statistics", "gopher", "repetition"))
