"""Weights of 8 or 4 bits: each row, or each 32 weights of a row, as whole numbers times one scale.

The scale is the one of some that leaves the least squared error. Embeddings, norms and biases stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic_core import to_json
from torch import Tensor, nn

from pipeline.core.errors import GristmillError, UsageError
from pipeline.core.manifest import Record
from pipeline.core.shards import write_text
from pipeline.train.checkpoint import TOKENIZER, read_sheet, save_model
from pipeline.train.model import Model

if TYPE_CHECKING:
    from pipeline.backends.ngram import Model as Counted
    from pipeline.backends.tokenizer import Encoder
    from pipeline.train.held_out import HeldOut

LOSS = "quantization.json"

GROUP = 32
"""Weights that share a scale at 4 bits."""

SHRUNK = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
"""Scales that are tried, as shares of the one with which the largest weight is met exactly."""

BOUNDS = {8: 0.005, 4: 0.05}
"""Bits a byte that held-out texts may take more, unless another bound is asked for."""


class Whole(nn.Module):
    """A linear layer whose weights are whole numbers: two to a byte at 4 bits, one at 8."""

    def __init__(self, outputs: int, inputs: int, bits: int, *, bias: bool) -> None:
        super().__init__()
        self.bits, self.group = bits, GROUP if bits == 4 and inputs % GROUP == 0 else inputs
        self.register_buffer("numbers", torch.zeros(outputs, inputs * bits // 8, dtype=torch.uint8))
        self.register_buffer("scale", torch.ones(outputs, inputs // self.group, dtype=torch.float16))
        self.bias = nn.Parameter(torch.zeros(outputs), requires_grad=False) if bias else None

    @classmethod
    def of(cls, linear: nn.Linear, bits: int) -> Whole:
        """The nearest to a layer."""
        weight = linear.weight.detach()
        made = cls(*weight.shape, bits, bias=linear.bias is not None)
        most = 2 ** (bits - 1) - 1
        groups = weight.float().unflatten(1, (-1, made.group))
        widest = groups.abs().amax(-1, keepdim=True).clamp(min=1e-8) / most
        best, scale, least = torch.zeros_like(groups), widest, torch.full_like(widest, torch.inf)
        for share in SHRUNK:
            tried = (widest * share).half().float().clamp(min=1e-7)
            numbers = (groups / tried).round().clamp(-most, most)
            error = (numbers * tried - groups).square().sum(-1, keepdim=True)
            better = error < least
            best, scale = torch.where(better, numbers, best), torch.where(better, tried, scale)
            least = error.minimum(least)
        shifted = (best.flatten(1) + 2 ** (bits - 1)).to(torch.uint8)
        made.numbers = shifted if bits == 8 else shifted[:, ::2] | (shifted[:, 1::2] << 4)
        made.scale = scale[..., 0].half()
        if made.bias is not None:
            made.bias.data = linear.bias.detach().clone()
        return made

    @property
    def weight(self) -> Tensor:
        """The weights that the numbers stand for, float32."""
        packed = self.numbers
        numbers = packed if self.bits == 8 else torch.stack([packed & 15, packed >> 4], dim=-1).flatten(1)
        groups = (numbers.float() - 2 ** (self.bits - 1)).unflatten(1, (-1, self.group))
        return (groups * self.scale.float()[..., None]).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """As the linear layer."""
        return nn.functional.linear(x, self.weight.to(x.dtype), self.bias)


class Loss(Record):
    """What a number of bits costs: bits a byte of a held-out set before and after; bytes of all weights.

    `ngram` are bits a byte of the baseline on the same texts.
    """

    held_out: str
    before: float
    after: float
    bytes_before: int
    bytes_after: int
    ngram: float | None = None


def quantize(model: Model, bits: int) -> None:
    """Replace every linear layer of a model."""
    _replace(model, lambda linear: Whole.of(linear, bits))


def prepare(model: Model, bits: int) -> None:
    """Make room in a fresh model for the weights of a quantised one."""
    _replace(model, lambda x: Whole(x.out_features, x.in_features, bits, bias=x.bias is not None))


def measured(
    model: Model, encoder: Encoder, held_out: Sequence[HeldOut], bits: int, counted: Counted | None = None
) -> list[Loss]:
    """Quantise the model, and score held-out texts before and after, and by an n-gram model."""
    from pipeline.train import baseline
    from pipeline.train.held_out import score

    def look() -> tuple[int, list[float]]:
        size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
        return size, [score(model, encoder, text).total.bits_per_byte or 0.0 for text in held_out]

    bytes_before, before = look()
    quantize(model, bits)
    bytes_after, after = look()
    beside = [baseline.score(counted, encoder, text).total.bits_per_byte if counted else None for text in held_out]
    return [
        Loss(held_out=text.name, before=one, after=two, bytes_before=bytes_before, bytes_after=bytes_after, ngram=other)
        for text, one, two, other in zip(held_out, before, after, beside, strict=True)
    ]


def store(
    folder: Path,
    model: Model,
    encoder: Encoder,
    held_out: Sequence[HeldOut],
    bits: int,
    out: Path,
    bound: float | None = None,
    counted: Counted | None = None,
) -> list[Loss]:
    """Quantise the model of a folder into another; GristmillError where held-out texts take more than the bound.

    `counted` is the n-gram model that is shown beside it.
    """
    sheet = read_sheet(folder)
    if bits not in BOUNDS or sheet.bits:
        raise GristmillError(f"{folder}: weights of {sheet.bits or 32} bits can become 8 or 4, not {bits}")
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: not empty; name a new folder with --out")
    bound = BOUNDS[bits] if bound is None else bound
    found = measured(model, encoder, held_out, bits, counted)
    for loss in found:
        if not loss.after - loss.before <= bound:
            raise GristmillError(
                f"{loss.held_out}: {loss.after - loss.before:.4f} bits per byte more, over the bound of {bound}; "
                "nothing is written: take more bits, or another --bound"
            )
    save_model(out, model, sheet.model_copy(update={"bits": bits}), folder / TOKENIZER)
    write_text(out / LOSS, to_json(found, indent=1).decode() + "\n")
    return found


def _replace(model: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> None:
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, make(child))
