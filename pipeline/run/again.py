"""The recipe's own code asked again, about documents that are there already: for the audit of a finished corpus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from pipeline.core.again import Judged, Rebuilt, different
from pipeline.core.asset import Place
from pipeline.core.manifest import REMOVED, Manifest, Trial, Warned
from pipeline.core.schema import DOCUMENT
from pipeline.core.stage import Checkpoint, Local
from pipeline.run.corpus import warnings_of
from pipeline.run.judging import visible
from pipeline.run.options import Options
from pipeline.run.rebuild import rebuild_shard
from pipeline.run.recipe import Named, Recipe


@dataclass(frozen=True)
class AskedAgain:
    """A recipe and where its files lie (`core.again.Again`); nothing is read before it is asked.

    The store below `root` is looked at, where there is one.
    """

    recipe: Recipe
    place: Place
    root: Path = Path("build")
    workers: int = 1
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
                odd = different(batch.column(name), array)
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

    def rebuild(self, source: str, file: str, name: str) -> Rebuilt:
        """The shard with this document, which was read from a file of a source, made again."""
        options = Options(root=self.root, workers=self.workers, batch_rows=self.batch_rows, place=self.place)
        return rebuild_shard(self.recipe, options, source, file, name)


def _usual(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The document columns in their own types, whatever file they come from."""
    arrays = [
        column.cast(DOCUMENT[name]) if name in DOCUMENT and column.type != DOCUMENT[name] else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
