"""Builds a plan: does what is missing, adds the receipts up, and puts the corpus in its folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pipeline.core import merkle
from pipeline.core.errors import BuildFailed, DriftError, StoreError, WorkerDied
from pipeline.core.manifest import Manifest, Receipt, read_manifest
from pipeline.core.shards import read_checked, shard_name, write_checked
from pipeline.core.stage import Global, Sketches
from pipeline.run.careful import run_alone, run_carefully
from pipeline.run.corpus import Corpus, is_whole
from pipeline.run.deciding import decide
from pipeline.run.executors import Executor, Failed, Serial
from pipeline.run.options import Options
from pipeline.run.plan import Plan, PlannedSweep
from pipeline.run.remove import remove_again, tombstones
from pipeline.run.sketching import is_sketched, sketch_mark
from pipeline.run.store import ROOT, Store, SweepFolder, is_sound, seal
from pipeline.run.sweep import ShardJob, run_shard, run_sketch


class Listener(Protocol):
    """Is told how a build goes on."""

    def sweep_started(self, sweep: PlannedSweep, todo: int, done: int, size: int) -> None:
        """A sweep of `todo` shards (`size` bytes to read) besides those that are done."""

    def shard_done(self, sweep: PlannedSweep, receipt: Receipt, size: int) -> None:
        """One shard was finished."""

    def deciding(self, label: str) -> None:
        """A global begins to decide."""

    def decided(self, label: str, seconds: float) -> None:
        """It has decided."""


@dataclass(frozen=True)
class Built:
    """What a build gives back: the corpus folder, its manifest, and how many shards had to be made."""

    folder: Path
    manifest: Manifest
    worked: int


def build(plan: Plan, options: Options, listener: Listener) -> Built:
    """Build the corpus of a plan; afterwards `<root>/<recipe>/` holds it and its manifest."""
    store = Store(options.root, options.spread)
    started = time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(store.locked())
        stack.enter_context(options.place.active())
        _refuse_drift(plan, store, options)
        executor = stack.enter_context(options.executor())
        builder = _Builder(plan, options, store, executor, listener)
        receipts = [builder.sweep(sweep) for sweep in plan.all_sweeps]
        folder = store.corpus(plan.recipe.name)
        corpus = Corpus(plan, store, receipts, builder.decision, builder.root(len(receipts[0])))
        manifest = corpus.manifest(options, time.perf_counter() - started)
        removed = tombstones(folder)
        if not is_whole(folder, manifest, removed, verify=options.recheck):
            corpus.publish(manifest, folder, removed)
            if removed:
                remove_again(folder, removed)
        return Built(folder, read_manifest(folder), builder.worked)


@dataclass(frozen=True)
class Share:
    """What a build of some of the shards has done: where it stopped, and how many shards there are left to others."""

    sweep: str
    left: int
    worked: int


def build_share(plan: Plan, options: Options, listener: Listener, numbers: range) -> Share:
    """Do the shards with these numbers, sweep by sweep, as far as the others have come.

    Several may run at once on one root, on machines that share it. Who comes to the end of a sweep that needs all
    documents decides, once. `left` is 0 when all shards of all sweeps are there: `build` then only adds them up.
    """
    store = Store(options.root, options.spread)
    with store.locked(shared=True), options.place.active(), options.executor() as executor:
        _refuse_drift(plan, store, options)
        builder = _Builder(plan, options, store, executor, listener)
        for sweep in plan.all_sweeps:
            if left := builder.share(sweep, numbers):
                return Share(sweep.name, left, builder.worked)
    return Share(plan.all_sweeps[-1].name, 0, builder.worked)


def build_decisions(plan: Plan, options: Options, listener: Listener) -> None:
    """Do all sweeps of documents but the last: whatever decisions the documents rest on lie in the store afterwards."""
    store = Store(options.root)
    with store.locked(), options.place.active(), options.executor() as executor:
        builder = _Builder(plan, options, store, executor, listener)
        for sweep in plan.sweeps[:-1]:
            builder.sweep(sweep)


@dataclass
class _Builder:
    plan: Plan
    options: Options
    store: Store
    executor: Executor
    listener: Listener
    worked: int = 0
    before: SweepFolder | None = None
    receipts: dict[int, Receipt] = field(default_factory=dict)
    decision: Path | None = None

    def sweep(self, sweep: PlannedSweep) -> list[Receipt]:
        """All receipts of a sweep, in shard order, after doing what is missing; then what closes it is decided."""
        folder = SweepFolder(self.store.folder(sweep.name, sweep.key))
        jobs = list(self._jobs(sweep, folder))
        receipts = self._do(sweep, folder, jobs)
        ordered = [receipts[job.index] for job in jobs]
        seal(folder.path, _seal(sweep.key, ordered))
        if sweep.closing:
            self.decision = self._decide(sweep, jobs, ordered)
        self.before, self.receipts = folder, receipts
        return ordered

    def share(self, sweep: PlannedSweep, numbers: range) -> int:
        """Do some shards of a sweep, and decide if they were the last; how many there are left to others."""
        folder = SweepFolder(self.store.folder(sweep.name, sweep.key))
        jobs = list(self._jobs(sweep, folder))
        self._do(sweep, folder, [job for job in jobs if job.index in numbers])
        receipts = folder.receipts(range(len(jobs)))
        if len(receipts) == len(jobs) and sweep.closing:
            with self.store.deciding(self._decision_folder(sweep)):
                self.decision = self._decide(sweep, jobs, list(receipts.values()))
        self.before, self.receipts = folder, receipts
        return len(jobs) - len(receipts)

    def _do(self, sweep: PlannedSweep, folder: SweepFolder, jobs: list[ShardJob]) -> dict[int, Receipt]:
        """The receipts of these shards, by number, after doing what is missing, or with `recheck` damaged."""
        if self.options.recheck:
            for _ in self.executor.map(folder.verify, [job.index for job in jobs]):
                pass
        receipts = folder.receipts(job.index for job in jobs)
        todo = [job for job in jobs if job.index not in receipts]
        self.listener.sweep_started(sweep, len(todo), len(receipts), sum(job.size for job in todo))
        return receipts | self._run(run_alone if isinstance(self.executor, Serial) else run_shard, todo)

    def root(self, n_shards: int) -> str:
        """The root over the documents of the last sweep; found once, and remembered beside them."""
        sweep = self.plan.sweeps[-1]
        folder = SweepFolder(self.store.folder(sweep.name, sweep.key))
        remembered = folder.path / ROOT
        root = read_checked(remembered) if remembered.exists() else None
        if root is None:
            for _ in self._results(folder.verify, range(n_shards)):
                pass
            shards = [folder.shard(index) for index in range(n_shards)]
            with self.store.scratch(self.store.root) as scratch:
                root = merkle.root_of(shards, self._results, scratch)
            write_checked(remembered, root)
        return root

    def _results(self, fn: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        """What the jobs give, in any order; the error of the first that fails."""
        for _, result in self.executor.map(fn, jobs):
            if isinstance(result, Failed):
                raise result.error
            yield result

    def _jobs(self, sweep: PlannedSweep, folder: SweepFolder) -> Iterator[ShardJob]:
        sketches = self.store.sketches(sweep.closing.label, sweep.decision_key) if sweep.closing else None
        bare = replace(sweep, parts=())
        for index in range(self.plan.n_shards):
            read = sweep.parts[index] if sweep.parts else None
            shard = None if read or not self.before else self.before.shard(index)
            place, rows = self.options.place, self.options.batch_rows
            receipt = self.receipts.get(index) if shard else None
            yield ShardJob(index, bare, folder, place, rows, read, shard, self.decision, sketches, receipt)

    def _run(self, fn: Callable[[ShardJob], Receipt], jobs: Iterable[ShardJob]) -> dict[int, Receipt]:
        receipts: dict[int, Receipt] = {}
        failures: dict[str, Exception] = {}
        died: list[ShardJob] = []
        for job, result in self.executor.map(fn, jobs):
            if isinstance(result, Failed):
                if fn is run_shard and isinstance(result.error, WorkerDied):
                    died.append(job)
                else:
                    failures[job.name] = result.error
                continue
            receipts[job.index] = result
            self.worked += 1
            self.listener.shard_done(job.sweep, result, job.size)
        if died:
            try:
                receipts |= self._run(run_carefully, died)
            except BuildFailed as error:
                failures |= error.failures
        if failures:
            raise BuildFailed(failures)
        return receipts

    def _decision_folder(self, sweep: PlannedSweep) -> Path:
        assert sweep.closing
        return self.store.decision(sweep.closing.label, sweep.decision_key)

    def _decide(self, sweep: PlannedSweep, jobs: list[ShardJob], receipts: list[Receipt]) -> Path:
        """The folder of the decision, made now if there is none."""
        assert sweep.closing and isinstance(sweep.closing.stage, Global)
        folder = self._decision_folder(sweep)
        decision = folder / "decision"
        if is_sound(decision):
            return decision
        started = time.perf_counter()
        self.listener.deciding(sweep.closing.label)
        sketch = self.store.sketches(sweep.closing.label, sweep.decision_key)
        files = tuple(sketch / f"{shard_name(job.index)}.arrow" for job in jobs)
        marked = {path.name for path in sketch.glob("*.json")}
        there = [sketch_mark(file).name in marked and is_sketched(file) for file in files]
        self._run(run_sketch, [job for job, done in zip(jobs, there, strict=True) if not done])
        rows = tuple(receipt.rows_out for receipt in receipts)
        sketches = Sketches(files, rows, tuple(source.name for source in self.plan.recipe.sources))
        label, stage = sweep.closing.label, sweep.closing.stage
        decide(label, stage, sketches, self.store, folder, self.options, self.executor)
        self.worked += 1
        self.listener.decided(sweep.closing.label, time.perf_counter() - started)
        return decision


def progress_of(plan: Plan, options: Options) -> list[dict[str, Any]]:
    """For each sweep its stages, its shards, and how many of them are done."""
    store = Store(options.root)
    n_shards = plan.n_shards
    rows = []
    for sweep in plan.all_sweeps:
        folder = SweepFolder(store.folder(sweep.name, sweep.key))
        done = len(folder.receipts(range(n_shards)))
        rows.append({"stages": sweep.labels, "key": sweep.key, "shards": n_shards, "done": done})
    return rows


def _seal(key: str, receipts: list[Receipt]) -> str:
    rows_in, rows_out = sum(r.rows_in for r in receipts), sum(r.rows_out for r in receipts)
    return json.dumps({"key": key, "shards": len(receipts), "rows_in": rows_in, "rows_out": rows_out}, indent=1) + "\n"


def _refuse_drift(plan: Plan, store: Store, options: Options) -> None:
    folder = store.corpus(plan.recipe.name)
    if options.replace or not (folder / "manifest.json").exists():
        return
    try:
        built = read_manifest(folder)
    except StoreError:  # a damaged manifest refuses nothing: the corpus is put together again
        return
    header = plan.recipe.header
    if built.recipe.get("version") == header.version and built.key != plan.key:
        raise DriftError(
            f"{header.recipe}@{header.version} already stands for other content in {folder} "
            f"(key {built.key[:16]}, now {plan.key[:16]}): the recipe, an input or a stage has changed. "
            "Raise `version:` in the recipe, or pass --replace"
        )
