"""What audits and reports ask of a recipe's code: rooms do not know each other, so the command line hands it over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.census import Rule
from pipeline.core.manifest import Input, Manifest, Trial, Warned

_CLOSE = 1e-3
"""What a stored measure may differ from the same measure made again: another build of a model's library rounds so."""


@dataclass(frozen=True)
class Judged:
    """A document that a stage would drop now, or whose column it would write otherwise."""

    id: str
    stage: str
    what: str


@dataclass(frozen=True)
class Rebuilt:
    """A shard of documents made again: the key of the plan, the inputs that were read, and the shard and its sha256.

    `decided` says whose decisions it rests on where stages need all documents.
    """

    key: str
    inputs: tuple[Input, ...]
    documents: pa.Table
    sha256: str
    decided: str


class Again(Protocol):
    """The recipe's own code, asked again."""

    def stages(self) -> tuple[str, ...]:
        """Labels of the stages that can be asked about documents that they kept."""

    def judge(self, documents: pa.Table) -> list[Judged]:
        """What these stages would drop, or write otherwise."""

    def rewritten_after(self, word: str) -> bool:
        """Whether a stage after the last one of this word changes texts."""

    def trials(self) -> Mapping[str, tuple[Trial, ...]]:
        """The trials of its detectors, held again."""

    def warnings(self, manifest: Manifest) -> tuple[Warned, ...]:
        """What a build would warn of, given these counts."""

    def rebuild(self, source: str, file: str, name: str) -> Rebuilt:
        """The shard with this document, which was read from a file of a source; GristmillError where it cannot be."""


@dataclass(frozen=True)
class Measured:
    """One limit of the recipe: what documents measure by it and where it lies for them, float64, NaN where neither."""

    rule: Rule
    value: np.ndarray
    limit: np.ndarray


@runtime_checkable
class Masking(Protocol):
    """A stage that can make what it looks for unreadable."""

    def masked(self, batch: pa.RecordBatch) -> pa.LargeStringArray:
        """The texts of a batch (`text`, `lang`) with what was found replaced: for showing them to people."""


class Showing(Protocol):
    """The recipe's own code, for a report that shows documents."""

    def measured(self, documents: pa.RecordBatch) -> Sequence[Measured]:
        """What these documents, kept or dropped, measure by every limit: on their texts as they are stored."""

    def masked(self, documents: pa.RecordBatch) -> pa.LargeStringArray:
        """Their texts without personal data and without the words that the recipe lists as harmful."""


def different(had: pa.Array, now: pa.Array) -> list[int]:
    """Rows that differ in two columns of equal length, measures by more than rounding."""
    if pa.types.is_floating(now.type):
        left, right = (column.cast(pa.float64()).to_numpy(zero_copy_only=False) for column in (had, now))
        same = np.isclose(left, right, rtol=_CLOSE, atol=_CLOSE, equal_nan=True)
        return [int(row) for row in np.flatnonzero(~same)]
    try:
        same = pc.equal(had.cast(now.type), now)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return [row for row, (old, new) in enumerate(zip(had.to_pylist(), now.to_pylist(), strict=True)) if old != new]
    both_null = pc.and_(pc.is_null(had), pc.is_null(now))
    return [row for row, ok in enumerate(pc.or_kleene(same, both_null).to_pylist()) if not ok]
