from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.backends.benchmarks import Item, Layout, items, presets
from pipeline.core.errors import GristmillError

ROWS = [
    {"question": "How many?", "choices": {"text": ["one", "two"], "label": ["A", "B"]}, "id": "q-1"},
    {"question": "Who?", "choices": {"text": ["she"], "label": ["A"]}, "id": "q-2"},
]
WANTED = [Item("q-1", "How many?", "one\ntwo\nA\nB"), Item("q-2", "Who?", "she\nA")]


def test_one_preset_reads_all_kinds_of_files(tmp_path: Path) -> None:
    lines = "\n".join(map(json.dumps, ROWS)).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    for path in tmp_path.iterdir():
        assert items(path, presets()["arc"]) == WANTED, path


def test_without_an_id_the_number_in_the_file_is_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": "x"}\n\n{"q": "y", "a": null}\n')
    assert items(tmp_path / "a.jsonl", Layout(("q",), ("a",))) == [Item("0", "x", ""), Item("1", "y", "")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"q": 1}\n', "no row has text in question"),
        (b"[1, 2", "neither JSON lines, JSON, Parquet nor Arrow"),
        (b"3\n", "line 1 is no JSON object"),
        (b"\x1f\x8bdamaged", "cannot be read"),
        (b"PAR1damaged", "neither JSON lines, JSON, Parquet nor Arrow"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(GristmillError, match=said):
        items(tmp_path / "a", presets()["gsm8k"])
