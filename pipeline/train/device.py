"""What a run runs on: its device, how fast that could be, and which of several processes this is."""

from __future__ import annotations

import ctypes

import torch
from torch import distributed

from pipeline.core.errors import GristmillError
from pipeline.train.settings import Machine

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "B200": 2250e12, "L40S": 362e12, "4090": 165e12}
"""Dense bf16 operations a second that makers state, by a part of the device's name: what utilisation is a share of."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of malloc.h: above how many free bytes memory goes back to the system, and from which size it is mapped."""

MOST_MAPPED, MOST_FREE = 32 << 20, (1 << 31) - 1
"""The largest that glibc takes for each."""


def device_of(machine: Machine) -> torch.device:
    """The device; GristmillError where there is no GPU and one was asked for."""
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise GristmillError("--device cuda: torch sees no GPU here")
    if machine.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", rank_of() % torch.cuda.device_count())


def keep_memory(device: torch.device) -> None:
    """Keep what a step on a CPU frees for the next one, where the C library is glibc.

    It would give it back to the system, which clears every page anew: tens of thousands of page faults a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if device.type == "cpu" and mallopt:
        mallopt(M_MMAP_THRESHOLD, MOST_MAPPED)
        mallopt(M_TRIM_THRESHOLD, MOST_FREE)


def peak(device: torch.device) -> float:
    """Operations a second of a GPU, by `PEAKS`; 0 where that is not known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for part, peak in PEAKS.items() if part in name), 0.0)


def rank_of() -> int:
    """The number of this process among those that train together; 0 where it is alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0
