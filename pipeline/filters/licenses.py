"""Drop documents by the licence that is recorded of them."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.core.stage import Local
from pipeline.core.verdict import Reason, Verdict


class Licenses(Local):
    """Keeps what a policy allows. Names are compared without case and may end in `*`: `cc-by-*`, `cc0-*`.

    The policy says what is dropped, not what is lawful: evidence of a licence is not the licence.
    """

    reads: ClassVar[tuple[str, ...]] = ("license",)
    optional: ClassVar[tuple[str, ...]] = ("license_conflict",)
    reasons: ClassVar[tuple[str, ...]] = (
        "license_denied",
        "license_not_allowed",
        "license_unknown",
        "license_disputed",
    )
    example: ClassVar[Mapping[str, Any]] = {"allow": ["cc0-*", "cc-by-[0-9]*"]}

    allow: tuple[str, ...] = Field((), description="licences of which one is needed; empty: any that is not denied")
    deny: tuple[str, ...] = Field((), description="licences that are dropped, also where `allow` would keep them")
    unknown: Literal["drop", "keep"] = Field("drop", description="what becomes of documents without a known licence")
    conflicts: Literal["drop", "keep"] = Field(
        "drop", description="what becomes of documents of which `rights` found licences that contradict each other"
    )

    @model_validator(mode="after")
    def _decides_something(self) -> Self:
        if not self.allow and not self.deny:
            raise ValueError("give at least one of allow and deny")
        return self

    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """Denied first, then disputed, unknown, and not allowed."""
        rows = zip(batch.column("license").to_pylist(), batch.column("license_conflict").to_pylist(), strict=True)
        return Verdict.of([self._reason((license or "").lower(), bool(conflict)) for license, conflict in rows])

    def _reason(self, license: str, conflict: bool) -> Reason | None:
        if _matches(license, self.deny):
            return Reason("license_denied", detail=license)
        if conflict and self.conflicts == "drop":
            return Reason("license_disputed", detail=license or None)
        if license in ("", "unknown"):
            return Reason("license_unknown") if self.unknown == "drop" else None
        if self.allow and not _matches(license, self.allow):
            return Reason("license_not_allowed", detail=license)
        return None


def _matches(license: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(license, pattern.lower()) for pattern in patterns)
