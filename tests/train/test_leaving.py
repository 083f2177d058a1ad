"""What leaves: models as transformers loads them, quantised ones, and text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.backends.tokenizer import FILE, load
from pipeline.core.document import parse_yaml
from pipeline.core.errors import GristmillError
from pipeline.train.attention import Sight, visible
from pipeline.train.batches import Maker, Piece, chance_of
from pipeline.train.checkpoint import load_model
from pipeline.train.export import export
from pipeline.train.generate import beginning, continued, drawn, filled, generate
from pipeline.train.held_out import HeldOut, of_file, score
from pipeline.train.model import Tokens
from pipeline.train.quantize import Whole, quantize, store
from pipeline.train.shapes import Kind

TEXT = "the miller ground the grain, and the river turned the wheel. "


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "pairs"), [("gpt", False), ("bert", False), ("bert", True), ("t5", False)])
def test_transformers_gives_the_same_logits(
    kind: Kind, pairs: bool, trained: Callable[..., Path], tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    folder = trained(kind, pairs=pairs)
    export(folder, tmp_path / "out")
    model, _ = load_model(folder)
    name = json.loads((tmp_path / "out" / "config.json").read_text())["architectures"][0]
    theirs, told = getattr(transformers, name).from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(told.values()), told
    theirs.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    encoder = load(folder / "tokenizer" / FILE)
    ids = encoder.encode([TEXT * 3])[0][:40].astype(np.int64)
    pieces = [Piece(ids, np.zeros(40, dtype=np.int64)), Piece(ids[::-1].copy(), np.zeros(40, dtype=np.int64))]
    batch = Maker(model.shape, pairs).make(pieces, [chance_of(0, 0, n) for n in range(2)], pieces[::-1])
    with torch.no_grad():
        ours = model.logits(batch)
        if kind == "t5":
            mask = batch.crossing[:, 0, 0].long()
            found = theirs(input_ids=batch.source.ids, attention_mask=mask, decoder_input_ids=batch.tokens.ids).logits
        elif pairs:
            mask = batch.tokens.sight.mask[:, 0, 0].long() if batch.tokens.sight.mask is not None else None
            answer = theirs(batch.tokens.ids, attention_mask=mask, token_type_ids=batch.tokens.types)
            found = answer.prediction_logits
            follows = answer.seq_relationship_logits.flip(1)
            torch.testing.assert_close(follows, model.pairs(model.read(batch.tokens)), rtol=1e-4, atol=1e-4)
        else:
            found = theirs(batch.tokens.ids).logits
    at = batch.at
    torch.testing.assert_close(found.flatten(0, 1)[at], ours.flatten(0, 1)[at], rtol=1e-4, atol=1e-4)
    around = {"gpt": [encoder.end, *ids.tolist()], "bert": ids.tolist(), "t5": ids.tolist()}[kind]
    if pairs:
        around = [model.shape.extra("<|cls|>"), *ids.tolist(), model.shape.extra("<|sep|>")]
    text = tokenizer.decode(ids.tolist())
    assert tokenizer(text)["input_ids"] == around
    if kind == "bert":
        assert tokenizer.mask_token_id == model.shape.extra("<|mask|>")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "d" * 64 in card and parse_yaml(card.split("---")[1].encode().replace(b"[gristmill]", b"x")).value


def test_an_export_wants_a_new_folder(trained: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(GristmillError, match="not empty"):
        export(trained("gpt"), tmp_path / "out")


@pytest.mark.parametrize("bits", [8, 4])
def test_whole_numbers_are_near(bits: int) -> None:
    linear = torch.nn.Linear(64, 48)
    whole = Whole.of(linear, bits)
    error = (whole.weight - linear.weight).norm() / linear.weight.norm()
    assert error < {8: 0.008, 4: 0.11}[bits]
    x = torch.randn(3, 64)
    assert (whole(x) - linear(x)).norm() / linear(x).norm() < {8: 0.02, 4: 0.2}[bits]
    assert whole.numbers.numel() == 64 * 48 * bits // 8
    odd = Whole.of(torch.nn.Linear(24, 5, bias=False), bits)
    assert odd.weight.shape == (5, 24)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt", "bert", "t5"])
def test_quantised_models_are_stored_within_a_bound(
    kind: Kind, trained: Callable[..., Path], held_out: HeldOut, tmp_path: Path
) -> None:
    folder = trained(kind)
    encoder = load(folder / "tokenizer" / FILE)
    for bits in (8, 4):
        model, _ = load_model(folder)
        [loss] = store(folder, model, encoder, [held_out], bits, tmp_path / f"to-{bits}", bound=1.0)
        again, sheet = load_model(tmp_path / f"to-{bits}")
        assert sheet.bits == bits and loss.bytes_after < loss.bytes_before
        assert score(again, encoder, held_out).total.bits_per_byte == pytest.approx(loss.after, abs=1e-6)
    assert abs(loss.after - loss.before) < 0.3
    model, _ = load_model(folder)
    with pytest.raises(GristmillError, match="over the bound"):
        store(folder, model, encoder, [held_out], 4, tmp_path / "none", bound=-1.0)
    assert not (tmp_path / "none").exists()
    with pytest.raises(GristmillError, match="have 4 bits"):
        export(tmp_path / "to-4", tmp_path / "none")
    with pytest.raises(GristmillError, match="weights of 4 bits"):
        store(tmp_path / "to-4", model, encoder, [held_out], 8, tmp_path / "none")


def test_a_text_is_continued_as_without_a_past(trained: Callable[..., Path]) -> None:
    model, _ = load_model(trained("gpt"))
    start = [5, 6, 7]
    chance = torch.Generator().manual_seed(1)
    made = list(continued(model, start, 10, 0.0, 1.0, chance))
    ids = list(start)
    for token in made:
        row = np.array([*ids, 0], dtype=np.int64)
        batch = Maker(model.shape).next_tokens([Piece(row, np.zeros(len(row), dtype=np.int64))])
        with torch.no_grad():
            assert int(model.logits(batch)[0, -1, : model.shape.tokens].argmax()) == token
        ids.append(token)
    assert len(made) == 10
    assert len(list(continued(model, [5] * 60, 100, 1.0, 1.0, chance))) <= 3
    with pytest.raises(GristmillError, match="shorten it"):
        next(continued(model, [5] * 64, 1, 0.0, 1.0, chance))


def test_generated_text_comes_in_pieces_and_by_seed(trained: Callable[..., Path]) -> None:
    folder = trained("gpt")
    model, _ = load_model(folder)
    encoder = load(folder / "tokenizer" / FILE)

    def made(seed: int, **more: float) -> str:
        return "".join(generate(model, encoder, "the miller", tokens=20, seed=seed, **more))

    assert made(0) == made(0) != made(1)
    assert made(0, temperature=0.0) == made(1, temperature=0.0) == made(2, top_p=1e-6)
    bert, _ = load_model(trained("bert"))
    with pytest.raises(GristmillError, match="a bert does not write"):
        next(generate(bert, encoder, "a"))


def test_a_t5_fills_holes_as_it_learnt_to(trained: Callable[..., Path]) -> None:
    model, _ = load_model(folder := trained("t5"))
    encoder, shape = load(folder / "tokenizer" / FILE), model.shape
    chance = torch.Generator().manual_seed(0)
    pieces = [[5, 6, 7], [8, 9], [10]]
    first, second = map(list, filled(model, pieces, 3, 0.0, 1.0, chance))
    source = [5, 6, 7, shape.tokens, 8, 9, shape.tokens + 1, 10, shape.end]
    said = [shape.end, shape.tokens, *first, shape.tokens + 1, *second]
    segments = [np.zeros((1, len(ids)), np.int64) for ids in (source, said)]
    read, write = (
        Tokens(torch.tensor([ids]), torch.arange(len(ids))[None], Sight(causal, 0, mask=visible(s, s, causal=causal)))
        for ids, s, causal in zip((source, said), segments, (False, True), strict=True)
    )
    with torch.no_grad():
        logits = torch.nn.functional.linear(model.write(write, model.read(read), None)[0], model.output)
    likeliest = logits[:, : shape.tokens + 100].argmax(1).tolist()
    assert likeliest[1 : 1 + len(first)] == first and likeliest[2 + len(first) :][: len(second)] == second
    assert 0 < len(first) <= 3 or likeliest[1] >= shape.tokens

    def made(prompt: str, **more: float) -> str:
        return beginning(model, prompt) + "".join(generate(model, encoder, prompt, tokens=4, **more))

    text = made("the miller ___ the grain, and ____ turned", temperature=0.0)
    assert text.startswith("the miller") and " the grain, and" in text and text.endswith(" turned") and "_" not in text
    assert made("the river").startswith("the river")
    with pytest.raises(GristmillError, match="the model reads 64"):
        made("the miller " * 70)


def test_top_p_leaves_out_the_tail() -> None:
    logits, chance = torch.tensor([0.5, 0.3, 0.15, 0.05]).log(), torch.Generator().manual_seed(0)
    found = {drawn(logits, 1.0, 0.8, chance) for _ in range(200)}
    assert found == {0, 1}


@pytest.fixture
def held_out(tmp_path: Path) -> HeldOut:
    rows = [{"text": TEXT * n, "lang": "en", "source": "mill"} for n in (1, 3)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return of_file(tmp_path / "texts.jsonl")


def test_quantizing_leaves_embeddings_alone(trained: Callable[..., Path]) -> None:
    model, _ = load_model(trained("gpt"))
    before = model.embedding.weight.clone()
    quantize(model, 8)
    assert torch.equal(model.embedding.weight, before)
    assert not [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
