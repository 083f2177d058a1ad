"""What a run runs on: its device, how fast that could be, and which of several processes this is."""

from __future__ import annotations

import torch
from torch import distributed

from pipeline.core.errors import GristmillError
from pipeline.train.settings import Machine

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "B200": 2250e12, "L40S": 362e12, "4090": 165e12}
"""Dense bf16 operations a second that makers state, by a part of the device's name: what utilisation is a share of."""


def device_of(machine: Machine) -> torch.device:
    """The device; GristmillError where there is no GPU and one was asked for."""
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise GristmillError("--device cuda: torch sees no GPU here")
    if machine.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", rank_of() % torch.cuda.device_count())


def peak(device: torch.device) -> float:
    """Operations a second of a GPU, by `PEAKS`; 0 where that is not known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for part, peak in PEAKS.items() if part in name), 0.0)


def rank_of() -> int:
    """The number of this process among those that train together; 0 where it is alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0
