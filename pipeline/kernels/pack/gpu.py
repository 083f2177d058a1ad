"""The same threads as CUDA kernels (numba-cuda), on a stream of their own with page-locked copies.

Nothing of the algorithm is here: a kernel calls the function of its name in `scalar.py`, which numba compiles once more
for the device. Only `add` is another one, as threads share the counters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any, ClassVar

import numpy as np
from numba import cuda

from pipeline.kernels.pack import scalar

KERNELS = ("cut", "walk", "merge", "patch", "gather", "accumulate", "spread", "emit", "ends", "fill")


class Cuda:
    """A CUDA device and a stream on it; what is launched and copied through one object happens in its order."""

    name = "cuda"
    threads: ClassVar[int] = 128
    """In a block: enough of them fit on a multiprocessor at the registers that the kernels take."""

    least_blocks: ClassVar[int] = 128
    """numba warns of a grid with fewer; the threads above `n` end at once."""

    workers: ClassVar[int] = 1 << 17
    """Threads that share the misses of a batch: about as many as the largest chip holds at once."""

    def __init__(self) -> None:
        self._stream = cuda.stream()
        self._held: dict[str, Any] = {}
        self._staged: dict[str, np.ndarray] = {}

    def room(self, name: str, n: int, dtype: Any, keep: int = 0) -> Any:
        """Memory for `n`, at least 1, under a name, undefined beyond the first `keep`; later the same memory again."""
        held = self._held.get(name)
        if held is None or len(held) < n:
            more = cuda.device_array(max(n, 2 * keep, 1), dtype=dtype, stream=self._stream)
            if held is not None and keep:
                more[:keep].copy_to_device(held[:keep], stream=self._stream)
                self.wait()
            held = self._held[name] = more
        return held[: max(n, 1)]

    def put(self, name: str, source: np.ndarray) -> Any:
        """An array of the host's under a name; what is in `source` may change afterwards."""
        array = self.room(name, len(source), source.dtype)
        if len(source):
            staged = self._staging(name, len(source), source.dtype)
            staged[:] = source
            array.copy_to_device(staged, stream=self._stream)
        return array

    def get(self, name: str, n: int) -> np.ndarray:
        """A copy of the first `n` under a name, when everything before it is done."""
        return self.fetch(name, n)()

    def fetch(self, name: str, n: int) -> Callable[[], np.ndarray]:
        """Begin to copy the first `n` under a name; what is returned waits for them."""
        held = self._held[name]
        staged = self._staging(name, n, held.dtype)
        if n:
            held[:n].copy_to_host(staged, stream=self._stream)

        def fetched() -> np.ndarray:
            self.wait()
            return staged.copy()

        return fetched

    def move(self, source: Any, target: Any) -> None:
        """Copy from place to place on the device."""
        target.copy_to_device(source, stream=self._stream)

    def launch(self, name: str, n: int, *args: Any) -> None:
        """Run `n` threads of a kernel, in the order of launches."""
        if n:
            blocks = max(-(-n // self.threads), self.least_blocks)
            kernel(name)[blocks, self.threads, self._stream](n, args)

    def wait(self) -> None:
        """Until all launches and copies of this stream are done."""
        self._stream.synchronize()

    def _staging(self, name: str, n: int, dtype: Any) -> np.ndarray:
        """Page-locked memory, so that a copy needs no processor; a name is in one copy at a time."""
        held = self._staged.get(name)
        if held is None or len(held) < n:
            held = self._staged[name] = cuda.pinned_array(max(n, 1), dtype=dtype)
        return held[:n]


@functools.cache
def kernel(name: str) -> Any:
    """The CUDA kernel of the scalar function `name`: thread t of n gets `(t, *args)`."""
    body = _on_device(getattr(scalar, name))

    def threads(n, args):
        t = cuda.grid(1)
        if t < n:
            body(t, *args)

    return cuda.jit(threads)


def _on_device(dispatcher: Any) -> Callable[..., None]:
    """The same code, with the atomic `add` in place of the plain one."""
    source = getattr(dispatcher, "py_func", dispatcher)
    names = {**source.__globals__, "add": _add}
    body: Callable[..., None] = cuda.jit(FunctionType(source.__code__, names, source.__name__), device=True)
    return body


@cuda.jit(device=True)
def _add(counter, index, amount):
    return cuda.atomic.add(counter, index, amount)
