"""Optimizers and the schedule of their rates: AdamW for all, or Muon for matrices and AdamW for the rest."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.train.settings import Settings
from pipeline.train.sharding import gathered, placed

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz step that Muon takes five times."""


class Muon(torch.optim.Optimizer):
    """Steps of equal size in all directions: momentum, orthogonalised by Newton and Schulz (Jordan et al. 2024).

    Matrices that lie on top of each other in one parameter (its `parts`) are taken apart, and all of one shape are done
    together. The step is scaled to about the size of AdamW's (Liu et al. 2025), so that both go by the same rate and
    weight decay.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Change every parameter that has a gradient."""
        for group in self.param_groups:
            alike = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape, getattr(parameter, "parts", 1)].append(parameter)
            for (shape, n_parts), parameters in alike.items():
                parts = torch.cat([self._ahead(p, group["momentum"]).view(n_parts, -1, shape[-1]) for p in parameters])
                scale = 0.2 * math.sqrt(max(parts.shape[1:]))
                for parameter, change in zip(parameters, orthogonal(parts).split(n_parts), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(placed(change.reshape(shape), parameter), alpha=-group["lr"] * scale)

    def _ahead(self, parameter: Tensor, share: float) -> Tensor:
        """Where its gradient and momentum point together."""
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum"]
        momentum.lerp_(parameter.grad, 1 - share)
        return gathered(parameter.grad.lerp(momentum, share))


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """About the nearest matrices (any, rows, columns) whose singular values are all equal to one."""
    a, b, c = QUINTIC
    x = matrices.to(torch.bfloat16) if matrices.is_cuda else matrices
    is_tall = x.shape[-2] > x.shape[-1]
    x = x.mT if is_tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if is_tall else x).to(matrices.dtype)


def optimizers(model: nn.Module, settings: Settings) -> dict[str, torch.optim.Optimizer]:
    """By name. Only matrices decay; embeddings and what is not a matrix are AdamW's in any case."""
    matrices, embeddings, others = [], [], []
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)} | {
        id(p) for name, p in model.named_parameters() if name == "output"
    }
    for parameter in model.parameters():
        listed = others if parameter.ndim < 2 else embeddings if id(parameter) in tables else matrices
        listed.append(parameter)
    rate, decay = settings.learning_rate, settings.weight_decay
    groups: list[dict[str, Any]] = [
        {"params": embeddings, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]
    found: dict[str, torch.optim.Optimizer] = {}
    if settings.optimizer == "muon":
        found["muon"] = Muon(matrices, rate, decay)
    else:
        groups.insert(0, {"params": matrices, "weight_decay": decay})
    found["adamw"] = torch.optim.AdamW(groups, lr=rate, betas=settings.betas, eps=1e-8, fused=True)
    return found


def clip(model: nn.Module, settings: Settings) -> Tensor:
    """The norm of all gradients together, which are scaled down where it is larger than `settings.clip`."""
    norm = nn.utils.get_total_norm(parameter.grad for parameter in model.parameters() if parameter.grad is not None)
    whole = gathered(norm)
    # A GPU would have to be waited for; on a CPU, most steps are spared a pass over all gradients.
    if settings.clip and (whole.is_cuda or whole > settings.clip):
        nn.utils.clip_grads_with_norm_(model.parameters(), settings.clip, norm)
    return whole


def rate(settings: Settings, step: int) -> float:
    """The share of the learning rate in a step, counted from 0: up, level, and down to `final` in a straight line."""
    up = settings.warmup
    down = round(settings.decay * settings.steps)
    if step < up:
        return (step + 1) / up
    left = settings.steps - step
    if left > down:
        return 1.0
    return settings.final + (1 - settings.final) * left / max(down, 1)
