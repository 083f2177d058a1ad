"""Count the requests of builds into a bucket, by shard and sweep: `PYTHONPATH=. python scripts/bench/requests.py`.

An S3 server on this machine answers (moto's, of the extra `dev`); prices are those of S3 Standard in us-east-1.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.core.mirror import located
from tests import buckets, projects

KINDS = ("PUT", "GET", "HEAD", "LIST", "POST")
DOLLARS = {"PUT": 5e-6, "LIST": 5e-6, "POST": 5e-6, "GET": 4e-7, "HEAD": 4e-7}
SOURCES = [{"files": {"name": "all", "paths": ["data/*/*.jsonl"], "columns": projects.COLUMNS, "part_bytes": 1}}]
LAST = ["text_statistics", {"length": {"min_characters": 1}}]
SWEEPS = {1: LAST, 2: ["text_statistics", "exact", LAST[1]]}


def main() -> None:
    """Print a table in Markdown."""
    with buckets.serve() as service:
        counts = {(shards, sweeps): _counted(service, shards, sweeps) for shards in (2, 12) for sweeps in SWEEPS}
    each = {sweeps: _less(counts[12, sweeps], counts[2, sweeps], 10) for sweeps in SWEEPS}
    print("| | " + " | ".join(KINDS) + " | dollars a million shards |\n| --- |" + " ---: |" * (len(KINDS) + 1))
    _row("a shard of the only sweep, and its copy in the corpus", each[1])
    _row("... a further sweep: sketch, drop list, one more shard, ledger and receipt", _less(each[2], each[1], 1))
    print(f"\nA build of 12 shards and {len(SWEEPS)} sweeps: {dict(counts[12, 2])}")


def _counted(service: buckets.Service, shards: int, sweeps: int) -> Counter[str]:
    with TemporaryDirectory() as folder, buckets.empty(service, Path(folder) / "cache"):
        recipe: dict[str, Any] = {"recipe": "small", "version": "1", "sources": SOURCES, "stages": SWEEPS[sweeps]}
        project = projects.make_project(Path(folder), n_files=shards, per_file=30, recipe=recipe)
        projects.build(project, located(f"s3://{buckets.BUCKET}/a"))
        return Counter("LIST" if "list-type" in path else method for method, path in service.requests)


def _less(more: Counter[str] | dict[str, float], less: Counter[str] | dict[str, float], by: int) -> dict[str, float]:
    return {kind: (more.get(kind, 0) - less.get(kind, 0)) / by for kind in KINDS}


def _row(name: str, counts: dict[str, float]) -> None:
    cost = 1e6 * sum(DOLLARS[kind] * count for kind, count in counts.items())
    print(f"| {name} | " + " | ".join(f"{counts[kind]:.1f}" for kind in KINDS) + f" | {cost:,.0f} |")


if __name__ == "__main__":
    main()
