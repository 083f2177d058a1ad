"""Laws over the registry: a new stage is held to them before its author writes a test."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from pipeline.core.asset import Place
from pipeline.core.document import parse_yaml
from pipeline.core.errors import GristmillError
from pipeline.core.manifest import digest
from pipeline.core.shards import write_table
from pipeline.core.stage import Checkpoint, Decision, Global, Local, Reshape, Sketches, Source, Stage
from pipeline.core.verdict import Verdict
from pipeline.run.exchange import FileExchange
from pipeline.run.executors import Serial
from pipeline.run.judging import visible
from pipeline.run.recipe import Named
from pipeline.run.registry import stages
from tests import samples

ALL = list(stages().values())
LOCALS = [stage for stage in ALL if issubclass(stage, Local)]
GLOBALS = [stage for stage in ALL if issubclass(stage, Global)]

by_word = pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.word)
local_by_word = pytest.mark.parametrize("cls", LOCALS, ids=lambda cls: cls.word)
global_by_word = pytest.mark.parametrize("cls", GLOBALS, ids=lambda cls: cls.word)


def example(cls: type[Stage]) -> Stage:
    return cls.model_validate_json(json.dumps(dict(cls.example)))


def prepared(stage: Stage, batch: pa.RecordBatch) -> pa.RecordBatch:
    """With the columns that an earlier stage would have measured."""
    for name in stage.columns_read():
        if name not in batch.schema.names:
            batch = batch.append_column(name, pa.array([i / 10 for i in range(batch.num_rows)], pa.float64()))
    return visible(stage, batch)


def rows(verdict: Verdict, n: int) -> list[dict[str, object]]:
    """A verdict as one plain record a row."""
    columns = {name: getattr(verdict, name) for name in ("reason", "value", "limit", "twin", "detail")}
    lists = {name: array.to_pylist() if array is not None else [None] * n for name, array in columns.items()}
    lists |= {f"column {name}": array.to_pylist() for name, array in verdict.columns.items()}
    assert all(len(values) == n for values in lists.values())
    return [{name: values[i] for name, values in lists.items()} for i in range(n)]


@by_word
def test_a_stage_is_its_configuration(cls: type[Stage]) -> None:
    stage = example(cls)
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert cls.model_validate_json(stage.model_dump_json()) == stage
    assert json.loads(json.dumps(stage.fields())) == stage.fields()
    with pytest.raises(Exception, match=r"frozen|Instance is frozen"):
        next(iter(cls.model_fields), None) and setattr(stage, next(iter(cls.model_fields)), None)
        raise ValueError("frozen: it has no fields")


@by_word
def test_a_stage_says_what_it_is(cls: type[Stage]) -> None:
    assert cls.__doc__ and len(cls.__doc__) > 20
    assert cls.word.replace("_", "").isalnum() and cls.word == cls.word.lower()
    assert all(reason == reason.lower() and " " not in reason for reason in cls.reasons)
    for name, field in cls.model_fields.items():
        assert field.description, f"{cls.word}.{name} needs a description: it is the reference"


@local_by_word
def test_judging_twice_gives_the_same(cls: type[Local]) -> None:
    stage, batch = example(cls), samples.batch()
    seen = prepared(stage, batch)
    assert rows(stage.judge(seen), batch.num_rows) == rows(stage.judge(seen), batch.num_rows)


@pytest.mark.slow
@local_by_word
def test_row_local_means_row_local(cls: type[Local]) -> None:
    stage, batch = example(cls), samples.batch()
    seen = prepared(stage, batch)
    whole = rows(stage.judge(seen), batch.num_rows)
    singly = [row for i in range(batch.num_rows) for row in rows(stage.judge(seen.slice(i, 1)), 1)]
    assert whole == singly
    order = list(range(batch.num_rows))[::-1]
    backwards = rows(stage.judge(seen.take(pa.array(order))), batch.num_rows)
    assert [backwards[i] for i in order] == whole
    found = [Counter(stage.judge(seen.slice(i, 1)).found) for i in range(batch.num_rows)]
    assert Counter(stage.judge(seen).found) == sum(found, Counter())


@pytest.mark.slow
@local_by_word
def test_a_stage_is_honest(cls: type[Local]) -> None:
    stage = example(cls)
    for batch in (samples.batch(), samples.edges()):
        verdict = stage.judge(prepared(stage, batch))
        declared = stage.columns_written()
        assert set(verdict.columns) <= set(declared)
        assert all(array.type == declared[name] for name, array in verdict.columns.items())
        given = set(verdict.reason.to_pylist()) - {None} if verdict.reason is not None else set()
        assert given <= set(stage.reasons)


@local_by_word
def test_edges(cls: type[Local]) -> None:
    stage = example(cls)
    for batch in (samples.edges(), samples.edges().slice(0, 0), samples.batch((("x" * 5_000_000, "en"),))):
        rows(stage.judge(prepared(stage, batch)), batch.num_rows)


@pytest.mark.slow
@local_by_word
def test_rules_one_by_one_say_what_the_verdict_says(cls: type[Local]) -> None:
    """The first rule that drops is the verdict's reason, with its numbers; measured once, whatever the columns."""
    stage = example(cls)
    for batch in (samples.batch(), samples.edges(), samples.edges().slice(0, 0)):
        seen = prepared(stage, batch)
        evidence, said = stage.evidence(seen), rows(stage.judge(seen), batch.num_rows)
        judged = [
            {name: column.to_pylist() for name, column in one._asdict().items() if isinstance(column, pa.Array)}
            for one in stage.rules(evidence.measures)
        ]
        names = [one.reason for one in stage.rules(evidence.measures)]
        assert set(names) <= set(stage.reasons)
        for row, verdict in enumerate(said):
            hit = next((i for i, one in enumerate(judged) if one["dropped"][row]), None)
            assert verdict["reason"] == (None if hit is None else names[hit])
            if hit is not None and verdict["limit"] is not None:
                assert (judged[hit]["value"][row], judged[hit]["limit"][row]) == (verdict["value"], verdict["limit"])
        assert {name: column.to_pylist() for name, column in evidence.columns.items()} == {
            name: column.to_pylist() for name, column in stage.judge(seen).columns.items()
        }


