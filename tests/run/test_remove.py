from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.backends.tokenizer import load
from pipeline.core.errors import GristmillError
from pipeline.core.manifest import Manifest, compose, read_manifest
from pipeline.core.merkle import root_of
from pipeline.core.packed import token_facts
from pipeline.core.shards import read_table
from pipeline.report.explain import explain
from pipeline.report.funnel import check_books, funnel
from pipeline.run.remove import remove, tombstones
from tests import projects


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remove")
    projects.build(projects.make_project(folder), folder / "build")
    return folder


@pytest.fixture
def corpus(project: Path, tmp_path: Path) -> Path:
    """A copy that may be spoiled, its files apart from the store's."""
    shutil.copytree(project / "build", tmp_path / "build")
    return tmp_path / "build" / "small"


def digests(corpus: Path) -> dict[str, str]:
    files = (path for path in corpus.rglob("*") if path.is_file())
    return {path.relative_to(corpus).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(corpus: Path, folder: str) -> list[dict[str, Any]]:
    found = []
    for file in sorted((corpus / folder).rglob("*.arrow")):
        found += [{**row, "in": file.relative_to(corpus).as_posix()} for row in read_table(file).to_pylist()]
    return found


def pieces(corpus: Path) -> dict[str, dict[tuple[str, int], list[int]]]:
    """By shard, the tokens of every piece by document and offset."""
    found: dict[str, dict[tuple[str, int], list[int]]] = defaultdict(dict)
    for row in rows(corpus, "tokens"):
        for piece in row["documents"]:
            tokens = row["input_ids"][piece["start"] : piece["start"] + piece["length"]]
            found[row["in"]][piece["id"], piece["offset"]] = tokens
    return dict(found)


def counted(corpus: Path) -> None:
    """Every number of the manifest that removal touches is what counting the files gives."""
    manifest = read_manifest(corpus)
    check_books(manifest)
    assert manifest.root == root_of(corpus / file.path for file in manifest.documents)
    for file in (*manifest.documents, *manifest.tokens):
        content = (corpus / file.path).read_bytes()
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert read_table(corpus / file.path).num_rows == file.rows
    composed: dict[tuple[Any, ...], Any] = {}
    for file in manifest.documents:
        for batch in read_table(corpus / file.path).combine_chunks().to_batches():
            for group in compose(batch):
                key = (group.source, group.lang, group.license)
                composed[key] = composed[key] + group.size if key in composed else group.size
    assert {(g.source, g.lang, g.license): g.size for g in manifest.composition} == composed
    for split in ("train", "holdout"):
        tables = [read_table(corpus / file.path) for file in manifest.tokens if f"/{split}/" in file.path]
        facts = [token_facts(table) for table in tables]
        for name in facts[0]:
            assert manifest.facts[f"{split}_{name}"] == sum(fact[name] for fact in facts), name
        groups = [group for group in manifest.token_groups if group.split == split]
        assert sum(group.tokens for group in groups) == manifest.facts[f"{split}_tokens"]
        assert sum(group.documents for group in groups) == manifest.facts[f"{split}_documents"]
    assert sum(g.bytes for g in manifest.token_groups) == sum(g.size.bytes for g in manifest.composition)
    encoder = load(corpus / "tokenizer" / "tokenizer.json")
    texts = [row["text"] for row in rows(corpus, "documents")]
    assert manifest.facts["vocabulary_used"] == len(np.unique(encoder.encode(texts)[0]))
    assert manifest.facts["vocabulary"] == encoder.size


@pytest.mark.slow
def test_a_fresh_build_counts_the_same(corpus: Path) -> None:
    counted(corpus)
    manifest = read_manifest(corpus)
    assert [engine.split()[0] for engine in manifest.execution["tokenized_by"]] == ["fastokens"]
    assert manifest.longest[0].tokens == max(document.tokens for document in manifest.longest)
    sizes = {row["id"]: 0 for row in rows(corpus, "documents")}
    for found in pieces(corpus).values():
        for (name, _), tokens in found.items():
            sizes[name] += len(tokens)
    assert [document.tokens for document in manifest.longest] == sorted(sizes.values())[:-11:-1]


@pytest.mark.slow
def test_exactly_the_blocks_concerned_are_written_again(corpus: Path) -> None:
    documents, before, old = rows(corpus, "documents"), digests(corpus), pieces(corpus)
    whole = read_manifest(corpus)
    by_id, by_url = documents[3], documents[-1]
    gone = {by_id["id"], by_url["id"]}
    stones = remove(corpus, [by_id["id"], by_url["url"]], "asked by the author", "2026-11-24")
    assert {stone.id for stone in stones} == gone
    after, new = digests(corpus), pieces(corpus)
    expected = [row for row in documents if row["id"] not in gone]
    assert [{**row, "in": ""} for row in rows(corpus, "documents")] == [{**row, "in": ""} for row in expected]
    concerned = {row["in"] for row in documents if row["id"] in gone}
    concerned |= {shard for shard, found in old.items() if any(name in gone for name, _ in found)}
    changed = {path for path in before if before[path] != after.get(path)}
    assert changed == {*concerned, "manifest.json"}
    assert set(after) - set(before) == {"removed.json", "removed.arrow"}
    for shard, found in old.items():
        assert new.get(shard, {}) == {key: tokens for key, tokens in found.items() if key[0] not in gone}
    counted(corpus)
    last = next(row for row in funnel(read_manifest(corpus)) if row.stage == "removed")
    assert (last.dropped, last.reasons) == (2, (("taken_down", 2),))
    assert read_manifest(corpus).digest != whole.digest
    written = b"".join(path.read_bytes() for path in corpus.glob("removed.*"))
    assert by_url["text"][:60].encode() not in written and by_url["url"].encode() not in written


@pytest.mark.slow
def test_what_is_left_of_a_row_moves_up_and_is_padded(corpus: Path) -> None:
    row = next(row for row in rows(corpus, "tokens") if len(row["documents"]) >= 3)
    first = row["documents"][0]["id"]
    remove(corpus, [first], "no reason", "2026-11-24")
    for row in rows(corpus, "tokens"):
        at = 0
        for piece in row["documents"]:
            assert piece["start"] == at
            at += piece["length"]
        assert at > 0 and set(row["input_ids"][at:]) <= {load(corpus / "tokenizer" / "tokenizer.json").pad}


@pytest.mark.slow
def test_removing_more_adds_up_and_again_does_nothing(corpus: Path) -> None:
    names = [row["id"] for row in rows(corpus, "documents")]
    remove(corpus, names[:2], "first", "2026-11-24")
    remove(corpus, [names[1], names[5]], "second", "2026-11-25")
    counted(corpus)
    before = digests(corpus)
    assert remove(corpus, names[:2], "again", "2026-11-26") == () and digests(corpus) == before
    held = tombstones(corpus)
    assert held and sorted(stone.id for stone in held.tombstones) == sorted([*names[:2], names[5]])
    fates = explain(corpus, names[5]).fates
    assert not any(fate.kept for fate in fates)
    told = [(fate.reason, fate.detail) for fate in fates if fate.stage == "removed"]
    assert told == [("taken_down", "second (2026-11-25)")]


def test_all_or_none(corpus: Path) -> None:
    name, before = rows(corpus, "documents")[0]["id"], digests(corpus)
    with pytest.raises(GristmillError, match="no document has the id or URL 'https://nowhere'"):
        remove(corpus, [name, "https://nowhere"], "no reason", "2026-11-24")
    assert digests(corpus) == before


@pytest.mark.slow
def test_a_later_build_takes_them_out_again(tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path)
    corpus = projects.build(recipe, tmp_path / "build").folder
    documents = rows(corpus, "documents")
    gone = [documents[0]["id"], documents[7]["id"]]
    remove(corpus, gone, "asked", "2026-11-24")
    taken = digests(corpus)
    assert projects.build(recipe, tmp_path / "build").worked == 0
    assert digests(corpus) == taken
    some = next((corpus / "documents").glob("*.arrow"))
    some.unlink()
    projects.build(recipe, tmp_path / "build")
    assert not {row["id"] for row in rows(corpus, "documents")} & set(gone)
    assert {path: value for path, value in digests(corpus).items() if path != "manifest.json"} == {
        path: value for path, value in taken.items() if path != "manifest.json"
    }
    counted(corpus)


def test_a_manifest_of_before_is_still_read(corpus: Path) -> None:
    manifest = read_manifest(corpus).model_dump(mode="json", exclude={"token_groups", "longest"})
    assert Manifest.model_validate(manifest).token_groups == ()
