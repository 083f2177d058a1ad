"""Weights, gradients and what optimizers remember, split over processes: each holds a share of every parameter's rows.

FSDP2 of torch (Zhao et al. 2023): a block's weights are gathered while it computes, and given up after it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def shard(model: nn.Module, ranks: int, device: torch.device) -> None:
    """Split a model in place, block by block."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (ranks,))
    parts = {name: parameter.parts for name, parameter in model.named_parameters() if hasattr(parameter, "parts")}
    for stack in model.children():
        for block in stack if isinstance(stack, nn.ModuleList) else ():
            fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "judge")
    for name, parameter in model.named_parameters():
        if name in parts:
            parameter.parts = parts[name]


def gathered(tensor: Tensor) -> Tensor:
    """All of a tensor; where it is split, all processes have to ask at once."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def placed(tensor: Tensor, like: Tensor | None) -> Tensor:
    """A tensor that every process has, split as another of its shape is."""
    if not hasattr(like, "device_mesh") or like.shape != tensor.shape:
        return tensor
    from torch.distributed.tensor import DTensor, Replicate

    everywhere = [Replicate()] * like.device_mesh.ndim
    whole = DTensor.from_local(tensor.to(like.device), like.device_mesh, everywhere, run_check=False)
    return whole.redistribute(placements=like.placements)
