"""The recipe's own code asked for a report: what documents measure by its limits, and what is not to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.core.again import Masking, Measured
from pipeline.core.asset import Place
from pipeline.core.stage import Local, Stage
from pipeline.run.census import rule_of
from pipeline.run.judging import visible
from pipeline.run.recipe import Named, Recipe
from pipeline.run.registry import stages


@dataclass(frozen=True)
class Shown:
    """A recipe and where its files lie (`core.again.Showing`)."""

    recipe: Recipe
    place: Place

    def check(self) -> None:
        """GristmillError where a file that one of these stages needs is not here."""
        with self.place.active():
            for named in self.recipe.stages:
                if _is_limits(named.stage) or isinstance(named.stage, Masking):
                    named.stage.assets()

    def measured(self, documents: pa.RecordBatch) -> Sequence[Measured]:
        """By every stage whose measures do not depend on its limits; nothing where none is asked of these documents."""
        with self.place.active():
            return [found for named in self.recipe.stages for found in self._measured(named, documents)]

    def masked(self, documents: pa.RecordBatch) -> pa.LargeStringArray:
        """By `pii` with all its kinds, whatever the recipe has, and by what the recipe has besides."""
        pii = stages()["pii"]()
        others = [named.stage for named in self.recipe.stages if named.stage.word != pii.word]
        with self.place.active():
            for stage in (pii, *others):
                if isinstance(stage, Masking):
                    texts = stage.masked(visible(stage, documents))
                    at = documents.schema.get_field_index("text")
                    documents = documents.set_column(at, "text", texts)
        return documents.column("text")

    def _measured(self, named: Named, documents: pa.RecordBatch) -> Sequence[Measured]:
        stage = named.stage
        if not isinstance(stage, Local) or not _is_limits(stage):
            return []
        written = {name: documents.column(name) for name in stage.columns_written() if name in documents.schema.names}
        if len(written) == len(stage.columns_written()) > 0:
            # A stage that wrote what it measured is not run again: its columns are there.
            measures = {**written, "disputed": pa.array([False] * documents.num_rows)}
        elif not stage.columns_written():
            measures = dict(stage.evidence(visible(stage, documents)).measures)
        else:
            return []
        return [
            Measured(rule_of(named, judgement), _floats(judgement.value), _floats(judgement.limit))
            for judgement in stage.rules(measures)
            if judgement.field
        ]


def _is_limits(stage: Stage) -> bool:
    """Whether its measures are there without its limits."""
    return isinstance(stage, Local) and stage.measuring() != stage.fields()


def _floats(column: pa.Array) -> np.ndarray:
    values: np.ndarray = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values
