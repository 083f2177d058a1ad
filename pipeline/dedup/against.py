"""Documents compared with those of finished builds: their sketches are an index, nothing old is read or sketched again.

Documents of older builds come before all new ones, the oldest first; they are never dropped themselves. A build that
was itself compared with an older one brings that one along, because the twin that was kept may be there.

Of the new documents the same are dropped, with the same twins, as in one build of all documents in which the sources
of the older builds come first. Only older documents may differ: those that nothing but new ones connect all stay. What
the older build dropped after its sketch counts all the same, as it does in one build.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.core.asset import Asset, current
from pipeline.core.errors import GristmillError, StoreError
from pipeline.core.manifest import Index, Manifest, Older, read_manifest
from pipeline.core.mirror import bring, located
from pipeline.core.shards import read_batches, read_checked, shard_name
from pipeline.core.stage import Exchange, Global, Sketches, write_facts
from pipeline.dedup.clusters import ranked, write_drop_lists

BUILT_BEFORE = "built_before"
"""The reason of a document whose twin is in an older build; `detail` begins with the name of the build."""


class Incremental(Global):
    """Base of the stages that may compare their documents with those of finished builds, too."""

    against: str | None = Field(
        None,
        description="folder of a finished build, here or at s3://: its documents are compared with, too, and come "
        "before all new ones; what has its twin there is cut, or dropped as `built_before`; what sketches depend on "
        "must be the same there",
    )

    def fields(self) -> dict[str, Any]:
        """The fields without the folder of an older build, which its manifest's key stands for."""
        return self.model_dump(mode="json", exclude={"against"})

    def settings(self) -> dict[str, Any]:
        """What the sketches depend on: builds that are compared have this in common."""
        return self.fields()

    def assets(self) -> tuple[Asset, ...]:
        """The manifest of the older build, standing for all that its sketches hold."""
        if self.against is None:
            return ()
        _chain(self, self.against)
        return (Asset(build_folder(self.against) / "manifest.json", _manifest(self.against).key),)

    def older(self) -> tuple[Older, ...]:
        """The older build, by what identifies it."""
        if self.against is None:
            return ()
        manifest = _manifest(self.against)
        return (Older(folder=self.against, name=manifest.name, key=manifest.key),)

    def compared(self, sketches: Sketches) -> Compared:
        """The sketches to compare; GristmillError where the older build has none of these settings."""
        return Compared(sketches, tuple(_chain(self, self.against)) if self.against else ())


