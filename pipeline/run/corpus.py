"""The finished corpus: receipts added up to the manifest, and the shards linked into the folder that people open."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from pipeline import __version__
from pipeline.core.asset import sha256_file
from pipeline.core.errors import StoreError
from pipeline.core.manifest import (
    FileDigest,
    Index,
    Manifest,
    Receipt,
    StageCount,
    Sweep,
    Warned,
    add_groups,
    add_inputs,
    add_stages,
    add_token_groups,
    longest_of,
    n_used,
    read_manifest,
)
from pipeline.core.shards import shard_name, write_text
from pipeline.core.stage import FACTS, Global, read_facts
from pipeline.core.verdict import CRASHED
from pipeline.run.options import Options
from pipeline.run.plan import PACKING, Plan, PlannedSweep
from pipeline.run.remove import TOMBSTONES, Removed
from pipeline.run.store import Store, file_digest, link, whole_folder

WARN_ROWS = 100
WARN_SHARE = 0.9
DEAD_ROWS = 1000
"""A stage that only drops, and dropped none of so many documents, is news."""


@dataclass(frozen=True)
class Corpus:
    """What a build made in the store: `receipts` of each sweep, the last `decision`, the `root` of the documents."""

    plan: Plan
    store: Store
    receipts: list[list[Receipt]]
    decision: Path | None
    root: str

    def manifest(self, options: Options, seconds: float) -> Manifest:
        """The receipts, added up."""
        plan = self.plan
        sweeps = tuple(_added(sweep, rows) for sweep, rows in zip(plan.all_sweeps, self.receipts, strict=True))
        facts: Counter[str] = Counter()
        for receipt in self._packed:
            facts.update(receipt.facts)
        tallies = [receipt.tally for receipt in self._packed if receipt.tally]
        if tallies:
            facts |= {"vocabulary": max(t.vocabulary for t in tallies), "vocabulary_used": n_used(tallies)}
        stages = [count for sweep in sweeps for count in sweep.stages]
        return Manifest(
            gristmill=__version__,
            recipe=plan.recipe.data,
            key=plan.key,
            root=self.root,
            sweeps=sweeps,
            inputs=add_inputs(receipt.inputs for receipt in self.receipts[0]),
            composition=add_groups(receipt.composition for receipt in self._documents),
            documents=tuple(published for _, published in _published(self._documents, "documents")),
            tokens=tuple(published for _, published in _published(self._packed, "tokens")),
            tokenizer=tuple(_below("tokenizer", file) for file in self._tokenizer_files()),
            indexes=tuple(self._indexes()),
            versions=self._versions(),
            facts=dict(sorted(facts.items())),
            decided=self._decided(),
            trials={n.label: found for n in plan.recipe.stages if (found := n.stage.trials())},
            token_groups=add_token_groups(tally.groups for tally in tallies),
            longest=longest_of(document for tally in tallies for document in tally.longest),
            warnings=warnings_of(stages, plan.recipe.header.expect, plan.recipe.judges),
            execution=_execution(self.receipts, options, seconds),
        )

    def publish(self, manifest: Manifest, folder: Path, removed: Removed | None = None) -> None:
        """Put the corpus in its folder, in place of what was there, all at once.

        What was `removed` before has still to be removed again, and the folder says so.
        """
        last = self.plan.sweeps[-1]
        with whole_folder(folder) as new:
            _link(_published(self._documents, "documents"), self.store.folder(last.name, last.key), new)
            if self.plan.pack:
                pack = self.store.folder(self.plan.pack.name, self.plan.pack.key)
                _link(_published(self._packed, "tokens"), pack, new)
            for file in self._tokenizer_files():
                link(file, new / "tokenizer" / file.name)
            text = yaml.safe_dump(self.plan.recipe.data, sort_keys=False, allow_unicode=True, width=120)
            write_text(new / "recipe.yaml", text)
            write_text(new / "manifest.json", manifest.to_json())
            if removed:
                write_text(new / TOMBSTONES, removed.model_copy(update={"before": ""}).to_json())

    @property
    def _documents(self) -> list[Receipt]:
        return self.receipts[len(self.plan.sweeps) - 1]

    @property
    def _packed(self) -> list[Receipt]:
        return self.receipts[-1] if self.plan.pack else []

    def _indexes(self) -> Iterator[Index]:
        """The sketches of every global stage, for later builds."""
        for sweep, receipts in zip(self.plan.sweeps, self.receipts, strict=False):
            if sweep.closing and isinstance(stage := sweep.closing.stage, Global):
                sketches = self.store.sketches(sweep.closing.label, sweep.decision_key)
                yield Index(
                    stage=sweep.closing.label,
                    word=stage.word,
                    version=stage.version,
                    fields=stage.fields(),
                    sources=tuple(source.name for source in self.plan.recipe.sources),
                    path=sketches.relative_to(self.store.root).as_posix(),
                    shards=len(receipts),
                    older=stage.older(),
                )

    def _versions(self) -> dict[str, int]:
        recipe = self.plan.recipe
        sources = {f"read:{source.name}": source.version for source in recipe.sources}
        return sources | {named.label: named.stage.version for named in recipe.stages}

    def _decided(self) -> dict[str, dict[str, Any]]:
        """What each decision tells of itself, by stage."""
        closings = [(sweep.closing.label, sweep.decision_key) for sweep in self.plan.sweeps if sweep.closing]
        told = {label: read_facts(self.store.decision(label, key) / "decision") for label, key in closings}
        return {label: facts for label, facts in told.items() if facts}

    def _tokenizer_files(self) -> list[Path]:
        if not self.plan.recipe.tokenizer or not self.decision:
            return []
        return sorted(path for path in self.decision.iterdir() if path.name != FACTS)


def is_whole(folder: Path, manifest: Manifest, removed: Removed | None = None, *, verify: bool = False) -> bool:
    """Whether exactly this corpus is in its folder, with all of its files, but for the documents removed since.

    The files count by their sizes, with `verify` by their digests.
    """
    try:
        built = read_manifest(folder)
    except StoreError:
        return False
    there = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    whole = all(there.get(folder / file.path) == file.bytes for file in built.files)
    whole = whole and (not verify or all(sha256_file(folder / file.path) == file.sha256 for file in built.files))
    return (removed.before if removed else built.digest) == manifest.digest and whole


def warnings_of(
    stages: Iterable[StageCount], expect: dict[str, tuple[float, float]], judges: Collection[str]
) -> tuple[Warned, ...]:
    """Documents that killed their process; missed expectations.

    Else stages that removed nearly all of `WARN_ROWS` documents, or none of `DEAD_ROWS`. Only `judges` can be dead: a
    stage that also writes columns has done something.
    """
    found: list[Warned] = []
    for count in stages:
        if n_crashed := count.dropped.get(CRASHED):
            lost = "have no tokens" if count.stage == PACKING else "were dropped"
            message = f"killed its process at {n_crashed:,} documents, which {lost}: another machine may keep them"
            found.append(Warned(stage=count.stage, message=message))
        read, dropped = count.read.documents, sum(count.dropped.values())
        share = dropped / read if read else 0.0
        if count.stage in expect:
            least, most = expect[count.stage]
            if not least <= share <= most:
                message = f"removed {share:.1%} of its documents, expected {least:.1%} to {most:.1%}"
                found.append(Warned(stage=count.stage, message=message))
        elif read >= WARN_ROWS and share >= WARN_SHARE:
            found.append(Warned(stage=count.stage, message=f"removed {dropped:,} of {read:,} documents: nearly all"))
        elif count.stage in judges and read >= DEAD_ROWS and not dropped:
            found.append(Warned(stage=count.stage, message=f"removed 0 of {read:,} documents: is it needed?"))
    return tuple(found)


def _below(folder: str, file: Path) -> FileDigest:
    found = file_digest(file, file.parent, 0)
    return found.model_copy(update={"path": f"{folder}/{found.path}"})


def _added(sweep: PlannedSweep, receipts: list[Receipt]) -> Sweep:
    order = {label: index for index, label in enumerate(sweep.counted)}
    stages = add_stages(receipt.stages for receipt in receipts)
    return Sweep(
        name=sweep.name,
        key=sweep.key,
        shards=len(receipts),
        rows_in=sum(receipt.rows_in for receipt in receipts),
        rows_out=sum(receipt.rows_out for receipt in receipts),
        stages=tuple(sorted(stages, key=lambda count: order[count.stage])),
    )


def _published(receipts: list[Receipt], folder: str) -> Iterator[tuple[FileDigest, FileDigest]]:
    """Each stored shard with its place in the corpus; empty ones, which break readers, are left out."""
    numbers: Counter[str] = Counter()
    stored = [file for receipt in receipts for file in receipt.files]
    for file in sorted(stored, key=lambda file: file.path):
        split = file.path.rpartition("/")[0]
        if file.rows and split != "ledger":
            target = "/".join(part for part in (folder, split, f"{shard_name(numbers[split])}.arrow") if part)
            numbers[split] += 1
            yield file, file.model_copy(update={"path": target})


def _link(files: Iterable[tuple[FileDigest, FileDigest]], store: Path, corpus: Path) -> None:
    for stored, published in files:
        link(store / stored.path, corpus / published.path)


def _execution(receipts: list[list[Receipt]], options: Options, seconds: float) -> dict[str, object]:
    spent: Counter[str] = Counter()
    for receipt in (receipt for rows in receipts for receipt in rows):
        spent.update(receipt.seconds)
    engines = {receipt.tally.engine for rows in receipts for receipt in rows if receipt.tally}
    packages = ("pyarrow", "polars", "numpy", "fastokens", "tokenizers", "datasketch")
    return {
        "seconds": round(seconds, 3),
        "seconds_by_stage": {label: round(value, 3) for label, value in spent.items()},
        "tokenized_by": sorted(engines),
        "workers": options.workers,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }
