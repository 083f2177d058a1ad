"""A stored file that was damaged is found before it is read, and made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import BuildFailed, StoreError
from pipeline.core.manifest import read_receipt
from pipeline.core.shards import read_checked, write_checked
from tests import projects

RECIPE = {
    "recipe": "small",
    "version": "1",
    "sources": [{"files": {"name": "web", "paths": ["data/*/*.jsonl"], "columns": projects.COLUMNS}}],
    "stages": [{"length": {"min_characters": 100}}, "exact"],
}


def flip(path: Path) -> None:
    """Change one bit in the middle; the size stays."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # a finished corpus has the same file under another name
    path.write_bytes(content)


def test_a_damaged_shard_is_found_when_it_is_read_and_made_again_by_the_same_command(tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path, n_files=2, per_file=20, recipe=RECIPE)
    calm = projects.build(recipe, tmp_path / "build").manifest.digest
    [first] = (tmp_path / "build" / "store").glob("length-*")
    [last] = (tmp_path / "build" / "store").glob("exact-*")
    flip(first / "shard-00000.arrow")
    (last / "shard-00000.receipt.json").unlink()
    with pytest.raises(BuildFailed, match="damaged since it was written"):
        projects.build(recipe, tmp_path / "build")
    assert projects.build(recipe, tmp_path / "build").manifest.digest == calm


@pytest.mark.parametrize("pattern", ["length-*/ledger/*.arrow", "exact-*/*.arrow", "exact.decision-*/decision/*"])
def test_verify_finds_what_nothing_would_read(tmp_path: Path, pattern: str) -> None:
    recipe = projects.make_project(tmp_path, n_files=2, per_file=20, recipe=RECIPE)
    built = projects.build(recipe, tmp_path / "build")
    path = sorted((tmp_path / "build" / "store").glob(pattern))[0]
    content = path.read_bytes()
    flip(path)
    again = projects.build(recipe, tmp_path / "build", recheck=True)
    assert path.read_bytes() == content
    assert again.manifest.digest == built.manifest.digest and again.worked
    assert not projects.build(recipe, tmp_path / "build", recheck=True).worked


def test_a_damaged_file_of_the_tokenizer_is_put_right_in_the_corpus_too(tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path, n_files=2, per_file=20)
    built = projects.build(recipe, tmp_path / "build")
    path = built.folder / "tokenizer" / "tokenizer_config.json"
    content = path.read_bytes()
    flip(path)
    projects.build(recipe, tmp_path / "build", recheck=True)
    assert path.read_bytes() == content


def test_a_receipt_that_was_changed_is_none(tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path, n_files=1, per_file=20, recipe=RECIPE)
    projects.build(recipe, tmp_path / "build")
    path = next((tmp_path / "build" / "store").glob("length-*/*.receipt.json"))
    path.write_text(path.read_text().replace('"rows_in": 20', '"rows_in": 21'))
    with pytest.raises(StoreError, match="was changed since it was written"):
        read_receipt(path)
    assert projects.build(recipe, tmp_path / "build").worked


def test_a_small_file_with_its_digest_is_whole_or_none(tmp_path: Path) -> None:
    write_checked(tmp_path / "a", "two\nlines")
    assert read_checked(tmp_path / "a") == "two\nlines"
    (tmp_path / "a").write_text((tmp_path / "a").read_text().replace("two", "too"))
    assert read_checked(tmp_path / "a") is None and read_checked(tmp_path / "b") is None
