"""Drop documents with a signal against their use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.core.stage import Local
from pipeline.core.verdict import Reason, Verdict


class OptOut(Local):
    """Drops documents of which `rights` found a reservation, with the signals in the ledger.

    What is left carried no signal that is known: whether it may be used is not decided by that.
    """

    reads: ClassVar[tuple[str, ...]] = ("opt_out",)
    reasons: ClassVar[tuple[str, ...]] = ("opted_out",)
    example: ClassVar[Mapping[str, Any]] = {}

    signals: tuple[str, ...] = Field(
        (), description="signals that count, such as `noai` or `tdm-reservation`; empty: all that are found"
    )

    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """Look at the column that `rights` wrote."""
        return Verdict.of([self._reason(said) for said in pc.cast(batch.column("opt_out"), pa.string()).to_pylist()])

    def _reason(self, said: str | None) -> Reason | None:
        found = [signal for signal in (said or "").split(", ") if signal]
        counted = [signal for signal in found if not self.signals or signal.split(" ")[0] in self.signals]
        return Reason("opted_out", len(counted), 0, detail=", ".join(counted)) if counted else None
