"""docs/performance.md says what docs/performance.json holds, and every benchmark there is has its place on it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[1] / "scripts" / "bench"


@pytest.fixture(scope="module")
def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_all", BENCH / "all.py")
    assert spec and spec.loader
    module = sys.modules["bench_all"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_a_function_of_the_results(page: ModuleType) -> None:
    results = json.loads(page.RESULTS.read_text(encoding="utf-8"))
    assert page.PAGE.read_text(encoding="utf-8") == page.render(results)


def test_every_benchmark_has_its_section(page: ModuleType) -> None:
    assert all((page.ROOT / bench.command[0]).exists() for bench in page.BENCHES)
    measuring = {path.stem for path in BENCH.glob("*.py") if '"--json"' in path.read_text(encoding="utf-8")}
    launched = {"pipelining": "pipeline", "tokenizing": "tokenize"}
    elsewhere = {"all", "parity"}
    assert {launched.get(name, name) for name in measuring} - elsewhere == {
        Path(bench.command[0]).stem for bench in page.BENCHES
    }


def test_ratios_of_several_runs_have_a_spread(page: ModuleType) -> None:
    assert page.flat({"a": {"wall": 2, "cpu": 3.5}, "b": 1, "note": "x"}) == [
        ("a, wall", 2.0),
        ("a, cpu", 3.5),
        ("b", 1.0),
    ]
    assert "| a | 2 | 1 to 3 | 3 |" in page.table("times", {"a": [1, 2, 3]})
    assert "| a | 2 |" in page.table("times", {"a": [2]})
