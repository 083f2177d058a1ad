"""Builds of some of the shards, several on one root: together they are one build."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline.core.asset import Place
from pipeline.core.errors import StoreError
from pipeline.run import engine
from pipeline.run.checking import load_recipe
from pipeline.run.options import Options
from pipeline.run.plan import Plan, make_plan
from pipeline.run.progress import Quiet
from pipeline.run.store import Store
from tests import projects


def planned(folder: Path) -> tuple[Plan, Options]:
    recipe = projects.make_project(folder)
    options = Options(folder / "parts", 1, 256, Place(base=folder))
    with options.place.active():
        return make_plan(load_recipe(recipe)), options


@pytest.mark.slow
def test_shares_add_up_to_the_same_build(tmp_path: Path) -> None:
    plan, options = planned(tmp_path)
    whole = projects.build(tmp_path / "recipes" / "small.yaml", tmp_path / "whole")
    n_shards = len(plan.sweeps[0].parts)
    halves = (range(n_shards // 2), range(n_shards // 2, n_shards))
    first = engine.build_share(plan, options, Quiet(), halves[0])
    assert (first.sweep, first.left, first.worked) == (plan.sweeps[0].name, len(halves[1]), len(halves[0]))
    assert engine.build_share(plan, options, Quiet(), halves[0]).worked == 0
    told = [engine.build_share(plan, options, Quiet(), halves[turn % 2]) for turn in range(1, 12)]
    assert told[-1].left == 0
    assert sum(share.worked for share in (first, *told)) == whole.worked
    done = engine.build(plan, options, Quiet())
    assert done.worked == 0 and projects.digests(done.folder) == projects.digests(whole.folder)
    assert done.manifest.digest == whole.manifest.digest


@pytest.mark.slow
def test_shares_at_the_same_time_decide_once(tmp_path: Path) -> None:
    plan, options = planned(tmp_path)
    n_shards = len(plan.sweeps[0].parts)
    errors: list[BaseException] = []

    def work(numbers: range) -> None:
        try:
            while engine.build_share(plan, options, Quiet(), numbers).left:
                pass
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(range(start, n_shards, 2),)) for start in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    done = engine.build(plan, options, Quiet())
    whole = projects.build(tmp_path / "recipes" / "small.yaml", tmp_path / "whole")
    assert done.worked == 0 and done.manifest.digest == whole.manifest.digest


def test_a_share_waits_for_no_whole_build_and_none_for_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with (
        store.locked(shared=True),
        store.locked(shared=True),
        pytest.raises(StoreError, match="another"),
        store.locked(),
    ):
        pass
    with store.locked(), pytest.raises(StoreError, match="another build"), store.locked(shared=True):
        pass
