from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.manifest import read_manifest
from pipeline.report.card import card_of, printed, write_card
from pipeline.report.changes import as_markdown
from pipeline.report.diff import diff
from tests.report.conftest import DOCS, RECIPE, Doc, build


def test_a_corpus_is_as_itself(corpus: Path) -> None:
    found = diff(corpus, corpus)
    assert found.causes == () and found.count("same") == 4
    assert not (found.added or found.removed or found.changed)
    assert "causes: `none`" in as_markdown(found)


def test_documents_by_id_and_the_recipe_by_name(corpus: Path, tmp_path: Path) -> None:
    first, _, third, *rest = DOCS
    docs = [replace(first, text="Another text."), third, *rest, Doc("kept-5", "Neu.", lang="de", shard=1)]
    stages = ["checkpoint", RECIPE["stages"][0], {"gopher": {"min_words": 20}, "as": "gopher"}, "minhash"]
    recipe = {**RECIPE, "version": "2026.12.0", "stages": stages}
    new = build(tmp_path / "new", docs, recipe)
    manifest = read_manifest(new)
    versions = manifest.model_copy(update={"versions": {"gopher": 2}})
    (new / "manifest.json").write_text(versions.to_json())
    found = diff(corpus, new)
    assert (found.added, found.removed, found.changed) == (("kept-5",), ("kept-2",), ("kept-1",))
    assert {(m.source, m.lang): (m.added, m.removed, m.changed, m.same) for m in found.documents} == {
        ("books", "en"): (0, 0, 0, 1),
        ("crawl", "de"): (1, 0, 0, 1),
        ("crawl", "en"): (0, 0, 1, 0),
        ("crawl", "zh"): (0, 1, 0, 0),
    }
    changes = {change.path: (change.old, change.new) for change in found.recipe}
    assert changes["stages.gopher.gopher.min_words"] == (50, 20)
    assert changes["stages.checkpoint"] == (None, {"checkpoint": {}})
    assert changes["version"] == ("2026.11.0", "2026.12.0")
    assert {change.path for change in found.versions} == {"stage gopher"}
    assert found.causes == ("the recipe", "versions")
    report = as_markdown(found)
    assert "1 documents added, 1 removed, 1 changed, 2 as they were; causes: the recipe, versions." in report
    assert "Added: `kept-5`." in report and "`crawl`" in report


def test_shards_and_order_are_no_difference(corpus: Path, tmp_path: Path) -> None:
    moved = build(tmp_path / "moved", [replace(doc, shard=1 - doc.shard) for doc in reversed(DOCS)])
    found = diff(corpus, moved)
    assert found.count("same") == 4 and not (found.added or found.removed or found.changed)


def test_more_changes_than_are_listed_are_counted(corpus: Path, tmp_path: Path) -> None:
    many = build(tmp_path / "many", [*DOCS, *(Doc(f"new-{number:02d}", str(number)) for number in range(30))])
    found = diff(corpus, many)
    assert found.count("added") == 30 and found.added == tuple(f"new-{number:02d}" for number in range(20))
    assert "and 10 more" in as_markdown(found)


def test_a_card_tells_what_changed_since_the_version_that_the_recipe_names(corpus: Path, tmp_path: Path) -> None:
    recipe = {**RECIPE, "version": "2026.12.0", "card": {"license": "odc-by", "previous": "tiny"}}
    new = build(tmp_path / "new", [*DOCS, Doc("kept-5", "Neu.", lang="de")], recipe)
    card = write_card(new, tmp_path).read_text(encoding="utf-8")
    maintenance = card.partition("## Maintenance")[2]
    assert "1 documents added, 0 removed, 0 changed, 4 as they were; causes: the recipe." in maintenance
    assert "| `crawl` | `de` | 1 | 0 | 0 | 1 |" in maintenance and card == card_of(new)
    assert "与 tiny\\@2026.11.0 相比" in printed(new, tmp_path, "hub", "zh")
    manifest = read_manifest(new)
    (new / "manifest.json").write_text(manifest.model_copy(update={"key": "e" * 64}).to_json())
    assert "documents added" not in card_of(new), "it is about another state of the corpus"


def test_the_command_lays_the_changes_beside_a_card(corpus: Path, tmp_path: Path) -> None:
    new = build(tmp_path / "new", [*DOCS, Doc("kept-5", "Neu.", lang="de")])
    done = CliRunner().invoke(app, ["diff", str(corpus), str(new), "--card"])
    assert done.exit_code == 0 and "Added: `kept-5`." in done.output
    assert "Added: `kept-5`." in (new / "README.md").read_text(encoding="utf-8")
