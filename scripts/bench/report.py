"""What a report costs: seconds to write one, its size, and how long a headless Chromium takes to open it.

By default of 100,000 documents, built from $GRISTMILL_DATA/prose (over and over) or made up texts; or of a corpus that
is named. Opening is told twice: as seconds on the wall, and as processor time of the page's main thread, which other
work on the machine hardly lengthens. Prints a table; with --json, one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("corpus", type=Path, nargs="?", help="a built corpus, in place of one that is built for this")
    parser.add_argument("--base", type=Path, default=Path(), help="project folder of its recipe")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus, base = (options.corpus, options.base) if options.corpus else built(Path(folder), options.documents)
        figures = measure(corpus, base, Path(folder), options.documents, options.rounds)
    for what, figure in figures.items():
        print(f"{figure:12,.2f}  {what}")
    if options.json:
        print(json.dumps(figures))


def built(folder: Path, n_documents: int) -> tuple[Path, Path]:
    """A corpus of so many documents by the usual rules."""
    import rethreshold

    rethreshold.write_documents(folder / "data", n_documents)
    stages = ["normalize", "language", "gopher", "repetition", "exact", {"minhash": {"verify": True}}]
    path = rethreshold.recipe(folder, "many", stages)
    rethreshold.run("build", str(path), "--json", "--workers", "2", "--root", str(folder / "build"))
    return folder / "build" / "many", folder


def measure(corpus: Path, base: Path, folder: Path, n_documents: int, rounds: int) -> dict[str, float]:
    """Figures by what they are."""
    import rethreshold

    path = folder / "report.html"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, told = rethreshold.run(
        *("report", str(corpus), "--base", str(base), "--out", str(path), "--sample", str(n_documents), "--json")
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    opened = [open_once(path, folder / str(round)) for round in range(rounds)]
    medians = {key: statistics.median(one[key] for one in opened) for key in opened[0]}
    return {
        "seconds to write it": seconds,
        "seconds of processor time to write it": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "MB": told["bytes"] / 1e6,
        **medians,
    }


def open_once(path: Path, profile: Path) -> dict[str, float]:
    """Seconds until the page has its figures, its documents, and everything; and processor time."""
    from tests.browser import browser

    with browser(profile) as window:
        window.meter()
        window.open(path)
        window.until("document.documentElement.dataset.ready === 'all'", 120)
        cpu = window.metered()
        marks: dict[str, float] = dict(
            window.run("return performance.getEntriesByType('mark').map((mark) => [mark.name, mark.startTime / 1000])")
        )
    return {
        "seconds until the figures are there": marks["gristmill:facts"],
        "seconds until documents can be searched": marks["gristmill:documents"],
        "seconds until limits can be moved, the last": marks["gristmill:all"],
        "seconds of processor time of the page's thread until then": cpu,
    }


if __name__ == "__main__":
    main()
