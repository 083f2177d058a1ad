"""Builds on a Ray cluster of two nodes that have nothing but a bucket in common: the bytes of a local build."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.asset import Place
from pipeline.core.mirror import located
from pipeline.run import engine
from pipeline.run.checking import load_recipe
from pipeline.run.options import Options
from pipeline.run.plan import make_plan
from pipeline.run.progress import Quiet
from tests import buckets, projects

pytest.importorskip("ray", reason="Ray is not installed: pip install 'gristmill[ray]'")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'gristmill[s3]'")

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path: Path) -> Iterator[buckets.Service]:
    with buckets.serve() as running, buckets.empty(running, tmp_path / "driver"):
        yield running


@pytest.fixture
def nodes(service: buckets.Service, tmp_path: Path) -> Iterator[tuple[Path, ...]]:
    """The caches of two nodes, each with one core."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        caches = (tmp_path / "first", tmp_path / "second")
        own: list[dict[str, Any]] = [{"num_cpus": 1, "env_vars": {"GRISTMILL_CACHE": str(cache)}} for cache in caches]
        made = Cluster(initialize_head=True, head_node_args={**own[0], "include_dashboard": False})
        made.add_node(**own[1])
        patch.setenv("RAY_ADDRESS", made.address)
        yield caches
        made.shutdown()


def test_nodes_share_nothing_but_the_bucket(service: buckets.Service, nodes: tuple[Path, ...], tmp_path: Path) -> None:
    recipe = projects.make_project(tmp_path, n_files=4, per_file=40)
    local = projects.build(recipe, tmp_path / "local")
    options = Options(located(f"s3://{buckets.BUCKET}/far"), 2, 256, Place(base=tmp_path), engine="ray")
    with options.place.active():
        plan = make_plan(load_recipe(recipe))
    far = engine.build(plan, options, Quiet())
    assert far.manifest.digest == local.manifest.digest
    assert projects.digests(far.folder) == projects.digests(local.folder)
    for cache in nodes:
        assert list((cache / "mirror").rglob("shard-*.arrow")), f"{cache.name} did nothing"
    assert not [key for key in service.names() if ".scratch" in key or ".lock" in key]
