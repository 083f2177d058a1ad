"""What the store may lose: folders that no finished corpus needs, and the text of documents that were taken out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import StoreError
from pipeline.core.folders import remove_tree
from pipeline.core.manifest import Record, read_manifest
from pipeline.core.mirror import Remote
from pipeline.core.shards import read_schema, read_table, write_table
from pipeline.run import hold
from pipeline.run.store import Store

TEXTUAL = {"text", "html", "snippet", "input_ids"}
"""Columns that hold what a document says."""


class Freed(Record):
    """What was deleted: paths below the store, and their bytes; hard links from corpora keep some of these in use."""

    paths: tuple[str, ...]
    bytes: int


def collect(root: Path, *, dry_run: bool = False) -> Freed:
    """Delete the folders of the store that no finished corpus of this root needs, or with `dry_run` only name them.

    A corpus needs its sweeps (for ledgers, and to go on from them) and the sketches that later builds compare theirs
    with. Measures of a census are kept as long as a census stands in the root. What an unfinished build has made goes.
    StoreError where there is no store.
    """
    if not (root / "store").is_dir():
        raise StoreError(f"{root}: no store here; give the folder that builds were given: --root DIR")
    with Store(root).locked():
        needed = set(_needed(root))
        censuses = any(root.glob("*.census"))
        idle = [
            path
            for path in sorted((root / "store").iterdir())
            if path.name not in needed and not (censuses and path.name.startswith("census."))
        ]
        freed = Freed(paths=tuple(path.name for path in idle), bytes=sum(map(_size, idle)))
        for path in [] if dry_run else idle:
            remove_tree(path)
        return freed


def unlock(root: Path) -> tuple[str, ...]:
    """Remove the locks of builds that have died; StoreError where the system does that by itself."""
    if not isinstance(root, Remote):
        raise StoreError(
            f"{root}: the locks of a folder end with the build that holds them; there is nothing to remove"
        )
    return hold.unlock(root)


def purge(corpus: Path, ids: Collection[str]) -> Freed:
    """Delete the shards of the store that hold these documents, and what was made of them; from ledgers, their words.

    The next build makes those shards again, from its sources: what is still there comes back into the store, though
    not into the corpus.
    """
    store = Store(corpus.resolve().parent)
    with store.locked():
        wanted = pa.array(sorted(ids), pa.string())
        held = [path for path in sorted(store.root.glob("store/**/shard-*.arrow")) if _holds(path, wanted)]
        numbers = {path.name for path in held}
        nameless = [
            path
            for path in sorted(store.root.glob("store/*/sketch/shard-*.arrow"))
            if path.name in numbers and path not in held and TEXTUAL & set(read_schema(path).names)
        ]
        freed = 0
        for path in (*held, *nameless):
            freed += path.stat().st_size
            if path.parent.name == "ledger":
                _blank(path, wanted)
                freed -= path.stat().st_size
            else:
                path.unlink()
            for mark in _marks(path):
                mark.unlink(missing_ok=True)
        names = tuple(path.relative_to(store.root / "store").as_posix() for path in (*held, *nameless))
        return Freed(paths=names, bytes=freed)


def _needed(root: Path) -> Iterator[str]:
    for path in root.glob("*/manifest.json"):
        manifest = read_manifest(path.parent)
        yield from (f"{sweep.name}-{sweep.key[:16]}" for sweep in manifest.sweeps)
        yield from (Path(index.path).parts[1] for index in manifest.indexes)


def _holds(path: Path, wanted: pa.Array) -> bool:
    """Whether a shard has words or tokens of one of these documents."""
    names = set(read_schema(path).names)
    if not TEXTUAL & names:
        return False
    if "id" in names:
        found = read_table(path, ["id"])["id"]
    elif "documents" in names:
        found = pc.struct_field(pc.list_flatten(read_table(path, ["documents"])["documents"]), "id")
    else:
        return False
    return bool(pc.any(pc.is_in(found, value_set=wanted)).as_py())


def _blank(path: Path, wanted: pa.Array) -> None:
    """A ledger with nothing of these documents but their ids and why they were dropped."""
    table = read_table(path)
    gone = pc.is_in(table["id"], value_set=wanted)
    for name in (TEXTUAL | {"url", "detail"}) & set(table.schema.names):
        index, column = table.schema.get_field_index(name), table[name]
        table = table.set_column(
            index, table.schema.field(index), pc.if_else(gone, pa.scalar(None, column.type), column)
        )
    write_table(path, table)


def _marks(path: Path) -> tuple[Path, ...]:
    """The files by which a shard is taken for done: of a sketch beside it, else the receipt of its sweep."""
    if path.parent.name == "sketch":
        return (path.with_suffix(".json"),)
    return tuple(folder / f"{path.stem}.receipt.json" for folder in (path.parent, path.parent.parent))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
