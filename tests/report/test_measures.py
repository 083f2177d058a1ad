from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.errors import StoreError
from pipeline.report import measures
from pipeline.report.card import write_card
from pipeline.report.topics import topics

BAKING = "the baker kneads dough and bakes bread in her oven with flour yeast salt"
SAILING = "the sailor hoists his sail and steers the ship over waves past the harbour"


def tables(found: measures.Measures) -> dict[str, tuple[tuple[object, ...], ...]]:
    return {table.title: table.grid.rows for table in found.tables}


def test_topics_part_what_has_no_words_in_common() -> None:
    kinds = ["dough bread oven flour", "sail ship wave harbour", "chess king rook pawn", "loom thread cloth wool"]
    documents = [[*kinds[n % 4].split(), f"w{n % 7}", *(["often"] * 3)] for n in range(80)]
    found = topics(documents, 4, 4)
    assert [(topic.documents, set(topic.words)) for topic in sorted(found, key=lambda topic: min(topic.words))] == [
        (20, set(kind.split())) for kind in sorted(kinds, key=lambda kind: min(kind.split()))
    ]
    assert found == topics(documents, 4, 4) and topics(documents[:6], 4) == []


def test_scripts_and_groups_are_counted(corpus: Path) -> None:
    found = measures.measure(corpus)
    assert found.documents == 4 and found.sampled == 4
    scripts = {row[0]: row[1] for row in tables(found)["Scripts, by letters"]}
    assert set(scripts) == {"Latin", "Han"} and scripts["Han"] == 18
    assert measures.read_measures(corpus) == found


def test_the_sample_and_the_tables_do_not_depend_on_shards(build_corpus: Callable[..., Path]) -> None:
    rows = [
        {
            "id": f"d{number}",
            "text": f"{SAILING if number % 2 else BAKING} again and again {number % 5}",
            "shard": number % 2,
        }
        for number in range(80)
    ]
    found = tables(measures.measure(build_corpus(rows)))
    groups = {row[0]: row for row in found["Terms for groups in 80 documents in `en`"]}
    assert groups["women"][1:3] == (40, 40) and groups["men"][1:3] == (40, 40)
    assert "sail" in str(groups["men"][3]) and "oven" in str(groups["women"][3]) and "oven" not in str(groups["men"][3])


def test_ones_own_terms(corpus: Path, tmp_path: Path) -> None:
    terms = tmp_path / "terms.json"
    terms.write_text(json.dumps({"en": {"buildings": ["mill"]}}))
    done = CliRunner().invoke(app, ["measures", str(corpus), "--groups", str(terms)], catch_exceptions=False)
    assert "buildings" in done.output and "women" not in done.output.split("- groups")[0]
    terms.write_text("[]")
    with pytest.raises(StoreError, match="nurses"):
        measures.read_terms(terms)


def test_the_card_shows_them(corpus: Path) -> None:
    before = write_card(corpus, corpus).read_text()
    measures.measure(corpus)
    after = write_card(corpus, corpus).read_text()
    assert (
        "Scripts, by letters" not in before
        and "Scripts, by letters" in after
        and "a word may mean something else" in after
    )
    (corpus / measures.FILE).write_text("{}")
    with pytest.raises(StoreError, match="gristmill measures"):
        measures.read_measures(corpus)
