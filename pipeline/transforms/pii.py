"""Personal data out of text: each piece replaced by an example that belongs to nobody, or the document dropped."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline.core.manifest import Trial
from pipeline.core.stage import Local
from pipeline.core.verdict import Reason, Verdict
from pipeline.transforms import pii_trials
from pipeline.transforms.personal import KINDS, Kind
from pipeline.transforms.personal_batches import Found, search


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
        """Look around the few marks where something could be; a batch without any is not copied."""
        texts, langs = batch.column("text"), batch.column("lang")
        found = search(texts, self.kinds)
        reasons: list[Reason | None] = [None] * batch.num_rows
        if not found.kinds:
            return Verdict.of(reasons, {"text": texts})
        spoken = [lang or "und" for lang in langs.take(pa.array(found.rows)).to_pylist()]
        counts = {
            f"{kind}/{lang}": count for (kind, lang), count in Counter(zip(found.kinds, spoken, strict=True)).items()
        }
        if self.max_found is not None:
            for row in np.flatnonzero(np.bincount(found.rows) > self.max_found).tolist():
                kinds = Counter(found.kinds[at] for at in np.flatnonzero(found.rows == row))
                said = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
                reasons[row] = Reason("too_much_personal_data", kinds.total(), self.max_found, detail=said)
        stand_ins = [self._stand_in(kind, value) for kind, value in zip(found.kinds, found.values, strict=True)]
        return replace(Verdict.of(reasons, {"text": _with(texts, found, stand_ins)}), found=counts)

    def trials(self) -> tuple[Trial, ...]:
        """Every kind in sentences of several languages, and sentences with numbers that are nobody's."""
        return pii_trials.trials(self.kinds)

    def masked(self, batch: pa.RecordBatch) -> pa.LargeStringArray:
        """The texts with `<EMAIL>` and the like in place of what was found, as many as there are."""
        masks = self.model_copy(update={"put": "tokens", "max_found": None})
        return masks.judge(batch).columns["text"]

    def _stand_in(self, kind: Kind, text: str) -> bytes:
        if self.put == "tokens" or kind not in _EXAMPLES:
            return f"<{kind.upper()}>".encode()
        choices = _EXAMPLES["ipv6" if kind == "ip" and ":" in text else kind]
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return choices[int.from_bytes(digest, "little") % len(choices)].encode()


_EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "email": tuple(
        f"{name}@example.{top}" for name in ("alex", "kim", "mail", "office", "robin") for top in ("com", "org", "net")
    ),
    "ip": tuple(f"{block}.{last}" for block in ("192.0.2", "198.51.100", "203.0.113") for last in range(1, 6)),
    "ipv6": tuple(f"2001:db8::{last}" for last in range(1, 10)),
    "phone": tuple(f"+1-202-555-01{last:02}" for last in range(0, 100, 7)),
}
"""Reserved by RFC 2606 (names), RFC 5737 and RFC 3849 (addresses), and for fiction in North America (numbers)."""


def _with(texts: pa.LargeStringArray, found: Found, stand_ins: list[bytes]) -> pa.LargeStringArray:
    """The texts with what is found replaced, in one pass over their buffer."""
    _, where, data = texts.buffers()
    offsets = np.frombuffer(where, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    pieces: list[bytes | memoryview] = []
    buffer, at = memoryview(data), int(offsets[0])
    for start, stop, stand_in in zip(found.starts.tolist(), found.stops.tolist(), stand_ins, strict=True):
        pieces += (buffer[at:start], stand_in)
        at = stop
    pieces.append(buffer[at : int(offsets[-1])])
    longer = np.array([*map(len, stand_ins)]) - (found.stops - found.starts)
    moved = offsets - offsets[0] + np.cumsum(np.bincount(found.rows + 1, longer, len(offsets))).astype(np.int64)
    buffers = [pc.is_valid(texts).buffers()[1], pa.py_buffer(moved), pa.py_buffer(b"".join(pieces))]
    return pa.Array.from_buffers(texts.type, len(texts), buffers)
