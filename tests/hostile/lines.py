"""Text, JSON lines, pages, and names of files."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from pathlib import Path

import zstandard

from tests.hostile.archives import BOMB, page, zeros, zstd_zeros
from tests.hostile.kinds import Read, files, kind

GOOD = b'{"text": "a quiet line about grain"}\n'
JUDGES = ("normalize", "text_statistics", "gopher", "repetition", "exact")


def write(folder: Path, name: str, content: bytes, **fields: object) -> Read:
    """Write one file."""
    (folder / name).write_bytes(content)
    return files(name, **fields)


@kind("lines", "JSON lines of every wrong type")
def jsonl_types(folder: Path) -> Read:
    values = [7, 1.5, True, None, "text", [1], {}, {"text": None}, {"text": 7}, {"text": ["a"]}, {"text": {"a": 1}}]
    lines = [
        json.dumps(value).encode() + b"\n" for value in [*values, {"text": "a", "id": {}}, {"text": "a", "id": True}]
    ]
    return write(folder, "a.jsonl", GOOD + b"".join(lines), columns={"id": "id"})


@kind("lines", "what is no JSON: cut objects, NaN, two objects in a line, single quotes, comments")
def jsonl_syntax(folder: Path) -> Read:
    bad = [b'{"text": "a', b'{"text": nan}', b'{"text": "a"} {"text": "b"}', b"{'text': 'a'}", b'{"text": "a"} // no']
    return write(folder, "a.jsonl", GOOD + b"\n".join(bad))


@kind("lines", "200,000 brackets, one inside the other")
def jsonl_nested(folder: Path) -> Read:
    return write(folder, "a.jsonl", GOOD + b'{"text": ' + b"[" * 200_000 + b"\n" + GOOD)


@kind("lines", "a number of 100,000 digits")
def jsonl_long_number(folder: Path) -> Read:
    return write(folder, "a.jsonl", GOOD + b'{"text": "a", "n": ' + b"9" * 100_000 + b"}\n" + GOOD)


@kind("lines", "an object with 300,000 keys")
def jsonl_many_keys(folder: Path) -> Read:
    keys = {f"key{n}": n for n in range(300_000)}
    return write(folder, "a.jsonl", GOOD + json.dumps({"text": "a", **keys}).encode() + b"\n")


@kind("lines", "a line of 200 MB, in 1 MB of gzip")
def jsonl_endless_line(folder: Path) -> Read:
    line = zeros(200 << 20, head=b'{"text": "') + gzip.compress(b'"}\n')
    return write(folder, "a.jsonl.gz", gzip.compress(GOOD) + line + gzip.compress(GOOD))


@kind("lines", "a gzip bomb of 512 MiB without a line end")
def jsonl_gzip_bomb(folder: Path) -> Read:
    return write(folder, "a.jsonl.gz", gzip.compress(GOOD) + zeros(BOMB))


@kind("lines", "a zstd bomb of 512 MiB without a line end")
def jsonl_zstd_bomb(folder: Path) -> Read:
    return write(folder, "a.jsonl.zst", zstandard.compress(GOOD) + zstd_zeros(BOMB))


@kind("lines", "zstd that asks for a window of 2 GiB")
def jsonl_zstd_window(folder: Path) -> Read:
    options = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=options).compressobj()
    packed = bytearray(packer.compress(GOOD * 100) + packer.flush())
    packed[5] = 21 << 3  # the window descriptor: an exponent of 21 + 10
    return write(folder, "a.jsonl.zst", bytes(packed))


@kind("lines", "gzip, cut after half its lines")
def jsonl_gzip_cut(folder: Path) -> Read:
    packer = zlib.compressobj(wbits=31)
    half = packer.compress(GOOD * 50) + packer.flush(zlib.Z_SYNC_FLUSH)
    return write(folder, "a.jsonl.gz", half)


@kind("lines", "gzip under a name that does not say so, cut into parts")
def jsonl_unnamed_gzip(folder: Path) -> Read:
    noise = b"".join(json.dumps({"text": os.urandom(40).hex()}).encode() + b"\n" for _ in range(100))
    return write(folder, "a.jsonl", gzip.compress(noise), part_bytes=1000)


@kind("lines", "invalid UTF-8: overlong forms, surrogates, cut sequences")
def jsonl_not_utf8(folder: Path) -> Read:
    bad = [b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xe4\xb8", b"\x80"]
    return write(folder, "a.jsonl", GOOD + b"".join(b'{"text": "' + one + b'"}\n' for one in bad))


@kind("lines", "lone surrogates, written as escapes")
def jsonl_surrogates(folder: Path) -> Read:
    return write(
        folder, "a.jsonl", GOOD + b'{"text": "\\ud800"}\n{"text": "a", "id": "\\udfff"}\n', columns={"id": "id"}
    )


@kind("lines", "UTF-16 with its mark")
def jsonl_utf16(folder: Path) -> Read:
    return write(folder, "a.jsonl", GOOD.decode().encode("utf-16"))


@kind("lines", "NULs, right-to-left overrides and control characters in text, id and url")
def jsonl_unseen(folder: Path) -> Read:
    text = "grain\0\u202etxt.exe\u2067\x1b[2J\x07\u200b\ufeff"
    line = json.dumps({"text": text * 30, "id": text, "url": f"http://{text}/"}).encode() + b"\n"
    return write(folder, "a.jsonl", line, columns={"id": "id", "url": "url"}, stages=JUDGES)


@kind("lines", "ids that are paths, of 1 MB, and twice the same")
def jsonl_ids(folder: Path) -> Read:
    ids = ["../../../etc/passwd", "/etc/passwd", "a" * (1 << 20), "same", "same", "", "\n", "=cmd|' /C calc'!A0"]
    lines = [json.dumps({"text": f"a line of its own, {n}", "id": one}) for n, one in enumerate(ids)]
    return write(folder, "a.jsonl", "\n".join(lines).encode(), columns={"id": "id"}, stages=("exact",))


@kind("lines", "a word of 5 MB, a text of 500,000 combining marks, and one of 300,000 different words")
def jsonl_words(folder: Path) -> Read:
    texts = ["x" * (5 << 20), "a" + "\u0301" * 500_000, " ".join(f"w{n}" for n in range(300_000))]
    lines = [json.dumps({"text": text}).encode() + b"\n" for text in texts]
    return write(folder, "a.jsonl", b"".join(lines), stages=(*JUDGES, {"minhash": {"bands": 4, "rows": 4}}, "pii"))


@kind("lines", "texts that keep a regular expression busy")
def jsonl_backtracking(folder: Path) -> Read:
    texts = ["a@" * 50_000, "1-" * 50_000, "." * 100_000, "http://" * 20_000, "@" + "a." * 50_000, " \t" * 50_000 + "x"]
    texts += ["(" * 50_000, "1" * 100_000, "+1 " * 40_000, "\u3000" * 50_000, "{{" * 50_000, "<" * 100_000]
    lines = [json.dumps({"text": text}).encode() + b"\n" for text in texts]
    return write(folder, "a.jsonl", b"".join(lines), stages=("normalize", "pii", "c4", "gopher", "fineweb"))


@kind("lines", "a column that is nowhere")
def jsonl_no_column(folder: Path) -> Read:
    return write(folder, "a.jsonl", b'{"texts": "a"}\n' * 300)


@kind("lines", "an empty file and one of line ends")
def jsonl_empty(folder: Path) -> Read:
    (folder / "b.jsonl").write_bytes(b"")
    (folder / "a.jsonl").write_bytes(b"\r\n\n \n\t\n")
    return files("*.jsonl")


@kind("lines", "text without a line end: 80 MB")
def txt_endless(folder: Path) -> Read:
    return write(folder, "a.txt", b"x" * (80 << 20), per="line")


@kind("lines", "Markdown of 80 MB")
def md_endless(folder: Path) -> Read:
    return write(folder, "a.md", b"#" * (80 << 20))


@kind("lines", "text in UTF-16 without its mark")
def txt_utf16(folder: Path) -> Read:
    return write(folder, "a.txt", "grain for the mill".encode("utf-16-be"))


@kind("pages", "50 MB of HTML with 10^6 nested tags", big=True)
def html_nested(folder: Path) -> Read:
    tag = b"<div class='a b c d e f g h i j k l m n'>" + b"x" * 9
    return write(folder, "a.html", tag * 1_000_000)


@kind("pages", "the same under any limit: nothing but the process is in its way", big=True)
def html_nested_unlimited(folder: Path) -> Read:
    made = html_nested(folder)
    extract = {"max_page_bytes": 1 << 30, "max_depth": None, "max_attributes": None, "seconds": 3.0}
    return Read(made.source, made.fields, ({"extract": extract},))


@kind("pages", "1.9 MB of HTML with 380,000 nested tags")
def html_deep(folder: Path) -> Read:
    return write(folder, "a.html", b"<div>" * 380_000)


@kind("pages", "a tag with 300,000 attributes")
def html_attributes(folder: Path) -> Read:
    return write(folder, "a.html", b"<p " + b"".join(b"a%d=1 " % n for n in range(200_000))[:1_900_000] + b">grain")


@kind("pages", "comments, scripts and styles that never end")
def html_unclosed(folder: Path) -> Read:
    for number, start in enumerate(
        (b"<!--", b"<script>", b"<style>", b"<![CDATA[", b"<title>", b"<textarea>", b"<svg><")
    ):
        (folder / f"{number}.html").write_bytes(start + page())
    return files("*.html")


@kind("pages", "1.9 MB of less-than signs, of ampersands, of quotes")
def html_signs(folder: Path) -> Read:
    for number, sign in enumerate((b"<", b"&", b'"', b"<!", b"</", b"&#x", b"<a <")):
        (folder / f"{number}.html").write_bytes(b"<p>" + sign * (1_900_000 // len(sign)))
    return files("*.html")


@kind("pages", "NULs, numbers of characters that there are not, and charsets that do not exist")
def html_characters(folder: Path) -> Read:
    body = b"<p>\0&#0;&#xD800;&#x110000;&#99999999999999999999;\x00\xff\xfe grain</p>"
    for number, charset in enumerate((b"x-no-such", b"utf-7", b"unicode_escape", b"zlib", b"rot13", b"idna", b"hex")):
        head = b"<html><head><meta charset=" + charset + b"></head><body>"
        (folder / f"{number}.html").write_bytes(head + body + page())
    return files("*.html", stages=("rights", "normalize"))


@kind("pages", "entities that expand, and a document type that names a file")
def html_entities(folder: Path) -> Read:
    entities = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 12))
    head = b'<!DOCTYPE html [<!ENTITY l0 "lol"><!ENTITY f SYSTEM "file:///etc/passwd">' + entities + b"]>"
    return write(folder, "a.html", head + b"<p>&l11; &f;</p>" + page())


@kind("pages", "tables in tables: 2,000 of them, in a row of 100,000 cells")
def html_tables(folder: Path) -> Read:
    return write(folder, "a.html", b"<table><tr>" + b"<td>x" * 100_000 + b"<table><tr><td>" * 1900 + page())


@kind("names", "a link to a file outside of the folder")
def name_link(folder: Path) -> Read:
    (folder / "a.txt").symlink_to("/etc/passwd")
    return files("a.txt")


@kind("names", "a folder that is a link to the outside, behind a glob")
def name_linked_folder(folder: Path) -> Read:
    (folder / "data").symlink_to("/etc")
    return files("data/*", format="txt")


@kind("names", "a link behind a glob")
def name_link_in_glob(folder: Path) -> Read:
    (folder / "a.txt").write_text("grain")
    (folder / "b.txt").symlink_to("/etc/passwd")
    return files("*.txt")


@kind("names", "a link to itself")
def name_loop(folder: Path) -> Read:
    (folder / "a.txt").symlink_to(folder / "a.txt")
    return files("a.txt")


@kind("names", "a path that climbs out")
def name_climbs(folder: Path) -> Read:
    return files("../../../../../../etc/passwd", format="txt")


@kind("names", "a pipe that nobody writes to")
def name_pipe(folder: Path) -> Read:
    os.mkfifo(folder / "a.txt")
    return files("a.txt")


@kind("names", "a pipe among files")
def name_pipe_in_glob(folder: Path) -> Read:
    (folder / "a.txt").write_text("grain")
    os.mkfifo(folder / "b.txt")
    return files("*.txt")


@kind("names", "names that are not UTF-8, with line ends and right-to-left overrides")
def name_bytes(folder: Path) -> Read:
    for name in (b"\xff\xfe.txt", b"line\nend.txt", "\u202etxt.txt".encode(), b"%s%n.txt", b"-rf.txt"):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_text(f"grain {len(name)}")
    return files("*.txt")


@kind("names", "file:///etc/passwd as an address")
def name_file_scheme(folder: Path) -> Read:
    return files("file:///etc/passwd", format="txt")
