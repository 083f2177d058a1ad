"""The change report: what a newer version has that the one before had not, for its card and as a page of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from pipeline.core.errors import StoreError
from pipeline.core.manifest import Size, read_manifest
from pipeline.core.shards import write_text
from pipeline.report.diff import Change, Diff, diff
from pipeline.report.fields import Field, Line, Points, from_run
from pipeline.report.grid import Cell, Columns, Grid
from pipeline.report.markdown import blocks
from pipeline.report.safe import inline

FILE = "changes.json"

_METHOD = "documents of both versions compared by id, and by the sha256 of their texts"
_UNCHECKED = "the version before is no part of this corpus; `gristmill diff` with it makes the same tables"


def read_changes(folder: Path) -> Diff | None:
    """What changed since the version before, as it lies beside a card; None where nothing does."""
    path = folder / FILE
    try:
        return Diff.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise StoreError(f"{path}: damaged or of another version ({error}); delete it and compare again") from error


def bring_up(old: Path, corpus: Path) -> None:
    """Lay what changed since `old` beside a card, unless it lies there for this state of the corpus already."""
    had, manifest = read_changes(corpus), read_manifest(corpus)
    if not had or (had.corpus, had.old_root) != (manifest.digest, read_manifest(old).root):
        write_text(corpus / FILE, diff(old, corpus).to_json())


def fields(found: Diff) -> Iterator[Field]:
    """What the card says of it: how many documents, why, and which."""
    yield _told("changes", _in_a_sentence(found))
    sizes: tuple[tuple[Cell, ...], ...] = tuple(
        (name, *(getattr(size, name) for size in found.size)) for name in Size.model_fields
    )
    yield _told(
        "changes.size", Grid(columns=(("Changed", "name"), ("Before", "count"), ("After", "count")), rows=sizes)
    )
    if found.old_root and found.new_root:
        roots = {"old": found.old_root, "new": found.new_root}
        yield _told("changes.root", Line(text="Merkle root before: {old}; after: {new}.", values=roots))
    for name, title, changes in (
        ("recipe", "Changed in the recipe", found.recipe),
        ("inputs", "Changed input", found.inputs),
        ("versions", "Changed version", found.versions),
    ):
        if changes:
            yield _told(f"changes.{name}", _values(title, changes))
    if shifts := [shift for shift in found.stages if shift.old != shift.new]:
        columns = (("Share dropped by", "name"), ("Before", "share"), ("After", "share"))
        rows = tuple((shift.stage, shift.old, shift.new) for shift in shifts)
        yield _told("changes.stages", Grid(columns=columns, rows=rows))
    if moved := [group for group in found.documents if group.added or group.removed or group.changed]:
        head: Columns = (
            *(("Changed source", "name"), ("Language", "name"), ("Added", "count"), ("Removed", "count")),
            *(("Changed", "count"), ("Same", "count")),
        )
        cells = tuple((g.source, g.lang, g.added, g.removed, g.changed, g.same) for g in moved)
        yield _told("changes.documents", Grid(columns=head, rows=cells, rest="added"))
    if named := tuple(_named(found)):
        yield _told("changes.ids", Points(lines=named))


def as_markdown(found: Diff) -> str:
    """The change report as a page."""
    told = [block for field in fields(found) for block in blocks(field)]
    return "\n\n".join([f"# {inline(f'Changes from {found.old} to {found.new}')}", *told]) + "\n"


def _told(name: str, value: Grid | Line | Points) -> Field:
    return from_run(name, value, _METHOD, unchecked=_UNCHECKED)


def _in_a_sentence(found: Diff) -> Line:
    counts = {kind: found.count(kind) for kind in ("added", "removed", "changed", "same")}
    text = (
        "Since {old}: {added:,} documents added, {removed:,} removed, {changed:,} changed, {same:,} as they were; "
        "causes: {causes}."
    )
    return Line(text=text, values={"old": found.old, **counts, "causes": ", ".join(found.causes) or "none"})


def _values(title: str, changes: tuple[Change, ...]) -> Grid:
    columns: Columns = ((title, "text"), ("Before", "text"), ("After", "text"))
    rows = tuple((c.path, *("" if v is None else str(v)[:200] for v in (c.old, c.new))) for c in changes)
    return Grid(columns=columns, rows=rows)


def _named(found: Diff) -> Iterator[Line]:
    """The ids of the first documents of each kind."""
    for kind, text in (("added", "Added: {ids}."), ("removed", "Removed: {ids}."), ("changed", "Changed: {ids}.")):
        if ids := getattr(found, kind):
            more = found.count(kind) - len(ids)
            values: dict[str, str | int | float] = {"ids": ", ".join(ids), **({"more": more} if more else {})}
            yield Line(text=text.replace("{ids}", "{ids} and {more:,} more") if more else text, values=values)
