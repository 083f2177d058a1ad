"""Each model against its plain twin, and what a document may not see."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from pipeline.train.attention import Way, arrange, attend, best_way, rotary_tables, rotated
from pipeline.train.batches import Maker, Piece, chance_of
from pipeline.train.block import Past
from pipeline.train.dataset import Rows
from pipeline.train.loss import head_loss, judged
from pipeline.train.model import Model, build
from pipeline.train.shapes import SIZES, Kind, Shape, named_shape
from tests.train import plain

KINDS: tuple[Kind, ...] = ("gpt", "bert", "t5")


def small(kind: Kind, length: int = 64) -> Model:
    shape = Shape(kind=kind, layers=2, width=32, heads=4, hidden=64, tokens=300, end=0, length=length)
    model = build(shape, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            # Norms and biases begin at one and zero, where mistakes in them do not show.
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.05)
    return model


def pieces(rows: Rows, numbers: range) -> list[Piece]:
    return [Piece(row["input_ids"], row["segment_ids"]) for row in map(rows.__getitem__, numbers)]


def one_by_one(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bounds: torch.Tensor, _: torch.Tensor, *most: int, **window: Any
) -> torch.Tensor:
    """What `varlen_attn` does on a GPU, (tokens, heads, width)."""
    causal = window["window_size"] == (-1, 0)
    assert max(most) >= bounds.diff().max()
    seen = [
        functional.scaled_dot_product_attention(*(x[a:b].transpose(0, 1) for x in (q, k, v)), is_causal=causal)
        for a, b in itertools.pairwise(bounds.tolist())
    ]
    return torch.cat(seen, dim=1).transpose(0, 1)


@pytest.mark.parametrize("way", ["pieces", "mask", "bounds"])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_those_of_documents_read_one_by_one(
    kind: Kind, way: Way, make_rows: Callable[..., Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.train.attention.CALL_COST", 100)
    monkeypatch.setattr("pipeline.train.loss.CHUNK", 7 * 320)
    monkeypatch.setattr("pipeline.train.loss.LEAST", 1)
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", SimpleNamespace(varlen_attn=one_by_one))
    model = small(kind)
    batch = Maker(model.shape, way=way).make(pieces(make_rows(), range(8)), [chance_of(0, 0, n) for n in range(8)])
    sight = batch.tokens.sight
    told = {"pieces": len(sight.cuts), "mask": sight.mask is not None, "bounds": sight.bounds is not None}
    assert kind == "t5" or (told.pop(way) and not any(told.values()) and (sight.whole == 0) == (way == "bounds"))
    loss = model(batch)
    loss.backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    expected = plain.loss(model, batch)
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            assert name.startswith(("pooler", "follows")) and found[name] is None
        else:
            torch.testing.assert_close(
                found[name], parameter.grad, rtol=1e-4, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
            )
    losses, _ = model.judge(batch)
    torch.testing.assert_close(losses.sum(), expected.detach(), rtol=1e-5, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize("way", ["mask", "bounds", "best"])
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu_loss_and_gradients_are_about_those_of_a_cpu(
    kind: Kind, way: Way, make_rows: Callable[..., Rows]
) -> None:
    device = torch.device("cuda")
    rows = pieces(make_rows(), range(8))
    found = []
    for place, asked in ((torch.device("cpu"), "pieces"), (device, best_way(device) if way == "best" else way)):
        model = small(kind).to(place)
        batch = Maker(model.shape, way=asked).make(rows, [chance_of(0, 0, n) for n in range(8)])
        with torch.autocast("cuda", torch.bfloat16, enabled=place == device):
            loss = model(batch.to(place))
        loss.backward()
        gradients = [p.grad.flatten().cpu() for p in model.parameters() if p.grad is not None]
        found.append((loss.detach().cpu(), torch.cat(gradients)))
    (loss, gradient), (other, like) = found
    torch.testing.assert_close(other, loss, rtol=2e-3, atol=0)
    assert (like - gradient).norm() < 0.03 * gradient.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_does_not_feel_its_neighbours(kind: Kind) -> None:
    model = small(kind)
    chance = np.random.default_rng(0)
    segments = np.repeat([0, 1, 2], [20, 24, 20])
    one, other = (chance.integers(1, 300, 64) for _ in range(2))
    mixed = np.where(segments == 1, one, other)
    losses = []
    for ids in (one, mixed):
        batch = Maker(model.shape, way="mask").make([Piece(ids, segments)], [chance_of(0, 0, 0)])
        places = batch.tokens.places.flatten()[batch.at]
        begins = torch.nonzero(torch.diff(places, prepend=torch.tensor([1])) < 0).flatten()
        found, _ = model.judge(batch)
        losses.append(found[begins[-2] : begins[-1]] if kind != "bert" else found[(batch.at >= 20) & (batch.at < 44)])
    assert len(losses[0]) > 1
    torch.testing.assert_close(losses[0], losses[1])


def test_pairs_have_their_parts_apart_and_say_whether_they_follow(make_rows: Callable[..., Rows]) -> None:
    model = small("bert")
    rows = pieces(make_rows(), range(16))
    maker = Maker(model.shape, pairs=True)
    batch = maker.make(rows, [chance_of(1, 0, n) for n in range(16)], rows[1:] + rows[:1])
    assert batch.follows is not None and batch.tokens.types is not None
    assert 2 < int(batch.follows.sum()) < 14
    shape, ids, types = model.shape, batch.tokens.ids, batch.tokens.types
    separators = (ids == shape.extra("<|sep|>")).sum(1)
    assert (ids[:, 0] == shape.extra("<|cls|>")).all() and (separators == 2).all()
    assert (types.sum(1) > 0).all() and (types[:, 0] == 0).all()
    follows = int(batch.follows.argmax())
    text = rows[batch.order[follows]]
    counts = np.bincount(text.segments[text.segments >= 0])
    whole = text.ids[text.segments == counts.argmax()].tolist()
    clean = batch.tokens.ids.clone()
    clean.view(-1)[batch.at] = batch.targets
    shown = [token for token in clean[follows].tolist() if token < 300][: len(whole)]
    assert shown[:20] == whole[:20] or shown[:20] == whole[len(whole) // 2 - (64 - 3) // 2 :][:20]
    assert model(batch) > model(Maker(model.shape).make(rows, [chance_of(1, 0, n) for n in range(16)])) * 0
    model(batch).backward()
    assert model.follows.weight.grad is not None


def test_what_t5_reads_and_writes_is_the_text(make_rows: Callable[..., Rows]) -> None:
    shape = small("t5").shape
    rows = pieces(make_rows(), range(4))
    batch = Maker(shape).make(rows, [chance_of(0, 0, n) for n in range(4)])
    for number, row in enumerate(rows):
        source = [token for token in batch.source.ids[number].tolist() if token]
        inside = (batch.at >= number * batch.tokens.ids.shape[1]) & (
            batch.at < (number + 1) * batch.tokens.ids.shape[1]
        )
        holes: list[list[int]] = []
        for token in batch.targets[inside].tolist():
            if token >= 300:
                holes.append([])
            elif token:
                holes[-1].append(token)
        filled = []
        parts = iter(holes)
        for token in source:
            filled += next(parts) if token >= 300 else [token]
        assert filled == [token for token in row.ids.tolist() if token]
        assert 0.09 < sum(map(len, holes)) / len(filled) < 0.3


def test_the_loss_of_chunks_is_cross_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight = torch.randn(37, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    targets, bias = torch.randint(50, (37,)), torch.randn(50, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(hidden @ weight.T + bias, targets, reduction="sum")
    gradients = torch.autograd.grad(expected * 0.5, [hidden, weight, bias])
    monkeypatch.setattr("pipeline.train.loss.CHUNK", 50 * 16)
    monkeypatch.setattr("pipeline.train.loss.LEAST", 1)
    loss = head_loss(hidden, weight, targets, bias)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(torch.autograd.grad(loss * 0.5, [hidden, weight, bias]), gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
    losses, hits = judged(hidden, weight, targets, bias)
    torch.testing.assert_close(losses.sum(), expected)
    assert (hits == ((hidden @ weight.T + bias).argmax(1) == targets)).all()


def test_without_targets_there_is_no_loss_and_no_gradient() -> None:
    weight = torch.randn(50, 8, requires_grad=True)
    loss = head_loss(torch.empty(0, 8, requires_grad=True), weight, torch.empty(0, dtype=torch.int64))
    assert loss == 0
    assert not torch.autograd.grad(loss, weight)[0].any()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")  # of Python 3.13.0
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # of the compiler
def test_compiled_blocks_give_the_loss_and_the_gradients_of_plain_ones() -> None:
    found = []
    for compiled in (False, True):
        model = small("gpt")
        batch = Maker(model.shape, way="mask").next_tokens([Piece(np.arange(1, 65), np.zeros(64, int))] * 2)
        for block in model.blocks if compiled else ():
            block.compile(backend="aot_eager")
        loss = model(batch)
        found.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    for plainly, other in zip(*found, strict=True):
        torch.testing.assert_close(other, plainly, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")  # of Python 3.13.0
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_rotation_is_the_plain_one_in_the_same_precision(dtype: torch.dtype) -> None:
    joined = torch.randn(2, 16, 3, 4, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    cos, sin = (table[:, None] for table in rotary_tables(16, 8))
    compiled = torch.compile(rotated, backend="aot_eager")(joined, cos, sin)
    for other, plainly in zip(compiled, rotated(joined, cos, sin), strict=True):
        assert other.dtype == dtype
        torch.testing.assert_close(other, plainly, rtol=0, atol=1e-6 if dtype == torch.float32 else 0.03)


def test_rows_are_put_by_what_their_attention_costs() -> None:
    segments = np.stack([np.repeat([0, 1], [500, 524]), np.zeros(1024, int), np.repeat(np.arange(64), 16)])
    order, sight = arrange(segments, causal=True, heads=4)
    assert order.tolist() == [1, 0, 2] and sight.whole == 1 and sight.cuts == ((0, 500, 1024),)
    assert sight.mask is not None and len(sight.mask) == 1
    q, k, v = torch.randn(3, 3, 4, 1024, 8).unbind(0)
    _, masked = arrange(segments[order], causal=True, heads=4, way="mask")
    torch.testing.assert_close(attend(q, k, v, sight), attend(q, k, v, masked))


def test_a_past_gives_what_reading_it_all_again_would() -> None:
    model = small("gpt")
    ids = torch.randint(300, (2, 20))
    _, sight = arrange(np.zeros((2, 20), int), causal=True, heads=4)
    whole = model.read(ids, sight)
    past = [Past() for _ in model.blocks]
    parts = [model.read(ids[:, :13], sight, past)]
    _, one = arrange(np.zeros((2, 1), int), causal=False, heads=4)
    parts += [model.read(ids[:, at : at + 1], one, past) for at in range(13, 20)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_counted_without_torch(kind: Kind) -> None:
    shape = small(kind).shape
    assert shape.parameters == sum(parameter.numel() for parameter in build(shape).parameters())
    counts = [named_shape(kind, size, 32768, 0, 2048) for size in SIZES]
    assert [shape.parameters for shape in counts] == sorted(shape.parameters for shape in counts)
    assert 0.9e9 < counts[-1].parameters < 2.5e9 and counts[-1].flops() > 5 * 0.9e9


def test_another_seed_is_another_model_and_the_same_seed_is_not() -> None:
    shape = small("gpt").shape
    first, again, other = (build(shape, seed).state_dict()["embedding.weight"] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
