"""The quickstart corpus, built from the pinned distributions: what it must hold for a newcomer to see every stage."""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

from pipeline.report.answers import read_answers
from pipeline.report.card import write_card
from pipeline.report.datasheet import datasheet
from pipeline.report.grid import Grid
from pipeline.report.rehearse.server import serve
from pipeline.report.rehearse.steps import as_text, rehearse
from pipeline.run.engine import Built
from tests import projects

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "quickstart.yaml"
PINS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["quickstart"]


def missing() -> list[str]:
    found = []
    for pin in PINS:
        name, _, version = pin.partition("==")
        try:
            found += [] if importlib.metadata.version(name) == version else [pin]
        except importlib.metadata.PackageNotFoundError:
            found.append(pin)
    return found


def test_the_recipe_reads_what_the_extra_installs() -> None:
    sources = yaml.safe_load(RECIPE.read_text())["sources"]
    named: set[str] = set()
    for source in sources:
        for entry in source["packages"]["distributions"]:
            given = entry["distribution"]
            named |= {given} if isinstance(given, str) else set(given)
    assert named == {pin.partition("==")[0] for pin in PINS}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    if pins := missing():
        pytest.skip(f"not installed: {', '.join(pins)}")
    return projects.build(RECIPE, tmp_path_factory.mktemp("quickstart"), workers=2)


@pytest.mark.slow
def test_the_corpus_shows_every_stage_at_work(built: Built) -> None:
    manifest = built.manifest
    documents: Counter[str] = Counter()
    for group in manifest.composition:
        documents[group.lang or ""] += group.size.documents
    assert {"en", "zh", "fr", "ru", "ja", "ko", "fa"} <= {lang for lang, count in documents.items() if count >= 20}
    dropped = {count.stage: count.dropped for sweep in manifest.sweeps for count in sweep.stages}
    assert dropped["exact"]["exact_duplicate"] >= 50 and dropped["minhash"]["near_duplicate"] >= 5
    assert sum(documents.values()) >= 1_500
    assert not manifest.warnings
    assert not [name for name, reasons in dropped.items() if "unreadable" in reasons]
    sheet = datasheet(manifest, read_answers(ROOT / "data_cards" / "quickstart" / "answers.yaml"))
    expected, licences = (field.value for name in ("expected", "by_license") if (field := sheet.field(name)))
    assert isinstance(expected, Grid) and isinstance(licences, Grid)
    assert expected.rows and all(row[-1] for row in expected.rows)
    assert not sheet.unanswered
    assert not [row for row in licences.rows if row[0] in (None, "unknown")]


@pytest.mark.slow
def test_published_it_passes_the_audit_of_somebody_who_has_only_the_files(built: Built, tmp_path: Path) -> None:
    write_card(built.folder, ROOT)
    with serve(tmp_path / "hub") as hub:
        steps = rehearse(built.folder, hub, tmp_path)
    assert all(step.passed for step in steps), as_text(steps)
    assert steps[-1].name == "audit" and "figures of the card re-verified" in steps[-1].said
