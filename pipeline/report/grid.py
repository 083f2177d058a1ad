"""Tables as data: cells keep their numbers and a column says how they are shown; Markdown is made at the very end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from pipeline.core.manifest import Record
from pipeline.report.safe import inline, table, word

Kind = Literal["name", "text", "code", "count", "number", "share", "thousandths", "interval", "value"]
"""How a column is shown: `share` in hundredths of a percent, `thousandths` one digit finer, `interval` two shares."""

Cell = str | int | float | bool | tuple[float, float] | None

SHOWN = 50
"""Rows that are shown; one last row adds the others up or says where they are."""

NUMERIC = frozenset({"count", "number", "share", "thousandths", "interval"})


class Grid(Record):
    """Columns with a heading and a kind, and rows of cells. `rest`: what the last row says of rows not shown."""

    columns: tuple[tuple[str, Kind], ...]
    rows: tuple[tuple[Cell, ...], ...]
    rest: Literal["added", "elsewhere"] = "elsewhere"

    def shown(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows of the card: the first `SHOWN`, and what the others add up to."""
        more = self.rows[SHOWN:]
        if not more:
            return self.rows
        kinds = [kind for _, kind in self.columns]
        added = [
            sum(row[at] or 0 for row in more) if kind in ("count", "share") and self.rest == "added" else ""  # type: ignore[misc]
            for at, kind in enumerate(kinds)
        ]
        return (*self.rows[:SHOWN], (f"({len(more):,} more)", *added[1:]))

    @property
    def n_figures(self) -> int:
        """Cells of the card that hold a number."""
        return sum(_is_number(cell) for row in self.shown() for cell in row)


def as_markdown(grid: Grid, say: Callable[[str], str] = str) -> str:
    """The table; `say` translates headings and the few words that cells may hold."""
    kinds = [kind for _, kind in grid.columns]
    head = [inline(say(title)) + (":" if kind in NUMERIC else "") for title, kind in grid.columns]
    return table(
        head, ([shown(cell, kind, say) for cell, kind in zip(row, kinds, strict=True)] for row in grid.shown())
    )


def shown(cell: Cell, kind: Kind, say: Callable[[str], str] = str) -> str:
    """A cell as Markdown that shows it and nothing else."""
    if cell is None:
        return say("(not stated)") if kind == "name" else ""
    if isinstance(cell, bool):
        return say("yes" if cell else "no")
    if isinstance(cell, str):
        return word(cell) if kind in ("name", "code") and not cell.startswith("(") else inline(cell)
    if isinstance(cell, tuple):
        return f"{cell[0]:.2%} – {cell[1]:.2%}"
    if kind == "share":
        return f"{cell:.2%}"
    if kind == "thousandths":
        return f"{cell:.3%}"
    if kind == "number":
        return f"{cell:,.3f}"
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:,.4g}"


def _is_number(cell: Cell) -> bool:
    return not isinstance(cell, bool | str | None)


def columns(*titles: str, kinds: Sequence[Kind]) -> tuple[tuple[str, Kind], ...]:
    """Headings with their kinds."""
    return tuple(zip(titles, kinds, strict=True))
