"""Which documents a report shows: a sample that does not depend on shards, examples of every reason, and twins."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.core.chance import draws
from pipeline.core.manifest import Manifest
from pipeline.core.schema import DOCUMENT, VERDICT
from pipeline.core.shards import read_batches
from pipeline.report.compare import shingled_by
from pipeline.report.ledger import Shelf, shelves

EXAMPLES = 4
"""Documents of every reason that are shown, however rare it is."""

CLUSTERS, MEMBERS = 24, 4
"""Clusters of near-duplicates that are shown, and members of each beside the one that was kept."""

_FEW = ("id", "stage", "reason", "twin")

_COUNTED = 1 << 20
"""Twins whose clusters are counted; of more, those with the smallest draws."""


@dataclass(frozen=True)
class Cluster:
    """Near-duplicates of one document: `size` in all, `members` those that are shown."""

    stage: str
    twin: str
    size: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """What was chosen: documents with draws below `share`, and the ids of those that come besides."""

    share: float
    examples: frozenset[str]
    clusters: tuple[Cluster, ...]
    missing: tuple[str, ...]
    """Ledgers that the manifest counts documents in and that are not there."""

    @property
    def besides(self) -> frozenset[str]:
        """Documents that are read whatever their draw."""
        return self.examples | {name for one in self.clusters for name in (one.twin, *one.members)}


def draw(corpus: Path, manifest: Manifest, n: int) -> Drawn:
    """Choose about `n` documents by the smallest hashes of their ids, kept and dropped alike; ledgers are read once."""
    places = shelves(corpus, manifest)
    total = sum(shelf.rows for shelf in places if not shelf.missing)
    near = {count.stage for sweep in manifest.sweeps for count in sweep.stages}
    near = {stage for stage in near if shingled_by(manifest.recipe, stage)}
    few: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    twins: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    sizes: Counter[tuple[str, str]] = Counter()
    for shelf in places:
        for path in shelf.files if shelf.sweep is not None else ():
            for batch in read_batches(path, _FEW):
                ids, stages, reasons, others = (batch.column(name).to_pylist() for name in _FEW)
                drawn = draws((name or "" for name in ids), 0, "report").tolist()
                for place, name, stage, reason, twin in zip(drawn, ids, stages, reasons, others, strict=True):
                    _keep_least(few[stage, reason], (place, name or ""), EXAMPLES)
                    if stage in near and twin is not None:
                        sizes[stage, twin] += 1
                        _keep_least(twins[stage, twin], (place, name or ""), MEMBERS)
                if len(sizes) > _COUNTED:
                    sizes, twins = _fewer(sizes, twins)
    chosen = sorted(sizes, key=lambda key: (-sizes[key], key))[: CLUSTERS // 2]
    by_chance = draws((twin for _, twin in sizes), 0, "report clusters").tolist()
    chosen += [key for _, key in sorted(zip(by_chance, sizes, strict=True))[: CLUSTERS // 2]]
    clusters = [
        Cluster(stage, twin, sizes[stage, twin] + 1, tuple(name for _, name in twins[stage, twin]))
        for stage, twin in dict.fromkeys(chosen)
    ]
    return Drawn(
        share=min(1.0, n / total) if total else 1.0,
        examples=frozenset(name for listed in few.values() for _, name in listed),
        clusters=tuple(clusters),
        missing=tuple(shelf.name for shelf in places if shelf.missing),
    )


def fetch(corpus: Path, manifest: Manifest, drawn: Drawn) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
    """The draws of the chosen documents and the documents with their verdicts, null for kept ones; reads all once."""
    besides = drawn.besides
    for shelf in shelves(corpus, manifest):
        for path in shelf.files:
            for batch in read_batches(path):
                ids = [name or "" for name in batch.column("id").to_pylist()]
                drawn_now = draws(ids, 0, "report")
                chosen = (drawn_now < drawn.share) | np.fromiter((name in besides for name in ids), bool, len(ids))
                if chosen.any():
                    yield drawn_now[chosen], _usual(batch.filter(pa.array(chosen)), shelf)


def _usual(batch: pa.RecordBatch, shelf: Shelf) -> pa.RecordBatch:
    """The batch with a verdict, and its own columns after those of every document."""
    columns: Mapping[str, pa.DataType] = {**VERDICT, **DOCUMENT}
    arrays = {
        name: batch.column(name).cast(kind) if name in batch.schema.names else pa.nulls(batch.num_rows, kind)
        for name, kind in columns.items()
    }
    arrays |= {name: batch.column(name) for name in batch.schema.names if name not in columns}
    return pa.RecordBatch.from_pydict(arrays)


def _keep_least(held: list[tuple[float, str]], one: tuple[float, str], n: int) -> None:
    if len(held) < n or one < held[-1]:
        held.append(one)
        held.sort()
        del held[n:]


def _fewer(
    sizes: Counter[tuple[str, str]], twins: Mapping[tuple[str, str], list[tuple[float, str]]]
) -> tuple[Counter[tuple[str, str]], defaultdict[tuple[str, str], list[tuple[float, str]]]]:
    """Half of the clusters, those with the smallest draws."""
    keys: Sequence[tuple[str, str]] = list(sizes)
    order = np.argsort(draws((twin for _, twin in keys), 0, "report clusters"), kind="stable")
    kept = [keys[at] for at in order[: len(keys) // 2].tolist()]
    return Counter({key: sizes[key] for key in kept}), defaultdict(list, {key: twins[key] for key in kept})
