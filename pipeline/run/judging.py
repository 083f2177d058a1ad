"""Applies the stages of one sweep to its batches, in order, and keeps the books.

The only place where documents are dropped: a stage says why, and here the row moves from the batch to the ledger.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import GristmillError, StageError
from pipeline.core.manifest import Size, StageCount
from pipeline.core.schema import DOCUMENT, RAW, UNREADABLE, VERDICT, conform
from pipeline.core.stage import Decision, Global, Local, Stage
from pipeline.core.verdict import Verdict
from pipeline.run.plan import read_label
from pipeline.run.recipe import Named

if TYPE_CHECKING:
    from pipeline.run.careful import Care


@dataclass
class Tally:
    """Counts and time of one stage in one shard."""

    read: Size = field(default_factory=Size)
    kept: Size = field(default_factory=Size)
    dropped: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Judging:
    """The stages of a sweep, the first of them perhaps with a decision; `source` is set where documents are read."""

    def __init__(
        self,
        stages: Sequence[Named],
        columns: Mapping[str, pa.DataType],
        decision: Decision,
        source: str = "",
        care: Care | None = None,
    ) -> None:
        self.rows_in = 0
        self.ledger_columns = {**VERDICT, **columns}
        self._decision, self._care = decision, care
        self._stages: dict[str, Named | None] = {read_label(source): None} if source else {}
        self._stages |= {named.label: named for named in stages}
        self._tallies = {label: Tally() for label in self._stages}

    def judge(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """The kept rows, and the dropped ones as ledger rows in the order in which they were read."""
        decision = replace(self._decision, start=self.rows_in)
        self.rows_in += batch.num_rows
        rows = np.arange(batch.num_rows)
        entries: list[pa.RecordBatch] = []
        places: list[np.ndarray] = []
        size = Size.of(batch.column("text"))
        for label, tally in self._tallies.items():
            started = time.perf_counter()
            verdict = self._carefully(label, batch, decision) if self._care else self._ask(label, batch, decision)
            tally.seconds += time.perf_counter() - started
            tally.read += size
            tally.found.update(verdict.found)
            batch = with_columns(batch, verdict.columns)
            kept = verdict.kept
            if kept is not None and verdict.reason is not None:
                gone = pc.invert(kept)
                rows_gone = ledger_rows(label, verdict, batch, self.ledger_columns).filter(gone)
                entries.append(conform(rows_gone, self.ledger_columns))
                places.append(rows[gone.to_numpy(zero_copy_only=False)])
                tally.dropped.update(verdict.reason.filter(gone).to_pylist())
                batch, rows = batch.filter(kept), rows[kept.to_numpy(zero_copy_only=False)]
            if kept is not None or "text" in verdict.columns:
                size = Size.of(batch.column("text"))
            tally.kept += size
        if not entries:
            return batch, conform(batch.slice(0, 0), self.ledger_columns)
        return batch, pa.concat_batches(entries).take(pa.array(np.argsort(np.concatenate(places), kind="stable")))

    def counts(self) -> tuple[StageCount, ...]:
        """What each stage did, in order."""
        return tuple(
            StageCount(
                stage=label,
                read=tally.read,
                kept=tally.kept,
                dropped=dict(sorted(tally.dropped.items())),
                found=dict(sorted(tally.found.items())),
            )
            for label, tally in self._tallies.items()
        )

    def seconds(self) -> dict[str, float]:
        """Time spent in each stage."""
        return {label: round(tally.seconds, 3) for label, tally in self._tallies.items()}

    def _carefully(self, label: str, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """The same, written down first; a row that is known to crash here is dropped. It is alone in its batch."""
        assert self._care
        if batch.num_rows == 0:
            return self._ask(label, batch, decision)
        if verdict := self._care.verdict(label, decision.start):
            return verdict
        self._care.doing(label, decision.start, self.rows_in - decision.start)
        return self._ask(label, batch, decision)

    def _ask(self, label: str, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        named = self._stages[label]
        if named is None:
            return _unreadable(batch)
        stage, seen = named.stage, visible(named.stage, batch)
        assert isinstance(stage, Local | Global)
        if batch.num_rows == 0:
            return Verdict(columns={name: pa.nulls(0, dtype) for name, dtype in stage.columns_written().items()})
        try:
            verdict = stage.judge(seen) if isinstance(stage, Local) else stage.judge(seen, decision)
            _check(stage, verdict, batch.num_rows)
        except GristmillError:
            raise
        except Exception as error:
            document = _culprit(stage, seen, batch) if isinstance(stage, Local) else "?"
            raise StageError(label, f"shard {decision.shard}", document, f"{type(error).__name__}: {error}") from error
        return verdict


def ledger_rows(label: str, verdict: Verdict, batch: pa.RecordBatch, columns: Collection[str]) -> pa.RecordBatch:
    """What the ledger says of these rows: the verdict of a stage, and of the batch these columns."""
    n = batch.num_rows
    given = {name: getattr(verdict, name, None) for name in VERDICT if name != "stage"}
    said = {name: pa.nulls(n, VERDICT[name]) if array is None else array for name, array in given.items()}
    said["stage"] = pa.array([label] * n, pa.string())
    said |= {name: batch.column(name) for name in batch.schema.names if name in columns}
    return pa.RecordBatch.from_pydict(said)


def visible(stage: Stage, batch: pa.RecordBatch) -> pa.RecordBatch:
    """What a stage may see of a batch: the columns it reads, and its optional ones, null where there are none."""
    have = set(batch.schema.names)
    names = dict.fromkeys((*stage.columns_read(), *stage.optional))
    columns = {
        name: batch.column(name) if name in have else pa.nulls(batch.num_rows, _DOCUMENT_TYPES.get(name, pa.null()))
        for name in names
    }
    if not columns:
        return batch.select([])
    return pa.RecordBatch.from_pydict(columns)


_DOCUMENT_TYPES = {**DOCUMENT, **RAW, **UNREADABLE}


def _unreadable(batch: pa.RecordBatch) -> Verdict:
    what = batch.column("unreadable")
    reason = pc.if_else(pc.is_null(what), pa.scalar(None, pa.string()), pa.scalar("unreadable"))
    value = batch.column("offset").cast(pa.float64())
    return Verdict(reason=reason, value=value, detail=what)


def with_columns(batch: pa.RecordBatch, columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """The batch with these columns, in place of those of the same name."""
    for name, array in columns.items():
        index = batch.schema.get_field_index(name)
        batch = batch.append_column(name, array) if index < 0 else batch.set_column(index, name, array)
    return batch


def _check(stage: Stage, verdict: Verdict, n_rows: int) -> None:
    declared = stage.columns_written()
    if set(verdict.columns) - set(declared):
        raise ValueError(f"it wrote {sorted(set(verdict.columns) - set(declared))} but declares {sorted(declared)}")
    for name, array in verdict.columns.items():
        if len(array) != n_rows or array.type != declared[name]:
            raise ValueError(f"column {name!r} has {len(array)} of {n_rows} rows, type {array.type}")
    given = set(verdict.reason.unique().to_pylist()) - {None} if verdict.reason is not None else set()
    if given - set(stage.reasons):
        raise ValueError(f"it gave the reasons {sorted(given - set(stage.reasons))} but declares {stage.reasons}")


def _culprit(stage: Local, seen: pa.RecordBatch, batch: pa.RecordBatch) -> str:
    """The id of the first document that the stage fails on alone."""
    for row in range(seen.num_rows):
        try:
            stage.judge(seen.slice(row, 1))
        except Exception:
            return str(batch.column("id")[row].as_py())
    return "?"
