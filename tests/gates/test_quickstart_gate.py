"""The quickstart corpus, built from the pinned distributions: what it must hold for a newcomer to see every stage."""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

from pipeline.report.answers import read_answers
from pipeline.report.datasheet import datasheet
from pipeline.report.grid import Grid
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


@pytest.mark.slow
def test_the_corpus_shows_every_stage_at_work(tmp_path: Path) -> None:
    if pins := missing():
        pytest.skip(f"not installed: {', '.join(pins)}")
    manifest = projects.build(RECIPE, tmp_path, workers=2).manifest
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
