"""The funnel: what each stage read, kept and dropped, with the arithmetic of the books checked first."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import StoreError
from pipeline.core.manifest import Manifest, Record, Size, StageCount, Sweep
from pipeline.report.grid import Cell, Columns, Grid
from pipeline.report.safe import one_line

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN = 3


class FunnelRow(Record):
    """One stage of one sweep: all reasons, most frequent first, and the share dropped of the documents read."""

    sweep: str
    stage: str
    read: Size
    kept: Size
    dropped: int
    share_dropped: float
    reasons: tuple[tuple[str, int], ...]


def funnel(manifest: Manifest) -> tuple[FunnelRow, ...]:
    """A row for each stage in order of execution; StoreError where the books do not close."""
    check_books(manifest)
    return tuple(_row(sweep.name, count) for sweep in manifest.sweeps for count in sweep.stages)


def check_books(manifest: Manifest) -> None:
    """Every document that went in is in the next shard or in a ledger: StoreError names the sums that differ."""
    packing = packing_of(manifest)
    judging = manifest.sweeps[: len(manifest.sweeps) - len(packing)]
    n_documents = sum(file.rows for file in manifest.documents)
    wrong = [line for sweep in judging for line in _sweep_problems(sweep)]
    for sweep, after in pairwise(manifest.sweeps):
        if sweep.rows_out != after.rows_in:
            wrong.append(f"sweep {sweep.name!r}: {sweep.rows_out:,} out, but {after.rows_in:,} into {after.name!r}")
    if judging and judging[-1].rows_out != n_documents:
        wrong.append(f"{judging[-1].rows_out:,} documents are out of the last sweep, {n_documents:,} in the shards")
    n_composed = sum(group.size.documents for group in manifest.composition)
    if n_documents != n_composed:
        wrong.append(f"the shards hold {n_documents:,} documents, the composition counts {n_composed:,}")
    n_rows = sum(file.rows for file in manifest.tokens)
    wrong += [
        f"sweep {s.name!r}: {s.rows_out:,} rows out, {n_rows:,} in its files" for s in packing if s.rows_out != n_rows
    ]
    wrong += [line for sweep in packing for line in _stage_problems(sweep)]
    if wrong:
        raise StoreError("manifest.json: the books do not close; build again\n" + "\n".join(f"  - {w}" for w in wrong))


def packing_of(manifest: Manifest) -> tuple[Sweep, ...]:
    """The last sweep if its rows are packed tokens and no documents; of what it read, its ledger has what has none."""
    return manifest.sweeps[-1:] if manifest.recipe.get("pack") is not None else ()


def as_grid(rows: tuple[FunnelRow, ...], published: Mapping[str, Mapping[str, Any]]) -> Grid:
    """The funnel with all reasons; `published` has by stage the share that others removed, and its source."""
    said = {stage: f"{other['share']:.2%} ({other['source']})" for stage, other in published.items()}
    head: Columns = (
        *(("Stage", "name"), ("Read", "count"), ("Kept", "count"), ("Dropped", "count"), ("Share dropped", "share")),
        *((("Published elsewhere", "told"),) if said else ()),
        *(("Characters kept", "count"), ("Reasons", "counts")),
    )
    cells = (
        (
            *(row.stage, row.read.documents, row.kept.documents, row.dropped, row.share_dropped),
            *((said.get(row.stage, ""),) if said else ()),
            *(row.kept.characters, row.reasons),
        )
        for row in rows
    )
    return Grid(columns=head, rows=tuple(cells))


def expected(wanted: Mapping[str, tuple[float, float]], found: Mapping[str, float]) -> Grid:
    """The shares that the recipe expects, and what was found."""
    columns: Columns = (
        ("Expected of stage", "name"),
        ("From", "share"),
        ("To", "share"),
        ("Found", "share"),
        ("Met", "text"),
    )
    rows: list[tuple[Cell, ...]] = []
    for stage, (low, high) in wanted.items():
        share = found.get(stage)
        rows.append((stage, low, high, share, share is not None and low <= share <= high))
    return Grid(columns=columns, rows=tuple(rows))


def older(manifest: Manifest, rows: tuple[FunnelRow, ...]) -> Grid | None:
    """How many documents were dropped against which finished build; None where there was none."""
    dropped = {row.stage: dict(row.reasons).get("built_before", 0) for row in rows}
    found = tuple(
        (index.stage, build.name, build.key[:16], dropped.get(index.stage, 0))
        for index in manifest.indexes
        for build in index.older
    )
    columns: Columns = (("Compared by", "name"), ("Older build", "text"), ("Key", "code"), ("Dropped", "count"))
    return Grid(columns=columns, rows=found) if found else None


def as_table(manifest: Manifest) -> Table:
    """The funnel for a terminal of 80 columns, with the most frequent reasons; what is kept the next stage reads."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table("stage", title="funnel", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for title in ("read", "dropped", "share", "characters\nkept"):
        shown.add_column(title, justify="right", overflow="fold")
    shown.add_column("reasons", overflow="fold", min_width=28)
    for row in funnel(manifest):
        named = [f"{one_line(reason)} {n:,}" for reason, n in row.reasons[:_SHOWN]]
        more = [f"{len(row.reasons) - _SHOWN} more"] if len(row.reasons) > _SHOWN else []
        numbers = (f"{row.read.documents:,}", f"{row.dropped:,}" if row.dropped else "")
        share = f"{row.share_dropped:.2%}" if row.dropped else ""
        rest = (share, f"{row.kept.characters:,}", "\n".join(named + more))
        shown.add_row(*map(Text, (one_line(row.stage), *numbers, *rest)))
    return shown


def _sweep_problems(sweep: Sweep) -> list[str]:
    wrong = _stage_problems(sweep)
    gone = sum(sum(count.dropped.values()) for count in sweep.stages)
    if sweep.rows_in != sweep.rows_out + gone:
        wrong.append(f"sweep {sweep.name!r}: {sweep.rows_in:,} in, {sweep.rows_out:,} out, {gone:,} dropped")
    return wrong


def _stage_problems(sweep: Sweep) -> list[str]:
    wrong = []
    for count in sweep.stages:
        read, kept, gone = count.read.documents, count.kept.documents, sum(count.dropped.values())
        if read != kept + gone:
            wrong.append(
                f"stage {count.stage!r} of sweep {sweep.name!r}: {read:,} documents in, {kept:,} kept, {gone:,} dropped"
            )
    return wrong


def _row(sweep: str, count: StageCount) -> FunnelRow:
    gone = sum(count.dropped.values())
    return FunnelRow(
        sweep=sweep,
        stage=count.stage,
        read=count.read,
        kept=count.kept,
        dropped=gone,
        share_dropped=gone / count.read.documents if count.read.documents else 0.0,
        reasons=tuple(sorted(count.dropped.items(), key=lambda item: (-item[1], item[0]))),
    )
