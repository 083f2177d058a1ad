"""Killed while a stage sketches, decides or drops, and resumed every time: the same corpus, ledgers and facts."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.manifest import read_manifest
from pipeline.core.shards import read_table
from pipeline.report.ledger import ledger_folders
from tests import projects

pytestmark = pytest.mark.slow

KILLED = """
import os, sys
from pipeline.cli import app
from pipeline.run.exchange import FileExchange
from pipeline.run.registry import stages

word, phase = sys.argv.pop(1), sys.argv.pop(1)
stage = stages()[word]

def deadly(owner, name, at):
    real, calls = getattr(owner, name), 0
    def killed(*given, **named):
        nonlocal calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), 9)
        return real(*given, **named)
    setattr(owner, name, killed)

def decide(*given, real=stage.decide):
    deadly(FileExchange, "__call__", 2)
    return real(*given)

if phase == "decide":
    stage.decide = decide
else:
    deadly(stage, phase, 3)
app()
"""

CUTTING = [
    "exact",
    {"paragraphs": {"level": "sentence", "min_length": 5}},
    {"substrings": {"length": 12}},
    {"ngrams": {"length": 5, "level": "sentence"}},
]
DROPPING = [{"minhash": {"threshold": 0.7, "shingle": 2, "keep": "longest", "count": True}}]


def make(folder: Path, name: str, stages: list[Any]) -> list[str]:
    """The arguments that build these stages, on documents with repeats, as the recipe `name`."""
    recipe = projects.make_project(folder, n_files=5, per_file=40, recipe={**projects.RECIPE, "recipe": name})
    for path in (folder / "data").rglob("*.jsonl"):
        path.write_text(path.read_text().replace("river", "river.\\n"))
    written = {**projects.RECIPE, "recipe": name, "stages": stages}
    del written["tokenizer"], written["pack"]
    projects.write_recipe(folder, written)
    return ["build", str(recipe), "--workers", "1", "--root"]


def run(*command: str) -> int:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True).returncode


def outcome(root: Path, name: str) -> tuple[dict[str, str], str, dict[str, Any]]:
    manifest = read_manifest(root / name)
    files = [path for folder in ledger_folders(root / name, manifest) for path in sorted(folder.glob("*.arrow"))]
    digest = hashlib.sha256(repr([read_table(path).to_pylist() for path in files]).encode()).hexdigest()
    return projects.digests(root / name), digest, manifest.decided


def killed_and_resumed(arguments: list[str], name: str, words: list[str], calm: Path, often: Path) -> None:
    """Build in `calm`; in `often` with a kill in every phase of every stage, each run going on where the last fell."""
    assert run("-m", "pipeline.cli", *arguments, str(calm)) == 0
    for word in words:
        for phase in ("sketch", "decide", "judge"):
            code = run("-c", KILLED, word, phase, *arguments, str(often))
            assert code == -signal.SIGKILL, (word, phase)
    assert run("-m", "pipeline.cli", *arguments, str(often)) == 0
    assert outcome(often, name) == outcome(calm, name)
    reasons = {reason for sweep in read_manifest(calm / name).sweeps for one in sweep.stages for reason in one.dropped}
    assert reasons


@pytest.mark.parametrize("stages", [CUTTING, DROPPING], ids=["cutting", "dropping"])
def test_killed_in_every_phase_and_resumed_is_never_killed(stages: list[Any], tmp_path: Path) -> None:
    words = [next(iter(stage)) if isinstance(stage, dict) else stage for stage in stages]
    arguments = make(tmp_path / "project", "small", stages)
    killed_and_resumed(arguments, "small", words, tmp_path / "calm", tmp_path / "often")


def test_killed_while_it_is_compared_with_an_older_build(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    arguments = make(folder, "old", DROPPING)
    assert run("-m", "pipeline.cli", *arguments, str(folder / "calm")) == 0
    shutil.rmtree(folder / "data")
    against = {**DROPPING[0]["minhash"], "against": "calm/old"}
    arguments = make(folder, "new", [{"minhash": against}])
    killed_and_resumed(arguments, "new", ["minhash"], folder / "calm", folder / "often")
    assert read_manifest(folder / "calm" / "new").decided["minhash"]["dropped against old@1.0"] > 50
