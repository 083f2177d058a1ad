from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.core.errors import GristmillError
from pipeline.core.manifest import read_manifest
from pipeline.core.schema import documents
from pipeline.core.shards import write_table
from pipeline.core.stage import Decision, Sketches, read_facts
from pipeline.tokens.mixture import Mixture
from tests import projects


def batch(**counts: int) -> pa.RecordBatch:
    """So many documents of each source, of 1 to 40 bytes."""
    rows = (
        {"id": f"{name}-{n}", "text": "x" * (n % 40 + 1), "source": name}
        for name in counts
        for n in range(counts[name])
    )
    return documents(rows).select(["id", "text", "source", "lang"])


def kept(stage: Mixture, batches: Sequence[pa.RecordBatch], folder: Path) -> dict[str, Any]:
    """The ids that are kept, and what the decision tells."""
    folder.mkdir()
    files = tuple(folder / f"sketch-{number}.arrow" for number in range(len(batches)))
    for file, one in zip(files, batches, strict=True):
        write_table(file, pa.Table.from_batches([stage.sketch(one)]))
    stage.decide(Sketches(files, tuple(one.num_rows for one in batches), ()), folder, lambda *_: [])
    ids: list[str] = []
    for one in batches:
        verdict = stage.judge(one, Decision(folder))
        mask = verdict.kept
        ids += (one if mask is None else one.filter(mask)).column("id").to_pylist()
    return {"ids": set(ids), **read_facts(folder)}


def test_shares_are_of_bytes_and_the_scarcest_group_decides(tmp_path: Path) -> None:
    whole = batch(web=4000, books=400, code=300)
    found = kept(Mixture(shares={"web": 0.6, "books": 0.4}), [whole.slice(0, 999), whole.slice(999)], tmp_path / "a")
    sizes = {row["id"]: len(row["text"]) for row in whole.to_pylist()}
    held = Counter[str]()
    for name in found["ids"]:
        held[name.split("-")[0]] += sizes[name]
    assert sum(name.startswith("books") for name in found["ids"]) == 400 and held["code"] == 0
    assert 0 <= held["books"] * 0.6 / 0.4 - held["web"] < 41
    told = {row["source"]: row for row in found["mixture"]}
    assert {name: row["kept"] for name, row in told.items()} == {"books": held["books"], "web": held["web"]}


def test_a_smaller_mixture_is_part_of_a_larger_and_a_seed_changes_it(tmp_path: Path) -> None:
    whole = batch(web=2000, books=2000)
    sets = [
        kept(
            Mixture(shares={"web": 3, "books": 1}, unit="documents", total=n, seed=seed),
            [whole],
            tmp_path / f"{n}{seed}",
        )
        for n, seed in ((1000, 0), (400, 0), (400, 1))
    ]
    assert [len(found["ids"]) for found in sets] == [1000, 400, 400]
    assert Counter(name.split("-")[0] for name in sets[0]["ids"]) == {"web": 750, "books": 250}
    assert sets[1]["ids"] < sets[0]["ids"] and sets[2]["ids"] != sets[1]["ids"]


def test_a_group_that_has_too_little_gives_all_and_the_facts_say_so(tmp_path: Path) -> None:
    stage = Mixture(shares={"web": 1, "books": 1}, unit="documents", total=1000)
    found = kept(stage, [batch(web=900, books=20)], tmp_path / "a")
    assert Counter(name.split("-")[0] for name in found["ids"]) == {"web": 500, "books": 20}
    assert [(row["source"], row["available"], row["quota"]) for row in found["mixture"]] == [
        ("books", 20, 20),
        ("web", 900, 500),
    ]


def test_reasons_have_their_numbers(tmp_path: Path) -> None:
    whole = batch(web=50, books=5, code=1)
    stage = Mixture(shares={"web": 1, "books": 1}, unit="documents")
    kept(stage, [whole], tmp_path / "a")
    verdict = stage.judge(whole, Decision(tmp_path / "a"))
    assert verdict.reason is not None and verdict.value is not None and verdict.limit is not None
    assert Counter(verdict.reason.to_pylist()) == {None: 10, "over_quota": 45, "not_in_mixture": 1}
    numbers = zip(verdict.value.to_pylist(), verdict.limit.to_pylist(), verdict.reason.to_pylist(), strict=True)
    assert all(value > limit for value, limit, reason in numbers if reason == "over_quota")


def test_a_group_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="nothing of source 'poems'"):
        kept(Mixture(shares={"web": 1, "poems": 1}), [batch(web=5)], tmp_path / "a")


@pytest.mark.slow
def test_a_recipe_mixes_and_the_manifest_tells(tmp_path: Path) -> None:
    stages = ["exact", {"mixture": {"shares": {"good": 1, "web": 1}}}]
    recipe: dict[str, Any] = {
        name: value for name, value in projects.RECIPE.items() if name not in ("pack", "tokenizer")
    }
    built = projects.build(projects.make_project(tmp_path, recipe={**recipe, "stages": stages}), tmp_path / "build")
    manifest = read_manifest(built.folder)
    sizes = {group.source: group.size.bytes for group in manifest.composition}
    told = {row["source"]: row["kept"] for row in manifest.decided["mixture"]["mixture"]}
    assert told == sizes and abs(sizes["good"] - sizes["web"]) < 4000
    assert json.loads(manifest.to_json())["decided"]["mixture"]["unit"] == "bytes"
