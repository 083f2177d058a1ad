from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.manifest import StageCount, Trial, read_manifest
from pipeline.report import facts
from pipeline.report.card import render_card
from pipeline.report.grid import SHOWN, Grid, as_markdown


def test_what_was_found_is_a_table_of_kinds_by_language() -> None:
    counts = {"email/zh": 3, "email/en": 10, "phone/en": 1, "key": 2}
    grid = facts.found(StageCount(stage="pii", found=counts))
    assert grid.columns == (("Found", "name"), ("In all", "count"), ("en", "count"), ("zh", "count"))
    assert grid.rows == (("email", 13, 10, 3), ("key", 2, 0, 0), ("phone", 1, 1, 0))
    many = facts.found(StageCount(stage="pii", found={f"email/l{i}": i + 1 for i in range(20)}))
    assert many.columns[-1] == ("other languages", "count")
    assert sum(many.rows[0][2:]) == many.rows[0][1] == 210  # type: ignore[arg-type]


def test_nested_facts_become_tables_and_nothing_is_lost() -> None:
    told = {
        "threshold": 0.5,
        "languages": ["en", "zh"],
        "by_language": {"en": {"cut": 0.4, "kept": 3000}, "zh": {"cut": 0.1}},
        "folds": [{"accuracy": 0.9}, {"accuracy": 0.8}],
        "deep": {"inner": {"name": "x", "none": None}, "n": 1},
        "pairs": [[1, 2], [3]],
    }
    text = "\n".join(as_markdown(grid) for grid in facts.decided(told))
    for wanted in ("| `threshold` | 0.5 |", "| `languages` | en, zh |", "| `en` | 0.4 | 3,000 |", "| `1` | 0.8 |"):
        assert wanted in text
    for wanted in ("| `zh` | 0.1 |  |", "`deep.inner.name` | x", "`deep.n` | 1", "`pairs.0` | 1, 2", "`pairs.1` | 3"):
        assert wanted in text


def test_trials_have_their_intervals() -> None:
    [row] = facts.trials((Trial(kind="email", lang="en", planted=100, found=90, clean=50, false_alarms=10),)).rows
    assert row[4:6] == (0.9, (pytest.approx(0.8256, abs=1e-4), pytest.approx(0.9448, abs=1e-4)))
    assert row[8] == 0.9 and row[6:8] == (50, 10)
    assert facts.trials((Trial(kind="ip", lang=None, planted=3, found=0),)).rows[0][8] is None


@pytest.mark.parametrize(("hits", "n", "low", "high"), [(0, 300, 0, 0.01264), (300, 300, 0.98736, 1), (0, 0, 0, 1)])
def test_wilson_is_sensible_at_the_ends(hits: int, n: int, low: float, high: float) -> None:
    assert facts.wilson(hits, n) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_rows_that_are_not_shown_are_added_up() -> None:
    grid = Grid(columns=(("x", "name"), ("n", "count")), rows=tuple((f"r{i}", 2) for i in range(80)), rest="added")
    assert len(grid.shown()) == SHOWN + 1 and grid.shown()[-1] == ("(30 more)", 60)
    assert grid.n_figures == SHOWN + 1


def test_the_card_has_all_three(corpus: Path) -> None:
    manifest = read_manifest(corpus)
    assert "## Decisions" not in render_card(manifest)
    [first, *more] = manifest.sweeps
    counts = tuple(c.model_copy(update={"found": {"email/en": 4321}}) for c in first.stages[:1])
    told = manifest.model_copy(
        update={
            "sweeps": (first.model_copy(update={"stages": (*counts, *first.stages[1:])}), *more),
            "decided": {"cut": {"by_language": {"en": {"threshold|x": 0.25}}}},
            "trials": {"pii": (Trial(kind="email", lang="zh", planted=7, found=7),)},
        }
    )
    card = render_card(told)
    assert "| `email` | 4,321 | 4,321 |" in card
    assert r"| by\_language | threshold\|x |" in card and "| `en` | 0.25 |" in card
    assert "| `email` | `zh` | 7 | 7 | 100.00% |" in card
