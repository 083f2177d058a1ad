"""How a build is executed: none of it is part of a recipe's identity, none of it changes a byte of the corpus."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.core.asset import Place
from pipeline.core.mirror import located
from pipeline.run.cluster import Ray
from pipeline.run.exchange import PARTITION_BYTES, TIMES
from pipeline.run.executors import Executor, Processes, Serial

Engine = Literal["processes", "ray"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Options:
    """Run options. `batch_rows` bounds what one stage sees at once; `workers` 1 runs in this process."""

    root: Path = Path("build")
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    batch_rows: int = 256
    place: Place = field(default_factory=Place)
    memory: int | None = None
    """MiB that the shuffles of deduplication may take, all workers together; None: about 300 a worker."""
    engine: Engine = "processes"
    """Where jobs run: `processes` on this machine, or `ray`; one worker of the former is this process itself."""
    recheck: bool = False
    """Hash every stored file of earlier builds and make again what is not as it was written."""
    replace: bool = False
    """Let a changed recipe take the place of a corpus of the same name and version."""

    @property
    def spread(self) -> bool:
        """Whether jobs may run on other machines."""
        return self.engine == "ray"

    @property
    def partition_bytes(self) -> int:
        """What one worker may gather at once."""
        return PARTITION_BYTES if self.memory is None else max((self.memory << 20) // (TIMES * self.workers), 1 << 16)

    def executor(self) -> AbstractContextManager[Executor]:
        """What runs the jobs, for the time of a run."""
        if self.engine == "ray":
            return Ray(self.workers)
        return Processes(self.workers) if self.workers > 1 else nullcontext(Serial())


def run_options(
    base: Path,
    *,
    root: str | Path = "build",
    workers: int | None = None,
    batch_rows: int = 256,
    memory: int | None = None,
    data: Sequence[str | Path] = (),
    offline: bool = False,
    allow: Sequence[str] = (),
    device: Device = "auto",
    engine: Engine = "processes",
    recheck: bool = False,
    replace: bool = False,
) -> Options:
    """Options for a recipe whose project is in the folder `base`; GristmillError where this machine has no such device.

    `workers` None is one a core; `data` are further folders that the recipe's paths may lie in, `allow` hosts
    that its addresses may reach although they are private; `recheck` hashes what is stored.
    """
    if device == "cuda":
        from pipeline.kernels import pack

        pack.find("cuda")
    roots = tuple(map(Path, data))
    place = Place(base=base.resolve(), data=roots, offline=offline, device=device, allow=tuple(allow))
    where = located(root).resolve() if engine == "ray" else located(root)
    return Options(where, workers or os.cpu_count() or 1, batch_rows, place, memory, engine, recheck, replace)
