"""A checkpoint: the same corpus, one sweep more, and what comes before it is done once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.asset import Place
from pipeline.core.errors import RecipeError
from pipeline.core.manifest import Size, StageCount
from pipeline.run.checking import load_recipe, recipe_of
from pipeline.run.corpus import warnings_of
from pipeline.run.engine import progress_of
from pipeline.run.options import Options
from pipeline.run.plan import make_plan
from tests import projects

THRESHOLD = {"threshold": {"column": "n_words", "min": 40}}
BASE: dict[str, Any] = {key: value for key, value in projects.RECIPE.items() if key not in ("tokenizer", "pack")}
PLAIN = {**BASE, "stages": ["text_statistics", "normalize", THRESHOLD]}
KEPT = {**BASE, "stages": ["text_statistics", "checkpoint", "normalize", "checkpoint", THRESHOLD]}


def test_the_documents_are_those_of_a_build_without(tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path, n_files=3, per_file=30, recipe=PLAIN)
    plain = projects.build(recipe, tmp_path / "plain")
    kept = projects.build(projects.write_recipe(tmp_path, KEPT), tmp_path / "kept")
    documents = [
        {name: digest for name, digest in projects.digests(built.folder).items() if name.startswith("documents")}
        for built in (plain, kept)
    ]
    assert documents[0] == documents[1] and documents[0]
    assert [len(built.manifest.sweeps) for built in (plain, kept)] == [1, 3]
    assert all(sweep.rows_in == 90 for sweep in kept.manifest.sweeps)


def test_a_changed_limit_does_only_what_comes_after(tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path, n_files=3, per_file=30, recipe=KEPT)
    n_shards = projects.build(recipe, tmp_path / "build").manifest.sweeps[0].shards
    options = Options(tmp_path / "build", 1, place=Place(base=tmp_path))
    with options.place.active():
        plan = make_plan(load_recipe(recipe, ["stages.threshold.min=90"]))
    planned = progress_of(plan, options)
    assert [sweep["done"] == sweep["shards"] for sweep in planned] == [True, True, False]
    assert [sweep["stages"][-1] for sweep in planned] == ["checkpoint", "checkpoint", "threshold"]
    higher = {**KEPT, "version": "2", "stages": [*KEPT["stages"][:-1], {"threshold": {"column": "n_words", "min": 90}}]}
    again = projects.build(projects.write_recipe(tmp_path, higher), tmp_path / "build")
    assert again.worked == n_shards
    assert sum(again.manifest.sweeps[-1].stages[-1].dropped.values()) > 0


@pytest.mark.slow
def test_it_may_stand_after_a_global_and_before_a_tokenizer(tmp_path: Path) -> None:
    stages = ["text_statistics", "exact", "checkpoint", THRESHOLD, {"minhash": {"bands": 14, "rows": 8}}]
    recipe = projects.make_project(tmp_path, n_files=3, per_file=40, recipe={**projects.RECIPE, "stages": stages})
    built = projects.build(recipe, tmp_path / "build")
    counted = [count.stage for sweep in built.manifest.sweeps for count in sweep.stages]
    assert counted == ["read:good", "read:web", "text_statistics", "exact", "threshold", "minhash", "pack"]
    assert built.manifest.tokens and built.manifest.tokenizer


@pytest.mark.parametrize(
    "stages",
    [
        ["text_statistics", "checkpoint"],
        ["checkpoint", "checkpoint", "normalize"],
        ["normalize", "checkpoint", "exact"],
    ],
)
def test_one_that_keeps_nothing_new_is_refused(tmp_path: Path, stages: list[Any]) -> None:
    recipe = projects.make_project(tmp_path, n_files=1, per_file=1, recipe={**PLAIN, "stages": stages})
    with pytest.raises(RecipeError, match="keeps nothing"):
        load_recipe(recipe)


def test_pages_are_not_kept(tmp_path: Path) -> None:
    data = {**PLAIN, "sources": [{"warc": {"name": "crawl", "paths": ["*.warc"]}}]}
    with pytest.raises(RecipeError, match="put `extract` first"):
        recipe_of({**data, "stages": ["checkpoint", "extract"]}, tmp_path)
    recipe_of({**data, "stages": ["extract", "checkpoint", "normalize"]}, tmp_path)


def test_published_rates_name_stages_and_are_shares() -> None:
    good = {**PLAIN, "published": {"threshold": {"share": 0.15, "source": "Somebody 2024, table 3"}}}
    assert recipe_of(good).header.published["threshold"].share == 0.15
    with pytest.raises(RecipeError, match="did you mean 'threshold'"):
        recipe_of({**good, "published": {"treshold": {"share": 0.15, "source": "x"}}})
    with pytest.raises(RecipeError, match="less than or equal to 1"):
        recipe_of({**good, "published": {"threshold": {"share": 15, "source": "x"}}})


def test_dead_rules_are_news_and_quiet_transforms_are_not() -> None:
    def count(stage: str, read: int, dropped: int) -> StageCount:
        sizes = {"read": Size(documents=read), "kept": Size(documents=read - dropped)}
        return StageCount(stage=stage, **sizes, dropped={"why": dropped} if dropped else {})

    counts = [count("dead", 1000, 0), count("few", 999, 0), count("normalize", 5000, 0), count("live", 5000, 1)]
    told = warnings_of([*counts, count("asked", 5000, 0)], {"asked": (0, 0.1)}, {"dead", "few", "live", "asked"})
    assert [(warned.stage, "0 of 1,000" in warned.message) for warned in told] == [("dead", True)]
    assert recipe_of(PLAIN).judges == {"threshold"}
