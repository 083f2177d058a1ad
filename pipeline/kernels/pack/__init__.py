"""Tokenize and pack on a GPU: UTF-8 bytes in, token ids or packed rows out, exactly those of `tokenizers`.

One thread a segment of 256 bytes. It finds the first byte at which a piece begins whatever came before (`cut`), walks
on by the tokenizer's regular expression in closed form, and looks each piece up in a table of known ones (`walk`); what
the table does not know is byte-pair encoded by other threads (`merge`), and then counts become places (`gather`,
`accumulate`, `spread`) and tokens are written (`emit`, `ends`), or packed into rows (`fill`). After batches 1, 2, 4,
8 ... the host encodes the unknown pieces once and adds them to the table. Results depend on none of this.

`scalar.py` is the only source of the algorithm, executed three ways: compiled for the CPU, where it is fuzzed against
`tokenizers`; as Python under the CUDA simulator; and compiled by numba-cuda for a GPU. A chain of torch operations
would move over 1,600 bytes a byte of text; `scripts/bench/gpu_pack.py` counts what this one moves, about 12 of memory
and 16 to 32 of cache. On paper an H100 is bound by copies over PCIe, at 25 GB/s; on an H200 one process was measured to
make rows at 0.9 GB/s, as 19 cores do: it copies to and from page-locked memory at 3, `merge` does new pieces at 3 and
`walk` all of them at 9. Ten seconds pass in each process before that, in which kernels are compiled and checked. Behind
all that stand storage and decompression: a GPU pays for large corpora, where the cores of the host are busy.

In a build, text goes to the device in slabs of 128 MiB, copied and worked on in two batches of 32 MiB; ids wait there
until their window is packed, and only rows come back. Each process takes 25 bytes of device memory a byte of text in a
batch, 4 a token that waits, twice that when a window is packed, and 18 a token of the rows on their way.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import GristmillError, MissingBackend

if TYPE_CHECKING:
    from pipeline.kernels.pack.lanes import Engine

INSTALL = "pip install 'gristmill[cuda]'"


def engine(path: Path, device: str) -> Engine:
    """The engine of a tokenizer.json on `cpu` or `cuda`, checked against `tokenizers`.

    MissingBackend without numba-cuda, Unsupported for a tokenizer that the kernels cannot do, GristmillError for a
    device that is not there or gives other ids.
    """
    from pipeline.kernels.pack.check import check
    from pipeline.kernels.pack.lanes import Engine

    made = Engine(path, find(device))
    check(made, path)
    return made


def on_device(path: Path, device: str) -> Engine | None:
    """The engine of a run with `--device`; None where the library on the CPU does it: `cpu`, or `auto` without a GPU.

    Where a GPU cannot give the ids of this tokenizer, standard error says why and the library does it. GristmillError
    where `cuda` was asked for and there is none.
    """
    if device == "cpu" or (device == "auto" and not has_cuda()):
        return None
    stat = path.stat()
    return _on_device(path, (stat.st_mtime_ns, stat.st_size))


def has_cuda() -> bool:
    """Whether numba-cuda is installed and finds a device; without a driver it is not even imported."""
    if importlib.util.find_spec("numba_cuda") is None:
        return False
    try:
        ctypes.CDLL(os.environ.get("NUMBA_CUDA_DRIVER", "libcuda.so.1"))
    except OSError:
        return False
    from numba import cuda

    return bool(cuda.is_available())


def find(name: str) -> type[Any]:
    """The class of the device `cpu` or `cuda`; MissingBackend or GristmillError where it is not here."""
    if name == "cpu":
        from pipeline.kernels.pack.cpu import Cpu

        return Cpu
    if importlib.util.find_spec("numba_cuda") is None:
        raise MissingBackend("numba-cuda", "--device cuda", INSTALL)
    if not has_cuda():
        raise GristmillError("--device cuda: no CUDA device works here; `gristmill doctor` says what is installed")
    from pipeline.kernels.pack.gpu import Cuda

    return Cuda


@functools.cache
def _on_device(path: Path, stamp: tuple[int, int]) -> Engine | None:
    from pipeline.kernels.pack.check import Differs
    from pipeline.kernels.pack.tables import Unsupported

    try:
        return engine(path, "cuda")
    except (Unsupported, Differs) as error:
        print(f"note: {error}; the library on the CPU encodes instead", file=sys.stderr)
        return None
