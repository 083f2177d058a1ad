"""Where documents end: the kept shards and the ledgers of a corpus, and the fate of a document found in one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.core.errors import StoreError
from pipeline.core.manifest import REMOVED, REMOVED_LEDGER, Manifest, Record, read_manifest
from pipeline.core.mirror import bring, located
from pipeline.core.schema import DOCUMENT, VERDICT
from pipeline.report.safe import one_line, plain

if TYPE_CHECKING:
    import polars as pl

ROW, FILE = "__row", "__file"
"""Added by `scan`: the row in the whole shelf and the file it lies in."""


class Document(Record):
    """What identifies a document, a piece of its text, and `measures`: every other column that stages wrote."""

    id: str
    url: str | None
    date: str | None
    lang: str | None
    source: str | None
    license: str | None
    file: str | None
    offset: int | None
    characters: int
    snippet: str
    measures: dict[str, Any] = {}


class Fate(Record):
    """Where a document ended. Kept: in `shard`, at `row`. Dropped: by `stage` in `sweep`, for `reason`.

    `twin` is the id of the document that was kept in its place, `twin_fate` what became of that one in the end;
    `build` names the older build that all of this happened in, and is None for the corpus that was asked.
    """

    document: Document
    kept: bool
    shard: str
    row: int | None = None
    sweep: str | None = None
    stage: str | None = None
    reason: str | None = None
    value: float | None = None
    limit: float | None = None
    detail: str | None = None
    twin: str | None = None
    twin_fate: Fate | None = None
    build: str | None = None

    @property
    def twin_build(self) -> str | None:
        """The build that the twin is in: another one for what was `built_before`, named first in the detail."""
        return (self.detail or "").partition(": ")[0] if self.reason == "built_before" else self.build

    @property
    def sentence(self) -> str:
        """The fate in one line, for people."""
        if self.kept:
            return f"kept: {self.shard}, row {self.row:,}{self._there}"
        numbers = [] if self.value is None else [f"{self.value:g}"]
        numbers += [] if self.limit is None else [f"limit {self.limit:g}"]
        numbers += [one_line(self.detail)] if self.detail else []
        because = f" ({', '.join(numbers)})" if numbers else ""
        return f"dropped by {self.stage} in sweep {self.sweep}: {self.reason}{because}{self._there}"

    @property
    def _there(self) -> str:
        return f", in the older build {one_line(self.build)}" if self.build else ""


@dataclass(frozen=True)
class Shelf:
    """Shards with the same columns: the kept documents, or the ledger of one sweep; `build` as in `Fate`."""

    name: str
    files: tuple[Path, ...]
    rows: int
    sweep: str | None = None
    rows_by_file: tuple[int, ...] = ()
    """Known for the kept documents only."""
    build: str | None = None

    @property
    def missing(self) -> bool:
        """The manifest counts documents here, and there is no file."""
        return self.rows > 0 and not self.files

    def only(self, files: Iterable[str]) -> Shelf:
        """The same shelf with these of its files."""
        names = set(files)
        at = [i for i, path in enumerate(self.files) if os.fspath(path) in names]
        rows = tuple(self.rows_by_file[i] for i in at) if self.rows_by_file else ()
        return replace(self, files=tuple(self.files[i] for i in at), rows_by_file=rows)


def ledger_folders(corpus: Path, manifest: Manifest) -> list[Path]:
    """The ledger folder of each sweep, in order; one that dropped nothing may have none on disk."""
    store = corpus.resolve().parent / "store"
    return [store / f"{sweep.name}-{sweep.key[:16]}" / "ledger" for sweep in manifest.sweeps]


def shelves(corpus: Path, manifest: Manifest) -> list[Shelf]:
    """The kept documents and then each ledger; StoreError for a shard that the manifest has and the disk has not."""
    files = []
    for digest in manifest.documents:
        path = corpus / "documents" / PurePosixPath(digest.path).name
        if not path.exists():
            raise StoreError(f"{path}: the manifest has this shard and it is not here; build again")
        files.append(path)
    by_file = tuple(digest.rows for digest in manifest.documents)
    found = [Shelf("documents", tuple(files), sum(by_file), rows_by_file=by_file)]
    for sweep, folder in zip(manifest.sweeps, ledger_folders(corpus, manifest), strict=True):
        rows = sum(sum(count.dropped.values()) for count in sweep.stages)
        parts = [corpus / REMOVED_LEDGER] if sweep.name == REMOVED else sorted(folder.glob("shard-*.arrow"))
        found.append(Shelf(f"ledger of {sweep.name}", tuple(parts), rows, sweep.name))
    return found


def older_shelves(corpus: Path, manifest: Manifest, base: Path) -> tuple[list[Shelf], list[str]]:
    """The shelves of the builds that a corpus was compared with, and of theirs; then those builds that are not there.

    A build is looked for in its folder as the recipe names it, below `base`, and beside the corpus.
    """
    found: list[Shelf] = []
    missing: list[str] = []
    wanted = [(corpus, older) for index in manifest.indexes for older in index.older]
    seen: set[str] = set()
    while wanted:
        beside, older = wanted.pop(0)
        if older.key in seen:
            continue
        seen.add(older.key)
        named = located(older.folder) if "://" in older.folder else base / older.folder
        for folder in (named, beside.resolve().parent / PurePosixPath(older.folder).name):
            if (folder / "manifest.json").exists() and (there := read_manifest(folder)).key == older.key:
                own = shelves(folder, there)
                found += [replace(shelf, name=f"{shelf.name} of {older.name}", build=older.name) for shelf in own]
                wanted += [(folder, one) for index in there.indexes for one in index.older]
                break
        else:
            missing.append(f"{older.name}, an older build, in {older.folder}")
    return found, missing


def texts(corpus: Path, reasons: Iterable[str], limit: int) -> list[str]:
    """Texts of kept documents and of those dropped for these reasons: at most `limit`, evenly spread over the rows."""
    import polars as pl

    found: list[pl.LazyFrame] = []
    for shelf in shelves(corpus, read_manifest(corpus)):
        if shelf.files and shelf.rows:
            rows = scan(shelf)
            chosen = rows if shelf.sweep is None else rows.filter(pl.col("reason").is_in(list(reasons)))
            found.append(chosen.select("text").filter(pl.col("text").is_not_null()))
    if not found:
        return []
    every = max(1, -(-int(pl.concat(found).select(pl.len()).collect().item()) // limit))
    return list(pl.concat(found).gather_every(every).collect(engine="streaming")["text"])


def scan(shelf: Shelf) -> pl.LazyFrame:
    """The rows of a shelf, read lazily a record batch at a time; StoreError where a ledger is gone."""
    import polars as pl

    if not shelf.files:
        raise StoreError(f"the {shelf.name} is not in the store any more; the same `gristmill build` writes it again")
    return pl.scan_ipc(_here(shelf), row_index_name=ROW, include_file_paths=FILE)


def dropped(corpus: Path, manifest: Manifest) -> pl.LazyFrame:
    """All ledgers of a built corpus as one lazy frame, a column that a ledger lacks as nulls."""
    import polars as pl

    ledgers = [shelf for shelf in shelves(corpus, manifest) if shelf.sweep and shelf.rows]
    if any(shelf.missing for shelf in ledgers):
        raise StoreError(
            f"{corpus}: its ledgers are not in the store beside it; the same `gristmill build` writes them"
        )
    if not ledgers:
        return pl.LazyFrame(pl.from_arrow(pa.schema(DOCUMENT | VERDICT).empty_table()))
    return pl.concat([pl.scan_ipc(_here(shelf)) for shelf in ledgers], how="diagonal_relaxed")


def _here(shelf: Shelf) -> list[str]:
    """The files of a shelf on this machine."""
    bring(shelf.files)
    return [os.fspath(path) for path in shelf.files]


def holding(shelf: Shelf, match: pl.Expr) -> Shelf:
    """The shelf with only those files in which a row matches: a first look, at columns that are small."""
    return shelf.only(scan(shelf).filter(match).select(FILE).unique().collect(engine="streaming")[FILE])


def fates(shelf: Shelf, rows: pl.DataFrame, *, text_chars: int, around: str = "") -> list[Fate]:
    """The fates that rows of `scan` tell, with `text_chars` characters of text, at the words `around` if they occur."""
    return [_fate(shelf, row, text_chars, around) for row in rows.iter_rows(named=True)]


def snippet(text: str, chars: int, around: str = "") -> str:
    """At most `chars` characters on one line, from a little before the words `around`; cuts are shown as `…`."""
    line = one_line(text)
    start = max(line.find(around) - chars // 4, 0) if around else 0
    cut = line[start : start + chars]
    return f"{'…' if start else ''}{cut}{'…' if start + chars < len(line) else ''}"


def described(fate: Fate) -> list[str]:
    """A fate in a few lines, harmless for a terminal: id, what happened, what the document is, its text."""
    document = fate.document
    facts = {"url": document.url, "lang": document.lang, "source": document.source, "licence": document.license}
    told = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in document.measures.items()}
    named = [f"{name} {one_line(str(value))}" for name, value in (facts | told).items() if value is not None]
    return [one_line(document.id), f"  {one_line(fate.sentence)}", f"  {' · '.join(named)}", f"  {document.snippet}"]


def _fate(shelf: Shelf, row: dict[str, Any], text_chars: int, around: str) -> Fate:
    text = row.get("text") or ""
    path = Path(row[FILE])
    known = {name: row.get(name) for name in DOCUMENT if name not in ("id", "text", "terms")}
    measures = {
        name: plain(value) if isinstance(value, str) else value
        for name, value in row.items()
        if name not in {*DOCUMENT, *VERDICT, ROW, FILE} and isinstance(value, str | int | float | bool)
    }
    document = Document(
        id=row["id"] or "", **known, characters=len(text), snippet=snippet(text, text_chars, around), measures=measures
    )
    if shelf.sweep is None:
        base = sum(shelf.rows_by_file[: shelf.files.index(path)])
        place = f"documents/{path.name}"
        return Fate(document=document, kept=True, shard=place, row=row[ROW] - base, build=shelf.build)
    place = "/".join(path.parts[-3:])
    verdict = {name: row[name] for name in VERDICT}
    return Fate(document=document, kept=False, shard=place, sweep=shelf.sweep, build=shelf.build, **verdict)
