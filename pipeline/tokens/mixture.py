"""Mix sources or languages in given shares, by dropping what is too much of one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.core.chance import draws
from pipeline.core.errors import GristmillError
from pipeline.core.shards import read_batches, write_text
from pipeline.core.stage import Decision, Exchange, Global, Sketches, write_facts
from pipeline.core.verdict import Reason, Verdict

_FILE = "cuts.json"
_BINS = 1 << 16
"""Of draws: one pass finds the bin in which a quota is reached, another the place in it."""


class Mixture(Global):
    """Keeps of each source, or language, as much as its share of the mixture allows; which documents, a hash decides.

    Without `total` the mixture is as large as the scarcest group allows; with one, a group that has less than its part
    gives all that it has, and the card says so. Of one seed, a smaller mixture is part of a larger. Documents of a
    group that has no share are dropped.
    """

    reads: ClassVar[tuple[str, ...]] = ("id", "text")
    optional: ClassVar[tuple[str, ...]] = ("source", "lang")
    reasons: ClassVar[tuple[str, ...]] = ("over_quota", "not_in_mixture")
    example: ClassVar[Mapping[str, Any]] = {"by": "lang", "shares": {"en": 3.0, "zh": 1.0}}

    by: Literal["source", "lang"] = Field("source", description="what is mixed")
    shares: dict[str, Annotated[float, Field(gt=0)]] = Field(
        min_length=1, description="group to share, relative to the others: {web: 6, books: 4}"
    )
    unit: Literal["bytes", "documents"] = Field("bytes", description="what shares are of")
    total: int | None = Field(None, ge=1, description="size of the mixture in units; none: what the scarcest allows")
    seed: int = Field(0, ge=0, description="another seed, other documents")

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The group, the draw and the size of every document."""
        size = pc.fill_null(pc.binary_length(batch.column("text")), 0).cast(pa.int64())
        return pa.record_batch(
            {
                "group": batch.column(self.by).cast(pa.string()),
                "draw": pa.array(self._draws(batch)),
                "size": size if self.unit == "bytes" else pa.array(np.ones(batch.num_rows, dtype=np.int64)),
            }
        )

    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        """For each group the draw up to which its documents are kept."""
        bins = {group: np.zeros(_BINS, dtype=np.int64) for group in self.shares}
        for group, draw, size in self._sketched(sketches.files):
            added = np.bincount((draw * _BINS).astype(np.int64), weights=size, minlength=_BINS)
            bins[group] += added.astype(np.int64)
        have = {group: int(found.sum()) for group, found in bins.items()}
        if absent := [group for group, amount in have.items() if not amount]:
            raise GristmillError(f"mixture: there is nothing of {self.by} {absent[0]!r}; take it out of `shares`")
        quotas = self._quotas(have)
        cuts, kept = self._cuts(sketches.files, bins, quotas)
        write_text(out / _FILE, json.dumps(cuts, sort_keys=True) + "\n")
        told = [
            {self.by: group, "share": self.shares[group] / sum(self.shares.values()), "available": have[group]}
            | {"quota": quotas[group], "kept": kept[group]}
            for group in sorted(self.shares)
        ]
        write_facts({"unit": self.unit, "mixture": told}, out)

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """Compare each document's draw with the cut of its group."""
        cuts: dict[str, float] = json.loads((decision.folder / _FILE).read_text(encoding="utf-8"))
        reasons: list[Reason | None] = []
        for group, draw in zip(batch.column(self.by).to_pylist(), self._draws(batch).tolist(), strict=True):
            if group not in cuts:
                reasons.append(Reason("not_in_mixture", detail=group))
            else:
                reasons.append(None if draw <= cuts[group] else Reason("over_quota", draw, cuts[group], detail=group))
        return Verdict.of(reasons)

    def _draws(self, batch: pa.RecordBatch) -> np.ndarray:
        return draws((name or "" for name in batch.column("id").to_pylist()), self.seed, self.word)

    def _quotas(self, have: Mapping[str, int]) -> dict[str, int]:
        whole = sum(self.shares.values())
        total = self.total or min(have[group] * whole / share for group, share in self.shares.items())
        return {group: min(have[group], int(total * share / whole)) for group, share in self.shares.items()}

    def _cuts(
        self, files: Sequence[Path], bins: Mapping[str, np.ndarray], quotas: Mapping[str, int]
    ) -> tuple[dict[str, float], Counter[str]]:
        """The draw of the last document of each group within its quota, and how much is kept up to there."""
        ends = {group: np.cumsum(found) for group, found in bins.items()}
        last = {group: int(np.searchsorted(ends[group], quotas[group], side="right")) for group in bins}
        near: dict[str, list[tuple[float, int]]] = {group: [] for group in bins}
        for group, draw, size in self._sketched(files):
            inside = (draw * _BINS).astype(np.int64) == last[group]
            near[group] += zip(draw[inside].tolist(), size[inside].tolist(), strict=True)
        cuts: dict[str, float] = {}
        kept = Counter({group: int(ends[group][at - 1]) if at else 0 for group, at in last.items()})
        for group, at in last.items():
            cuts[group] = float(np.nextafter(at / _BINS, -1.0)) if at < _BINS else 1.0
            for draw, size in sorted(near[group]):
                if kept[group] + size > quotas[group]:
                    break
                kept[group] += size
                cuts[group] = draw
        return cuts, kept

    def _sketched(self, files: Sequence[Path]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Draws and sizes of each group that has a share, batch by batch."""
        for file in files:
            for batch in read_batches(file):
                for group in self.shares:
                    found = batch.filter(pc.fill_null(pc.equal(batch.column("group"), group), False))
                    if found.num_rows:
                        yield group, found.column("draw").to_numpy(), found.column("size").to_numpy()
