from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.core.shards import write_table
from pipeline.core.stage import Decision, Sketches, read_facts
from pipeline.core.verdict import Verdict
from pipeline.filters.quantile import Quantile
from pipeline.run.exchange import FileExchange
from pipeline.run.executors import Serial


def judged(
    stage: Quantile, values: list[float | None], langs: list[str | None], folder: Path, shards: int = 1
) -> Verdict:
    whole = pa.record_batch(
        {"quality": pa.array(values, pa.float64()), "lang": pa.array(langs, pa.string())},
    )
    step = max(1, -(-len(values) // shards))
    pieces = [whole.slice(start, step) for start in range(0, len(values), step)] or [whole]
    files = tuple(folder / f"sketch-{index}.arrow" for index in range(len(pieces)))
    for file, piece in zip(files, pieces, strict=True):
        write_table(file, pa.table(stage.sketch(piece)))
    out = folder / "decision"
    out.mkdir()
    sketches = Sketches(files, tuple(piece.num_rows for piece in pieces), ("web",))
    stage.decide(sketches, out, FileExchange(Serial(), folder / "exchange", partitions=3))
    return stage.judge(whole, Decision(out))


def test_head_middle_and_tail_by_language(tmp_path: Path) -> None:
    values = [*range(1, 11), *(100 * n for n in range(1, 11)), None, float("nan")]
    langs = ["en"] * 10 + ["zh"] * 10 + ["en", "zh"]
    stage = Quantile(column="quality", parts={"head": 0.3, "middle": 0.6, "tail": 1.0})
    verdict = judged(stage, values, langs, tmp_path, shards=4)
    expected = ["head"] * 3 + ["middle"] * 3 + ["tail"] * 4
    assert verdict.columns["bucket"].to_pylist() == [*expected, *expected, None, None]
    assert verdict.kept is None
    told = read_facts(tmp_path / "decision")["cuts"]
    assert {"language": "zh", "documents": 10, "cut": "'head'", "quantile": 0.3, "value": 300.0} in told


def test_the_highest_tenth_is_kept(tmp_path: Path) -> None:
    verdict = judged(Quantile(column="quality", above=0.9), [*map(float, range(100)), None], ["en"] * 101, tmp_path)
    assert verdict.reason is not None and verdict.limit is not None
    assert verdict.reason.to_pylist() == ["below_quantile"] * 90 + [None] * 10 + ["not_measured"]
    assert verdict.limit[0].as_py() == 90.0


def test_all_languages_at_one_value(tmp_path: Path) -> None:
    stage = Quantile(column="quality", below=0.5, per_language=False)
    verdict = judged(stage, [1, 2, 3, 4], ["en", "zh", None, "en"], tmp_path)
    assert verdict.reason is not None
    assert verdict.reason.to_pylist() == [None, None, "above_quantile", "above_quantile"]


@pytest.mark.slow
@settings(deadline=None, max_examples=10)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40),
    st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0]),
    st.integers(1, 4),
)
def test_cuts_are_exact(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], quantile: float, shards: int
) -> None:
    folder = tmp_path_factory.mktemp("quantile")
    stage = Quantile(column="quality", above=quantile, parts={"rest": 1 - quantile or 0.5, "all": 1.0})
    judged(stage, list(values), ["en"] * len(values), folder, shards)
    found = [cut["value"] for cut in read_facts(folder / "decision")["cuts"]]
    ordered = sorted(values)
    n_dropped = min(len(values) - 1, int(quantile * len(values) + 1e-9))
    rest = max(1, int(np.ceil((1 - quantile or 0.5) * len(values) - 1e-9)))
    assert found == [ordered[n_dropped], ordered[rest - 1], ordered[-1]]


def test_no_document_was_measured(tmp_path: Path) -> None:
    verdict = judged(Quantile(column="quality", above=0.5), [None, None], ["en", None], tmp_path)
    assert verdict.reason is not None and verdict.reason.to_pylist() == ["not_measured"] * 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give `above`, `below` or `parts`"),
        ({"above": 0.9, "below": 0.1}, "nothing would be kept"),
        ({"parts": {"head": 0.3, "tail": 0.9}}, "ascend to 1"),
        ({"parts": {"tail": 1.0, "head": 0.3}}, "ascend to 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Quantile(column="quality", **fields)
