"""Tables as data: cells keep their numbers and a column says how they are shown; Markdown is made at the very end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from pipeline.core.manifest import Record
from pipeline.report.safe import inline, table, word

Kind = Literal["name", "text", "told", "code", "count", "number", "share", "thousandths", "interval", "counts", "value"]
"""How a column is shown: `share` in hundredths of a percent, `thousandths` one digit finer, `interval` two shares,
`counts` names with a number each, `told` a sentence of ours, whose numbers count as figures."""

Columns = tuple[tuple[str, Kind], ...]

Cell = str | int | float | bool | tuple[float, float] | tuple[tuple[str, int], ...] | None

SHOWN = 50
"""Rows that are shown; one last row adds the others up or says where they are."""

_NUMBER = re.compile(r"\d[\d,.]*")

NUMERIC = frozenset({"count", "number", "share", "thousandths", "interval"})


class Grid(Record):
    """Columns with a heading and a kind, and rows of cells. `rest`: what the last row says of rows not shown."""

    kind: Literal["grid"] = "grid"
    columns: Columns
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
        kinds = [kind for _, kind in self.columns]
        return sum(_n_numbers(cell, kind) for row in self.shown() for cell, kind in zip(row, kinds, strict=True))


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
        return word(cell) if kind in ("name", "code") and not cell.startswith("(") else inline(say(cell))
    if kind == "counts" and isinstance(cell, tuple):
        return ", ".join(f"{word(name)} {n:,}" for name, n in cell)  # type: ignore[misc]
    if isinstance(cell, tuple):
        return f"{cell[0]:.2%} – {cell[1]:.2%}"
    if kind == "share":
        return f"{cell:.2%}"
    if kind == "thousandths":
        return f"{cell:.3%}"
    if kind == "number":
        return f"{cell:,.3f}"
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:,.4g}"


def _n_numbers(cell: Cell, kind: Kind) -> int:
    if isinstance(cell, str):
        return len(_NUMBER.findall(cell)) if kind == "told" else 0
    if isinstance(cell, tuple):
        return len(cell) if kind == "counts" else 1
    return int(cell is not None and not isinstance(cell, bool))
