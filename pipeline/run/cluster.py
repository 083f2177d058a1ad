"""The same `map` on a Ray cluster: core tasks, one a job, files as the only data (extra `ray`).

Not Ray Data, which was measured at 2.4 to 4 times the CPU of a pool for the same work. A task costs about 1 ms, so a
shard should take a second or more. Every machine needs this version of Gristmill, and root and inputs in a bucket or
under the same path.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import islice
from typing import Any, TypeVar

from pipeline.core.errors import GristmillError, MissingBackend, WorkerDied
from pipeline.run.executors import ATTEMPTS, Failed

J = TypeVar("J")
R = TypeVar("R")


class Ray:
    """The cluster at `$RAY_ADDRESS`, else one of `workers` processes on this machine; use as a context manager.

    Ray runs a job again where its worker or its machine has died, `ATTEMPTS` times in all, and starts no job where the
    memory that it needs is not free.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._ray: Any = None

    def __enter__(self) -> Ray:
        try:
            ray: Any = import_module("ray")
        except ImportError:
            raise MissingBackend("ray", "--engine ray", "pip install 'gristmill[ray]'") from None
        self._ray = ray
        if ray.is_initialized():
            return self
        address = os.environ.get("RAY_ADDRESS")
        local: dict[str, Any] = {} if address else {"num_cpus": self.workers, "include_dashboard": False}
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        environment = {"env_vars": {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}}
        try:
            ray.init(address=address, runtime_env=environment, **quiet, **local)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise GristmillError(f"no Ray cluster at {address}: {error}; start one with `ray start --head`") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def map(
        self, fn: Callable[[J], R], jobs: Iterable[J], *, memory: int | None = None, gpus: int = 0
    ) -> Iterator[tuple[J, R | Failed]]:
        """At most two jobs a core of the cluster are on their way; the cluster may grow and shrink meanwhile."""
        ray = self._ray
        task = ray.remote(_attempt).options(num_cpus=1, num_gpus=gpus, memory=memory, max_retries=ATTEMPTS - 1)
        function = ray.put(fn)
        waiting = iter(jobs)
        running: dict[Any, J] = {}
        while True:
            for job in islice(waiting, max(0, self._window() - len(running))):
                running[task.remote(function, job)] = job
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                job = running.pop(reference)
                try:
                    yield job, ray.get(reference)
                except ray.exceptions.RayError as error:
                    told = str(error).strip().split("\n")[0]
                    remedy = "if memory ran out, lower --memory or give the nodes more; else report the crash"
                    yield job, Failed(WorkerDied(f"its worker died {ATTEMPTS} times ({told}): {remedy}"))

    def _window(self) -> int:
        return 2 * max(1, int(self._ray.cluster_resources().get("CPU", self.workers)))


def _attempt(fn: Callable[[J], R], job: J) -> R | Failed:
    import pyarrow as pa

    pa.set_cpu_count(1)
    try:
        return fn(job)
    except Exception as error:
        return Failed(error)
