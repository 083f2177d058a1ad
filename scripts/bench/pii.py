"""Documents a second of `pii` against presidio and datatrove's formatter, and recall of all three on labelled text.

Speed: real prose, and the labelled sentences joined into documents of about 3 kB (eight pieces of personal data in
each). CPU seconds of one process each, interleaved, medians; nobody's start is counted. Ours does all its kinds and
returns the replaced column, and once more with datatrove's two kinds alone; presidio only analyses, for the six kinds
that are labelled, without a model of names; datatrove replaces e-mail and IPv4. Recall: every letter and digit of a
labelled span lies in spans found of that kind. With --json, the last line is one JSON object: `ratios`, and the figures
behind them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rules_common import PEER, batch, data, prose

from pipeline.transforms.personal import find
from pipeline.transforms.pii import Pii

LABELS = {
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
    "CREDIT_CARD": "card",
    "PHONE_NUMBER": "phone",
    "IBAN_CODE": "iban",
    "US_SSN": "ssn",
}
PEERS = {"presidio": 60, "datatrove": 400}
"""Documents that a peer is given: the slower one fewer."""

PASSES = 5
TWO_KINDS = "gristmill, e-mail and ip"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    labelled = _labelled()
    corpora = {"prose": prose("en", options.documents), "labelled": _joined([one["full_text"] for one in labelled])}
    ratios, figures, spans = {}, {}, {}
    for name, texts in corpora.items():
        rates: dict[str, list[float]] = {"gristmill": [], TWO_KINDS: [], **{peer: [] for peer in PEERS}}
        for _ in range(options.repeats):
            rates["gristmill"].append(_ours(texts, Pii()))
            rates[TWO_KINDS].append(_ours(texts, Pii(kinds=("email", "ip"))))
            for peer, most in PEERS.items():
                timed = texts[:: max(1, len(texts) // most)][:most]
                answer = _ask(peer, timed, [one["full_text"] for one in labelled] if peer not in spans else [])
                spans.setdefault(peer, answer["spans"])
                rates[peer].append(len(timed) / answer["cpu"])
        medians = {who: round(statistics.median(rate), 1) for who, rate in rates.items()}
        figures[name] = {"documents": len(texts), "characters": sum(map(len, texts)), "documents_per_second": medians}
        for peer in PEERS:
            ratios[f"{peer} {name}"] = round(medians["gristmill"] / medians[peer], 1)
        ratios[f"datatrove {name}, its kinds"] = round(medians[TWO_KINDS] / medians["datatrove"], 1)
        print(f"{name}: documents/s {medians}, " + ", ".join(f"{ratios[f'{p} {name}']} times {p}" for p in PEERS))
    spans["gristmill"] = [find(one["full_text"]) for one in labelled]
    recall = {who: _recall(labelled, found) for who, found in sorted(spans.items())}
    for who, kinds in recall.items():
        print(f"{who}: {', '.join(f'{kind} {hits}/{total}' for kind, (hits, total, _) in kinds.items())}")
    if options.json:
        print(json.dumps({"ratios": ratios, "figures": figures, "recall": recall}))


def _labelled() -> list[dict[str, Any]]:
    path = data() / "pii" / "presidio_synth_v2.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _joined(texts: Iterable[str]) -> list[str]:
    """Documents of about 3,000 characters."""
    documents, held = [], ""
    for text in texts:
        held += f"{text}\n\n"
        if len(held) > 3000:
            documents.append(held)
            held = ""
    return documents


def _ours(texts: list[str], stage: Pii) -> float:
    """Documents a second of CPU, the median of the passes."""
    batches = [batch(texts[at : at + 256], "en") for at in range(0, len(texts), 256)]
    seconds = []
    for _ in range(PASSES + 1):
        started = time.process_time()
        for one in batches:
            stage.judge(one)
        seconds.append(time.process_time() - started)
    return len(texts) / statistics.median(seconds[1:])


def _ask(peer: str, timed: list[str], labelled: list[str]) -> dict[str, Any]:
    if not PEER.exists():
        raise SystemExit("no bench-env: run scripts/bench/setup.sh")
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked.json", Path(folder) / "answered.json"
        asked.write_text(json.dumps({"timed": timed, "labelled": labelled}), encoding="utf-8")
        script = Path(__file__).with_name("peer_pii.py")
        done = subprocess.run([PEER, script, peer, asked, answered], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{peer} failed:\n{done.stderr[-2000:]}")
        answer: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
    return answer


def _recall(labelled: list[dict[str, Any]], found: list[list[Any]]) -> dict[str, tuple[int, int, int]]:
    """By kind: spans found whole, labelled spans, and spans found that touch no labelled one of their kind."""
    result = {}
    for label, kind in LABELS.items():
        hits = total = wrong = 0
        for one, spans in zip(labelled, found, strict=True):
            gold = [(s["start_position"], s["end_position"]) for s in one["spans"] if s["entity_type"] == label]
            mine = [(start, stop) for start, stop, what in spans if what == kind]
            covered = {place for start, stop in mine for place in range(start, stop)}
            for start, stop in gold:
                total += 1
                hits += all(i in covered for i in range(start, stop) if one["full_text"][i].isalnum())
            wrong += sum(all(stop <= a or start >= b for a, b in gold) for start, stop in mine)
        result[kind] = (hits, total, wrong)
    return result


if __name__ == "__main__":
    main()
