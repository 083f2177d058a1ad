"""A finished build as an index: new documents are compared with its sketches, and nothing old is read again."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import GristmillError
from pipeline.core.manifest import read_manifest
from pipeline.core.shards import read_table
from pipeline.dedup.against import Incremental
from pipeline.dedup.exact import Exact
from pipeline.dedup.minhash import Minhash
from pipeline.dedup.ngrams import Ngrams
from pipeline.dedup.paragraphs import Paragraphs
from pipeline.dedup.substrings import Substrings
from pipeline.report import explain
from pipeline.report.card import render_card
from pipeline.run.engine import Built
from tests import projects, samples
from tests.dedup.building import Row, cut, document, dropped, edited

OLD = {"a": "The mill stands in the valley.", "b": "The river turns.", "c": "The river turns."}
NEW = {"d": "The river turns.", "e": "Bread is baked at night.", "f": "Bread is baked at night.", "A": "the MILL..."}


def make(folder: Path, name: str, texts: dict[str, str], word: str = "exact", **fields: Any) -> Path:
    """A recipe over these documents, spread over two files, with this stage of deduplication."""
    data = folder / "data" / name
    data.mkdir(parents=True, exist_ok=True)
    for half in (0, 1):
        rows = [json.dumps({"id": id, "text": text}) for id, text in list(texts.items())[half::2]]
        (data / f"{half}.jsonl").write_text("".join(row + "\n" for row in rows))
    source = {"files": {"name": name, "paths": [f"data/{name}/*.jsonl"], "part_bytes": 70, "columns": {"id": "id"}}}
    recipe = {"recipe": name, "version": "1.0", "sources": [source], "stages": [{word: fields}]}
    recipe["stages"].append({"length": {"min_characters": 1}})
    path = folder / "recipes" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(recipe))
    return path


def ledger(root: Path, built: Built) -> dict[str, tuple[str, str, str | None, float]]:
    """By id: reason, twin, detail, and value."""
    folder = next(path for path in (root / "store").iterdir() if path.name.endswith(built.manifest.sweeps[-1].key[:16]))
    rows = [row for path in sorted((folder / "ledger").glob("*.arrow")) for row in read_table(path).to_pylist()]
    return {row["id"]: (row["reason"], row["twin"], row["detail"], row["value"]) for row in rows}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    projects.build(make(tmp_path, "old", OLD), tmp_path / "build", workers=1)
    return tmp_path


def test_new_documents_are_compared_with_old_ones_and_with_each_other(old: Path) -> None:
    shutil.rmtree(old / "data" / "old")
    (read,) = (old / "build" / "store").glob("read-*")
    shutil.rmtree(read)
    built = projects.build(make(old, "new", NEW, against="build/old"), old / "build", workers=1)
    assert ledger(old / "build", built) == {
        "d": ("built_before", "b", "old@1.0", 3.0),
        "f": ("exact_duplicate", "e", None, 2.0),
    }
    card = render_card(built.manifest)
    key = built.manifest.indexes[0].older[0].key[:16]
    assert re.search(rf"\| `exact` \| old.*1\.0 \| `{key}` \| 1 \|", card) and "`built_before` 1" in card


def test_a_build_brings_along_what_it_was_compared_with(old: Path) -> None:
    projects.build(make(old, "new", NEW, against="build/old"), old / "build", workers=1)
    last = {"g": "The river turns.", "h": "Bread is baked at night.", "i": "Something else."}
    built = projects.build(make(old, "last", last, against="build/new"), old / "build", workers=1)
    assert ledger(old / "build", built) == {
        "g": ("built_before", "b", "old@1.0", 4.0),
        "h": ("built_before", "e", "new@1.0", 3.0),
    }


def test_the_older_build_is_part_of_the_identity_and_its_folder_is_not(old: Path) -> None:
    alone = projects.build(make(old, "new", NEW), old / "build", workers=1).manifest
    keys = []
    for folder in ("build", "elsewhere"):
        compared = projects.build(make(old, "new", NEW, against=f"{folder}/old"), old / f"new-{folder}", workers=1)
        keys.append(compared.manifest.sweeps[-1].key)
        if folder == "build":
            shutil.copytree(old / "build", old / "elsewhere")
    assert alone.sweeps[-1].key not in keys and keys[0] == keys[1]


def test_what_cannot_be_compared_is_refused_with_the_remedy(old: Path) -> None:
    def refused(name: str, **exact: Any) -> str:
        with pytest.raises(GristmillError) as caught:
            projects.build(make(old, name, NEW, **exact), old / "build", workers=1)
        return str(caught.value)

    assert "its 'exact' cannot be compared with: by was 'text' and is 'url'" in refused(
        "x", against="build/old", by="url"
    )
    assert "no manifest here" in refused("x", against="build/none")
    assert "is outside of" in refused("x", against="../elsewhere")
    for folder in ("build/old", "build/again"):
        projects.build(make(old, "again", NEW, against=folder), old / "build", workers=1, replace=True)
    assert "where there is another build now: build again@1.0 again" in refused("again", against="build/again")


def test_sketches_that_are_gone_are_made_again(old: Path) -> None:
    (sketches,) = (old / "build" / "store").glob("exact.decision-*/sketch")
    next(sketches.glob("*.arrow")).unlink()
    new = make(old, "new", NEW, against="build/old")
    with pytest.raises(GristmillError, match=f"sketches of this build are gone .* remove {sketches.parent} and build"):
        projects.build(new, old / "build", workers=1)
    shutil.rmtree(sketches.parent)
    projects.build(old / "recipes" / "old.yaml", old / "build", workers=1)
    assert "d" in ledger(old / "build", projects.build(new, old / "build", workers=1))


WORDS = samples.ENGLISH.split()
COMPARED = (Exact(), Minhash(bands=12, rows=4, shingle=2, threshold=0.7), Minhash(bands=9, rows=4, verify=False))


def versions(chance: random.Random, n: int) -> list[Row]:
    """Documents of four builds, `0` to `2` and new ones: versions of a few texts, often the same."""
    texts = []
    for _ in range(n):
        edited = list(chance.choice(texts)) if texts and chance.random() < 0.7 else chance.sample(WORDS, 40)
        for _ in range(chance.choice((0, 0, 1, 3))):
            edited[chance.randrange(len(edited))] = chance.choice(WORDS)
        texts.append(edited)
    rows = [document(f"{i:02d}", " ".join(text), source=chance.choice("012ab")) for i, text in enumerate(texts)]
    chance.shuffle(rows)
    return rows


@pytest.mark.slow
@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    seed=st.integers(0, 1 << 30),
    stage=st.sampled_from(COMPARED),
    ends=st.lists(st.integers(0, 99), max_size=2),
    partition_bytes=st.sampled_from([16, 1 << 20]),
)
def test_one_build_after_the_other_drops_of_the_new_documents_what_one_build_of_all_drops(
    tmp_path_factory: pytest.TempPathFactory, seed: int, stage: Incremental, ends: list[int], partition_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("against")
    rows = versions(random.Random(seed), 24)
    new = [row for row in rows if row["source"] in ("a", "b")]
    older = [cut([row for row in rows if row["source"] == name], ends) for name in "012"]
    wanted = dropped(stage, [rows], folder, sources=("0", "1", "2", "a", "b"))
    found = dropped(
        stage,
        cut(new, ends),
        folder,
        sources=("a", "b"),
        older=older,
        partitions=2,
        partition_bytes=partition_bytes,
        batch_rows=9,
    )
    build = {row["id"]: row["source"] for row in rows if row["source"] in "012"}
    assert set(found) == set(wanted) & {row["id"] for row in new}
    for id, drop in found.items():
        assert drop[1:] == wanted[id][1:]
        assert drop.reason == ("built_before" if drop.twin in build else wanted[id].reason)


CUTTING = (
    Paragraphs(level="sentence", min_length=1, min_documents=2),
    Paragraphs(min_length=1, bloom_bytes=1024),
    Substrings(length=6),
    Ngrams(length=3, threshold=0.5),
)


@pytest.mark.slow
@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 1 << 30), stage=st.sampled_from(CUTTING), ends=st.lists(st.integers(0, 99), max_size=2))
def test_one_build_after_the_other_cuts_from_the_new_documents_what_one_build_of_all_cuts(
    tmp_path_factory: pytest.TempPathFactory, seed: int, stage: Incremental, ends: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("against")
    rows = [{**row, "text": str(row["text"]).replace(" the ", ".\n")} for row in versions(random.Random(seed), 20)]
    new = [row for row in rows if row["source"] in ("a", "b")]
    older = [cut([row for row in rows if row["source"] == name], ends) for name in "012"]
    wanted = edited(stage, [rows], folder, sources=("0", "1", "2", "a", "b"))
    found = edited(stage, cut(new, ends), folder, sources=("a", "b"), older=older, partitions=2)
    assert found == {id: text for id, text in wanted.items() if id in found} and len(found) == len(new)


@pytest.fixture
def near(tmp_path: Path) -> Path:
    """Builds of near-duplicates, each against the one before; ids are the same in all."""
    texts = {
        "a": {"x": samples.ENGLISH, "y": samples.GERMAN},
        "b": {"x": samples.ENGLISH + " It is old.", "y": samples.CHINESE},
        "c": {"x": samples.ENGLISH + " It is very old.", "y": samples.CHINESE + "她", "v": samples.THAI * 2},
    }
    texts["c"]["w"] = samples.THAI * 2 + "ๆ"
    against: dict[str, Any] = {}
    for name, documents in texts.items():
        projects.build(make(tmp_path, name, documents, "minhash", **against), tmp_path / "build", workers=1)
        against = {"against": f"build/{name}", "threshold": 0.75}
        for store in (tmp_path / "build" / "store").glob("read-*"):
            shutil.rmtree(store)
        shutil.rmtree(tmp_path / "data" / name)
    return tmp_path


@pytest.mark.slow
def test_near_duplicates_of_older_builds_are_told_and_explained(near: Path) -> None:
    manifest = read_manifest(near / "build" / "c")
    assert manifest.decided["minhash"] == {"dropped against a@1.0": 1, "dropped against b@1.0": 1}
    card = render_card(manifest)
    assert re.search(r"\| `minhash` \| b.*1\.0 \|.* 2 \|", card) and "`near_duplicate` 1" in card

    found = explain.explain(near / "build" / "c", "x", base=near)
    [fate], [beside] = found.fates, found.comparisons
    assert (fate.reason, fate.twin, fate.detail) == ("built_before", "x", "a@1.0: cluster of 3 documents")
    assert fate.twin_fate and fate.twin_fate.kept and fate.twin_fate.build == "a@1.0"
    assert beside.jaccard == fate.value and beside.size == 2
    own, twin = ("".join(piece.text for piece in text) for text in beside.texts)
    assert own.startswith(twin) and own.endswith("very old.") and not beside.texts[0][-1].shared
    [other] = explain.explain(near / "build" / "c", "y", base=near).fates
    assert other.twin_fate and other.twin_fate.build == "b@1.0"
    assert "in the older build a@1.0" in explain.as_text(found)
    shutil.rmtree(near / "build" / "a")
    assert "a@1.0, an older build, in build/a" in explain.explain(near / "build" / "c", "x", base=near).message
