"""The loss of an output embedding, chunk by chunk: all the logits of a batch are never there at once.

Gradients are made where the logits are, while they are in the cache, as in Liger's fused linear cross entropy (Hsu et
al. 2024): three matrix products and one pass over a chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 1 << 22
"""Logits in a chunk on a CPU: 16 MiB in float32."""

GPU_CHUNK = 1 << 27
"""On a GPU, which wants few large calls: 512 MiB."""

LEAST = 256
"""Tokens in a chunk: with fewer, adding up the gradient of the weights takes longer than the rest."""


UNLIKELY = 1e-37
"""Chances below it are told as this: their logarithms are not taken from the logits, which would be one more pass."""


def head_loss(hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None = None) -> Tensor:
    """Sum of -ln p(target) over tokens, from `hidden` (tokens, width) and `weight` (vocabulary, width)."""
    if not torch.is_grad_enabled():
        return judged(hidden, weight, targets, bias)[0].sum()
    return _HeadLoss.apply(hidden, weight, targets, bias)


def judged(hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """-ln p(target) of each token, float32, and whether the target is the likeliest; without gradients."""
    losses, hits = hidden.new_zeros(len(hidden), dtype=torch.float32), torch.zeros_like(targets, dtype=torch.bool)
    with torch.no_grad():
        for part in _chunks(hidden, weight):
            logits = _logits(hidden[part], weight, bias).float()
            losses[part] = functional.cross_entropy(logits, targets[part], reduction="none")
            hits[part] = logits.argmax(1) == targets[part]
    return losses, hits


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None) -> Tensor:
        if torch.is_autocast_enabled(hidden.device.type):
            dtype = torch.get_autocast_dtype(hidden.device.type)
            hidden, weight = hidden.to(dtype), weight.to(dtype)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        d_hidden = torch.empty_like(hidden)
        is_exact = hidden.dtype == torch.float32
        begin = torch.empty if is_exact and len(hidden) else torch.zeros
        d_weight = begin(weight.shape, dtype=torch.float32, device=weight.device)
        d_bias = None if bias is None else torch.zeros_like(bias)
        for part in _chunks(hidden, weight):
            grad, target = _logits(hidden[part], weight, bias).softmax(1, torch.float32), targets[part, None]
            said = grad.gather(1, target)
            total -= said.clamp_min(UNLIKELY).log().sum()
            grad.scatter_add_(1, target, torch.full_like(said, -1.0))
            if d_bias is not None:
                d_bias += grad.sum(0)
            grad = grad.to(hidden.dtype)
            torch.mm(grad, weight, out=d_hidden[part])
            if is_exact:
                d_weight.addmm_(grad.T, hidden[part], beta=min(part.start, 1))
            else:
                d_weight += grad.T @ hidden[part]
        ctx.save_for_backward(d_hidden, d_weight, *(() if d_bias is None else (d_bias,)))
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        d_hidden, d_weight, *d_bias = ctx.saved_tensors
        return d_hidden.mul_(grad), d_weight.mul_(grad), None, d_bias[0].mul_(grad) if d_bias else None


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return functional.linear(hidden, weight, None if bias is None else bias.to(weight.dtype))


def _chunks(hidden: Tensor, weight: Tensor) -> list[slice]:
    step = max(LEAST, (GPU_CHUNK if hidden.is_cuda else CHUNK) // len(weight))
    return [slice(first, first + step) for first in range(0, len(hidden), step)]
