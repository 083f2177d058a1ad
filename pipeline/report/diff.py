"""What changed between two builds or releases: the causes, and the documents that were added, removed or changed.

Documents are compared by id: the same id with another text has changed. Only digests are kept, in files cut by the
first bits of an id's hash, so that memory is bounded whatever the number of documents.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.core.manifest import Manifest, Record, Size, read_manifest
from pipeline.core.shards import read_batches
from pipeline.report.funnel import funnel

_PARTS = 64
LISTED = 20
"""Ids that are named of each kind."""

_ROW = np.dtype([("id", "S32"), ("text", "S32"), ("group", "<i4"), ("file", "<i4"), ("row", "<i8")])


class Change(Record):
    """A value that differs, at its path in the recipe or the name of an input; None where it is not there."""

    path: str
    old: Any
    new: Any


class Moved(Record):
    """Documents of one source and language: how many were added, removed, changed, and stayed as they were."""

    source: str | None
    lang: str | None
    added: int = 0
    removed: int = 0
    changed: int = 0
    same: int = 0


class StageShift(Record):
    """A stage's share of dropped documents, before and after; None where it did not run."""

    stage: str
    old: float | None
    new: float | None


class Diff(Record):
    """Two corpora compared, the newer with this manifest digest; lists of ids have the first few."""

    corpus: str
    old: str
    new: str
    old_root: str
    new_root: str
    recipe: tuple[Change, ...]
    inputs: tuple[Change, ...]
    versions: tuple[Change, ...]
    stages: tuple[StageShift, ...]
    size: tuple[Size, Size]
    documents: tuple[Moved, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def count(self, kind: str) -> int:
        """All documents that were `added`, `removed`, `changed`, or are the `same`."""
        return sum(getattr(moved, kind) for moved in self.documents)

    @property
    def causes(self) -> tuple[str, ...]:
        """In words, what can have made the difference; empty where nothing did."""
        found = {"the recipe": self.recipe, "the inputs": self.inputs, "versions": self.versions}
        return tuple(name for name, changes in found.items() if changes)


def diff(old: Path, new: Path) -> Diff:
    """Compare two folders, each a corpus or a release."""
    before, after = read_manifest(old), read_manifest(new)
    with TemporaryDirectory(prefix="gristmill-diff-") as scratch:
        groups: dict[tuple[str | None, str | None], int] = {}
        parts = [_Parts(Path(scratch) / side, groups) for side in ("old", "new")]
        for part, folder, manifest in zip(parts, (old, new), (before, after), strict=True):
            part.write(folder / file.path for file in manifest.documents)
        moved, rows = _compare(parts[0], parts[1], list(groups))
        ids = {kind: _ids(parts[0 if kind == "removed" else 1], rows[kind]) for kind in rows}
    return Diff(
        corpus=after.digest,
        old=before.name,
        new=after.name,
        old_root=before.root,
        new_root=after.root,
        recipe=tuple(_changes(_by_name(before.recipe), _by_name(after.recipe))),
        inputs=tuple(_changes(_inputs(before), _inputs(after))),
        versions=tuple(_changes(_versions(before), _versions(after))),
        stages=_shifts(before, after),
        size=(_total(before), _total(after)),
        documents=moved,
        **ids,
    )


class _Parts:
    """The digests of one corpus, in files by the first bits of the id's hash."""

    def __init__(self, folder: Path, groups: dict[tuple[str | None, str | None], int]) -> None:
        self.folder, self.groups = folder, groups
        self.files: list[Path] = []
        folder.mkdir()

    def write(self, files: Iterable[Path]) -> None:
        """Digest all documents."""
        for path in files:
            self.files.append(path)
            row = 0
            for batch in read_batches(path, ["id", "text", "lang", "source"]):
                found = self._rows(batch, len(self.files) - 1, row)
                row += batch.num_rows
                part = np.ascontiguousarray(found["id"]).view(np.uint8).reshape(-1, 32)[:, 0] % _PARTS
                for number in np.unique(part):
                    with (self.folder / f"{number}").open("ab") as stream:
                        stream.write(found[part == number].tobytes())

    def read(self, number: int) -> np.ndarray:
        """One part, sorted by id; of documents with one id the first."""
        path = self.folder / f"{number}"
        rows = np.fromfile(path, dtype=_ROW) if path.exists() else np.empty(0, dtype=_ROW)
        return rows[np.argsort(rows["id"], kind="stable")]

    def _rows(self, batch: pa.RecordBatch, file: int, first: int) -> np.ndarray:
        rows = np.empty(batch.num_rows, dtype=_ROW)
        rows["id"], rows["text"] = _digests(batch.column("id")), _digests(batch.column("text"))
        names = zip(batch.column("source").to_pylist(), batch.column("lang").to_pylist(), strict=True)
        rows["group"] = [self.groups.setdefault(name, len(self.groups)) for name in names]
        rows["file"], rows["row"] = file, np.arange(first, first + batch.num_rows)
        return rows


def _compare(
    old: _Parts, new: _Parts, names: list[tuple[str | None, str | None]]
) -> tuple[tuple[Moved, ...], dict[str, np.ndarray]]:
    """Counts by group, and the first rows of what was added, removed and changed."""
    counts: dict[str, Counter[int]] = {kind: Counter() for kind in ("added", "removed", "changed", "same")}
    first: dict[str, list[np.ndarray]] = {kind: [] for kind in ("added", "removed", "changed")}
    for number in range(_PARTS):
        before, after = old.read(number), new.read(number)
        at = np.searchsorted(before["id"], after["id"]) if len(before) else np.zeros(len(after), dtype=int)
        known = np.isin(after["id"], before["id"])
        same = np.zeros(len(after), dtype=bool)
        same[known] = before["text"][at[known]] == after["text"][known]
        found = {
            "added": after[~known],
            "removed": before[~np.isin(before["id"], after["id"])],
            "changed": after[known & ~same],
            "same": after[same],
        }
        for kind, rows in found.items():
            counts[kind].update(rows["group"].tolist())
            if kind in first:
                first[kind].append(rows[:LISTED])
    moved = (
        Moved(source=source, lang=lang, **{kind: counts[kind][index] for kind in counts})
        for index, (source, lang) in enumerate(names)
    )
    ordered = sorted(moved, key=lambda group: (group.source or "", group.lang or ""))
    return tuple(ordered), {kind: np.concatenate(rows) for kind, rows in first.items()}


def _ids(part: _Parts, rows: np.ndarray) -> tuple[str, ...]:
    """The ids of some rows, in the order of the shards."""
    ids: list[str] = []
    wanted = np.sort(rows, order=["file", "row"])[:LISTED]
    for file in np.unique(wanted["file"]):
        at, first = wanted["row"][wanted["file"] == file], 0
        for batch in read_batches(part.files[file], ["id"]):
            inside = at[(at >= first) & (at < first + batch.num_rows)] - first
            ids += batch.column("id").take(pa.array(inside)).to_pylist()
            first += batch.num_rows
    return tuple(ids)


def _digests(column: pa.Array) -> list[bytes]:
    return [hashlib.sha256((value or "").encode()).digest() for value in column.to_pylist()]


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[Change]:
    """Every value that differs, maps entered."""
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key), new.get(key)
        place = f"{path}.{key}" if path else str(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _changes(before, after, place)
        elif before != after:
            yield Change(path=place, old=before, new=after)


def _by_name(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with its sources and stages by name, and their order: what was inserted is no change of the rest."""
    named = dict(recipe)
    for part in ("sources", "stages"):
        entries: dict[str, Any] = {}
        for entry in recipe.get(part) or []:
            fields = dict(entry) if isinstance(entry, Mapping) else {entry: None}
            label = fields.pop("as", None)
            [(name, values)] = fields.items()
            inner = values.get("name") if part == "sources" and isinstance(values, Mapping) else None
            entries[str(label or inner or name)] = {name: values or {}}
        named[part] = entries
        named[f"order of {part}"] = list(entries)
    return named


def _inputs(manifest: Manifest) -> dict[str, str]:
    return {f"{entry.source}: {entry.name}": entry.sha256 for entry in manifest.inputs}


def _versions(manifest: Manifest) -> dict[str, Any]:
    packages = manifest.execution.get("packages") or {}
    return {"gristmill": manifest.gristmill, **{f"stage {k}": v for k, v in manifest.versions.items()}, **packages}


def _shifts(old: Manifest, new: Manifest) -> tuple[StageShift, ...]:
    before, after = ({row.stage: row.share_dropped for row in funnel(m)} for m in (old, new))
    return tuple(StageShift(stage=s, old=before.get(s), new=after.get(s)) for s in dict.fromkeys([*before, *after]))


def _total(manifest: Manifest) -> Size:
    return sum((group.size for group in manifest.composition), Size())