@dataclass(frozen=True)
class Build:
    """What a finished build left to compare with: its sketches, the documents of each, and how they are ranked."""

    name: str
    files: tuple[Path, ...]
    rows: tuple[int, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Origins:
    """Which files of sketches are whose: all that a job has to know of them, however many there are.

    `ends` says how many files are new, and with each older build, the oldest first; `sources` are those of each older
    build and, at the end, of this one.
    """

    ends: tuple[int, ...]
    names: tuple[str, ...]
    sources: tuple[tuple[str, ...], ...]

    def ranked(self, table: pa.Table) -> pa.Table:
        """`clusters.ranked` for the sketch of one shard, new or old, with the position of its build as `build`."""
        build = self.builds(table["shard"].to_numpy())
        first = int(build[0]) if len(build) else len(self.names)
        return ranked(table, self.sources[first]).append_column("build", pa.array(build, pa.int32()))

    def new(self, rows: pa.Table) -> pa.Table:
        """The rows (column `shard`) of new documents."""
        return rows.filter(pa.array(rows["shard"].to_numpy() < self.ends[0]))

    def told(self, drops: pa.Table) -> pa.Table:
        """The drops (with `twin_shard`) of new documents, with the reason and the build where the twin is older."""
        drops = self.new(drops)
        build = self.builds(drops["twin_shard"].fill_null(0).to_numpy())
        old = pa.array(build < len(self.names))
        if not old.true_count:
            return drops
        reason, detail = (drops[name].combine_chunks() for name in ("reason", "detail"))
        names = pa.array([*self.names, None], pa.string()).take(pa.array(build))
        told = pc.coalesce(pc.binary_join_element_wise(names, detail, ": "), names)
        columns = {"reason": pc.if_else(old, BUILT_BEFORE, reason), "detail": pc.if_else(old, told, detail)}
        for name, column in columns.items():
            drops = drops.set_column(drops.column_names.index(name), name, column)
        return drops

    def builds(self, shards: np.ndarray) -> np.ndarray:
        """The position of the build that each shard is of; one past the last for new ones."""
        position = np.searchsorted(np.array(self.ends[1:]), shards, side="right")
        found: np.ndarray = np.where(shards < self.ends[0], len(self.names), position)
        return found


@dataclass(frozen=True)
class Compared:
    """The sketches of the new documents, `sketches`, and of older builds, the oldest first."""

    sketches: Sketches
    builds: tuple[Build, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """All sketches; the new ones first, so that their positions are their shards."""
        return (*self.sketches.files, *(file for build in self.builds for file in build.files))

    @property
    def bases(self) -> np.ndarray:
        """The address of the first document of each file; at the end, how many documents there are."""
        rows = (*self.sketches.rows, *(count for build in self.builds for count in build.rows))
        return np.append(0, np.cumsum(rows, dtype=np.int64))

    @property
    def origins(self) -> Origins:
        """What jobs are told instead of this, which grows with the number of files."""
        n_files = (len(self.sketches.files), *(len(build.files) for build in self.builds))
        sources = (*(build.sources for build in self.builds), self.sketches.sources)
        return Origins(tuple(itertools.accumulate(n_files)), tuple(build.name for build in self.builds), sources)

    def write_drops(self, found: list[Path], out: Path, exchange: Exchange) -> None:
        """Write the drop lists, and what was dropped against which build."""
        self.write_facts("dropped against", found, out)
        write_drop_lists(found, out, exchange)

    def write_facts(self, what: str, found: list[Path], out: Path) -> None:
        """Where there are older builds, write how many rows (with `twin_shard`) have their twin in which."""
        if not self.builds:
            return
        origins, counts = self.origins, Counter[int]()
        for file in found:
            for batch in read_batches(file):
                counts.update(origins.builds(batch["twin_shard"].drop_null().to_numpy()).tolist())
        write_facts({f"{what} {build.name}": counts[n] for n, build in enumerate(self.builds)}, out)


def _chain(stage: Incremental, against: str) -> list[Build]:
    """The named build and those that it was compared with, the oldest first."""
    found: list[Build] = []
    names = [against]
    while names:
        folder = names.pop()
        manifest = _manifest(folder)
        index = _index(stage, manifest, folder)
        files = _files(index, folder)
        found.append(Build(manifest.name, files, tuple(map(_rows, files)), index.sources))
        for entry in index.older:
            if _manifest(entry.folder).key != entry.key:
                raise GristmillError(
                    f"{folder} was compared with {entry.name} in {entry.folder}, where there is another build now: "
                    f"build {entry.name} again, and give each build its own name"
                )
            names.append(entry.folder)
    return found[::-1]


def _rows(sketch: Path) -> int:
    """How many documents a sketch stands for, as is written beside it."""
    told = read_checked(sketch.with_suffix(".json"))
    if told is None:
        raise StoreError(f"{sketch}: what is written beside it is gone or was changed; build that corpus again")
    return int(json.loads(told)["rows"])


def _manifest(folder: str) -> Manifest:
    return read_manifest(build_folder(folder))


def build_folder(name: str) -> Path:
    """Where a finished build lies: below a root of the place, or at an address in a store."""
    return located(name) if "://" in name else current().resolve(name)


def _index(stage: Incremental, manifest: Manifest, folder: str) -> Index:
    """What the same stage with the same settings left in a build."""
    same = [index for index in manifest.indexes if index.word == stage.word]
    if not same:
        raise GristmillError(f"{folder}: {manifest.name} was built without the stage {stage.word!r}; build it anew")
    alike = [index for index in same if index.version == stage.version]
    if not alike:
        reason = f"{stage.word} was version {same[0].version} and is {stage.version}"
        raise GristmillError(f"{folder}: its {stage.word!r} cannot be compared with: {reason}; build it anew")
    wanted = stage.settings()
    for index in alike:
        had = type(stage).model_validate_json(json.dumps(index.fields)).settings()
        if had == wanted:
            return index
    differing = ", ".join(
        f"{name} was {had[name]!r} and is {wanted[name]!r}" for name in wanted if had[name] != wanted[name]
    )
    raise GristmillError(f"{folder}: its {stage.word!r} cannot be compared with: {differing}")


def _files(index: Index, folder: str) -> tuple[Path, ...]:
    """The sketches, all of them there."""
    base = build_folder(folder).parent / index.path
    files = tuple(base / f"{shard_name(number)}.arrow" for number in range(index.shards))
    there = {path.name for path in base.glob("*")}
    missing = [file for file in files if not {file.name, file.with_suffix(".json").name} <= there]
    if missing:
        raise GristmillError(
            f"{missing[0]}: the sketches of this build are gone ({len(missing)} of {len(files)} files); "
            f"remove {base.parent} and build {folder} again, which only makes them anew"
        )
    bring(file.with_suffix(".json") for file in files)
    return files
