"""Feeds bytes that anyone may have written to what reads them: recipes, web archives, the kernels that count text.

    python scripts/fuzz.py --minutes 10 [--target warc] [--engine atheris]

By hypothesis, which shrinks what it finds and keeps it in .hypothesis; or by atheris, where that is installed, which is
led by coverage. Ends with status 1 and the smallest input at the first thing that is no error meant for people.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzzing import TARGETS, changed

ROUND = 500
"""Examples between two looks at the clock."""


def by_hypothesis(name: str, seconds: float) -> int:
    """How many inputs a target was given in this time."""
    target, seed = TARGETS[name]
    quiet = (HealthCheck.too_slow, HealthCheck.data_too_large)

    @settings(max_examples=ROUND, deadline=None, suppress_health_check=quiet, phases=set(Phase) - {Phase.explain})
    @given(changed(seed) | st.binary(max_size=2000))
    def any_bytes(data: bytes) -> None:
        target(data)

    until, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        any_bytes()
        rounds += 1
    return rounds * ROUND


def by_atheris(name: str, seconds: float) -> None:
    """One target until the time is over; atheris ends the process itself."""
    import atheris

    target, seed = TARGETS[name]
    corpus = Path(".atheris") / name
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "good").write_bytes(seed)
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds:.0f}", str(corpus)], target)
    atheris.Fuzz()


def main() -> None:
    """Fuzz one target, or all in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--target", choices=sorted(TARGETS))
    parser.add_argument("--engine", choices=("hypothesis", "atheris"), default="hypothesis")
    asked = parser.parse_args()
    names = [asked.target] if asked.target else list(TARGETS)
    if asked.engine == "atheris" and len(names) > 1:
        parser.error("atheris takes one --target: it ends the process when it is done")
    for name in names:
        seconds = asked.minutes * 60 / len(names)
        if asked.engine == "atheris":
            by_atheris(name, seconds)
        else:
            print(f"{name}: {by_hypothesis(name, seconds):,} inputs, nothing found", flush=True)


if __name__ == "__main__":
    main()
