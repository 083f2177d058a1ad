"""Builds on a Ray cluster of two nodes on this machine: the same bytes, whatever dies."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.asset import Place
from pipeline.run import engine
from pipeline.run.checking import load_recipe
from pipeline.run.cluster import Ray
from pipeline.run.executors import ATTEMPTS, Failed
from pipeline.run.options import Options
from pipeline.run.plan import make_plan
from pipeline.run.progress import Quiet
from tests import projects
from tests.run.test_executors import die, die_once, square

pytest.importorskip("ray", reason="Ray is not installed: pip install 'gristmill[ray]'")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        made.add_node(num_cpus=1)
        before = os.environ.get("RAY_ADDRESS")
        os.environ["RAY_ADDRESS"] = made.address
        yield made
        os.environ.pop("RAY_ADDRESS")
        if before:
            os.environ["RAY_ADDRESS"] = before
        made.shutdown()


def test_jobs_are_done_failed_or_quarantined(cluster: Any, tmp_path: Path) -> None:
    with Ray(2) as ray:
        results = dict(ray.map(square, [1, -2, 3]))
        assert results[1] == 1 and results[3] == 9
        assert isinstance(results[-2], Failed) and "negative" in str(results[-2].error)
        jobs = [tmp_path / f"{i}.{'dies' if i in (2, 5) else 'lives'}" for i in range(8)]
        assert dict(ray.map(die_once, jobs)) == {job: job.name for job in jobs}
        results = dict(ray.map(die, range(5)))
        assert isinstance(results[3], Failed) and f"{ATTEMPTS} times" in str(results[3].error)
        assert {job: r for job, r in results.items() if job != 3} == {0: 0, 1: 1, 2: 2, 4: 4}


def test_the_runs_of_a_validation_are_jobs_as_well(cluster: Any, tmp_path: Path) -> None:
    from pipeline.cli.validating import _done
    from pipeline.core.shards import write_table
    from pipeline.core.validation import CURATED
    from pipeline.train.arms import Arm, Shelf
    from pipeline.train.contest import Contest, Ngram
    from pipeline.train.held_out import HeldOut
    from pipeline.train.validate import Outside, validate
    from tests.train.test_validate import do, documents, prose

    chance = random.Random(1)
    own, raw = (Arm(name, name, (Shelf(tmp_path / f"{name}.arrow"),)) for name in (CURATED, "raw"))
    write_table(tmp_path / f"{CURATED}.arrow", documents(prose(chance, 80), "g"))
    write_table(tmp_path / "raw.arrow", documents(prose(chance, 80, shuffled=True), "b"))
    outside = [Outside(HeldOut("out", documents(prose(chance, 12), "o")), False)]
    how = Contest(ngram=Ngram(4_000), vocabulary=400, seeds=2)
    far = validate([own, raw], outside, how, tmp_path / "far", lambda jobs: _done(jobs, 2, "ray", gpus=0), corpus="c")
    assert far == validate([own, raw], outside, how, tmp_path / "here", do, corpus="c")


def test_a_build_that_loses_a_node_has_the_bytes_of_a_local_one(cluster: Any, tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path)
    local = projects.build(recipe, tmp_path / "local")
    doomed = cluster.add_node(num_cpus=2)

    class Killer(Quiet):
        done = 0

        def shard_done(self, *_: Any) -> None:
            self.done += 1
            if self.done == 4:
                cluster.remove_node(doomed, allow_graceful=False)

    options = Options(tmp_path / "far", 2, 256, Place(base=tmp_path), engine="ray")
    with options.place.active():
        plan = make_plan(load_recipe(recipe))
    killer = Killer()
    far = engine.build(plan, options, killer)
    assert killer.done >= 4
    assert projects.digests(far.folder) == projects.digests(local.folder)
    assert far.manifest.digest == local.manifest.digest
