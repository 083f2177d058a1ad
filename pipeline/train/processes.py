"""Several processes that train one model, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.core.errors import MissingBackend


@contextmanager
def processes() -> Iterator[bool]:
    """Joins the group that torchrun's variables name, if there are any; true in the process that writes and speaks.

    The others go in when the first has left the block, or died.
    """
    try:
        import torch
        from torch import distributed
    except ImportError:
        raise MissingBackend("torch", "training", "pip install 'gristmill[train]'") from None
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield True
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield distributed.get_rank() == 0
    finally:
        distributed.destroy_process_group()


def wait() -> None:
    """Until all processes are here."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.barrier()
