"""A short form of `scripts/chaos.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parents[1] / "scripts" / "chaos.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes in /proc")
def test_every_fault_ends_with_the_bytes_of_the_undisturbed_build() -> None:
    done = subprocess.run([sys.executable, CHAOS, "--runs", "9"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert told["silent_losses"] == 0 and len(told["faults"]) == 9
