"""Benchmark questions out of a corpus, with what could be found at all and what was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.backends.benchmark_files import BenchmarkFiles
from pipeline.backends.benchmarks import Item, Layout, items
from pipeline.core.asset import Asset
from pipeline.core.manifest import Trial
from pipeline.core.schema import DOCUMENT
from pipeline.core.shards import read_table
from pipeline.core.stage import (
    DROPS,
    Count,
    Decision,
    Exchange,
    Global,
    Share,
    Sketches,
    dropped,
    write_drops,
    write_facts,
)
from pipeline.core.verdict import Reason, Verdict
from pipeline.filters import contamination_trials
from pipeline.filters.questions import Evidence, Index, Match
from pipeline.kernels.grams import WORD, Grams

_MOST_IDS = 200
"""Matched ids that are written out for a benchmark."""

_PRESETS = {"13-grams": 13, "8-grams": 8}


class Contamination(Global):
    """Finds questions and answers of benchmarks, and drops the documents that hold them or cuts them out.

    Compared are words without case, marks and accents; Chinese, Japanese, Korean and Thai by characters, two for a
    word. A question stands in a document by `run` words in a row, or by runs of `gram` words that cover `share` of it
    within twice its length. The presets ask for one run alone: any 13 words of a question (GPT-3, lm-eval), or any 8
    (GPT-2). Runs that very many documents or questions hold are a manner of speaking, and no evidence. The card has for
    each benchmark how many questions are long enough to be found at all, which were, and measured recall.
    """

    optional: ClassVar[tuple[str, ...]] = ("lang",)
    reads: ClassVar[tuple[str, ...]] = ("text",)
    writes: ClassVar[Mapping[str, pa.DataType]] = {"text": DOCUMENT["text"]}
    reasons: ClassVar[tuple[str, ...]] = ("contaminated",)
    example: ClassVar[Mapping[str, Any]] = {
        "written": ["What came in and what went out must be the same, he says, and what was thrown away must be in it."]
    }

    against: tuple[BenchmarkFiles, ...] = Field((), description="benchmarks to look for")
    written: tuple[str, ...] = Field((), description="questions written here, such as canary strings")
    preset: Literal["13-grams", "8-grams"] | None = Field(
        None, description="any 13, or any 8 words in a row, in place of run, gram, share and least"
    )
    action: Literal["drop", "cut"] = Field(
        "drop", description="drop the documents, or cut out what lies between the first and the last word of a match"
    )
    run: int = Field(13, ge=2, le=64, description="words in a row that are evidence by themselves")
    gram: int = Field(5, ge=2, le=32, description="words of the shortest run that counts towards `share`")
    share: Share = Field(0.5, description="share of a question that such runs have to cover")
    least: int = Field(8, ge=2, description="words of the shortest question that is looked for, and fewest covered")
    max_questions: int = Field(10, ge=1, description="questions of one benchmark above which a run is no evidence")
    common_share: Share = Field(0.001, description="share of the documents above which a run is no evidence, if also")
    common_documents: Count = Field(100, description="more than so many documents hold it")
    min_left: Count = Field(200, description="characters that must be left of a document that was cut")

    @model_validator(mode="after")
    def _looks_for_something(self) -> Self:
        if not self.against and not self.written:
            raise ValueError("give at least one of against and written")
        names = [benchmark.name for benchmark in self.against]
        if len({*names, *(["written"] if self.written else [])}) < len(names) + bool(self.written):
            raise ValueError("two benchmarks have the same name")
        if self.preset and {"run", "gram", "share", "least"} & self.model_fields_set:
            raise ValueError("preset stands for run, gram, share and least: leave these out, or the preset")
        if self.least < self.gram:
            raise ValueError("least must not be smaller than gram")
        return self

    def columns_written(self) -> Mapping[str, pa.DataType]:
        """The text, where questions are cut out of it."""
        return self.writes if self.action == "cut" else {}

    def assets(self) -> tuple[Asset, ...]:
        """The files of all benchmarks."""
        return tuple(asset for benchmark in self.against for asset in benchmark.assets())

    def trials(self) -> tuple[Trial, ...]:
        """Questions planted word by word and changed, and their words in another order."""
        return contamination_trials.trials(self.index(), self.benchmarks())

    def benchmarks(self) -> list[tuple[str, str | None, list[Item]]]:
        """Name, language and entries of each."""
        read = [(b.name, b.lang, [i for a in b.assets() for i in _items(a, b.layout)]) for b in self.against]
        own = [Item(str(number), text, "") for number, text in enumerate(self.written)]
        return [*read, ("written", None, own)] if own else read

    def index(self) -> Index:
        """What is looked up, made once in a process."""
        n = _PRESETS.get(self.preset or "")
        shape = (n, n, 1.0, n) if n else (self.gram, self.run, self.share, self.least)
        evidence = Evidence(*shape, self.max_questions)
        named = tuple((benchmark.assets(), benchmark.layout) for benchmark in self.against)
        return _index(named, self.written, evidence)

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Every run of a question that stands in a document; most have none."""
        met = self.index().look(batch.column("text"))
        columns = {
            "row": batch.column("row").take(pa.array(met.row)),
            "gram": pa.array(met.hash, pa.uint64()),
            "first": pa.array(met.first, pa.int32()),
            "last": pa.array(met.last, pa.int32()),
        }
        return pa.RecordBatch.from_pydict(columns)

    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        """Leave out what is common, and name the documents that hold a question; memory follows the runs of a shard."""
        index, listed = self.index(), self.benchmarks()
        common = self._common(sketches, index)
        np.save(out / "common.npy", common)
        documents = Counter[int]()
        matched: dict[int, set[int]] = {number: set() for number in range(len(listed))}
        for shard, file in enumerate(sketches.files):
            table = read_table(file)
            met = _met(table)
            by_row: dict[int, list[Match]] = {}
            for match in index.matches(met, common):
                by_row.setdefault(match.row, []).append(match)
            for found in by_row.values():
                parts = [index.parts[match.part] for match in found]
                documents.update({part.benchmark for part in parts})
                for part in parts:
                    matched[part.benchmark].add(part.item)
            if by_row:
                write_drops(
                    _drops({row: self._reason(found, index, listed) for row, found in by_row.items()}), shard, out
                )
        facts = {
            name: {
                "questions": len(entries),
                "long enough": (seen := sum(_seen(index, number))),
                "share long enough": round(seen / len(entries), 4),
                "found": len(matched[number]),
                "documents": documents[number],
                "ids": _listed([entries[item].id for item in sorted(matched[number])]),
            }
            for number, (name, _, entries) in enumerate(listed)
        }
        runs = {"runs of many questions, ignored": index.n_shared, "runs of many documents, ignored": len(common)}
        write_facts({"benchmarks": facts, **runs}, out)

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """Drop the documents that were named, or cut the questions out of them."""
        verdict = dropped(batch.num_rows, decision)
        if self.action == "drop" or verdict.kept is None:
            return verdict
        return self._cut(batch, verdict, np.load(decision.folder / "common.npy"))

    def _cut(self, batch: pa.RecordBatch, verdict: Verdict, common: np.ndarray) -> Verdict:
        rows = np.flatnonzero(~verdict.kept.to_numpy(zero_copy_only=False))  # type: ignore[union-attr]
        texts = batch.column("text").take(pa.array(rows))
        index = self.index()
        met = index.look(texts)
        langs, found = batch.column("lang").to_pylist(), Counter[str]()
        names = [name for name, *_ in self.benchmarks()]
        spans: dict[int, list[tuple[int, int]]] = {}
        for match in index.matches(met, common):
            inside = (met.row == match.row) & (met.first >= match.first) & (met.last <= match.last)
            spans.setdefault(match.row, []).append((int(met.start[inside].min()), int(met.stop[inside].max())))
            found[f"{names[index.parts[match.part].benchmark]}/{langs[rows[match.row]] or 'und'}"] += 1
        changed = batch.column("text").to_pylist()
        reasons: list[Reason | None] = [None] * batch.num_rows
        for number, row in enumerate(rows.tolist()):
            left = _without(changed[row].encode(), spans.get(number, []))
            if len(left) < self.min_left:
                reasons[row] = Reason("contaminated", len(left), self.min_left, detail=verdict.detail[row].as_py())  # type: ignore[index]
            else:
                changed[row] = left
        return replace(Verdict.of(reasons, {"text": pa.array(changed, DOCUMENT["text"])}), found=found)

    def _common(self, sketches: Sketches, index: Index) -> np.ndarray:
        """Runs that more documents hold than can be chance or leak."""
        limit = max(self.common_documents, self.common_share * sum(sketches.rows))
        counts = np.zeros(len(index.hashes), np.int64)
        for file in sketches.files:
            pairs = read_table(file).select(["row", "gram"]).group_by(["row", "gram"]).aggregate([])
            np.add.at(counts, np.searchsorted(index.hashes, pairs["gram"].to_numpy()), 1)
        common: np.ndarray = index.hashes[counts > limit]
        return common

    def _reason(self, found: list[Match], index: Index, listed: list[tuple[str, str | None, list[Item]]]) -> Reason:
        parts = [index.parts[match.part] for match in found]
        said = dict.fromkeys(f"{listed[p.benchmark][0]}: {listed[p.benchmark][2][p.item].id} ({p.kind})" for p in parts)
        by_run = max(match.run for match in found)
        detail = _listed(list(said), 20)
        if by_run >= WORD * index.evidence.run:
            return Reason("contaminated", by_run / WORD, index.evidence.run, detail=detail)
        share = max(match.covered / part.units for match, part in zip(found, parts, strict=True))
        return Reason("contaminated", share, index.evidence.share, detail=detail)


