"""The three models again, as plainly as can be: one document at a time, no mask but the triangle, nothing fused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pipeline.train.model import Batch, Model


def rms(x: Tensor, weight: Tensor) -> Tensor:
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * weight


def layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-12) * weight + bias


def rotary(x: Tensor) -> Tensor:
    """(tokens, heads, width): pairs of halves as complex numbers, turned by their place."""
    half = x.shape[-1] // 2
    angle = torch.outer(torch.arange(len(x)).float(), 10_000.0 ** (-torch.arange(half).float() / half))
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)[:, None]
    return torch.cat([turned.real, turned.imag], dim=-1)


def attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool, scale: float, bias: Tensor | None = None) -> Tensor:
    """(tokens, heads, width) to (tokens, heads * width)."""
    products = torch.einsum("qhd,khd->hqk", q, k) * scale
    if bias is not None:
        products = products + bias
    if causal:
        products = products.masked_fill(torch.ones(len(q), len(k)).triu(1).bool(), -math.inf)
    return torch.einsum("hqk,khd->qhd", products.softmax(-1), v).flatten(1)


def loss(model: Model, batch: Batch) -> Tensor:
    """Of each document alone, added up."""
    one = {"gpt": _gpt, "bert": _bert, "t5": _t5}[model.shape.kind]
    targets = torch.full((batch.tokens.ids.numel(),), -100)
    targets[batch.at] = batch.targets
    rows = targets.view_as(batch.tokens.ids)
    total = torch.zeros(())
    for row in range(len(rows)):
        for inside in _documents(batch, row):
            if (rows[row, inside] >= 0).any():
                logits = one(model, dict(model.named_parameters()), batch, row, inside)
                total = total + torch.nn.functional.cross_entropy(logits, rows[row, inside], reduction="sum")
    return total


def _documents(batch: Batch, row: int) -> list[Tensor]:
    """Where each document of a row is: places count up inside of one, and padding has no target and is alone."""
    places = batch.tokens.places[row]
    begins = torch.nonzero(places == 0).flatten().tolist()
    return [torch.arange(a, b) for a, b in zip(begins, [*begins[1:], len(places)], strict=True)]


def _heads(model: Model, x: Tensor) -> Tensor:
    return x.unflatten(-1, (model.shape.heads, -1))


def _parts(model: Model, p: dict[str, Tensor], name: str, x: Tensor, n: int) -> list[Tensor]:
    weights, bias = p[f"{name}.weight"].chunk(n), p.get(f"{name}.bias")
    biases: Any = bias.chunk(n) if bias is not None else [0.0] * n
    return [x @ weight.T + b for weight, b in zip(weights, biases, strict=True)]


def _line(p: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ p[f"{name}.weight"].T + p.get(f"{name}.bias", torch.zeros(()))


def _gpt(model: Model, p: dict[str, Tensor], batch: Batch, row: int, inside: Tensor) -> Tensor:
    x = p["embedding.weight"][batch.tokens.ids[row, inside]]
    for n in range(model.shape.layers):
        at = f"blocks.{n}"
        parts = _parts(model, p, f"{at}.attention.inputs", rms(x, p[f"{at}.attention_norm.weight"]), 3)
        q, k, v = (_heads(model, part) for part in parts)
        scale = model.shape.head_width**-0.5
        x = x + _line(p, f"{at}.attention.output", attention(rotary(q), rotary(k), v, causal=True, scale=scale))
        gate, up = _parts(model, p, f"{at}.mixing.inputs", rms(x, p[f"{at}.mixing_norm.weight"]), 2)
        x = x + _line(p, f"{at}.mixing.output", gate * torch.sigmoid(gate) * up)
    return rms(x, p["norm.weight"]) @ p["embedding.weight"].T


def _bert(model: Model, p: dict[str, Tensor], batch: Batch, row: int, inside: Tensor) -> Tensor:
    def norm(name: str, x: Tensor) -> Tensor:
        return layer(x, p[f"{name}.weight"], p[f"{name}.bias"])

    ids, places = batch.tokens.ids[row, inside], torch.arange(len(inside))
    x = p["embedding.weight"][ids] + p["places.weight"][places] + p["types.weight"][0]
    x = norm("embedding_norm", x)
    for n in range(model.shape.layers):
        at = f"blocks.{n}"
        q, k, v = (_heads(model, part) for part in _parts(model, p, f"{at}.attention.inputs", x, 3))
        seen = attention(q, k, v, causal=False, scale=model.shape.head_width**-0.5)
        x = norm(f"{at}.attention_norm", x + _line(p, f"{at}.attention.output", seen))
        mixed = _line(p, f"{at}.mixing.output", _gelu(_line(p, f"{at}.mixing.inputs", x)))
        x = norm(f"{at}.mixing_norm", x + mixed)
    x = norm("transform_norm", _gelu(_line(p, "transform", x)))
    return x @ p["embedding.weight"].T + p["bias"]


def _t5(model: Model, p: dict[str, Tensor], batch: Batch, row: int, inside: Tensor) -> Tensor:
    assert batch.source is not None and batch.crossing is not None
    source = p["embedding.weight"][batch.source.ids[row][batch.crossing[row, 0, inside[0]]]]
    memory = _stack(model, p, "encoder", source, None)
    x = _stack(model, p, "decoder", p["embedding.weight"][batch.tokens.ids[row, inside]], memory)
    return x @ p["output"].T


def _stack(model: Model, p: dict[str, Tensor], name: str, x: Tensor, memory: Tensor | None) -> Tensor:
    causal = memory is not None
    bias = torch.empty(model.shape.heads, len(x), len(x))
    for q in range(len(x)):
        for k in range(len(x)):
            bias[:, q, k] = p[f"{name}_bias.weight"][_bucket(k - q, causal)]
    for n in range(model.shape.layers):
        at = f"{name}.{n}"
        q, k, v = (
            _heads(model, part)
            for part in _parts(model, p, f"{at}.attention.inputs", rms(x, p[f"{at}.attention_norm.weight"]), 3)
        )
        x = x + _line(p, f"{at}.attention.output", attention(q, k, v, causal=causal, scale=1.0, bias=bias))
        if memory is not None:
            q = _heads(model, _line(p, f"{at}.cross.query", rms(x, p[f"{at}.cross_norm.weight"])))
            k, v = (_heads(model, part) for part in _parts(model, p, f"{at}.cross.memory", memory, 2))
            x = x + _line(p, f"{at}.cross.output", attention(q, k, v, causal=False, scale=1.0))
        gate, up = _parts(model, p, f"{at}.mixing.inputs", rms(x, p[f"{at}.mixing_norm.weight"]), 2)
        x = x + _line(p, f"{at}.mixing.output", torch.nn.functional.gelu(gate, approximate="tanh") * up)
    return rms(x, p[f"{name}_norm.weight"])


def _bucket(distance: int, causal: bool) -> int:
    """T5's: of 32 for a decoder, of 16 in each direction for an encoder; half of them exact, the rest up to 128."""
    n, base = (32, 0) if causal else (16, 16 if distance > 0 else 0)
    far = max(-distance, 0) if causal else abs(distance)
    if far < n // 2:
        return base + far
    return base + min(n - 1, n // 2 + int(math.log(far / (n // 2)) / math.log(128 / (n // 2)) * (n - n // 2)))


_gelu: Callable[[Tensor], Tensor] = lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))  # noqa: E731
