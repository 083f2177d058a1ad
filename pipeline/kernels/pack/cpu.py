"""The threads of `scalar.py` as loops on the CPU, one after the other: to fuzz at full speed, and to compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import njit

from pipeline.kernels.pack import scalar

looped: Any = cast(Any, njit)(cache=True, _nrt=False)


class Cpu:
    """A device whose memory is the host's. What `gpu.Cuda` promises, without anything to wait for."""

    name = "cpu"
    workers = 1

    def __init__(self) -> None:
        self._held: dict[str, np.ndarray] = {}

    def room(self, name: str, n: int, dtype: Any, keep: int = 0) -> np.ndarray:
        """Memory for `n` under a name, undefined beyond the first `keep`; the same name later gives the same memory."""
        held = self._held.get(name)
        if held is None or len(held) < n:
            more = np.empty(n if held is None else max(n, 2 * keep), dtype=dtype)
            if held is not None:
                more[:keep] = held[:keep]
            held = self._held[name] = more
        return held[:n]

    def put(self, name: str, source: np.ndarray) -> np.ndarray:
        """An array of the host's under a name; what is in `source` may change afterwards."""
        array = self.room(name, len(source), source.dtype)
        array[:] = source
        return array

    def get(self, name: str, n: int) -> np.ndarray:
        """A copy of the first `n` under a name, when everything before it is done."""
        return self.fetch(name, n)()

    def fetch(self, name: str, n: int) -> Callable[[], np.ndarray]:
        """Begin to copy the first `n` under a name; what is returned waits for them."""
        return self._held[name][:n].copy

    def move(self, source: np.ndarray, target: np.ndarray) -> None:
        """Copy from place to place on the device."""
        target[:] = source

    def launch(self, name: str, n: int, *args: Any) -> None:
        """Run `n` threads of a kernel, in the order of launches."""
        if n:
            globals()[f"_{name}"](n, args)

    def wait(self) -> None:
        """Until all launches and copies are done."""


@looped
def _cut(n, args):
    for t in range(n):
        scalar.cut(t, *args)


@looped
def _walk(n, args):
    for t in range(n):
        scalar.walk(t, *args)


@looped
def _merge(n, args):
    for t in range(n):
        scalar.merge(t, *args)


@looped
def _patch(n, args):
    for t in range(n):
        scalar.patch(t, *args)


@looped
def _gather(n, args):
    for t in range(n):
        scalar.gather(t, *args)


@looped
def _accumulate(n, args):
    for t in range(n):
        scalar.accumulate(t, *args)


@looped
def _spread(n, args):
    for t in range(n):
        scalar.spread(t, *args)


@looped
def _emit(n, args):
    for t in range(n):
        scalar.emit(t, *args)


@looped
def _ends(n, args):
    for t in range(n):
        scalar.ends(t, *args)


@looped
def _fill(n, args):
    for t in range(n):
        scalar.fill(t, *args)
