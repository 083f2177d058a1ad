from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.core.asset import Place
from pipeline.core.shards import write_table
from pipeline.core.stage import Decision, Sketches, read_facts
from pipeline.core.verdict import Verdict
from pipeline.filters.contamination import Contamination
from pipeline.run.exchange import FileExchange
from pipeline.run.executors import Serial
from tests.samples import CHINESE, ENGLISH

LONG = (
    "A baker sells forty loaves on Monday and half as many on Tuesday; on Wednesday she sells twice what she sold on "
    "both days together. How many loaves does she sell in the three days?"
)
CODE = "已知某细胞在分裂后期含有二十条染色体，且每条染色体只有一个着丝点，请问该生物体细胞中的染色体数目是多少？"
SHORT = "Who wrote it?"


@pytest.fixture
def place(tmp_path: Path) -> Any:
    rows = [
        {"question": LONG, "answer": "140"},
        {"question": CODE, "answer": "10"},
        {"question": SHORT, "answer": "he"},
    ]
    (tmp_path / "bench.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with Place(base=tmp_path).active():
        yield tmp_path


def stage(**fields: Any) -> Contamination:
    entry = {"name": "bench", "paths": ("bench.jsonl",), "preset": "gsm8k"}
    return Contamination.model_validate({"against": ({**entry},), **fields})


def run(stage: Contamination, folder: Path, *shards: list[str]) -> tuple[list[Verdict], dict[str, Any]]:
    batches = []
    files = []
    for number, texts in enumerate(shards):
        batch = pa.record_batch(
            {
                "text": pa.array(texts, pa.large_string()),
                "lang": pa.array(["en"] * len(texts)),
                "row": pa.array(range(len(texts)), pa.int64()),
            }
        )
        batches.append(batch)
        files.append(folder / f"sketch-{number}.arrow")
        write_table(files[-1], pa.table(stage.sketch(batch)))
    out = folder / "out"
    out.mkdir()
    (folder / "exchange").mkdir()
    sketches = Sketches(tuple(files), tuple(map(len, shards)), ("s",))
    stage.decide(sketches, out, FileExchange(Serial(), folder / "exchange"))
    return [stage.judge(batch, Decision(out, number)) for number, batch in enumerate(batches)], read_facts(out)


def reasons(verdict: Verdict, n: int) -> list[str | None]:
    return [None] * n if verdict.reason is None else verdict.reason.to_pylist()


def test_documents_with_a_question_are_dropped_and_named(place: Path) -> None:
    changed = LONG.upper().replace("Monday", "Sunday").replace("MONDAY", "SUNDAY").replace(";", " -")
    texts = [
        f"{ENGLISH}\n{LONG}\n{ENGLISH}",
        ENGLISH,
        f"{CHINESE}{CODE}{CHINESE}",
        f"{SHORT} {ENGLISH}",
        f"1) {changed}",
    ]
    (verdict,), facts = run(stage(), place, texts)
    assert reasons(verdict, 5) == ["contaminated", None, "contaminated", None, "contaminated"]
    assert verdict.detail is not None and verdict.value is not None
    assert verdict.detail.to_pylist()[0] == "bench: 0 (question)" and verdict.value[0].as_py() >= 13
    assert facts["benchmarks"]["bench"] == {
        "questions": 3,
        "long enough": 2,
        "share long enough": 0.6667,
        "found": 2,
        "documents": 3,
        "ids": "0, 1",
    }


def test_the_same_words_in_another_order_are_no_question(place: Path) -> None:
    backwards = " ".join(reversed(LONG.split()))
    (verdict,), _ = run(stage(), place, [backwards, CODE[::-1]])
    assert reasons(verdict, 2) == [None, None]


def test_runs_of_a_question_far_from_each_other_are_no_question(place: Path) -> None:
    words = LONG.split()
    scattered = f" {ENGLISH} ".join(" ".join(words[at : at + 6]) for at in range(0, len(words), 6))
    (verdict,), _ = run(stage(), place, [scattered])
    assert reasons(verdict, 1) == [None]


def test_what_many_documents_hold_is_no_evidence(place: Path) -> None:
    texts = [f"{number}. {LONG}" for number in range(6)]
    (verdict,), _ = run(stage(common_documents=5, common_share=0.5), place, texts)
    assert reasons(verdict, 6) == [None] * 6


def test_what_many_questions_hold_is_no_evidence(tmp_path: Path) -> None:
    same = "For which of these two scenarios does the main character who tells the story do something clearly wrong"
    rows = [{"question": f"{same}? {number}"} for number in range(12)]
    (tmp_path / "bench.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with Place(base=tmp_path).active():
        (verdict,), facts = run(stage(), tmp_path, [f"{same}, I asked."])
        assert reasons(verdict, 1) == [None] and facts["runs of many questions, ignored"] > 10


def test_cutting_leaves_the_rest(place: Path) -> None:
    texts = [f"{ENGLISH}\n{LONG}\n{ENGLISH}", ENGLISH, f"See: {LONG}"]
    (verdict,), _ = run(stage(action="cut"), place, texts)
    assert reasons(verdict, 3) == [None, None, "contaminated"]
    left = verdict.columns["text"].to_pylist()
    assert "loaves" not in left[0] and left[0].startswith(ENGLISH) and left[0].endswith(ENGLISH)
    assert left[1] == ENGLISH and left[2] == texts[2] and verdict.found == {"bench/en": 2}


def test_shards_share_one_decision(place: Path) -> None:
    verdicts, facts = run(stage(), place, [ENGLISH, LONG], [], [LONG, CHINESE])
    assert [reasons(v, n) for v, n in zip(verdicts, (2, 0, 2), strict=True)] == [
        [None, "contaminated"],
        [],
        ["contaminated", None],
    ]
    assert facts["benchmarks"]["bench"]["documents"] == 2


def test_trials_measure_each_variant(place: Path) -> None:
    trials = {trial.kind: trial for trial in stage().trials()}
    assert set(trials) == {
        f"bench, {v}" for v in ("word by word", "case and marks", "one word in twelve", "in a template")
    }
    assert {trial.planted for trial in trials.values()} == {3} and {
        trial.false_alarms for trial in trials.values()
    } == {0}
    assert trials["bench, word by word"].found == 2, "the short question is planted too, and cannot be found"


def test_a_recipe_says_what_to_look_for(place: Path) -> None:
    for wrong in (
        {},
        {"against": ({"name": "x", "paths": ("a",)},)},
        {"against": ({"name": "x", "paths": ("a",), "preset": "nothing"},)},
        {"written": ("a",), "least": 3},
    ):
        with pytest.raises(ValidationError):
            Contamination.model_validate(wrong)
    assert stage().assets()[0].sha256 != "" and len(stage().assets()) == 1


def test_a_benchmark_may_lie_in_a_dataset_on_the_hub(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str, str]] = []

    def download(
        repo: str, name: str, *, repo_type: str, revision: str, cache_dir: Path, local_files_only: bool
    ) -> str:
        asked.append((repo, name, repo_type, revision))
        return str(place / "bench.jsonl")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    hub = {"repo": "owner/bench", "revision": "b" * 40, "files": ("test.jsonl",)}
    far = Contamination.model_validate({"against": ({"name": "bench", "hub": hub, "preset": "gsm8k"},)})
    verdicts, _ = run(far, place, [f"{ENGLISH} {LONG}", ENGLISH])
    assert verdicts[0].reason.to_pylist() == ["contaminated", None]
    assert set(asked) == {("owner/bench", "test.jsonl", "dataset", "b" * 40)}
    with pytest.raises(ValidationError, match="give the files in paths, or those of a dataset in hub"):
        Contamination.model_validate({"against": ({"name": "bench", "preset": "gsm8k"},)})


@pytest.mark.parametrize(("preset", "n"), [("13-grams", 13), ("8-grams", 8)])
def test_a_preset_asks_for_one_run_of_so_many_words(place: Path, preset: str, n: int) -> None:
    words = LONG.split()
    texts = [" ".join(["And", *words[3 : 3 + n], "they said."]), " ".join(["And", *words[3 : 2 + n], "they said."])]
    verdicts, facts = run(stage(preset=preset), place, texts)
    assert verdicts[0].reason is not None and verdicts[0].limit is not None
    assert verdicts[0].reason.to_pylist() == ["contaminated", None] and verdicts[0].limit[0].as_py() == n
    assert facts["benchmarks"]["bench"]["found"] == 1
    with pytest.raises(ValidationError, match="preset stands for run, gram, share and least"):
        stage(preset=preset, run=9)
