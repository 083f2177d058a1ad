"""Every kind of hostile input in a child process: nothing crashes, hangs or fills the memory, all is accounted for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import archives, lines, places, tables  # noqa: F401 (they list their kinds)
from tests.hostile.kinds import KINDS, fate

TABLE = Path(__file__).parents[2] / "docs" / "hostile.md"
SECONDS, MIB = 20, 420
"""Processor time of one kind, and what the process may grow by: bombs expand to 512 MiB and more."""


def outcomes(*arguments: str) -> dict[str, dict[str, Any]]:
    done = subprocess.run([sys.executable, "-m", "tests.hostile", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"after {done.stdout.count(chr(10))} kinds: {done.stderr[-4000:]}"
    return {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}


def check(found: dict[str, dict[str, Any]], names: set[str]) -> None:
    assert set(found) == names
    for name, row in found.items():
        assert not [text for text in row["outcome"] if text.startswith("CRASHED")], row
        assert row["seconds"] < SECONDS and row["peak"] < MIB, row
        told = listed().get(name, fate(row["outcome"]))  # a kind that is not on the page has yet to be written there
        assert fate(row["outcome"]) == told, f"{row}: python -m tests.hostile --big --table > docs/hostile.md"


def listed() -> dict[str, str]:
    return dict(
        re.findall(r"^\| `(\w+)` \| .* \| ([\w, ]+) \| .* \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    )


def test_the_page_lists_kinds_in_their_order() -> None:
    assert [name for name in KINDS if name in listed()] == list(listed()) and len(listed()) >= 100


@pytest.mark.slow
def test_hostile_input_is_in_the_ledger_or_refused_by_name() -> None:
    check(outcomes(), {one.name for one in KINDS.values() if not one.big})


@pytest.mark.slow
@pytest.mark.parametrize("name", [one.name for one in KINDS.values() if one.big])
def test_big_hostile_input_is_too(name: str) -> None:
    check(outcomes(name), {name})
