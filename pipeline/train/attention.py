"""Attention that stays inside documents, without computing what a mask would throw away where that can be avoided.

A row of one document needs no mask. In a row of several, on a CPU, either each document is attended to alone, or the
whole row under a mask, whichever is cheaper for its lengths. On a GPU one kernel is told where documents begin.
"""

from __future__ import annotations

import inspect
import itertools
import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

CALL_COST = 80_000
"""Scores of one head that take as long as one more call of the kernel, forward and backward."""

Way = Literal["pieces", "mask", "bounds"]
"""How rows of several documents are attended to: in pieces where a mask costs more, under masks, or by their bounds."""

BUCKETS, FARTHEST = 32, 128
"""T5 tells relative positions apart in so many buckets, up to so far."""


@dataclass(frozen=True)
class Sight:
    """Which keys the queries of a batch see. Rows come in this order: whole ones, cut ones, masked ones.

    `cuts` are the edges of the documents of each cut row; `mask` (rows, 1, queries, keys) is true where a query of a
    masked row sees a key; or `bounds` (int32) are the edges of all documents, counted through all rows. `causal`: of
    its document, a query sees only what is not after it.
    """

    causal: bool
    whole: int
    cuts: tuple[tuple[int, ...], ...] = ()
    mask: Tensor | None = None
    bounds: Tensor | None = None

    def to(self, device: torch.device) -> Sight:
        """The same with its mask and bounds on a device."""
        mask, bounds = (None if x is None else x.to(device, non_blocking=True) for x in (self.mask, self.bounds))
        return Sight(self.causal, self.whole, self.cuts, mask, bounds)


def best_way(device: torch.device, *, compiled: bool = False) -> Way:
    """What is fastest on a device; a compiler would make a program for every set of cuts."""
    if device.type == "cuda":
        return "bounds" if _takes_bounds(device) else "mask"
    return "mask" if compiled else "pieces"


def arrange(segments: np.ndarray, *, causal: bool, heads: int, way: Way = "pieces") -> tuple[np.ndarray, Sight]:
    """The order to put rows in, and what is seen then, from the number of the document of each token (-1: padding)."""
    changes = segments[:, 1:] != segments[:, :-1]
    if causal:
        # What is behind a document is not seen from inside of it.
        changes = changes & (segments[:, 1:] >= 0)
    n_pieces = changes.sum(1) + 1
    edges = [(0, *(np.flatnonzero(row) + 1).tolist(), segments.shape[1]) for row in changes]
    if way == "bounds" and n_pieces.max() > 1:
        begins = [number * segments.shape[1] + edge for number, row in enumerate(edges) for edge in row[:-1]]
        bounds = torch.tensor([*begins, segments.size], dtype=torch.int32)
        return np.arange(len(segments)), Sight(causal, 0, bounds=bounds)
    saved = np.array([segments.shape[1] ** 2 - sum(np.square(np.diff(row))) for row in edges])
    sort = np.where(n_pieces == 1, 0, np.where((way == "pieces") & (n_pieces * CALL_COST < saved * heads), 1, 2))
    order = np.argsort(sort, kind="stable")
    masked = segments[order[np.sort(sort) == 2]]
    mask = visible(masked, masked, causal=causal) if len(masked) else None
    return order, Sight(causal, int((sort == 0).sum()), tuple(edges[row] for row in order if sort[row] == 1), mask)


def visible(queries: np.ndarray, keys: np.ndarray, *, causal: bool) -> Tensor:
    """The mask (rows, 1, queries, keys) of equal segment numbers."""
    mask = torch.from_numpy(queries)[:, :, None] == torch.from_numpy(keys)[:, None, :]
    if causal:
        mask &= torch.ones(mask.shape[1:], dtype=torch.bool).tril()
    return mask[:, None]


