"""What the manifest of a corpus says once documents are taken out of it: every sum still closes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.manifest import (
    REMOVED,
    FileDigest,
    Group,
    Manifest,
    Size,
    StageCount,
    Sweep,
    TokenGroup,
    compose,
    digest,
)
from pipeline.core.verdict import CRASHED

REASON = "taken_down"


@dataclass
class Books:
    """The numbers of the manifest, less what goes."""

    before: Manifest
    documents: list[pa.RecordBatch] = field(default_factory=list)
    facts: Counter[str] = field(default_factory=Counter)
    pieces: Counter[tuple[str, str]] = field(default_factory=Counter)

    def manifest(
        self, documents: tuple[FileDigest, ...], tokens: tuple[FileDigest, ...], removed: Sequence[str]
    ) -> Manifest:
        """The manifest without the documents `removed`; its funnel has one line more, and its arithmetic closes."""
        before = self.before
        gone = sum((Size.of(batch.column("text")) for batch in self.documents), Size())
        groups = {(g.source, g.lang, g.license): g for g in before.composition}
        for group in (group for batch in self.documents for group in compose(batch)):
            key = (group.source, group.lang, group.license)
            groups[key] = groups[key].model_copy(update={"size": _less(groups[key].size, group.size)})
        facts = Counter(before.facts)
        facts.update(self.facts)
        return before.model_copy(
            update={
                "sweeps": self._sweeps(gone, sum(file.rows for file in tokens), removed),
                "composition": tuple(group for group in groups.values() if _has_documents(group)),
                "documents": documents,
                "tokens": tokens,
                "facts": {name: facts[name] for name in sorted(before.facts)},
                "token_groups": self._token_groups(),
                "longest": tuple(document for document in before.longest if document.id not in removed),
            }
        )

    def _sweeps(self, gone: Size, n_rows: int, removed: Sequence[str]) -> tuple[Sweep, ...]:
        before = self.before
        packing = before.sweeps[-1:] if before.recipe.get("pack") is not None else ()
        judging = before.sweeps[: len(before.sweeps) - len(packing)]
        had = judging[-1] if judging and judging[-1].name == REMOVED else None
        last = judging[-1]
        start = had.stages[0].read if had else sum((group.size for group in before.composition), Size())
        kept = _less(had.stages[0].kept if had else start, gone)
        n_gone = start.documents - kept.documents
        count = StageCount(stage=REMOVED, read=start, kept=kept, dropped={REASON: n_gone})
        key = digest([last.key if not had else judging[-2].key, list(removed)])
        taken = Sweep(
            name=REMOVED,
            key=key,
            shards=len(before.documents),
            rows_in=start.documents,
            rows_out=kept.documents,
            stages=(count,),
        )
        packed = tuple(
            sweep.model_copy(
                update={
                    "rows_in": kept.documents,
                    "rows_out": n_rows,
                    "stages": (self._packed(sweep.stages[0], kept),),
                }
            )
            for sweep in packing
        )
        return (*(judging[:-1] if had else judging), taken, *packed)

    def _packed(self, before: StageCount, read: Size) -> StageCount:
        """What the packing did with the documents that are left; some of those that go may never have had tokens."""
        packed = pa.array(sorted({name for _, name in self.pieces}), pa.string())
        texts = (batch.filter(pc.is_in(batch.column("id"), value_set=packed))["text"] for batch in self.documents)
        kept = _less(before.kept, sum(map(Size.of, texts), Size()))
        n_refused = read.documents - kept.documents
        return StageCount(stage=before.stage, read=read, kept=kept, dropped={CRASHED: n_refused} if n_refused else {})

    def _token_groups(self) -> tuple[TokenGroup, ...]:
        groups = {(g.split, g.source, g.lang): g for g in self.before.token_groups}
        split_of = {name: split for split, name in self.pieces}
        for batch in self.documents:
            sizes = pc.fill_null(pc.binary_length(batch.column("text")), 0).to_pylist()
            named = zip(*(batch.column(name).to_pylist() for name in ("id", "source", "lang")), sizes, strict=True)
            for name, source, lang, size in named:
                key = (split_of.get(name, ""), source, lang)
                if key in groups:
                    less = {"documents": 1, "bytes": size, "tokens": self.pieces[key[0], name]}
                    counts = {field: getattr(groups[key], field) - count for field, count in less.items()}
                    groups[key] = groups[key].model_copy(update=counts)
        return tuple(group for group in groups.values() if group.documents)


def _less(size: Size, gone: Size) -> Size:
    return Size(**{name: getattr(size, name) - getattr(gone, name) for name in Size.model_fields})


def _has_documents(group: Group) -> bool:
    return group.size.documents > 0
