"""Killed while it sketches, decides or drops, and resumed: the same corpus and the same ledgers."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.shards import read_table
from tests import projects

pytestmark = pytest.mark.slow

KILLED = """
import os, sys
from pipeline.cli import app
from pipeline.dedup import minhash
where, calls = sys.argv.pop(1), 0
owner, name = (minhash.Minhash, where) if hasattr(minhash.Minhash, where) else (minhash, where)
real = getattr(owner, name)

def deadly(*given, **named):
    global calls
    calls += 1
    if calls == 3 or where in ("drops", "write_connected"):
        os.kill(os.getpid(), 9)
    return real(*given, **named)

setattr(owner, name, deadly)
app()
"""

RECIPE = {
    **projects.RECIPE,
    "stages": ["exact", {"minhash": {"threshold": 0.7, "shingle": 2, "keep": "longest", "count": True}}],
}


def ledgers(root: Path) -> str:
    tables = [read_table(path).to_pylist() for path in sorted((root / "store").glob("*/ledger/*.arrow"))]
    return hashlib.sha256(repr(tables).encode()).hexdigest()


def test_killed_in_every_phase_and_resumed_is_never_killed(tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path / "project", n_files=4, per_file=60)
    projects.write_recipe(tmp_path / "project", RECIPE)
    arguments = ["build", str(recipe), "--workers", "1", "--root"]
    calm = tmp_path / "calm"
    subprocess.run([sys.executable, "-m", "pipeline.cli", *arguments, str(calm)], check=True, capture_output=True)
    assert any(
        "near_duplicate" in read_table(path)["reason"].to_pylist() for path in (calm / "store").glob("*/ledger/*.arrow")
    )
    for where in ("sketch", "write_connected", "drops", "judge"):
        root = tmp_path / where
        command = [sys.executable, "-c", KILLED, where, *arguments, str(root)]
        assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL, where
        subprocess.run([sys.executable, "-m", "pipeline.cli", *arguments, str(root)], check=True, capture_output=True)
        assert projects.digests(root / "small") == projects.digests(calm / "small"), where
        assert ledgers(root) == ledgers(calm), where
