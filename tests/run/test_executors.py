from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.run.executors import ATTEMPTS, Failed, Processes, Serial, start_server


def square(job: int) -> int:
    if job < 0:
        raise ValueError(f"negative: {job}")
    return job * job


def die_once(path: Path) -> str:
    if path.suffix == ".dies" and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path.name


def die(job: int) -> int:
    if job == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def test_serial_gives_results_and_failures() -> None:
    results = dict(Serial().map(square, [1, -2, 3]))
    assert results[1] == 1 and results[3] == 9
    assert isinstance(results[-2], Failed) and "negative" in str(results[-2].error)


@pytest.mark.slow
def test_processes_agree_with_serial() -> None:
    with Processes(2) as pool:
        assert sorted(pool.map(square, range(20))) == sorted(Serial().map(square, range(20)))


def variable(name: str) -> str | None:
    return os.environ.get(name)


@pytest.mark.slow
def test_workers_have_the_variables_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    start_server()
    monkeypatch.setenv("GRISTMILL_TRIED", "now")
    with Processes(2) as pool:
        assert dict(pool.map(variable, ["GRISTMILL_TRIED"])) == {"GRISTMILL_TRIED": "now"}


@pytest.mark.slow
def test_what_workers_are_forked_from_runs_no_thread_of_a_library() -> None:
    told = "import sys, pipeline.run.worker; print({'polars', 'numba', 'torch', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
def test_a_worker_that_dies_costs_a_retry(tmp_path: Path) -> None:
    jobs = [tmp_path / f"{i}.{'dies' if i in (2, 5) else 'lives'}" for i in range(8)]
    with Processes(2) as pool:
        results = dict(pool.map(die_once, jobs))
    assert results == {job: job.name for job in jobs}


@pytest.mark.slow
def test_a_job_that_always_kills_is_quarantined_and_the_rest_is_done() -> None:
    with Processes(2) as pool:
        results = dict(pool.map(die, range(8)))
    assert isinstance(results[3], Failed) and f"{ATTEMPTS} times" in str(results[3].error)
    assert {job: r for job, r in results.items() if job != 3} == {job: job for job in range(8) if job != 3}


def meet(jobs: tuple[Path, Path]) -> str:
    mine, other = jobs
    mine.touch()
    while not other.exists():
        time.sleep(0.02)
    return mine.name


def sleep_once_or_die_once(jobs: tuple[Path, Path]) -> str:
    if not jobs[0].exists():
        if meet(jobs) == "sleeps":
            time.sleep(600)
        os.kill(os.getpid(), signal.SIGKILL)
    return jobs[0].name


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_worker_that_the_broken_pool_forgets_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = multiprocessing.process.BaseProcess.terminate
    here = threading.current_thread()

    def forgotten_by_the_pool(worker: multiprocessing.process.BaseProcess) -> None:
        if threading.current_thread() is here:
            ended(worker)

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "terminate", forgotten_by_the_pool)
    here_and_there, sleeps_and_dies = [
        [(tmp_path / one, tmp_path / other), (tmp_path / other, tmp_path / one)]
        for one, other in (("here", "there"), ("sleeps", "dies"))
    ]
    with Processes(2) as pool:
        assert len(list(pool.map(meet, here_and_there))) == 2  # so the pool has both of its workers
        assert {job for _, job in pool.map(sleep_once_or_die_once, sleeps_and_dies)} == {"sleeps", "dies"}


CHILD = """
import os, sys, time
from pipeline.run.executors import Processes

def slow(job):
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    with Processes(1) as pool:
        list(pool.map(slow, [1]))
"""


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    )
    assert parent.stdout
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while _alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(worker)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def sleep(job: int) -> int:
    time.sleep(60)
    return job


@pytest.mark.slow
def test_an_interruption_does_not_wait_for_the_jobs() -> None:
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Processes(2) as pool:
        results = pool.map(die_first_or_sleep, [0, 1])
        next(results)
        raise KeyboardInterrupt
    assert time.monotonic() - started < 30


def die_first_or_sleep(job: int) -> int:
    return sleep(job) if job else job