@pytest.mark.slow
@by_word
def test_trials_add_up(cls: type[Stage]) -> None:
    trials = example(cls).trials()
    assert all(0 <= one.found <= one.planted and 0 <= one.false_alarms <= one.clean for one in trials)
    assert trials == example(cls).trials()


def outcome(cls: type[Local]) -> str:
    """Digest of all that a stage says of the samples."""
    stage = example(cls)
    said = [rows(stage.judge(prepared(stage, batch)), batch.num_rows) for batch in (samples.batch(), samples.edges())]
    return digest(json.loads(json.dumps(said, default=str)))


GOLDEN = Path(__file__).parent.parent / "golden" / "stages.json"


def golden() -> dict[str, str]:
    return {f"{cls.word}@{cls.version}": outcome(cls) for cls in sorted(LOCALS, key=lambda cls: cls.word)}


def test_output_changes_only_with_the_version() -> None:
    """If this fails: output changed, so raise the stage's `version`, then run `python -m tests.laws.test_stages`."""
    assert golden() == json.loads(GOLDEN.read_text())


@pytest.mark.slow
def test_a_fresh_process_with_another_hash_seed_says_the_same() -> None:
    code = "import json; from tests.laws.test_stages import golden; print(json.dumps(golden()))"
    env = {**__import__("os").environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == golden()


@by_word
def test_identity_does_not_depend_on_the_process(cls: type[Stage]) -> None:
    stage = example(cls)
    assert digest([stage.word, stage.fields()]) == digest([stage.word, example(cls).fields()])
    assert isinstance(stage, Source | Local | Global | Reshape | Checkpoint)
    try:
        identity = Named("x", stage).identity
    except GristmillError as missing:
        pytest.skip(f"its example names a file that is not here: {missing}")
    assert digest(identity)


@global_by_word
def test_sketches_are_row_local(cls: type[Global]) -> None:
    stage, batch = example(cls), samples.batch()
    seen = visible(stage, batch).append_column("row", pa.array(range(batch.num_rows), pa.int64()))
    whole = stage.sketch(seen)
    pieces = [stage.sketch(seen.slice(i, 5)) for i in range(0, batch.num_rows, 5)]
    assert pa.Table.from_batches(pieces).to_pylist() == pa.Table.from_batches([whole]).to_pylist()
    assert stage.sketch(seen.slice(0, 0)).schema == whole.schema


@by_word
def test_a_stage_survives_being_written_into_a_recipe(cls: type[Stage]) -> None:
    stage = example(cls)
    written = yaml.safe_dump(json.loads(stage.model_dump_json()), allow_unicode=True)
    assert cls.model_validate_json(json.dumps(parse_yaml(written.encode()).value)) == stage


def decided(stage: Global, shards: list[pa.RecordBatch], folder: Path) -> dict[str, object]:
    """What a global decides of documents cut into these shards: each dropped id with its twin, or the files made."""
    files = []
    for index, shard in enumerate(shards):
        numbers = pa.array(range(shard.num_rows), pa.int64())
        files.append(folder / f"sketch-{index}.arrow")
        write_table(files[-1], pa.table(stage.sketch(visible(stage, shard).append_column("row", numbers))))
    out = folder / "decision"
    out.mkdir()
    (folder / "exchange").mkdir()
    sketches = Sketches(tuple(files), tuple(shard.num_rows for shard in shards), ("first", "second"))
    stage.decide(sketches, out, FileExchange(Serial(), folder / "exchange"))
    made = {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(("drops-", "places-"))}
    fates: dict[str, object] = dict(made)
    for index, shard in enumerate(shards):
        verdict = stage.judge(visible(stage, shard), Decision(out, index))
        for id, row in zip(shard.column("id").to_pylist(), rows(verdict, shard.num_rows), strict=True):
            fates[id] = row
    return fates


@pytest.mark.slow
@global_by_word
def test_a_decision_does_not_depend_on_how_documents_are_cut_into_shards(cls: type[Global], tmp_path: Path) -> None:
    stage, batch = example(cls), samples.batch()
    backwards = batch.take(pa.array(range(batch.num_rows)[::-1]))
    cuts = [
        [batch],
        [batch.slice(0, 5), batch.slice(5)],
        [backwards.slice(0, 3), backwards.slice(3, 0), backwards.slice(3)],
    ]
    fates = []
    for number, shards in enumerate(cuts):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            with Place(base=tmp_path, offline=True).active():
                fates.append(decided(stage, shards, folder))
        except GristmillError as error:
            pytest.skip(f"the example needs a file that is not here: {error}")
    assert fates[0] == fates[1] == fates[2]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden(), indent=1) + "\n")
