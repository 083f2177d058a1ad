"""What audits and reports ask of a recipe's code: rooms do not know each other, so the command line hands it over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from pipeline.core.census import Rule
from pipeline.core.manifest import Manifest, Trial, Warned


@dataclass(frozen=True)
class Judged:
    """A document that a stage would drop now, or whose column it would write otherwise."""

    id: str
    stage: str
    what: str


@dataclass(frozen=True)
class Rebuilt:
    """An input file read again: the key of the plan, and the documents that the first sweep keeps of it.

    `texts` by id; None where a later stage rewrites them.
    """

    key: str
    source: str
    file: str
    sha256: str
    texts: Mapping[str, str | None]


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

    def rebuild(self, seed: str, among: Collection[tuple[str, str]]) -> Rebuilt:
        """An input file read again, drawn from these pairs of source and file; GristmillError where it cannot be."""


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