def attend(q: Tensor, k: Tensor, v: Tensor, sight: Sight) -> Tensor:
    """Scaled dot-product attention; all (rows, heads, tokens, head width)."""
    if sight.bounds is not None:
        return _bounded(q, k, v, sight.bounds, causal=sight.causal)
    if sight.whole == len(q):
        return functional.scaled_dot_product_attention(q, k, v, is_causal=sight.causal)
    parts = []
    if whole := sight.whole:
        parts.append(functional.scaled_dot_product_attention(q[:whole], k[:whole], v[:whole], is_causal=sight.causal))
    for row, edges in enumerate(sight.cuts, whole):
        pieces = [
            functional.scaled_dot_product_attention(
                *(x[row : row + 1, :, start:stop] for x in (q, k, v)), is_causal=sight.causal
            )
            for start, stop in itertools.pairwise(edges)
        ]
        parts.append(torch.cat(pieces, dim=2))
    if sight.mask is not None:
        first = whole + len(sight.cuts)
        parts.append(functional.scaled_dot_product_attention(q[first:], k[first:], v[first:], attn_mask=sight.mask))
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _bounded(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, *, causal: bool) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    rows, _, length, _ = q.shape
    joined = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))
    seen = varlen_attn(*joined, bounds, bounds, length, length, window_size=(-1, 0 if causal else -1))
    return seen.unflatten(0, (rows, length)).transpose(1, 2)


@cache
def _takes_bounds(device: torch.device) -> bool:
    """Whether there is such a kernel: of torch 2.11, for an Ampere or later, in half precision."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    has_windows = "window_size" in inspect.signature(varlen_attn).parameters
    return has_windows and torch.cuda.get_device_capability(device) >= (8, 0)


def attend_biased(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
    """T5's: products are not scaled, `bias` (1, heads, queries, keys) is added to them, then the mask applied."""
    if bias is not None and mask is not None:
        bias = bias.masked_fill(~mask, float("-inf"))
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask if bias is None else bias, scale=1.0)


class _Rotate(torch.autograd.Function):
    """Rotary positions (Su et al. 2021) in four passes instead of seven; backwards, they turn the other way.

    Gradients are written where they belong in that of the three together.
    """

    @staticmethod
    def forward(ctx, joined: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(cos, sin)
        q_and_k = joined[:, :, :2].movedim(2, 0)
        turned = _turn(q_and_k, cos, sin, 1, torch.empty(q_and_k.shape, dtype=joined.dtype, device=joined.device))
        return turned[0], turned[1], joined[:, :, 2]

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        dq, dk, dv = grads
        rows, tokens, *heads = dv.shape
        out = torch.empty(rows, tokens, 3, *heads, dtype=dv.dtype, device=dv.device)
        _turn(dq, cos, sin, -1, out[:, :, 0])
        _turn(dk, cos, sin, -1, out[:, :, 1])
        out[:, :, 2] = dv
        return out, None, None


def rotated(joined: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of (rows, tokens, 3, heads, head width); the first two turned by their places.

    Pairs of the first and second half of the last dimension turn; `cos` and `sin` broadcast over one half.
    """
    if torch.compiler.is_compiling():
        q, k, v = joined.unbind(2)
        return _composed(q, cos, sin), _composed(k, cos, sin), v
    q, k, v = _Rotate.apply(joined, cos, sin)
    return q, k, v


def _composed(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """What `_turn` writes, for a compiler: it does not follow what is written into a part of a part."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def _turn(x: Tensor, cos: Tensor, sin: Tensor, sign: int, out: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    out_first, out_second = out.chunk(2, dim=-1)
    torch.mul(first, cos, out=out_first).addcmul_(second, sin, value=-sign)
    torch.mul(second, cos, out=out_second).addcmul_(first, sin, value=sign)
    return out


def rotary_tables(length: int, width: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, width / 2), float32."""
    frequencies = 1.0 / base ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies)
    return angles.cos(), angles.sin()


def relative_buckets(distance: Tensor, *, causal: bool) -> Tensor:
    """T5's bucket of key place minus query place: exact when near, logarithmic up to `FARTHEST`, then one for all."""
    buckets = BUCKETS if causal else BUCKETS // 2
    far = -distance.clamp(max=0) if causal else distance.abs()
    exact = buckets // 2
    steps = torch.log(far.clamp(min=1).float() / exact) / math.log(FARTHEST / exact) * (buckets - exact)
    found = torch.where(far < exact, far, (exact + steps.long()).clamp(max=buckets - 1))
    return found if causal else found + (distance > 0) * buckets
