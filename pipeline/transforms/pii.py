"""Personal data out of text: each piece replaced by an example that belongs to nobody, or the document dropped."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.core.manifest import Trial
from pipeline.core.stage import Local
from pipeline.core.verdict import Reason, Verdict
from pipeline.kernels.windows import windows
from pipeline.transforms import pii_trials
from pipeline.transforms.personal import KINDS, Kind, Span, find, marks_of


class Pii(Local):
    """Replaces personal data that has a form of its own: no names, no street addresses.

    What stands in its place follows from a hash of what was there: the same in every shard, and one address that occurs
    twice in a text is still one. Counts by kind and language, and recall and precision on planted examples, come into
    manifest and card.
    """

    optional: ClassVar[tuple[str, ...]] = ("lang",)
    writes: ClassVar[Mapping[str, pa.DataType]] = {"text": pa.large_string()}
    reasons: ClassVar[tuple[str, ...]] = ("too_much_personal_data",)
    example: ClassVar[Mapping[str, Any]] = {"max_found": 5}

    kinds: tuple[Kind, ...] = Field(
        KINDS,
        min_length=1,
        description="what is looked for: key (API keys, tokens, private keys), email, iban, card, cn_id (resident "
        "ids), ip (public IPv4 and IPv6), ssn (US, beside a word for it), phone",
    )
    put: Literal["examples", "tokens"] = Field(
        "examples",
        description="examples: addresses and numbers that are reserved for documentation, where there are such; "
        "tokens: <EMAIL> and the like",
    )
    max_found: int | None = Field(None, ge=0, description="most pieces in a document that is kept; null: any number")

    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """Look into the few windows where something could be; texts without any are not copied."""
        texts, langs = batch.column("text"), batch.column("lang")
        changed: dict[int, str] = {}
        reasons: list[Reason | None] = [None] * batch.num_rows
        found: Counter[str] = Counter()
        for row, marked in groupby(windows(texts, marks_of(self.kinds)), key=lambda window: window.row):
            encoded = texts[row].as_buffer().to_pybytes()
            pieces, at, kinds = [], 0, Counter[str]()
            for window in marked:
                text = encoded[window.start : window.stop].decode()
                spans = find(text, self.kinds, window.marks)
                pieces += [encoded[at : window.start].decode(), self._replaced(text, spans, kinds)]
                at = window.stop
            if not kinds:
                continue
            changed[row] = "".join([*pieces, encoded[at:].decode()])
            lang = langs[row].as_py() or "und"
            for kind, count in kinds.items():
                found[f"{kind}/{lang}"] += count
            if self.max_found is not None and kinds.total() > self.max_found:
                said = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
                reasons[row] = Reason("too_much_personal_data", kinds.total(), self.max_found, detail=said)
        return replace(Verdict.of(reasons, {"text": _with(texts, changed)}), found=found)

    def trials(self) -> tuple[Trial, ...]:
        """Every kind in sentences of several languages, and sentences with numbers that are nobody's."""
        return pii_trials.trials(self.kinds)

    def masked(self, batch: pa.RecordBatch) -> pa.LargeStringArray:
        """The texts with `<EMAIL>` and the like in place of what was found, as many as there are."""
        masks = self.model_copy(update={"put": "tokens", "max_found": None})
        return masks.judge(batch).columns["text"]

    def _replaced(self, text: str, spans: list[Span], kinds: Counter[str]) -> str:
        pieces, at = [], 0
        for start, stop, kind in spans:
            kinds[kind] += 1
            pieces += [text[at:start], self._stand_in(kind, text[start:stop])]
            at = stop
        return "".join([*pieces, text[at:]])

    def _stand_in(self, kind: Kind, text: str) -> str:
        if self.put == "tokens" or kind not in _EXAMPLES:
            return f"<{kind.upper()}>"
        choices = _EXAMPLES["ipv6" if kind == "ip" and ":" in text else kind]
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return choices[int.from_bytes(digest, "little") % len(choices)]


_EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "email": tuple(
        f"{name}@example.{top}" for name in ("alex", "kim", "mail", "office", "robin") for top in ("com", "org", "net")
    ),
    "ip": tuple(f"{block}.{last}" for block in ("192.0.2", "198.51.100", "203.0.113") for last in range(1, 6)),
    "ipv6": tuple(f"2001:db8::{last}" for last in range(1, 10)),
    "phone": tuple(f"+1-202-555-01{last:02}" for last in range(0, 100, 7)),
}
"""Reserved by RFC 2606 (names), RFC 5737 and RFC 3849 (addresses), and for fiction in North America (numbers)."""


def _with(texts: pa.LargeStringArray, changed: Mapping[int, str]) -> pa.LargeStringArray:
    """The texts with some of them replaced, the others not decoded."""
    if not changed:
        return texts
    mask = np.zeros(len(texts), bool)
    mask[list(changed)] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(changed.values(), pa.large_string()))
