from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.core.errors import MissingBackend, SourceError
from pipeline.core.schema import SOURCE
from pipeline.sources.catalogues import messages
from pipeline.sources.expand import Damaged
from pipeline.sources.packages import Packages

Rows = Callable[[Packages], list[dict[str, Any]]]


class Site:
    """A folder of distributions that were never packed: metadata, list of files, and the files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        name: str,
        files: Mapping[str, bytes | str],
        headers: str = "",
        body: str = "",
        listed: tuple[str, ...] = (),
        version: str = "1.0",
    ) -> None:
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}\n{body}"
        held = {f"{info}/METADATA": metadata, f"{info}/INSTALLER": "pip\n", **files}
        for path, content in held.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        record = "".join(f"{path},,\n" for path in (*held, *listed, f"{info}/RECORD"))
        (self.folder / info / "RECORD").write_text(record)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield Site(folder)


def source(*entries: dict[str, Any], **fields: Any) -> Packages:
    return Packages.model_validate_json(json.dumps({"name": "shelf", "distributions": entries, **fields}))


def catalogue(pairs: Mapping[str, str], order: str = "<", charset: str = "UTF-8") -> bytes:
    """A .mo file: magic number, revision, count, two tables of length and offset, then the strings."""
    encoding = charset if charset != "klingon" else "ascii"
    full = {"": f"Content-Type: text/plain; charset={charset}\n", **pairs}
    sides = [[text.encode(encoding) for text in full], [text.encode(encoding) for text in full.values()]]
    at = 28 + 16 * len(full)
    tables, strings = [], b""
    for side in sides:
        for text in side:
            tables.append(struct.pack(f"{order}2I", len(text), at + len(strings)))
            strings += text + b"\0"
    head = struct.pack(f"{order}7I", 0x950412DE, 0, len(full), 28, 28 + 8 * len(full), 0, 0)
    return head + b"".join(tables) + strings


def zipped(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path.read_bytes()


def texts(found: list[dict[str, Any]]) -> list[str | None]:
    return [row["text"] for row in found]


def test_a_text_knows_where_it_came_from(site: Site, rows: Rows) -> None:
    site.add("Manual", {"manual/one.txt": "One.", "manual/deep/two.txt": "Two."}, "License-Expression: MIT\n")
    found = rows(source({"distribution": "manual", "format": "text", "files": ["manual/**/*.txt"]}))
    assert texts(found) == ["Two.", "One."]
    last = found[-1]
    assert last["file"] == "Manual==1.0/manual/one.txt" and last["url"] == "pypi:Manual==1.0/manual/one.txt#0"
    assert last["license"] == "MIT" and last["source"] == "shelf" and last["offset"] == 0
    assert len({row["id"] for row in found}) == 2
    assert set(last) == set(SOURCE)


def test_a_star_stays_in_its_folder(site: Site, rows: Rows) -> None:
    site.add("manual", {"manual/a.txt": "a", "manual/b/c.txt": "c", "manual/b/d/e.txt": "e"})
    entry = {"distribution": "manual", "format": "text"}
    assert texts(rows(source({**entry, "files": ["manual/*.txt"]}))) == ["a"]
    assert texts(rows(source({**entry, "files": ["manual/*/*.txt"]}))) == ["c"]
    assert texts(rows(source({**entry, "files": ["manual/[ab].txt", "manual/b/**"]}))) == ["a", "c", "e"]


def test_pages_are_handed_on_as_received(site: Site, rows: Rows) -> None:
    page = "<p>Grüße</p>".encode("latin-1")
    site.add("manual", {"manual/a.html": page})
    (row,) = rows(source({"distribution": "manual", "format": "html", "files": ["manual/*.html"]}))
    assert row["html"] == page and row["content_type"] == "text/html" and row["text"] is None


@pytest.mark.parametrize("order", ["<", ">"])
def test_messages_of_a_catalogue(site: Site, rows: Rows, order: str) -> None:
    pairs = {
        "Save": "保存",
        "same": "same",
        "empty": "",
        "menu\x04Open the file": "打开所选的文件",
        "one page\0many pages": "一页文字\0许多页文字",
    }
    site.add("manual", {"manual/locale/zh_CN/LC_MESSAGES/m.mo": catalogue(pairs, order)})
    entry = {"distribution": "manual", "format": "mo", "files": ["**/*.mo"], "language": "locale/([^/]+)/"}
    (row,) = rows(source(entry))
    assert row["text"] == "保存\n打开所选的文件\n一页文字" and row["lang"] == "zh"
    assert texts(rows(source({**entry, "shortest": 12}))) == ["打开所选的文件\n一页文字"]
    cut = rows(source({**entry, "per_document": 2}))
    assert texts(cut) == ["保存\n打开所选的文件", "一页文字"]
    assert [row["offset"] for row in cut] == [0, 1] and cut[0]["id"] != cut[1]["id"]


def test_a_catalogue_in_its_own_charset() -> None:
    assert list(messages(catalogue({"hello": "привет"}, charset="koi8-r"))) == ["привет"]
    with pytest.raises(Damaged, match="klingon"):
        list(messages(catalogue({"hello": "nuqneH"}, charset="klingon")))


def test_no_plural_rule_is_ever_run() -> None:
    header = "Plural-Forms: nplurals=1; plural=__import__('os')._exit(1);\nContent-Type: text/plain; charset=UTF-8\n"
    assert list(messages(catalogue({"": header, "a": "b"}))) == ["b"]


@pytest.mark.slow
@given(st.binary(max_size=80), st.integers(0, 60), st.integers(0, 2**32 - 1), st.sampled_from("<>"))
def test_a_malformed_catalogue_is_damaged_and_nothing_else(tail: bytes, at: int, value: int, order: str) -> None:
    whole = bytearray(catalogue({"a message": "eine Meldung"}, order) + tail)
    whole[4 + at : 8 + at] = struct.pack(f"{order}I", value)
    for data in (bytes(whole), bytes(whole[:at]), tail):
        try:
            assert all(isinstance(text, str) for text in messages(data))
        except Damaged as error:
            assert str(error)


def test_a_catalogue_that_states_four_billion_messages_ends_at_once(site: Site, rows: Rows) -> None:
    data = bytearray(catalogue({"a": "b"}))
    data[8:12] = struct.pack("<I", 0xFFFFFFFF)
    site.add("manual", {"manual/m.mo": bytes(data), "manual/n.mo": catalogue({"a": "b"})[:40]})
    found = rows(source({"distribution": "manual", "format": "mo", "files": ["manual/*.mo"]}))
    assert all("beyond its end" in row["unreadable"] for row in found) and len(found) == 2


def test_objects_of_a_json_file(site: Site, rows: Rows) -> None:
    poems = [
        {"id": 7, "poem": ["first line", "second line"], "about": {"short": "a poem"}},
        {"id": 8, "poem": ["third line"], "about": {}},
    ]
    site.add("manual", {"manual/poems.json": json.dumps(poems)})
    entry = {"distribution": "manual", "format": "json", "files": ["manual/poems.json"]}
    found = texts(rows(source({**entry, "fields": ["poem", "about.short"]})))
    assert found == ["first line\nsecond line\na poem", "third line"]
    assert texts(rows(source(entry)))[0] == "first line\nsecond line\na poem"


def test_a_json_file_that_cannot_be_read_is_one_unreadable_document(site: Site, rows: Rows) -> None:
    files = {
        "a.json": "{",
        "b.json": "[" * 100_000,
        "c.json": "[" * 80 + '"deep"' + "]" * 80,
        "d.json": b'"\xff"',
        "e.json": '{"txet": ["misspelt"]}',
        "f.json": "{}",
        "g.json": '{"text": ["kept"]}',
        "h.json": '{"text": "\\ud800"}',
        "i.json": "7",
    }
    site.add("manual", {f"manual/{name}": content for name, content in files.items()})
    found = rows(source({"distribution": "manual", "format": "json", "files": ["manual/*"], "fields": ["text"]}))
    by_file = {row["file"][-6:]: row for row in found}
    assert sorted(by_file) == ["a.json", "b.json", "c.json", "d.json", "e.json", "g.json", "h.json", "i.json"]
    assert by_file["g.json"]["text"] == "kept"
    assert all(row["unreadable"] for name, row in by_file.items() if name != "g.json")
    assert "UTF-8" in by_file["d.json"]["unreadable"] and "txet" in by_file["e.json"]["unreadable"]


def test_yaml_is_read_as_it_is_written(site: Site, rows: Rows) -> None:
    text = "categories: [greetings]\nconversations:\n- - Is it true?\n  - no\n- - When?\n  - 2026-11-01\n  - ~\n"
    site.add("manual", {"manual/talk.yml": text})
    entry = {"distribution": "manual", "format": "yaml", "files": ["manual/*"], "fields": ["conversations"]}
    assert texts(rows(source(entry))) == ["Is it true?\nno\nWhen?\n2026-11-01"]


def test_yaml_constructs_nothing_and_expands_nothing(site: Site, rows: Rows, tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    trap = f'a: !!python/object/apply:pathlib.Path.touch ["{tmp_path}/touched"]\n'
    files = {"a.yml": bomb, "b.yml": trap, "c.yml": "a: &a [*a]", "d.yml": "{", "e.yml": "[" * 5000}
    site.add("manual", {f"manual/{name}": content for name, content in files.items()})
    found = rows(source({"distribution": "manual", "format": "yaml", "files": ["manual/*.yml"]}))
    assert [bool(row["unreadable"]) for row in found] == [True, False, True, True, True]
    assert "aliases" in found[0]["unreadable"] and not (tmp_path / "touched").exists()


def test_a_match_is_unescaped(site: Site, rows: Rows) -> None:
    site.add("manual", {"manual/en.textproto": 'name: "x"\n  text: "Say \\"no\\".\\nTwice\\\\."\n'})
    entry = {
        "distribution": "manual",
        "format": "match",
        "files": ["manual/*"],
        "match": 'text: "((?:[^"\\\\]|\\\\.)*)"',
    }
    assert texts(rows(source(entry))) == ['Say "no".\nTwice\\.']


def test_what_distributions_say_of_themselves(site: Site, rows: Rows) -> None:
    site.add("one", {"one-1.0.dist-info/licenses/LICENSE": "Do as you like."}, body="One is a package.\nGrüße.\n")
    site.add("two", {"two-1.0.dist-info/COPYING": "Do."}, "Description: Two is older.\n        It has a header.\n")
    both = ["one", "two"]
    found = texts(rows(source({"distribution": both, "format": "description"})))
    assert found == ["One is a package.\nGrüße.\n", "Two is older.\nIt has a header."]
    assert texts(rows(source({"distribution": both, "format": "license_files"}))) == ["Do as you like.", "Do."]


LICENSES = [
    ("License-Expression: Apache-2.0\nClassifier: License :: OSI Approved :: MIT License\n", "Apache-2.0"),
    ("License: Long\nClassifier: License :: OSI Approved :: MIT License\n", "MIT"),
    (
        "Classifier: License :: OSI Approved :: BSD License\nClassifier: License :: OSI Approved :: MIT License\n",
        "BSD, MIT",
    ),
    ("Classifier: License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)\n", "MPL-2.0"),
    ("License: ISC\nClassifier: Topic :: Text Processing\n", "ISC"),
    ("License: UNKNOWN\nClassifier: License :: OSI Approved\n", "unknown"),
    (f"License: {'All rights reserved unless ' * 9}\n", "unknown"),
    ("License: Copyright 2017 Somebody\n        and the whole text\n", "unknown"),
    ("", "unknown"),
]


@pytest.mark.parametrize(("headers", "expected"), LICENSES)
def test_the_licence_is_the_one_declared(site: Site, rows: Rows, headers: str, expected: str) -> None:
    site.add("manual", {"manual/a.txt": "a"}, headers)
    entry = {"distribution": "manual", "format": "text", "files": ["manual/*"]}
    assert rows(source(entry))[0]["license"] == expected
    assert rows(source({**entry, "license": "CC0-1.0"}))[0]["license"] == "CC0-1.0"


HINTS = [("zh_CN", "zh"), ("zh_Hans", "zh"), ("chinese", "zh"), ("pt-BR", "pt"), ("deu", "de"), ("gibberish", None)]


@pytest.mark.parametrize(("folder", "expected"), HINTS)
def test_a_path_hints_at_the_language(site: Site, rows: Rows, folder: str, expected: str | None) -> None:
    site.add("manual", {f"manual/{folder}/a.txt": "a"})
    entry = {"distribution": "manual", "format": "text", "files": ["**/*.txt"]}
    assert rows(source({**entry, "language": "manual/([^/]+)/"}))[0]["lang"] == expected
    assert rows(source({**entry, "language": "nowhere/([^/]+)/"}))[0]["lang"] is None
    assert rows(source({**entry, "language": "it"}))[0]["lang"] == "it"


def test_members_of_an_archive(site: Site, rows: Rows, tmp_path: Path) -> None:
    members = {"en/a.html": b"<p>A</p>", "zh/a.html": "<p>甲</p>".encode(), "zh/b.txt": b"no page"}
    site.add("manual", {"manual/docs.zip": zipped(tmp_path / "z", members)})
    entry = {"distribution": "manual", "format": "html", "archive": "manual/docs.zip", "files": ["*/*.html"]}
    found = rows(source({**entry, "language": "!([a-z]+)/"}))
    assert [(row["file"], row["lang"]) for row in found] == [
        ("manual==1.0/manual/docs.zip!en/a.html", "en"),
        ("manual==1.0/manual/docs.zip!zh/a.html", "zh"),
    ]
    assert rows(source({**entry, "language": "!([a-z]+)/"}, part_bytes=1)) == found
    assert len(source(entry, part_bytes=1).parts()) == 2


def test_archives_that_mean_harm_become_unreadable_documents(site: Site, rows: Rows, tmp_path: Path) -> None:
    members = {
        "../outside.txt": b"outside",
        "/rooted.txt": b"rooted",
        "a\\..\\b.txt": b"windows",
        "bomb.txt": bytes(5_000_000),
        "good.txt": b"good",
        "large.txt": bytes(range(256)) * 40_000,
    }
    data = bytearray(zipped(tmp_path / "z", members))
    site.add("manual", {"manual/docs.zip": bytes(data)})
    entry = {"distribution": "manual", "format": "text", "archive": "manual/docs.zip", "files": ["**/*.txt"]}
    found = {row["file"].split("!")[1]: row for row in rows(source(entry, max_bytes=6_000_000))}
    assert sorted(found) == ["bomb.txt", "good.txt", "large.txt"] and found["good.txt"]["text"] == "good"
    assert "times its size" in found["bomb.txt"]["unreadable"] and "max_bytes" in found["large.txt"]["unreadable"]
    before = sorted(path for path in tmp_path.rglob("*"))
    rows(source(entry, max_bytes=6_000_000))
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_damaged_member_is_unreadable_and_a_damaged_archive_an_error(site: Site, rows: Rows, tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "z", {"a.txt": b"aaaa", "b.txt": b"bbbb"}, zipfile.ZIP_STORED))
    at = data.index(b"aaaa")
    data[at] = ord("x")
    site.add("manual", {"manual/docs.zip": bytes(data), "manual/no.zip": b"PK no"})
    entry = {"distribution": "manual", "format": "text", "files": ["*.txt"]}
    first, second = rows(source({**entry, "archive": "manual/docs.zip"}))
    assert "CRC" in first["unreadable"] and second["text"] == "bbbb"
    with pytest.raises(SourceError, match=r"no\.zip: not a ZIP archive"):
        source({**entry, "archive": "manual/no.zip"}).parts()


def test_an_archive_that_lies_about_sizes_is_read_no_further_than_it_says(
    site: Site, rows: Rows, tmp_path: Path
) -> None:
    data = zipped(tmp_path / "z", {"a.txt": bytes(1_000_000)})
    lied = data.replace(struct.pack("<I", 1_000_000), struct.pack("<I", 100))
    site.add("manual", {"manual/docs.zip": lied})
    entry = {"distribution": "manual", "format": "text", "files": ["*.txt"], "archive": "manual/docs.zip"}
    (row,) = rows(source(entry))
    assert "cannot be read" in row["unreadable"]


def test_what_lies_outside_is_not_read(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    outside = ("../secret.txt", str(tmp_path / "secret.txt"), "manual/../../secret.txt")
    site.add("manual", {"manual/a.txt": "a"}, listed=outside)
    entry = {"distribution": "manual", "format": "text", "files": ["**"]}
    names = [piece.name for part in source(entry).parts() for piece in part.slices]
    assert names == ["manual==1.0/manual-1.0.dist-info/METADATA", "manual==1.0/manual/a.txt"]
    (site.folder / "manual" / "link.txt").symlink_to(tmp_path / "secret.txt")
    site.add("linked", {"linked/a.txt": "a"}, listed=("manual/link.txt",))
    with pytest.raises(SourceError, match="leads out"):
        source({**entry, "distribution": "linked"}).parts()


def test_no_code_of_a_distribution_runs(site: Site, rows: Rows, tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')"
    site.add("manual", {"manual/__init__.py": trap, "manual/__pycache__/a.pyc": trap, "manual/a.txt": "a"})
    found = rows(source({"distribution": "manual", "format": "text", "files": ["manual/**"]}))
    assert [row["file"][-6:] for row in found] == ["/a.txt"] and not (tmp_path / "ran").exists()


def test_a_distribution_that_is_not_installed() -> None:
    with pytest.raises(MissingBackend, match=r"pip install 'gristmill\[quickstart\]'"):
        source({"distribution": "no-such-thing", "format": "description"}).parts()


def test_a_glob_that_matches_nothing_names_what_is_near(site: Site) -> None:
    site.add("manual", {"manual/chapter.txt": "a"}, version="2.5")
    with pytest.raises(
        SourceError, match=r"manual==2\.5: no file matches 'manual/chapters\.txt'; .*manual/chapter\.txt"
    ):
        source({"distribution": "manual", "format": "text", "files": ["manual/chapters.txt"]}).parts()
    with pytest.raises(SourceError, match="license"):
        source({"distribution": "manual", "format": "license_files"}).parts()


def test_a_file_is_read_once(site: Site) -> None:
    site.add("manual", {"manual/a.txt": "a"})
    entry = {"distribution": "manual", "format": "text", "files": ["manual/*"]}
    with pytest.raises(SourceError, match=r"matched by distributions\[0\] and \[1\]"):
        source(entry, entry).parts()


def test_a_list_of_files_that_is_not_kept_or_not_true(site: Site) -> None:
    entry = {"distribution": "manual", "format": "text", "files": ["manual/*"]}
    site.add("manual", {"manual/a.txt": "a"}, listed=("manual/gone.txt",))
    with pytest.raises(SourceError, match=r"gone\.txt: is listed but missing"):
        source(entry).parts()
    (site.folder / "manual-1.0.dist-info" / "RECORD").unlink()
    with pytest.raises(SourceError, match="keeps no list of its files"):
        source(entry).parts()


def test_parts_depend_on_content_and_not_on_the_order_of_the_list(site: Site) -> None:
    files = {f"manual/{name}.txt": name * 100 for name in "dacb"}
    site.add("manual", files)
    stage = source({"distribution": "manual", "format": "text", "files": ["manual/*"]}, part_bytes=200)
    parts = stage.parts()
    assert [len(part.slices) for part in parts] == [2, 2]
    site.add("manual", dict(reversed(files.items())))
    assert stage.parts() == parts
    (site.folder / "manual" / "a.txt").write_text("b" * 100)
    assert [part == before for part, before in zip(stage.parts(), parts, strict=True)] == [False, True]
    with pytest.raises(SourceError, match="changed since it was planned"):
        list(stage.read(parts[0]))


def test_a_file_too_long_to_be_read_is_unreadable(site: Site, rows: Rows) -> None:
    site.add("manual", {"manual/a.txt": "a" * 11, "manual/b.txt": "b" * 10})
    found = rows(source({"distribution": "manual", "format": "text", "files": ["manual/*"]}, max_bytes=10))
    assert [bool(row["unreadable"]) for row in found] == [True, False]


def test_columns_are_those_of_the_formats() -> None:
    page = {"distribution": "manual", "format": "html", "files": ["*"]}
    text = {"distribution": "manual", "format": "description"}
    assert "text" not in source(page).columns_written() and "html" in source(page).columns_written()
    assert "html" not in source(text).columns_written() and "lang" not in source(text).columns_written()
    assert {"text", "html", "lang"} <= set(source(page, {**text, "language": "en"}).columns_written())


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"format": "text"}, "needs `files`"),
        ({"format": "description", "files": ["*"]}, "takes no `files`"),
        ({"format": "description", "archive": "a.zip"}, "takes no `archive`"),
        ({"format": "match", "files": ["*"]}, "belong together"),
        ({"format": "text", "files": ["*"], "match": "(a)"}, "belong together"),
        ({"format": "match", "files": ["*"], "match": "a"}, "needs one group"),
        ({"format": "match", "files": ["*"], "match": "(a"}, "not a regular expression"),
        ({"format": "text", "files": ["*"], "language": "(a)(b)"}, "needs one group"),
        ({"format": "text", "files": ["*"], "distribution": "../manual"}, "pattern"),
    ],
)
def test_mistakes_in_an_entry(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        source({"distribution": "manual", **entry})
