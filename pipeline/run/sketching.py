"""Sketches of shards: what a global stage needs to know of each document, written while documents pass."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.core.asset import sha256_file
from pipeline.core.errors import GristmillError, StageError
from pipeline.core.mirror import Remote
from pipeline.core.schema import conform
from pipeline.core.shards import ShardWriter, read_checked, shard_name, write_checked
from pipeline.core.stage import Global
from pipeline.run.judging import visible

if TYPE_CHECKING:
    from pipeline.run.sweep import ShardJob


class ShardSketch:
    """Writes the sketch of one shard while its documents pass; then a small file with the number of documents."""

    def __init__(self, job: ShardJob) -> None:
        assert job.sweep.closing and isinstance(job.sweep.closing.stage, Global) and job.sketches
        self.job, self.stage = job, job.sweep.closing.stage
        self.path = job.sketches / f"{shard_name(job.index)}.arrow"
        self.rows = 0
        empty = conform(pa.RecordBatch.from_pydict({}), job.sweep.columns)
        self._writer = ShardWriter(self.path, self._sketch(empty).schema, level=None)

    def add(self, batch: pa.RecordBatch) -> None:
        """Sketch a batch of kept documents."""
        self._writer.write(self._sketch(batch))
        self.rows += batch.num_rows

    def _sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        numbers = pa.array(np.arange(self.rows, self.rows + batch.num_rows))
        try:
            return self.stage.sketch(visible(self.stage, batch).append_column("row", numbers))
        except GristmillError:
            raise
        except Exception as error:
            label = self.job.sweep.closing.label if self.job.sweep.closing else ""
            raise StageError(label, self.job.name, "?", f"{type(error).__name__}: {error}") from error

    def __enter__(self) -> ShardSketch:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)
        if kind is None:
            told = {"rows": self.rows, "sha256": "" if isinstance(self.path, Remote) else sha256_file(self.path)}
            write_checked(sketch_mark(self.path), json.dumps(told))


def sketch_mark(path: Path) -> Path:
    """Beside a sketch, written after it: how many documents it stands for, and its digest."""
    return path.with_suffix(".json")


def is_sketched(path: Path) -> bool:
    """Whether a sketch is there and what was written; in a store, whether it is there."""
    if isinstance(path, Remote):
        return sketch_mark(path).exists()
    told = read_checked(sketch_mark(path))
    return told is not None and path.exists() and json.loads(told)["sha256"] == sha256_file(path)
