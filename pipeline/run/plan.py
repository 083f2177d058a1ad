"""From recipe to sweeps: row-local stages are fused, a global's sketch rides before and its verdicts after.

Reads of the corpus = globals + checkpoints + 1. A sweep's key is a hash of what determines its output, and of nothing
else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from pipeline.core.errors import SourceError
from pipeline.core.manifest import digest
from pipeline.core.stage import Checkpoint, Global, Part, Source
from pipeline.run.recipe import Named, Recipe, stored_columns

STORE = 1
"""Raised when the layout of stored files changes: nothing of another layout is taken for done."""

PACKING = "pack"
"""The name of the last sweep, whose rows are no documents."""


@dataclass(frozen=True)
class ReadPart:
    """A part of a source, and how many documents to take of it at most."""

    source: Source
    part: Part
    limit: int | None = None


def read_label(source: str) -> str:
    """How the ledger and the funnel call the reading of a source."""
    return f"read:{source}"


@dataclass(frozen=True)
class PlannedSweep:
    """One pass over the corpus. The first has `parts`; the others read the shards of the sweep before."""

    name: str
    key: str
    opening: Named | None
    locals: tuple[Named, ...]
    closing: Named | None
    decision_key: str
    columns: dict[str, pa.DataType]
    parts: tuple[ReadPart, ...] = ()
    checkpoint: bool = False

    @property
    def counted(self) -> tuple[str, ...]:
        """The labels under which this sweep drops documents, in order."""
        reads = dict.fromkeys(read_label(read.source.name) for read in self.parts)
        opening = (self.opening.label,) if self.opening else ()
        return (*reads, *opening, *(named.label for named in self.locals))

    @property
    def labels(self) -> tuple[str, ...]:
        """All that this sweep does, as the plan shows it."""
        end = (f"{self.closing.label}: sketch",) if self.closing else ("checkpoint",) if self.checkpoint else ()
        return (*self.counted, *end)


@dataclass(frozen=True)
class Plan:
    """The sweeps of a recipe, then the packing."""

    recipe: Recipe
    sweeps: tuple[PlannedSweep, ...]
    pack: PlannedSweep | None

    @property
    def key(self) -> str:
        """Identity of the whole corpus."""
        return self.pack.key if self.pack else self.sweeps[-1].decision_key or self.sweeps[-1].key

    @property
    def n_shards(self) -> int:
        """Shards of every sweep."""
        return len(self.sweeps[0].parts)

    @property
    def all_sweeps(self) -> tuple[PlannedSweep, ...]:
        """Sweeps in order, the packing last."""
        return (*self.sweeps, *((self.pack,) if self.pack else ()))


def make_plan(recipe: Recipe) -> Plan:
    """Cut the stages into sweeps; asks the sources for their parts (SourceError where there are none)."""
    parts = _parts(recipe)
    listed = [*recipe.stages, *((recipe.tokenizer,) if recipe.tokenizer else ())]
    parent = digest([STORE, [read_identity(read) for read in parts]])
    sweeps: list[PlannedSweep] = []
    opening: Named | None = None
    seen: list[Named] = []
    while True:
        cut = next((i for i, named in enumerate(listed) if isinstance(named.stage, Global | Checkpoint)), len(listed))
        run, end = tuple(listed[:cut]), listed[cut] if cut < len(listed) else None
        closing = end if end and isinstance(end.stage, Global) else None
        seen += run
        key = digest([parent, "sweep", [named.identity for named in run]])
        decision_key = digest([key, "decide", closing.identity]) if closing else ""
        last = run[-1] if run else opening
        name = last.label if last else "read"
        columns = stored_columns(recipe.sources, seen)
        first = tuple(parts) if not sweeps else ()
        kept = end is not closing
        sweeps.append(PlannedSweep(name, key, opening, run, closing, decision_key, columns, first, kept))
        if end is None or end is recipe.tokenizer:
            break
        parent, opening, listed = decision_key or key, closing, listed[cut + 1 :]
        seen += [closing] if closing else []
    return Plan(recipe, tuple(sweeps), _packing(recipe, sweeps[-1]))


def first_texts(plan: Plan, limit: int) -> list[str]:
    """The texts of the first documents of every part, as the sources give them; about `limit` in all."""
    reads = plan.sweeps[0].parts
    share = max(1, limit // len(reads))
    texts: list[str] = []
    for read in reads:
        held: list[str] = []
        for batch in read.source.read(read.part):
            if "text" in batch.schema.names:
                held += [text for text in batch.column("text").to_pylist() if text]
            if len(held) >= share:
                break
        texts += held[:share]
        if len(texts) >= limit:
            break
    return texts


def _packing(recipe: Recipe, last: PlannedSweep) -> PlannedSweep | None:
    if not recipe.pack:
        return None
    key = digest([last.decision_key, "pack", recipe.pack.identity])
    return PlannedSweep(PACKING, key, recipe.tokenizer, (recipe.pack,), None, "", {})


def _parts(recipe: Recipe) -> list[ReadPart]:
    reads: list[ReadPart] = []
    for source in recipe.sources:
        parts = source.parts()
        if not parts:
            raise SourceError(source.name, "there is nothing to read in this source")
        reads += _limited([ReadPart(source, part) for part in parts], recipe.header.limit)
    return reads


def _limited(reads: Sequence[ReadPart], limit: int | None) -> list[ReadPart]:
    """Spread a limit over the parts of a source, evenly, so that no part waits for another's count."""
    if limit is None:
        return list(reads)
    used = reads[:limit]
    share, more = divmod(limit, len(used))
    return [replace(read, limit=share + (index < more)) for index, read in enumerate(used)]


def read_identity(read: ReadPart) -> list[object]:
    """What is read, and how: the name and digest of the bytes, never where they lie."""
    slices = [[piece.name, piece.digest, piece.start, piece.stop] for piece in read.part.slices]
    return [read.source.word, read.source.version, read.source.fields(), slices, read.limit]
