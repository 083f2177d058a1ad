"""The benches of deduplication run, and what they decide is right; how fast is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from tests import samples

BENCH = Path(__file__).parents[1] / "scripts" / "bench"

pytestmark = pytest.mark.slow


def output(*arguments: str) -> object:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_synthetic_sketches_are_decided_as_planted() -> None:
    found = output(str(BENCH / "dedup_scale.py"), "--documents", "20000", "--json")
    [row] = found["figures"]
    assert found["ratios"] == {"20,000 documents, a document": 1.0}
    assert row["as_planted"] and row["dropped"] == 1999 and row["peak_mib"] < row["limit_mib"]


@pytest.mark.parametrize("program", ["gristmill", "gristmill_verified"])
def test_a_keep_list_is_without_copies(program: str, tmp_path: Path) -> None:
    texts = [samples.ENGLISH, samples.GERMAN, samples.ENGLISH + " more", samples.GERMAN.upper()]
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    with pa.ipc.new_file(str(tmp_path / "texts.arrow"), table.schema) as writer:
        writer.write_table(table)
    kept = tmp_path / "kept.json"
    figures = output(str(BENCH / "dedup_peers.py"), program, str(tmp_path / "texts.arrow"), "4", str(kept))
    assert figures["documents"] == 4
    assert json.loads(kept.read_text()) == [0, 1]
