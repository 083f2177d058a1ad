from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.core.errors import StoreError
from pipeline.core.shards import read_table
from pipeline.report.explain import explain
from pipeline.run.gc import collect, purge
from pipeline.run.remove import remove
from tests import projects


def folders(root: Path) -> set[str]:
    return {path.name for path in (root / "store").iterdir()}


def bytes_of(root: Path) -> bytes:
    """All columns of all Arrow files, and all other files, below a folder."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.suffix == ".arrow":
            sink = pa.BufferOutputStream()
            table = read_table(path)
            with pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
            found.append(sink.getvalue().to_pybytes())
        elif path.is_file():
            found.append(path.read_bytes())
    return b"".join(found)


@pytest.mark.slow
def test_what_no_corpus_needs_goes_and_a_build_has_nothing_to_do(tmp_path: Path) -> None:
    root = tmp_path / "build"
    recipe = projects.make_project(tmp_path, n_files=2, per_file=30)
    first = projects.build(recipe, root)
    before = folders(root)
    changed: dict[str, Any] = {
        **projects.RECIPE,
        "stages": [{"length": {"min_characters": 10}}, "exact"],
        "version": "2",
    }
    built = projects.build(projects.write_recipe(tmp_path, changed), root)
    idle = before - set(folders_needed(built.folder))
    assert idle and first.folder == built.folder
    named = collect(root, dry_run=True)
    assert set(named.paths) == idle and named.bytes > 0 and before <= folders(root)
    assert collect(root) == named and not idle & folders(root)
    assert collect(root).paths == ()
    assert projects.build(recipe, root).worked == 0


def folders_needed(corpus: Path) -> list[str]:
    from pipeline.core.manifest import read_manifest

    manifest = read_manifest(corpus)
    return [*(f"{s.name}-{s.key[:16]}" for s in manifest.sweeps), *(Path(i.path).parts[1] for i in manifest.indexes)]


def test_a_folder_without_a_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store here"):
        collect(tmp_path)


@pytest.mark.slow
def test_purged_documents_are_nowhere_and_all_else_is_made_again(tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path, n_files=3, per_file=30)
    root = tmp_path / "build"
    corpus = projects.build(recipe, root).folder
    rows = [row for path in sorted((corpus / "documents").glob("*.arrow")) for row in read_table(path).to_pylist()]
    gone, other = rows[4], rows[-1]
    words = gone["text"][20:60].encode()
    assert words in bytes_of(root)
    remove(corpus, [gone["id"]], "asked", "2026-11-25")
    assert words in bytes_of(root / "store")
    kept = bytes_of(corpus)
    freed = purge(corpus, [gone["id"]])
    assert freed.bytes > 0 and any("/sketch/" in path for path in freed.paths)
    assert words not in bytes_of(root)
    assert bytes_of(corpus) == kept
    assert other["text"][20:60].encode() in bytes_of(root / "store")
    assert [fate.kept for fate in explain(corpus, other["id"]).fates][-1:] == [True]
    again = projects.build(recipe, root)
    assert again.worked > 0 and words not in bytes_of(corpus)


@pytest.mark.slow
def test_what_a_ledger_says_of_a_purged_document_has_none_of_its_words(tmp_path: Path) -> None:
    root = tmp_path / "build"
    corpus = projects.build(projects.make_project(tmp_path, n_files=2, per_file=30), root).folder
    strict: dict[str, Any] = {**projects.RECIPE, "recipe": "strict", "stages": [{"length": {"min_characters": 1500}}]}
    projects.build(projects.write_recipe(tmp_path, strict), root)
    rows = [row for path in sorted((corpus / "documents").glob("*.arrow")) for row in read_table(path).to_pylist()]
    inputs = "".join(path.read_text() for path in tmp_path.glob("data/*/*.jsonl"))
    gone = next(row for row in rows if len(row["text"]) < 1500 and inputs.count(row["text"][20:60]) == 1)
    remove(corpus, [gone["id"]], "asked", "2026-11-25")
    purge(corpus, [gone["id"]])
    assert gone["text"][20:60].encode() not in bytes_of(root)
    assert gone["url"].encode() not in bytes_of(root)
    fates = explain(root / "strict", gone["id"]).fates
    assert [(fate.reason, fate.document.characters) for fate in fates] == [("too_few_characters", 0)]
