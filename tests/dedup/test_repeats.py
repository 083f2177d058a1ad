"""Stages that cut texts, in a build: what is cut is accounted for, and no run option changes a byte."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from pipeline.core.shards import read_table
from tests import projects

STAGES = [
    {"paragraphs": {"min_length": 5, "min_share": 0.2}},
    {"substrings": {"length": 12}},
    {"ngrams": {"length": 4, "threshold": 0.5}},
    {"length": {"min_characters": 1}},
]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    chance = random.Random(3)
    lines = [" ".join(chance.choices(projects.WORDS, k=chance.randrange(4, 20))) for _ in range(60)]
    data = tmp_path / "data"
    data.mkdir()
    for index in range(3):
        rows = []
        for row in range(30):
            listed = [chance.choice(lines) for _ in range(chance.randrange(1, 6))]
            rows.append({"id": f"{index}-{row}", "text": "\n".join(listed) + f"\nand {index} {row} more"})
        (data / f"{index}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = {"files": {"name": "good", "paths": ["data/*.jsonl"], "part_bytes": 8000, "columns": {"id": "id"}}}
    return projects.write_recipe(tmp_path, {"recipe": "cut", "version": "1.0", "sources": [source], "stages": STAGES})


def test_what_is_cut_is_accounted_for(recipe: Path, tmp_path: Path) -> None:
    built = projects.build(recipe, tmp_path / "build")
    counts = {count.stage: count for sweep in built.manifest.sweeps for count in sweep.stages}
    paragraphs, substrings = counts["paragraphs"], counts["substrings"]
    assert paragraphs.dropped and set(paragraphs.dropped) == {"too_little_left"}
    assert paragraphs.read.documents == paragraphs.kept.documents + sum(paragraphs.dropped.values())
    assert paragraphs.kept.characters < paragraphs.read.characters / 2
    assert substrings.read == paragraphs.kept
    texts = [
        text for file in built.manifest.documents for text in read_table(built.folder / file.path)["text"].to_pylist()
    ]
    assert sum(map(len, texts)) == counts["length"].kept.characters
    whole = [line for text in texts for line in text.split("\n")[:-1]]
    assert len(whole) == len(set(whole)), "every line is left once"


@pytest.mark.slow
def test_no_run_option_changes_a_byte(recipe: Path, tmp_path: Path) -> None:
    plain = projects.build(recipe, tmp_path / "build")
    other = projects.build(recipe, tmp_path / "other", workers=2, batch_rows=7)
    written = recipe.read_text().replace("min_length: 5", "min_length: 5\n    bloom_bytes: 4096")
    assert "bloom_bytes" in written
    recipe.write_text(written)
    bloom = projects.build(recipe, tmp_path / "bloom", batch_rows=1)
    assert plain.manifest.documents == other.manifest.documents == bloom.manifest.documents
    assert plain.manifest.key == bloom.manifest.key
