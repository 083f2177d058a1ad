"""Personal data on labelled sentences: recall and false alarms may not fall below what was measured."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest

from pipeline.transforms.personal import find

DATA = os.environ.get("GRISTMILL_DATA")
FLOORS = {"EMAIL_ADDRESS": (49, 49), "IP_ADDRESS": (14, 14), "CREDIT_CARD": (135, 136), "PHONE_NUMBER": (87, 92),
          "IBAN_CODE": (21, 21), "US_SSN": (16, 16)}  # fmt: skip
DIGEST = "148e5005cddffdaffcc6a0b0e388f6cfc904069f6295facf3eb2d41def82e708"


@pytest.mark.skipif(not DATA, reason="GRISTMILL_DATA is not set: no labelled sentences here")
def test_recall_on_labelled_sentences() -> None:
    path = Path(DATA or "") / "pii" / "presidio_synth_v2.jsonl.gz"
    raw = gzip.decompress(path.read_bytes())
    assert hashlib.sha256(raw).hexdigest() == DIGEST, "other data: measure the floors again"
    kinds = {"EMAIL_ADDRESS": "email", "IP_ADDRESS": "ip", "CREDIT_CARD": "card", "PHONE_NUMBER": "phone",
             "IBAN_CODE": "iban", "US_SSN": "ssn"}  # fmt: skip
    hits, wrong = dict.fromkeys(kinds, 0), 0
    for line in raw.decode().splitlines():
        record = json.loads(line)
        spans = find(record["full_text"])
        gold = [
            (s["start_position"], s["end_position"], s["entity_type"])
            for s in record["spans"]
            if s["entity_type"] in kinds
        ]
        for start, stop, label in gold:
            hits[label] += any(s.kind == kinds[label] and s.start <= start and s.stop >= stop for s in spans)
        wrong += sum(all(s.stop <= start or s.start >= stop for start, stop, _ in gold) for s in spans)
    assert {label: hits[label] >= floor for label, (floor, _) in FLOORS.items()} == dict.fromkeys(FLOORS, True), hits
    assert wrong == 0
