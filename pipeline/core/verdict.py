"""A stage's answer for a batch: for each document keep, or drop because; and the columns it adds or replaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.schema import VERDICT

CRASHED = "crashed_worker"
"""The reason, at any stage, of a document that killed every process that the stage was asked in."""


class Reason(NamedTuple):
    """Why a document is dropped: a past-tense fact and the measure that it rests on."""

    reason: str
    value: float | None = None
    limit: float | None = None
    twin: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Verdict:
    """Arrays with one entry a row of the judged batch. `reason` null means keep; None means that all are kept.

    `found` counts what was met in these documents and is no column, such as `{"email/zh": 3}`: kind, then language. It
    is added up over batches and shards and stands in the manifest and the card.
    """

    reason: pa.Array | None = None
    value: pa.Array | None = None
    limit: pa.Array | None = None
    twin: pa.Array | None = None
    detail: pa.Array | None = None
    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    found: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, reasons: Sequence[Reason | str | None], columns: Mapping[str, pa.Array] | None = None) -> Verdict:
        """From one `Reason` (or bare reason string, or None for keep) a row."""
        full = [r if isinstance(r, Reason) else Reason(r) if r is not None else None for r in reasons]
        arrays = {
            name: pa.array([getattr(r, name) if r is not None else None for r in full], type=VERDICT[name])
            for name in Reason._fields
        }
        return cls(columns=columns or {}, **arrays)

    @property
    def kept(self) -> pa.BooleanArray | None:
        """The mask of kept rows; None when all are."""
        if self.reason is None or self.reason.null_count == len(self.reason):
            return None
        return pc.is_null(self.reason)
