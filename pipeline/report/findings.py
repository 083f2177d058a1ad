"""What an audit found: of each check whether the claim holds, what was seen, and the table that goes into the card."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from pipeline.core.errors import StoreError
from pipeline.core.manifest import Record
from pipeline.report.grid import Grid

FILE = "audit.json"

Status = Literal["PASS", "FAIL", "CANNOT VERIFY"]


class Finding(Record):
    """The outcome of one check; `said` is what was seen, or why nothing can be said."""

    check: str
    status: Status
    said: str
    scope: str = ""
    sampled: bool = False
    grid: Grid | None = None


class Figures(Record):
    """Numbers of the card: re-verified, found wrong, and those that cannot be verified; they add up to all."""

    verified: int
    wrong: int
    unverifiable: int


class Audit(Record):
    """All findings about the corpus with this manifest digest; the same `seed` draws the same samples."""

    gristmill: str
    corpus: str
    root: str
    seed: str
    findings: tuple[Finding, ...]
    figures: Figures

    @property
    def passed(self) -> bool:
        """Whether no claim was found to be false; some may still be such as cannot be verified."""
        return not self.failed

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The claims that do not hold."""
        return tuple(finding for finding in self.findings if finding.status == "FAIL")


def read_audit(folder: Path) -> Audit | None:
    """The audit that lies beside a card; None where there is none."""
    path = folder / FILE
    try:
        return Audit.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise StoreError(f"{path}: not an audit of this version ({error}); delete it and audit again") from error
