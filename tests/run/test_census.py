"""A census on small projects: every rule asked, nothing measured twice, the sample a matter of ids alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.asset import Place
from pipeline.core.census import About, read_census
from pipeline.report.census import census_of
from pipeline.run import census
from pipeline.run.checking import load_recipe
from pipeline.run.options import Options
from pipeline.run.plan import make_plan
from tests import projects

RECIPE: dict[str, Any] = {
    **{key: value for key, value in projects.RECIPE.items() if key not in ("tokenizer", "pack")},
    "stages": [
        "normalize",
        {"text_statistics": {}},
        {"language": {"keep": {"en": 0.81}}},
        {"length": {"min_characters": 100, "max_words": 480}},
        {"threshold": {"column": "n_words", "max": 250}},
        {"gopher": {"min_words": 80, "max_mean_word": 5.4, "min_stop_words": None}},
        {"repetition": {"published": None, "max_top_2_gram": 0.012}},
        {"sample": {"share": 0.9}},
        "exact",
    ],
}
ALL = 10_000


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return projects.make_project(tmp_path_factory.mktemp("census"), recipe=RECIPE)


@pytest.fixture(scope="module")
def root(recipe: Path) -> Path:
    return recipe.parent.parent / "build"


def take(
    recipe: Path, root: Path, *sets: str, sample: int = ALL, workers: int = 1, batch_rows: int = 256
) -> census.Taken:
    options = Options(root, workers, batch_rows, Place(base=recipe.parent.parent))
    with options.place.active():
        plan = make_plan(load_recipe(recipe, sets))
    return census.take_census(plan, options, sample=sample)


def drops(about: About, table: Any) -> dict[str, int]:
    return {rule.name: sum(table[f"{rule.name}.dropped"].to_pylist()) for rule in about.rules}


@pytest.mark.slow
def test_in_the_order_of_the_recipe_it_says_what_a_build_does(recipe: Path, root: Path) -> None:
    """The two go different ways, one reason a document or all of them: the first of all must be the one."""
    about, table = read_census(take(recipe, root).folder)
    first: dict[str, int] = {}
    for row in table.to_pylist():
        name = next((rule.name for rule in about.rules if row[f"{rule.name}.dropped"]), "kept")
        first[name] = first.get(name, 0) + 1
    built = projects.build(recipe, root)
    told = {
        f"{count.stage}.{reason}": n for count in built.manifest.sweeps[0].stages for reason, n in count.dropped.items()
    }
    assert len(told) >= 5
    assert first == {**told, "kept": built.manifest.sweeps[0].rows_out}


@pytest.mark.slow
def test_every_bound_is_judged_and_not_only_the_first(recipe: Path, root: Path) -> None:
    about, table = read_census(take(recipe, root).folder)
    both = [
        row
        for row in table.to_pylist()
        if row["gopher.too_few_words.dropped"] and row["length.too_few_characters.dropped"]
    ]
    assert both and all(row["gopher.mean_word_too_long.value"] is not None for row in both)
    assert about.documents == about.sampled == table.num_rows == 360


@pytest.mark.slow
def test_another_limit_measures_nothing_and_says_what_a_fresh_census_says(
    recipe: Path, root: Path, tmp_path: Path
) -> None:
    take(recipe, root)
    stamps = {path: path.stat().st_mtime_ns for path in root.glob("store/census.*/*")}
    sets = (
        "stages.gopher.min_words=150",
        "stages.threshold.max=90",
        "stages.length.min_characters=700",
        "stages.language.keep={en: 0.9}",
        "stages.repetition.by_language={en: {max_top_2_gram: 0.01}}",
    )
    changed = take(recipe, root, *sets)
    assert changed.measured == ()
    assert stamps == {path: path.stat().st_mtime_ns for path in root.glob("store/census.*/*")}
    fresh = take(recipe, tmp_path, *sets)
    assert {"gopher", "repetition", "language", "normalize"} < set(fresh.measured)
    assert read_census(changed.folder)[1].equals(read_census(fresh.folder)[1])
    assert drops(*read_census(changed.folder)) != drops(*read_census(take(recipe, root).folder))


@pytest.mark.slow
def test_what_was_deleted_is_measured_again(recipe: Path, tmp_path: Path) -> None:
    before = read_census(take(recipe, tmp_path).folder)[1]
    shards = sorted(tmp_path.glob("store/census.gopher-*/shard-*.arrow"))
    assert len(shards) > 1
    shards[1].unlink()
    again = take(recipe, tmp_path)
    assert again.measured == ("gopher",) and read_census(again.folder)[1].equals(before)


AFTER = ("text_statistics", "language", "length", "threshold", "gopher", "repetition", "sample")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "measured"),
    [
        ("stages.normalize.unicode=NFKC", ("normalize", *AFTER)),
        ("stages.sample.seed=1", ("sample",)),
        ("stages.threshold.column=n_characters", ("threshold",)),
        ("stages.length.by_language={de: {max_words: 9}}", ("length",)),
        ("limit=100", ("normalize", *AFTER)),
    ],
)
def test_another_measure_is_measured_and_what_rests_on_it(
    recipe: Path, root: Path, tmp_path: Path, change: str, measured: tuple[str, ...]
) -> None:
    take(recipe, root, sample=40)
    changed = take(recipe, root, change, sample=40)
    assert changed.measured == measured
    fresh = take(recipe, tmp_path, change, sample=40)
    assert read_census(changed.folder)[1].equals(read_census(fresh.folder)[1])


@pytest.mark.slow
def test_the_sample_depends_on_nothing_but_ids(recipe: Path, root: Path, tmp_path: Path) -> None:
    ids = {
        (workers, rows): sorted(
            read_census(take(recipe, tmp_path / f"{rows}", sample=50, workers=workers, batch_rows=rows).folder)[1][
                "id"
            ].to_pylist()
        )
        for workers, rows in ((1, 256), (1, 7))
    }
    assert len(set(map(tuple, ids.values()))) == 1 and len(ids[1, 7]) == 50
    larger = read_census(take(recipe, root, sample=90).folder)[1]["id"].to_pylist()
    assert len(larger) == 90 and set(ids[1, 7]) < set(larger)


@pytest.mark.slow
def test_workers_change_nothing(recipe: Path, root: Path, tmp_path: Path) -> None:
    one, two = take(recipe, root, sample=50), take(recipe, tmp_path, sample=50, workers=2)
    assert read_census(one.folder)[1].equals(read_census(two.folder)[1])


@pytest.mark.slow
def test_what_cannot_be_asked_is_named(recipe: Path, root: Path) -> None:
    about, _ = read_census(take(recipe, root).folder)
    assert set(about.left_out) == {"exact"} and "all documents" in about.left_out["exact"]


def test_nothing_to_judge_and_nobody_to_judge_it(tmp_path: Path) -> None:
    recipe = projects.make_project(
        tmp_path, n_files=1, per_file=20, recipe={**RECIPE, "sources": RECIPE["sources"][:1]}
    )
    about, table = read_census(take(recipe, tmp_path / "build", "stages=[]").folder)
    assert about.rules == () and table.num_rows == 20 and census_of(about, table).kept == 20
    [data] = (tmp_path / "data" / "good").iterdir()
    data.write_text("\n")
    about, table = read_census(take(recipe, tmp_path / "build").folder)
    assert (about.documents, table.num_rows) == (0, 0) and census_of(about, table).kept == 0


def test_records_that_cannot_be_read_are_counted_and_not_judged(tmp_path: Path) -> None:
    recipe = projects.make_project(
        tmp_path, n_files=1, per_file=20, recipe={**RECIPE, "sources": RECIPE["sources"][:1]}
    )
    [data] = (tmp_path / "data" / "good").iterdir()
    data.write_text(data.read_text() + '{"id": "cut", "te\n')
    about, table = read_census(take(recipe, tmp_path / "build").folder)
    assert (about.documents, about.unreadable, table.num_rows) == (20, 1, 20)
