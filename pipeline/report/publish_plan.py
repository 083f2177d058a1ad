"""What publishing a release would do: which files are new, what they weigh, and what the hub's viewer would refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core.manifest import Manifest, Record, read_manifest
from pipeline.core.shards import PARQUET, read_batches
from pipeline.kernels.chunks import chunks
from pipeline.report.card import CARD
from pipeline.report.release import FOLDERS, MANIFEST

State = Literal["new", "changed", "same"]

VIEWER_ROW_GROUP = 286 << 20
"""Uncompressed bytes of a row group above which the viewer gives up."""
VIEWER_TEXT = 2 << 20
"""Bytes of a text above which it shows no row."""
MOST_IN_FOLDER, MOST_IN_ALL = 10_000, 100_000
"""Files that the hub bears in a folder, and in a repository."""
MOST_BYTES = 50 << 30
"""Of a file."""


class PlannedFile(Record):
    """A file of the release beside what the hub has under its path."""

    path: str
    bytes: int
    state: State


class Plan(Record):
    """What will be sent and removed; `new_bytes` are those of files that are not there yet, whole.

    `new_chunks` are the bytes that a store which cuts files by content lacks, measured against an older release.
    """

    repository: str
    tag: str
    files: tuple[PlannedFile, ...]
    removed: tuple[str, ...]
    refused: tuple[str, ...] = ()
    new_chunks: int | None = None

    @property
    def new_bytes(self) -> int:
        """Of all files that are not there as they are."""
        return sum(file.bytes for file in self.files if file.state != "same")

    @property
    def is_done(self) -> bool:
        """Nothing is left to be sent or removed."""
        return not self.removed and all(file.state == "same" for file in self.files)


def release_files(folder: Path, manifest: Manifest) -> list[str]:
    """Paths of everything that is published: data first, the card and the manifest last."""
    data = [file.path for file in (*manifest.documents, *manifest.tokens)]
    others = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    beside = [name for name in others if name not in {*data, CARD, MANIFEST} and not name.startswith(".")]
    return [*data, *beside, CARD, MANIFEST]


def make_plan(
    repository: str, tag: str, sizes: Mapping[str, int], digests: Mapping[str, str], there: Mapping[str, str]
) -> Plan:
    """Compare local `digests` with those `there`; what else lies in the folders of a release is removed."""
    states: dict[str, State] = {
        path: "new" if path not in there else "same" if there[path] == digest else "changed"
        for path, digest in digests.items()
    }
    gone = [path for path in there if path.startswith(FOLDERS) and path not in digests]
    files = tuple(PlannedFile(path=path, bytes=sizes[path], state=states[path]) for path in digests)
    return Plan(repository=repository, tag=tag, files=files, removed=tuple(sorted(gone)))


def with_chunks(plan: Plan, folder: Path, older: Path) -> Plan:
    """The plan, with the bytes in chunks that no data file of an older release has."""
    manifest, before = read_manifest(folder), read_manifest(older)
    known: set[bytes] = set()
    for file in (*before.documents, *before.tokens):
        known |= chunks(older / file.path).keys()
    new: dict[bytes, int] = {}
    for file in (*manifest.documents, *manifest.tokens):
        new |= {name: size for name, size in chunks(folder / file.path).items() if name not in known}
    return plan.model_copy(update={"new_chunks": sum(new.values())})


def refused_by_viewer(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    """Sentences on what the hub's viewer, or the hub, will not take well; as a rule none of a fresh export."""
    found = []
    paths = release_files(folder, manifest)
    for name, count in Counter(PurePosixPath(path).parent.as_posix() for path in paths).items():
        if count > MOST_IN_FOLDER:
            found.append(f"{name}: {count:,} files in one folder, the hub bears {MOST_IN_FOLDER:,}")
    if len(paths) > MOST_IN_ALL:
        found.append(f"{len(paths):,} files, the hub bears {MOST_IN_ALL:,}")
    for file in (*manifest.documents, *manifest.tokens):
        if not file.rows:
            found.append(f"{file.path}: no rows, which makes load_dataset fail")
        if file.bytes > MOST_BYTES:
            found.append(f"{file.path}: {file.bytes:,} bytes, the hub asks for less than {MOST_BYTES:,} a file")
        if file.path.endswith(PARQUET):
            found += _refused_parquet(folder / file.path, file.path)
    for file in manifest.documents:
        longest = max(
            (pc.max(pc.binary_length(b.column(0))).as_py() or 0 for b in read_batches(folder / file.path, ["text"])),
            default=0,
        )
        if longest > VIEWER_TEXT:
            found.append(f"{file.path}: a text of {longest:,} bytes; the viewer cuts rows above {VIEWER_TEXT:,}")
    return tuple(found)


def _refused_parquet(path: Path, name: str) -> list[str]:
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(index).total_byte_size for index in range(file.metadata.num_row_groups)]
        maps = [field.name for field in file.schema_arrow if pa.types.is_map(field.type)]
    found = [f"{name}: the column {column} is a map, which datasets cannot read" for column in maps]
    if groups and max(groups) > VIEWER_ROW_GROUP:
        found.append(f"{name}: a row group of {max(groups):,} bytes, the viewer opens {VIEWER_ROW_GROUP:,}")
    return found


def as_text(plan: Plan) -> str:
    """For a terminal."""
    counts = Counter(file.state for file in plan.files)
    states = ", ".join(f"{counts[state]:,} {state}" for state in ("new", "changed", "same") if counts[state])
    total = sum(file.bytes for file in plan.files)
    lines = [
        f"{plan.repository}, tag {plan.tag}: {len(plan.files):,} files ({states}), {total:,} bytes, of which "
        f"{plan.new_bytes:,} in files that the hub does not have"
    ]
    if plan.new_chunks is not None:
        lines.append(f"  about {plan.new_chunks:,} bytes after deduplication by chunks against the older release")
    lines += [f"  {file.state:8}{file.bytes:>16,}  {file.path}" for file in plan.files if file.state != "same"]
    lines += [f"  removed  {path}" for path in plan.removed]
    lines += [f"  the viewer: {sentence}" for sentence in plan.refused]
    return "\n".join(lines)
