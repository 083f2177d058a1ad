"""The recipe's own code asked again, about documents that are there already: for the audit of a finished corpus."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.again import Judged, Rebuilt
from pipeline.core.asset import Place
from pipeline.core.manifest import REMOVED, Manifest, Trial, Warned, digest
from pipeline.core.schema import DOCUMENT
from pipeline.core.stage import Checkpoint, Decision, Local
from pipeline.run.corpus import warnings_of
from pipeline.run.judging import Judging, visible
from pipeline.run.plan import make_plan
from pipeline.run.recipe import Named, Recipe
from pipeline.run.sweep import read_part

_CLOSE = 1e-3
"""What a stored measure may differ from the same measure made again: another build of a model's library rounds so."""


@dataclass(frozen=True)
class AskedAgain:
    """A recipe and where its files lie (`core.again.Again`); nothing is read before it is asked."""

    recipe: Recipe
    place: Place
    batch_rows: int = 256

    @cached_property
    def asked(self) -> tuple[Named, ...]:
        """The row-local stages whose verdict on the finished document is the one that they gave.

        No stage from them on changes texts, and none after them writes a column that they read.
        """
        listed = [named for named in self.recipe.stages if not isinstance(named.stage, Checkpoint)]
        found = []
        for at, named in enumerate(listed):
            stage = named.stage
            later = {column for after in listed[at + 1 :] for column in after.stage.columns_written()}
            rewritten = {"text", *stage.columns_read()} & later or "text" in stage.columns_written()
            if isinstance(stage, Local) and not rewritten and (stage.reasons or stage.columns_written()):
                found.append(named)
        return tuple(found)

    def stages(self) -> tuple[str, ...]:
        """Their labels."""
        return tuple(named.label for named in self.asked)

    def judge(self, documents: pa.Table) -> list[Judged]:
        """What they would drop of these documents, or write otherwise into a column that nothing later writes."""
        found = []
        with self.place.active():
            for batch in documents.combine_chunks().to_batches(self.batch_rows):
                for named in self.asked:
                    found += self._judge(named, batch)
        return found

    def _judge(self, named: Named, batch: pa.RecordBatch) -> list[Judged]:
        stage = named.stage
        assert isinstance(stage, Local)
        missing = set(stage.columns_read()) - set(batch.schema.names)
        if missing:
            return [Judged("every document", named.label, f"lacks the column {', '.join(sorted(missing))}")]
        verdict = stage.judge(visible(stage, _usual(batch)))
        names = batch.column("id").to_pylist()
        found = []
        if verdict.reason is not None:
            reasons = enumerate(verdict.reason.to_pylist())
            found += [Judged(names[row], named.label, f"would be dropped: {why}") for row, why in reasons if why]
        listed = [other.label for other in self.recipe.stages]
        after = self.recipe.stages[listed.index(named.label) + 1 :]
        kept = {column for other in after for column in other.stage.columns_written()}
        for name, array in verdict.columns.items():
            if name not in kept and name in batch.schema.names:
                odd = _different(batch.column(name), array)
                found += [Judged(names[row], named.label, f"has another {name} than it is given now") for row in odd]
        return found

    def rewritten_after(self, word: str) -> bool:
        """Whether a stage after the last one of this word changes texts."""
        words = [named.stage.word for named in self.recipe.stages]
        last = len(words) - words[::-1].index(word) if word in words else 0
        return any("text" in named.stage.columns_written() for named in self.recipe.stages[last:])

    def trials(self) -> dict[str, tuple[Trial, ...]]:
        """The trials of all detectors, held again."""
        with self.place.active():
            return {named.label: held for named in self.recipe.stages if (held := named.stage.trials())}

    def warnings(self, manifest: Manifest) -> tuple[Warned, ...]:
        """What a build would warn of, given these counts."""
        counts = [count for sweep in manifest.sweeps if sweep.name != REMOVED for count in sweep.stages]
        return warnings_of(counts, self.recipe.header.expect, self.recipe.judges)

    def rebuild(self, seed: str, among: Collection[tuple[str, str]]) -> Rebuilt:
        """Read one input file again, drawn by the seed, and judge its documents by the stages of the first sweep.

        Drawn from those of `among` that the recipe reads; from all that it reads where it reads none of them.
        """
        with self.place.active():
            plan = make_plan(self.recipe)
            first = plan.sweeps[0]
            files = sorted({(read.source.name, piece.name) for read in first.parts for piece in read.part.slices})
            source, file = min([one for one in files if one in among] or files, key=lambda one: digest([seed, *one]))
            reads = [
                read
                for read in first.parts
                if read.source.name == source and any(piece.name == file for piece in read.part.slices)
            ]
            texts: dict[str, str | None] = {}
            rewritten = any(
                "text" in named.stage.columns_written() for named in self.recipe.stages if named not in first.locals
            )
            for read in reads:
                judging = Judging(first.locals, first.columns, Decision(self.place.base), source)
                for batch in read_part(read, self.batch_rows):
                    kept, _ = judging.judge(batch)
                    pairs = zip(kept.column("id").to_pylist(), kept.column("text").to_pylist(), strict=True)
                    texts |= {name: None if rewritten else text for name, text in pairs}
            digests = reads[0].source.digests(reads[0].part)
        return Rebuilt(plan.key, source, file, digests[file], texts)


def _usual(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The document columns in their own types, whatever file they come from."""
    arrays = [
        column.cast(DOCUMENT[name]) if name in DOCUMENT and column.type != DOCUMENT[name] else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _different(had: pa.Array, now: pa.Array) -> list[int]:
    if pa.types.is_floating(now.type):
        left, right = (column.cast(pa.float64()).to_numpy(zero_copy_only=False) for column in (had, now))
        same = np.isclose(left, right, rtol=_CLOSE, atol=_CLOSE, equal_nan=True)
        return [int(row) for row in np.flatnonzero(~same)]
    try:
        same = pc.equal(had.cast(now.type), now)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return []
    both_null = pc.and_(pc.is_null(had), pc.is_null(now))
    return [row for row, ok in enumerate(pc.or_kleene(same, both_null).to_pylist()) if not ok]
