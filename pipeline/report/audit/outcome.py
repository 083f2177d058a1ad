"""What a check returns: that its claim holds, that it does not, or that nothing can be said, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.findings import Finding, Status
from pipeline.report.grid import Grid


@dataclass(frozen=True)
class Outcome:
    """What a check returns; its name is put to it by the audit."""

    status: Status
    said: str
    scope: str = ""
    sampled: bool = False
    grid: Grid | None = None

    def finding(self, check: str) -> Finding:
        """The finding of the check with this name."""
        return Finding(check=check, **vars(self))


def holds(said: str, scope: str = "", grid: Grid | None = None, *, sampled: bool = False) -> Outcome:
    """The claim holds."""
    return Outcome("PASS", said, scope, sampled, grid)


def fails(said: str, scope: str = "", grid: Grid | None = None, *, sampled: bool = False) -> Outcome:
    """The claim does not hold."""
    return Outcome("FAIL", said, scope, sampled, grid)


def unknown(said: str, scope: str = "", grid: Grid | None = None, *, sampled: bool = False) -> Outcome:
    """Nothing can be said of the claim, and why; a table may show what was seen all the same."""
    return Outcome("CANNOT VERIFY", said, scope, sampled, grid)


def differ(problems: Sequence[str], well: str, scope: str = "") -> Outcome:
    """Holds where there are no problems; else the first few of them."""
    if not problems:
        return holds(well, scope)
    more = f"; and {len(problems) - 3:,} more" if len(problems) > 3 else ""
    return fails("; ".join(problems[:3]) + more, scope)
