"""The transformer block that gpt, bert and t5 are made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.train.attention import Sight, attend, attend_biased, rotated
from pipeline.train.shapes import Shape


@dataclass
class Past:
    """Keys and values of one layer for the tokens seen so far: (rows, heads, tokens, head width)."""

    k: Tensor | None = None
    v: Tensor | None = None

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """With these behind them."""
        self.k = k if self.k is None else torch.cat([self.k, k], dim=2)
        self.v = v if self.v is None else torch.cat([self.v, v], dim=2)
        return self.k, self.v


@dataclass(frozen=True)
class View:
    """What the layers of one stack share in one pass; `bias` and `mask` for T5, `rotary` for gpt."""

    sight: Sight
    rotary: tuple[Tensor, Tensor] | None = None
    bias: Tensor | None = None
    mask: Tensor | None = None


class Attention(nn.Module):
    """Attention to the same tokens, or with `cross` to those of another stack."""

    def __init__(self, shape: Shape, *, cross: bool = False) -> None:
        super().__init__()
        self.heads, self.is_biased, bias = shape.heads, shape.kind == "t5", shape.kind == "bert"
        if cross:
            self.query = nn.Linear(shape.width, shape.width, bias=bias)
            self.memory = _joined(nn.Linear(shape.width, 2 * shape.width, bias=bias), 2)
        else:
            self.inputs = _joined(nn.Linear(shape.width, 3 * shape.width, bias=bias), 3)
        self.output = nn.Linear(shape.width, shape.width, bias=bias)

    def forward(self, x: Tensor, view: View, memory: Tensor | None = None, past: Past | None = None) -> Tensor:
        """(rows, tokens, width) to the same."""
        if memory is None:
            joined = self.inputs(x).unflatten(-1, (3, self.heads, -1))
            q, k, v = rotated(joined, *view.rotary) if view.rotary else joined.unbind(2)
        else:
            q = self.query(x).unflatten(-1, (self.heads, -1))
            k, v = self.memory(memory).unflatten(-1, (2, self.heads, -1)).unbind(2)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        if past is not None:
            k, v = past.extend(k, v)
        seen = attend_biased(q, k, v, view.bias, view.mask) if self.is_biased else attend(q, k, v, view.sight)
        return self.output(seen.transpose(1, 2).flatten(2))


class Mixing(nn.Module):
    """What is done to each token alone: gated for gpt (SiLU) and t5 (GELU), plain GELU for bert."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.kind, bias = shape.kind, shape.kind == "bert"
        parts = 1 if bias else 2
        self.inputs = _joined(nn.Linear(shape.width, parts * shape.hidden, bias=bias), parts)
        self.output = nn.Linear(shape.hidden, shape.width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to the same."""
        x = self.inputs(x)
        if self.kind == "bert":
            return self.output(functional.gelu(x))
        if self.kind == "gpt" and not torch.compiler.is_compiling():
            return self.output(_Gated.apply(x))
        gate, up = x.chunk(2, dim=-1)
        gate = functional.silu(gate) if self.kind == "gpt" else functional.gelu(gate, approximate="tanh")
        return self.output(gate * up)


class _Gated(torch.autograd.Function):
    """silu(gate) * up, both in one tensor (Shazeer 2020); backwards, their gradients are written where they belong."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        gate, up = x.chunk(2, dim=-1)
        opened = functional.silu(gate)
        ctx.save_for_backward(x, opened)
        return opened * up

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        x, opened = ctx.saved_tensors
        (gate, up), out = x.chunk(2, dim=-1), torch.empty_like(x)
        d_gate, d_up = out.chunk(2, dim=-1)
        torch.mul(grad, opened, out=d_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=d_gate)
        return out


class Block(nn.Module):
    """Attention, with `cross` attention to another stack, and mixing, each added to what came in."""

    def __init__(self, shape: Shape, *, cross: bool = False) -> None:
        super().__init__()
        self.is_after = shape.kind == "bert"
        self.attention, self.attention_norm = Attention(shape), norm(shape)
        if cross:
            self.cross, self.cross_norm = Attention(shape, cross=True), norm(shape)
        self.mixing, self.mixing_norm = Mixing(shape), norm(shape)

    def forward(
        self,
        x: Tensor,
        view: View,
        memory: Tensor | None = None,
        crossing: View | None = None,
        past: Past | None = None,
    ) -> Tensor:
        """(rows, tokens, width) to the same."""
        if self.is_after:
            x = self.attention_norm(x + self.attention(x, view))
            return self.mixing_norm(x + self.mixing(x))
        x = x + self.attention(self.attention_norm(x), view, past=past)
        if memory is not None and crossing is not None:
            x = x + self.cross(self.cross_norm(x), crossing, memory)
        return x + self.mixing(self.mixing_norm(x))


class RmsNorm(nn.Module):
    """x / sqrt(mean(x²) + 1e-6), scaled (Zhang and Sennrich 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to the same."""
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            return _RmsNorm.apply(x, self.weight)
        return functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), 1e-6)


class _RmsNorm(torch.autograd.Function):
    """What torch has no kernel for on a CPU: half of the passes that its composition takes."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(1e-6).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, weight, scale = ctx.saved_tensors
        unit = x * scale
        moved = (grad * unit).flatten(0, -2)
        along = torch.mv(moved, weight).div_(len(weight)).view(scale.shape)
        return (grad * weight).addcmul_(unit, along, value=-1).mul_(scale), moved.sum(0)


def norm(shape: Shape) -> nn.Module:
    """The norm of a kind."""
    return nn.LayerNorm(shape.width, eps=1e-12) if shape.kind == "bert" else RmsNorm(shape.width)


def _joined(linear: nn.Linear, parts: int) -> nn.Linear:
    """Marked as several matrices on top of each other, which an optimizer of matrices takes apart."""
    linear.weight.parts = parts
    return linear
