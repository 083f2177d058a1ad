"""The n-gram model beside a trained one: what it counts, and that it stands in every table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.backends.ngram import bits_of_ids, train_ids
from pipeline.backends.tokenizer import FILE, load
from pipeline.cli import app
from pipeline.core.errors import GristmillError
from pipeline.train.baseline import continued, labels_of, learnt, likelihoods, score
from pipeline.train.checkpoint import copy_tokenizer
from pipeline.train.dataset import Order, Rows
from pipeline.train.held_out import of_file
from pipeline.train.settings import Settings
from pipeline.train.shapes import Shape
from tests.train.conftest import VOCABULARY

SHAPE = Shape(kind="gpt", layers=2, width=32, heads=4, hidden=64, tokens=VOCABULARY, end=0, length=64)


def test_it_counts_the_documents_of_the_rows_that_the_run_saw(make_rows: Callable[..., Rows]) -> None:
    rows = make_rows()
    found = learnt(rows, SHAPE, Settings(steps=3, batch=4, warmup=0, seed=7))
    documents = [
        row["input_ids"][row["segment_ids"] == number]
        for row in (rows[number] for number in list(Order(len(rows), 7))[:12])
        for number in range(row["segment_ids"].max() + 1)
    ]
    starts = np.append(0, np.cumsum([len(ids) for ids in documents]))
    expected = train_ids(np.concatenate(documents), starts, VOCABULARY, 4)
    asked, at = np.arange(1, 200) % VOCABULARY, np.array([0, 100, 199])
    np.testing.assert_array_equal(bits_of_ids(found, asked, at), bits_of_ids(expected, asked, at))
    with pytest.raises(GristmillError, match="--baseline"):
        learnt(rows, SHAPE.model_copy(update={"tokens": 400}), Settings(steps=3, warmup=0))


def test_its_bits_are_those_of_whole_texts_and_its_likelihoods_are_conditional(tiny: Path, tmp_path: Path) -> None:
    encoder = load(tiny / FILE)
    ids, starts = encoder.encode(["the miller ground the grain", "the river turned the wheel"])
    model = train_ids(ids, starts, encoder.size, 4)
    (tmp_path / "t.jsonl").write_text('{"text": "the miller"}\n{"text": ""}\n')
    found = score(model, encoder, of_file(tmp_path / "t.jsonl"))
    assert found.total.asked == found.total.tokens and found.total.right is None and found.total.accuracy is None
    [whole, after] = likelihoods(model, encoder, [("", "the miller"), ("the miller", " ground the grain")])
    assert -whole / np.log(2) == pytest.approx(found.total.bits) and after > whole
    [both] = likelihoods(model, encoder, [("", "the miller ground the grain")])
    assert both == pytest.approx(whole + after)


def test_it_goes_on_as_it_has_counted_until_the_end_token(tiny: Path) -> None:
    encoder = load(tiny / FILE)
    ids, starts = encoder.encode(["the miller ground the grain"] * 3 + ["the miller sleeps"])
    ends = np.insert(ids, starts[1:], encoder.end)
    model = train_ids(ends, starts + np.arange(5), encoder.size, 4)
    assert continued(model, encoder, "the miller", 50) == " ground the grain"
    assert continued(model, encoder, "the miller ground the grain", 50) == ""
    [first] = encoder.encode([" ground the grain"])[0][:1]
    assert continued(model, encoder, "the miller", 1) == encoder.tokenizer.decode([first])


def test_it_tells_labels_apart() -> None:
    chance = np.random.default_rng(0)
    texts = [chance.integers(20, size=30) + 15 * (n % 2) for n in range(40)]
    labels = ["even" if n % 2 == 0 else "odd" for n in range(40)]
    assert labels_of(texts[:30], labels[:30], texts[30:], 40, balanced=True) == labels[30:]
    rare = [*labels[:28:2], "odd"]
    nothing = [np.empty(0, np.int64)]
    assert labels_of([*texts[:28:2], texts[1]], rare, nothing, 40, balanced=False) == ["even"]


@pytest.mark.slow
def test_it_stands_beside_a_model_in_every_table(make_rows: Callable[..., Rows], tiny: Path, tmp_path: Path) -> None:
    encoder = load(tiny / FILE)
    rows = make_rows()
    sheet = json.loads((rows.folder / "layout.json").read_text())
    (rows.folder / "layout.json").write_text(json.dumps({**sheet, "vocabulary": encoder.size, "end": encoder.end}))
    copy_tokenizer(tiny, tmp_path)
    (tmp_path / "tokenizer" / FILE).rename(rows.folder / FILE)
    texts = tmp_path / "texts.jsonl"
    texts.write_text("\n".join(json.dumps({"text": text, "lang": text[:2]}) for text in ("the miller", "a mill")))
    (tmp_path / "q.jsonl").write_text(json.dumps({"q": "the", "answers": ["miller", "grain"], "right": 0}))
    columns = "doc_to_text: q\ndoc_to_choice: answers\ndoc_to_target: right\ndataset_kwargs: {data_files: q.jsonl}\n"
    (tmp_path / "q.yaml").write_text(f"task: mills\n{columns}")

    def said(*words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--held-out", str(texts), "--threads", "1"])
        assert done.exit_code == 0, done.output
        return done.output

    run = tmp_path / "run"
    made = said("train", str(rows.folder), "--out", str(run), "--steps", "2", "--batch", "2", "--device", "cpu")
    assert "n-gram's" in made and "parameters" in made
    bare = said("evaluate", str(run))
    assert "name what the model learnt from with --baseline" in bare
    words = ("evaluate", str(run), "--baseline", str(rows.folder), "--task", str(tmp_path / "q.yaml"))
    found = json.loads(said(*words, "--json"))
    counted = found["held_out"]["texts"]["total"]["ngram"]
    assert counted > 0 and found["held_out"]["texts"]["by_lang"]["a "]["ngram"] > 0
    assert found["tasks"]["mills"]["ngram"]["questions"] == 1
    assert f"{counted:.4f}" in said(*words) and "mills, ngram" in said(*words)
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    (tmp_path / "c.jsonl").write_text(json.dumps({"text": "the", "reference": " miller ground the grain"}))
    words = ("evaluate", str(run), "--continue", str(tmp_path / "c.jsonl"))
    assert "BLEU of continuations, ngram" not in said(*words)
    words = (*words, "--baseline", str(rows.folder))
    assert set(json.loads(said(*words, "--json"))["bleu"]) == {"model", "ngram"}
    assert "BLEU of continuations, ngram" in said(*words)
    small = ("quantize", str(run), "--bound", "1", "--baseline", str(rows.folder))
    assert f"after; an n-gram model {counted:.4f}" in said(*small, "--out", str(tmp_path / "small"))
    [loss] = json.loads((tmp_path / "small" / "quantization.json").read_text())
    assert loss["ngram"] == pytest.approx(counted)
