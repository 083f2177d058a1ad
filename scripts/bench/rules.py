"""Documents a second of the four families of rules together, against datatrove's four filters on the same documents.

One process each, one thread each, interleaved, the median of the repeats; CPU seconds, because other programs may run
beside, and the ratio by the clock after it. Both sides judge every document by all four families with the same limits,
and neither counts starting up and loading word lists. Ours are handed over as Arrow batches and judged stage by stage,
as in a build. With --json, the last line is one JSON object: `ratios` (by language) and the figures behind them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rules_common import FAMILIES, ask_peer, batch, prose

ROWS = 256
PASSES = 9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--langs", nargs="+", default=["en", "zh"])
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        ours(options.ours)
        return
    figures, ratios = {}, {}
    for lang in options.langs:
        texts = prose(lang, options.documents)
        rounds = [(ask_us(texts, lang), ask_peer(texts, lang)) for _ in range(options.repeats)]
        seconds = {
            kind: {"gristmill": [one[kind] for one, _ in rounds], "datatrove": [one[kind] for _, one in rounds]}
            for kind in ("cpu", "seconds")
        }
        mine, theirs = map(statistics.median, seconds["cpu"].values())
        clock, their_clock = map(statistics.median, seconds["seconds"].values())
        ratios[f"datatrove {lang}"] = round(theirs / mine, 1)
        ratios[f"datatrove {lang}, by the clock"] = round(their_clock / clock, 1)
        figures[lang] = {
            "documents": len(texts),
            "megabytes": round(sum(len(text.encode()) for text in texts) / 1e6, 2),
            "documents_per_second": {"gristmill": round(len(texts) / mine), "datatrove": round(len(texts) / theirs, 1)},
            "seconds": seconds,
        }
        rates = figures[lang]["documents_per_second"]
        print(
            f"{lang}: {rates['gristmill']:,} against {rates['datatrove']:,} documents a second of CPU: "
            f"{theirs / mine:.0f} times as fast, by the clock {their_clock / clock:.0f} times"
        )
    if options.json:
        print(json.dumps({"ratios": ratios, "figures": figures}))


def ask_us(texts: list[str], lang: str) -> dict[str, float]:
    """CPU seconds and seconds of one pass over the documents, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "asked.json"
        path.write_text(json.dumps([texts, lang]), encoding="utf-8")
        command = [sys.executable, __file__, "--ours", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        answer: dict[str, float] = json.loads(done.stdout)
        return answer


def ours(path: Path) -> None:
    """Judge the documents of a file and print the seconds of the median pass."""
    import time

    texts, lang = json.loads(path.read_text(encoding="utf-8"))
    batches = [batch(texts[at : at + ROWS], lang) for at in range(0, len(texts), ROWS)]
    seconds: dict[str, list[float]] = {"cpu": [], "seconds": []}
    for _ in range(PASSES + 1):
        FAMILIES["gopher"].judge(batch(["something else"], lang))  # so that no pass finds what the last one counted
        started, cpu = time.perf_counter(), time.process_time()
        for one in batches:
            for family in FAMILIES.values():
                family.judge(one)
        seconds["cpu"].append(time.process_time() - cpu)
        seconds["seconds"].append(time.perf_counter() - started)
    print(json.dumps({kind: statistics.median(found[1:]) for kind, found in seconds.items()}))


if __name__ == "__main__":
    main()
