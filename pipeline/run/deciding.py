"""A stage's decision over all documents, made so that a process which dies of it ends the build with a reason.

A stage decides in the process of the build, and its shuffle's jobs run where all jobs run; a worker of theirs that dies
is retried. Where an earlier build ended within this very decision, it is made in a child, one job at a time, and how
the child ends is told: a decision is about all documents, so that there is none to blame and to drop.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import WorkerDied
from pipeline.core.mirror import Remote
from pipeline.core.stage import Global, Sketches
from pipeline.run.careful import in_child
from pipeline.run.exchange import FileExchange
from pipeline.run.executors import Executor, Serial, told_of
from pipeline.run.options import Options
from pipeline.run.store import Store, made, write_digests

CHILDREN = 2
"""Times that a decision is tried in a child: an end for want of memory may be another program's doing."""


@dataclass(frozen=True)
class DecisionJob:
    """A decision and where it is made: a picklable record."""

    stage: Global
    sketches: Sketches
    out: Path
    scratch: Path
    options: Options

    def run(self, executor: Executor) -> None:
        """Decide into `out`."""
        exchange = FileExchange(executor, self.scratch, partition_bytes=self.options.partition_bytes)
        self.stage.decide(self.sketches, self.out, exchange)


def decide(
    label: str, stage: Global, sketches: Sketches, store: Store, folder: Path, options: Options, executor: Executor
) -> None:
    """Make `decision` in a folder; WorkerDied names the stage, what died, the likely cause and what to do."""
    begun = folder / "deciding.begun"
    watched = not isinstance(folder, Remote)
    careful = watched and begun.exists()
    if watched:
        folder.mkdir(parents=True, exist_ok=True)
        begun.touch()
    try:
        for left in reversed(range(CHILDREN if careful else 1)):
            try:
                with store.scratch(folder) as scratch, made(folder / "decision") as out:
                    job = DecisionJob(stage, sketches, out, scratch, options)
                    _run_in_child(job) if careful else job.run(executor)
                break
            except WorkerDied as error:
                if not left:
                    raise WorkerDied(
                        f"stage {label!r} cannot decide over all documents: {error}. All that is done is kept: the "
                        "same command goes on from there"
                    ) from None
        write_digests(folder / "decision")
    finally:  # which a crash does not come to
        if watched:
            begun.unlink(missing_ok=True)


def _run_in_child(job: DecisionJob) -> None:
    how = in_child(_run_alone, job)
    if how is not None:
        raise WorkerDied(f"the process that decides died again, alone and {told_of(how)}")


def _run_alone(job: DecisionJob) -> None:
    with job.options.place.active():
        job.run(Serial())
