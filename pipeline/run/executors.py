"""Where jobs run: one method, `map`. Unordered, a bounded window, a dead worker costs a retry, results as they come."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext
from types import ModuleType
from typing import Protocol, TypeVar

from pipeline.core.errors import WorkerDied

J = TypeVar("J")
R = TypeVar("R")

ATTEMPTS = 3

_FORKED = sys.platform == "linux"
"""macOS has system libraries that abort in a forked process."""


@dataclass(frozen=True)
class Failed:
    """In place of a result: the job raised, or killed its worker `ATTEMPTS` times and is quarantined."""

    error: Exception


class Executor(Protocol):
    """The boundary between what is done and where."""

    def map(
        self, fn: Callable[[J], R], jobs: Iterable[J], *, memory: int | None = None, gpus: int = 0
    ) -> Iterator[tuple[J, R | Failed]]:
        """Pairs of job and result, in any order; `fn` and the jobs are picklable.

        `memory` (bytes) and `gpus` are what one job needs: engines that place jobs go by them.
        """


def start_server() -> None:
    """Begin to import what workers need, in a process that they will be forked from; wait for nothing.

    Called before a command's own imports: the two then go on side by side. Without it, the first job waits.
    """
    if _FORKED:
        child_context()
        forkserver.ensure_running()


class Serial:
    """Everything in this process, in order."""

    def map(
        self, fn: Callable[[J], R], jobs: Iterable[J], *, memory: int | None = None, gpus: int = 0
    ) -> Iterator[tuple[J, R | Failed]]:
        """One job after the other."""
        for job in jobs:
            yield job, attempt(fn, job)


class Processes:
    """A pool of processes on this machine, all forked from one that runs nothing; use as a context manager.

    Forked from this one, they would deadlock with the threads of Polars. Where forking is not safe they are spawned.

    Left by an exception, Ctrl-C among them, it kills its workers: what they were writing is seen by nobody.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._others: set[multiprocessing.process.BaseProcess] = set()
        self._hired: set[multiprocessing.process.BaseProcess] = set()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for worker in self._workers():
                worker.kill()
        self._close()

    def map(
        self, fn: Callable[[J], R], jobs: Iterable[J], *, memory: int | None = None, gpus: int = 0
    ) -> Iterator[tuple[J, R | Failed]]:
        """At most two jobs a worker are on their way; a worker that dies costs its jobs a retry, one at a time.

        So what has died for want of memory, beside others, has the second time all that there is.
        """
        waiting = iter(jobs)
        suspects: deque[tuple[J, int]] = deque()
        running: dict[Future[R | Failed], tuple[J, int]] = {}
        while True:
            if suspects:
                fresh: Iterable[tuple[J, int]] = [suspects.popleft()] if not running else []
            else:
                fresh = ((job, 0) for job in itertools.islice(waiting, 2 * self.workers - len(running)))
            for job, deaths in fresh:
                running[self._submit(fn, job)] = (job, deaths)
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job, deaths = running.pop(future)
                try:
                    yield job, future.result()
                except BrokenProcessPool:
                    how = self._buried()
                    if deaths + 1 >= ATTEMPTS:
                        yield job, Failed(WorkerDied(f"its worker died {ATTEMPTS} times, at last {told_of(how)}"))
                    else:
                        suspects.append((job, deaths + 1))

    def _submit(self, fn: Callable[[J], R], job: J, tries: int = 0) -> Future[R | Failed]:
        if self._pool is None:
            self._others = set(multiprocessing.active_children())
            self._pool = ProcessPoolExecutor(self.workers, child_context(), start_worker, (dict(os.environ),))
        try:
            with nullcontext() if fn.__module__ == "__main__" else _without_main():
                submitted = self._pool.submit(attempt, fn, job)
            self._hired |= self._workers()
            return submitted
        except (BrokenProcessPool, EOFError, ConnectionError) as error:  # or what workers are forked from has died
            self._end()
            if tries == ATTEMPTS:
                raise WorkerDied(f"no worker can be started ({type(error).__name__}: {error})") from None
            return self._submit(fn, job, tries + 1)

    def _workers(self) -> set[multiprocessing.process.BaseProcess]:
        return set(multiprocessing.active_children()) - self._others if self._pool else set()

    def _end(self) -> None:
        """A broken pool waits for its workers for ever if it was hiring one while it ended the others (Python 3.11)."""
        for worker in self._workers():
            worker.terminate()
        self._close()

    def _close(self) -> None:
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
            self._hired.clear()

    def _buried(self) -> str:
        """How the worker ended that broke the pool; the pool ends the others, with SIGTERM."""
        hired = set(self._hired)
        self._end()
        endings = [worker.exitcode for worker in hired if worker.exitcode]
        return ending(next((code for code in endings if code != -signal.SIGTERM), -signal.SIGTERM))


@contextmanager
def _without_main() -> Iterator[None]:
    """Workers start without the script of this process, which would otherwise run anew in each of them.

    `multiprocessing` imports it so that they find what it defines; jobs of ours are all defined in modules.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def attempt(fn: Callable[[J], R], job: J) -> R | Failed:
    """What the job gives, or the exception that it raises."""
    try:
        return fn(job)
    except Exception as error:
        return Failed(error)


def ending(code: int) -> str:
    """How a process ended, by its exit code: the name of a signal, or the status."""
    return signal.Signals(-code).name if code < 0 else f"status {code}"


def told_of(how: str) -> str:
    """How a worker ended, the likely cause, and what to do."""
    if how == "SIGKILL":
        return f"by {how}, as the system ends what takes too much memory: lower --workers or --memory"
    return f"by {how}, a crash in native code and a defect: report it with these words and the versions of the manifest"


def child_context() -> ForkServerContext | SpawnContext:
    """How processes are made: forked from one that has imported what workers need, where that is safe."""
    if not _FORKED:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipeline.run.worker"])
    return context


def start_worker(environment: dict[str, str]) -> None:
    """The parent's variables, one thread, no answer to Ctrl-C (the parent's business), no life without the parent."""
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    import pyarrow as pa

    pa.set_cpu_count(1)
    parent = multiprocessing.parent_process()
    if parent:
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