def _seen(index: Index, benchmark: int) -> list[bool]:
    """Of each entry of a benchmark, whether its question or its answer is long enough."""
    items: dict[int, bool] = {}
    for part in index.parts:
        if part.benchmark == benchmark:
            items[part.item] = items.get(part.item, False) or part.seen
    return list(items.values())


def _listed(names: list[str], most: int = _MOST_IDS) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _met(table: pa.Table) -> Grams:
    row, first, last = (table[name].to_numpy().astype(np.int64) for name in ("row", "first", "last"))
    return Grams(row, first, last, first, last, table["gram"].to_numpy())


def _drops(reasons: Mapping[int, Reason]) -> pa.Table:
    said = {name: [getattr(reason, name) for reason in reasons.values()] for name in Reason._fields}
    columns = {"row": list(reasons), **said}
    return pa.table({name: pa.array(columns[name], dtype) for name, dtype in DROPS.items()})


def _without(encoded: bytes, spans: list[tuple[int, int]]) -> str:
    """The text without these bytes, nor the white space at its ends."""
    pieces, at = [], 0
    for start, stop in sorted(spans):
        if stop > at:
            pieces.append(encoded[at : max(at, start)].decode())
            at = stop
    pieces.append(encoded[at:].decode())
    return "".join(pieces).strip()


@cache
def _items(asset: Asset, layout: Layout) -> list[Item]:
    return items(asset.path, layout)


@cache
def _index(named: tuple[tuple[tuple[Asset, ...], Layout], ...], written: tuple[str, ...], evidence: Evidence) -> Index:
    benchmarks = [[item for asset in assets for item in _items(asset, layout)] for assets, layout in named]
    own = [Item(str(number), text, "") for number, text in enumerate(written)]
    return Index([*benchmarks, own] if own else benchmarks, evidence)
