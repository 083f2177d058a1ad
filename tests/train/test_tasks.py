"""What trained models are asked to do: choose answers, tell texts apart, go on as a reference does."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from pipeline.backends.tokenizer import FILE, load
from pipeline.core.errors import GristmillError, SourceError
from pipeline.train.batches import encoded
from pipeline.train.checkpoint import load_model
from pipeline.train.choices import Question, ask, continued, continued_bleu, likelihoods, read_task
from pipeline.train.export import export
from pipeline.train.finetune import Text, Tuning, classify, finetune, load_classifier, read_texts
from pipeline.train.held_out import HeldOut, of_file, score
from pipeline.train.metrics import bleu, compare
from pipeline.train.shapes import Kind
from tests.test_docs import blocks

TECHNOLOGY = ["chip", "code", "disk", "laptop", "network", "server", "software", "data", "cloud", "phone"]
SPORTS = ["goal", "match", "team", "coach", "league", "ball", "referee", "stadium", "player", "race"]
PLAIN = ["the", "a", "of", "and", "in", "it", "was", "for", "on", "with", "at", "from", "new", "good"]


def texts(n: int, seed: int, share: float = 0.5) -> list[Text]:
    """Texts about technology or sports, three words in ten of their own."""
    chance, found = np.random.default_rng(seed), []
    for _ in range(n):
        label, words = ("technology", TECHNOLOGY) if chance.random() < share else ("sports", SPORTS)
        chosen = [chance.choice(words if chance.random() < 0.3 else PLAIN) for _ in range(12)]
        found.append(Text(text=" ".join(chosen), label=label))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt", "bert"])
def test_technology_is_told_from_sports(kind: Kind, trained: Callable[..., Path], tmp_path: Path) -> None:
    tuning = Tuning(epochs=5, learning_rate=3e-3)
    metrics = finetune(trained(kind), texts(200, 0, share=0.25), tuning, tmp_path / "out", texts(60, 1))
    assert metrics.accuracy > 0.9 and metrics.labels["technology"].recall > 0.8, metrics
    classifier, encoder, card = load_classifier(tmp_path / "out")
    assert card.labels == ("sports", "technology") and card.texts == {"train": 200, "test": 60}
    odds = classify(classifier, encoder, ["the team and the coach at the match", "new software for the server"])
    assert odds[0, 0] > 0.5 and odds[1, 1] > 0.5
    assert np.allclose(odds.sum(1), 1)
    one_by_one = np.concatenate([classify(classifier, encoder, [text.text]) for text in texts(5, 2)])
    together = classify(classifier, encoder, [text.text for text in texts(5, 2)])
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["gpt", "bert"])
def test_transformers_gives_a_classifiers_logits(kind: Kind, trained: Callable[..., Path], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    metrics = finetune(trained(kind), texts(40, 0), Tuning(epochs=1, learning_rate=3e-3), tmp_path / "own", texts(9, 1))
    export(tmp_path / "own", tmp_path / "out")
    automatic = transformers.AutoModelForSequenceClassification
    theirs, told = automatic.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(told.values()), told
    classifier, encoder, card = load_classifier(tmp_path / "own")
    asked = [text.text for text in texts(6, 2)] + ["", "goal"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    given = tokenizer(asked, return_tensors="pt", padding=True, truncation=True, return_token_type_ids=kind == "bert")
    with torch.no_grad():
        found = theirs.eval()(**given).logits
        ours = classifier.eval()(encoded(encoder, asked))
    torch.testing.assert_close(found, ours, rtol=1e-4, atol=1e-4)
    assert theirs.config.id2label == dict(enumerate(card.labels))
    about = (tmp_path / "out" / "README.md").read_text()
    assert "text-classification" in about and f"{metrics.accuracy:.3f}" in about and "n-gram" in about


@pytest.mark.slow
def test_finetuning_is_the_same_twice_and_holds_texts_out(trained: Callable[..., Path], tmp_path: Path) -> None:
    folder, tuning = trained("gpt"), Tuning(epochs=1, test=0.3)
    twice = texts(30, 0) * 2
    first, again = (finetune(folder, twice, tuning, tmp_path / name) for name in "ab")
    assert first == again and sum(label.support for label in first.labels.values()) % 2 == 0
    assert (tmp_path / "a" / "classifier.safetensors").read_bytes() == (
        tmp_path / "b" / "classifier.safetensors"
    ).read_bytes()
    with pytest.raises(GristmillError, match="two are needed"):
        finetune(folder, [Text(text="a", label="x")] * 3, tuning, tmp_path / "c")
    with pytest.raises(GristmillError, match="gpt or bert"):
        finetune(trained("t5"), twice, tuning, tmp_path / "c")
    with pytest.raises(GristmillError, match="no classifier here"):
        load_classifier(tmp_path)


def test_metrics_are_those_of_the_books() -> None:
    found = compare(["a", "a", "a", "b"], ["a", "a", "b", "b"])
    assert found.accuracy == 0.75 and found.majority == 0.75
    assert (found.labels["a"].precision, found.labels["a"].recall, found.labels["a"].f1) == (1.0, 2 / 3, 0.8)
    assert (found.labels["b"].precision, found.labels["b"].recall) == (0.5, 1.0)
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2) and found.confused == {"a/b": 1}
    assert compare([], []).accuracy == 0.0


def test_bleu_is_sacrebleus() -> None:
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    text = "the miller ground the grain in the old mill"
    assert bleu([text], [text]) == pytest.approx(100)
    assert bleu(["nothing of it at all is there"], [text]) < 5


@pytest.mark.parametrize("kind", ["gpt", "bert", "t5"])
def test_scores_add_up_and_each_document_stands_alone(kind: Kind, trained: Callable[..., Path], tmp_path: Path) -> None:
    model, _ = load_model(folder := trained(kind))
    encoder = load(folder / "tokenizer" / FILE)
    rows = [
        {"text": "the miller ground the grain " * n, "source": "mill" if n % 2 else "river", "lang": "en"}
        for n in (1, 2, 20)
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"text": ""}])))
    held_out = of_file(tmp_path / "t.jsonl", "mills")
    found = score(model, encoder, held_out)
    assert found.total.bytes == sum(len(row["text"]) for row in rows) and found.total.documents == 4
    by_source = found.by("source")
    assert set(by_source) == {"", "mill", "river"} and by_source[""].bits_per_byte is None
    assert sum(part.bits for part in by_source.values()) == pytest.approx(found.total.bits)
    if kind == "gpt":
        assert found.total.asked == found.total.tokens
        for at in range(3):
            alone = score(model, encoder, HeldOut("one", held_out.documents.slice(at, 1)))
            assert alone.total.bits == pytest.approx(found.counts[at, 4], rel=1e-5)
        text = rows[0]["text"]
        [log] = likelihoods(model, encoder, [("", text)])
        assert -log / np.log(2) == pytest.approx(found.counts[0, 4], rel=1e-5)
    (tmp_path / "t.jsonl").write_text('{"text": "a"}\n{"words": 1}\n')
    with pytest.raises(SourceError, match=r"t\.jsonl:2"):
        of_file(tmp_path / "t.jsonl")


def test_likelihoods_are_conditional(trained: Callable[..., Path]) -> None:
    model, _ = load_model(folder := trained("gpt"))
    encoder = load(folder / "tokenizer" / FILE)
    pairs = [("the miller", " ground"), ("the", " river turned the wheel"), ("x " * 80, " grain")]
    found = likelihoods(model, encoder, pairs)
    [whole], [first] = (likelihoods(model, encoder, [("", text)]) for text in ("the miller ground", "the miller"))
    assert found[0] == pytest.approx(whole - first, rel=1e-4)
    assert all(value < 0 for value in found)


TASK = {
    "task": "mills",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "mills.jsonl"}},
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_choice": "{{choices.text}}",
    "doc_to_target": "{{choices.label}}",
}


def test_tasks_are_read_in_the_form_of_the_harness(trained: Callable[..., Path], tmp_path: Path) -> None:
    rows = [
        {"question": "who grinds?", "choices": {"text": ["miller", "river"], "label": 0}},
        {"question": "what turns?", "choices": {"text": ["grain", "the wheel"], "label": "the wheel"}},
    ]
    (tmp_path / "mills.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = tmp_path / "mills.yaml"
    path.write_text(yaml.safe_dump(TASK))
    name, questions = read_task(path)
    assert name == "mills" and questions[1] == Question(
        "Question: what turns?\nAnswer:", (" grain", " the wheel"), right=1
    )
    model, _ = load_model(folder := trained("gpt"))
    encoder = load(folder / "tokenizer" / FILE)
    logs = likelihoods(model, encoder, [(q.text, answer) for q in questions for answer in q.answers])
    sure = [Question(q.text, q.answers, int(np.argmax(logs[2 * n : 2 * n + 2]))) for n, q in enumerate(questions)]
    answered = ask(partial(likelihoods, model, encoder), sure)
    assert answered.accuracy == 1.0 and answered.chance == 0.5
    for change, problem in (
        ({"doc_to_text": "{% if question %}"}, "columns in double braces"),
        ({"process_docs": "!function"}, "process_docs"),
        ({"doc_to_target": 5}, "none of the 2 answers"),
        ({"doc_to_text": "{{nothing}}"}, "has no 'nothing'"),
        ({"dataset_kwargs": {}}, "names no file"),
    ):
        path.write_text(yaml.safe_dump({**TASK, **change}))
        with pytest.raises((GristmillError, SourceError), match=problem):
            read_task(path)
    bert, _ = load_model(trained("bert"))
    with pytest.raises(GristmillError, match="no likelihood"):
        ask(partial(likelihoods, bert, encoder), questions)


def test_continuations_are_compared(trained: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    model, _ = load_model(folder := trained("gpt"))
    encoder = load(folder / "tokenizer" / FILE)
    (tmp_path / "c.jsonl").write_text(json.dumps({"text": "the miller", "reference": " ground the grain again"}))
    assert 0 <= continued_bleu(partial(continued, model, encoder, tokens=8), tmp_path / "c.jsonl") <= 100
    assert continued_bleu(lambda text: " ground the grain again" * (text == "the miller"), tmp_path / "c.jsonl") > 90


def test_the_example_of_the_documents_makes_labelled_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [code] = blocks("docs/train.md", "python")
    exec(code, {})
    found = read_texts(Path("labelled.jsonl"))
    assert len(found) == 300 and {text.label for text in found} == {"sports", "technology"}


def test_labelled_texts_are_read(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": 1}\n')
    with pytest.raises(SourceError, match=r"l\.jsonl:2"):
        read_texts(tmp_path / "l.jsonl")


def test_torch_is_on_one_thread() -> None:
    assert torch.get_num_threads() == 1
