"""What a validation found: the runs, what follows from them, and the arithmetic by which anyone can follow it again.

Written by `train`, shown by `report`, checked again by the audit: comparisons and decisions are functions of the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite, sqrt
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.core.errors import StoreError
from pipeline.core.manifest import Record

FILE = "validation.json"
CURATED, CONTROL = "curated", "control"
"""The arm that is judged, and the same arm with other seeds: an A/A test of the whole procedure."""

ALPHA = 0.05
POWER_QUANTILE = 0.8416
"""Of the normal distribution, for a power of 80 %."""

Outcome = Literal["better", "worse", "inconclusive"]
Tier = Literal["ngram", "gpt"]


class ArmSheet(Record):
    """The documents that an arm's runs are drawn from. `sampled` is the share of the arm that was read, by hash."""

    name: str
    what: str
    documents: int
    bytes: int
    tokens: int
    sampled: float
    digest: str


class HeldOutSheet(Record):
    """Texts that no run learns from; `left_out` of them overlapped an arm. `in_domain`: they are the corpus's own."""

    name: str
    in_domain: bool
    documents: int
    bytes: int
    left_out: int
    domains: dict[str, int]
    digest: str


class RunSheet(Record):
    """One run: bits a byte on each domain. `epochs` above 1: the arm is smaller than the budget, and was read again."""

    arm: str
    seed: int
    tier: Tier
    rate: float
    tokens: int
    epochs: float
    bits_per_byte: dict[str, float]
    curve: str = ""

    @property
    def group(self) -> tuple[str, Tier, float]:
        """Runs that differ by their seed alone."""
        return self.arm, self.tier, self.rate


class Comparison(Record):
    """The curated arm against another, in one tier at one learning rate: macro bits a byte, negative is better.

    `low` and `high` bound the difference (95 %, Welch over seeds), `adjusted` is the p-value after Holm over arms.
    `detectable` is the smallest difference that these seeds find four times in five; `seeds_needed` how many would
    decide this one, with `tokens` each; None where it is too small to matter.
    """

    against: str
    tier: Tier
    rate: float
    seeds: int
    tokens: int
    difference: float
    low: float
    high: float
    p: float
    adjusted: float
    detectable: float
    seeds_needed: int | None
    domains: int
    domains_worse: int
    in_domain: float | None


class Decision(Record):
    """What the comparisons with one arm say together."""

    against: str
    outcome: Outcome
    because: str


class Validation(Record):
    """All of it. `corpus` is the digest of the manifest that was validated."""

    gristmill: str
    corpus: str
    settings: dict[str, Any]
    arms: tuple[ArmSheet, ...]
    held_out: tuple[HeldOutSheet, ...]
    runs: tuple[RunSheet, ...]
    comparisons: tuple[Comparison, ...]
    decisions: tuple[Decision, ...]
    bootstrap: dict[str, tuple[float, float]]
    """By `arm/tier/rate`, 95 % of the difference where seeds and documents are drawn again."""
    limits: tuple[str, ...]
    seconds: float = 0.0

    @property
    def min_effect(self) -> float:
        """Differences below this do not matter."""
        return float(self.settings["min_effect"])


def read_validation(corpus: Path) -> Validation | None:
    """The validation of a corpus; None where there is none, StoreError where it is not one."""
    path = corpus / FILE
    if not path.exists():
        return None
    try:
        return Validation.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise StoreError(f"{path}: not a validation of this version ({error}); validate again") from None


def macro(run: RunSheet, domains: Sequence[str]) -> float:
    """The mean over domains of bits a byte."""
    return float(np.mean([run.bits_per_byte[name] for name in domains]))


def compare(runs: Sequence[RunSheet], held_out: Sequence[HeldOutSheet], min_effect: float) -> tuple[Comparison, ...]:
    """The curated arm against every other, in each tier at each rate."""
    outside = [name for sheet in held_out if not sheet.in_domain for name in sheet.domains]
    inside = [name for sheet in held_out if sheet.in_domain for name in sheet.domains]
    groups: dict[tuple[str, Tier, float], list[RunSheet]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    found: list[Comparison] = []
    for tier, rate in dict.fromkeys((tier, rate) for _, tier, rate in groups):
        own = groups[CURATED, tier, rate]
        others = {arm: rows for (arm, t, r), rows in groups.items() if (t, r) == (tier, rate) and arm != CURATED}
        raw = [_compared(own, rows, outside, inside, min_effect) for rows in others.values()]
        found += _holm(raw)
    return tuple(found)


def decide(comparisons: Sequence[Comparison], min_effect: float) -> tuple[Decision, ...]:
    """Better or worse only where every tier and rate say so, by more than `min_effect`; else inconclusive.

    A control that differs from itself takes the ground from under all: then nothing is decided.
    """
    arms = dict.fromkeys(one.against for one in comparisons)
    signs = {arm: [_sign(one, min_effect) for one in comparisons if one.against == arm] for arm in arms}
    failed = any(signs.get(CONTROL, []))
    found = []
    for arm, given in signs.items():
        rows = [one for one in comparisons if one.against == arm]
        outcome, because = _control(failed) if arm == CONTROL else _outcome(rows, given, min_effect, failed)
        found.append(Decision(against=arm, outcome=outcome, because=because))
    return tuple(found)


def _control(failed: bool) -> tuple[Outcome, str]:
    said = "differs from itself: trust none of this" if failed else "does not differ from itself"
    return "inconclusive", f"the corpus {said}"


def _outcome(rows: Sequence[Comparison], signs: Sequence[int], min_effect: float, failed: bool) -> tuple[Outcome, str]:
    if failed:
        return "inconclusive", "the A/A control differs from itself"
    if all(sign < 0 for sign in signs):
        return "better", f"fewer bits in all of {len(signs)} comparisons, by more than {min_effect:g}"
    if all(sign > 0 for sign in signs):
        return "worse", f"more bits in all of {len(signs)} comparisons, by more than {min_effect:g}"
    if min(signs) < 0 < max(signs):
        return "inconclusive", "the order flips between tiers or learning rates"
    open_ones = [one for one, sign in zip(rows, signs, strict=True) if not sign]
    needed = [(one.seeds_needed, one.seeds_needed * one.tokens) for one in open_ones if one.seeds_needed is not None]
    if len(needed) < len(open_ones):
        seen = max(one.detectable for one in open_ones)
        return "inconclusive", f"no difference that matters was seen; one of {seen:.3f} would have been, at these seeds"
    seeds, tokens = (max(column) for column in zip(*needed, strict=True))
    return "inconclusive", f"too few seeds: about {seeds} for each arm would decide, up to {tokens:,} tokens in a tier"


def _sign(one: Comparison, min_effect: float) -> int:
    if one.adjusted >= ALPHA:
        return 0
    return -1 if one.high < -min_effect else 1 if one.low > min_effect else 0


def _compared(
    own: Sequence[RunSheet],
    other: Sequence[RunSheet],
    outside: Sequence[str],
    inside: Sequence[str],
    min_effect: float,
) -> Comparison:
    from scipy import stats

    a, b = (np.array([macro(run, outside) for run in runs]) for runs in (own, other))
    variances = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    difference, error = float(a.mean() - b.mean()), sqrt(sum(variances))
    parts = [v**2 / (len(x) - 1) for v, x in zip(variances, (a, b), strict=True)]
    freedom = sum(variances) ** 2 / sum(parts) if error else float(len(a) + len(b) - 2)
    reach = float(stats.t.ppf(1 - ALPHA / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(difference) / error, freedom)) if error else float(difference == 0)
    by_domain = {name: _mean(own, name) - _mean(other, name) for name in (*outside, *inside)}
    return Comparison(
        against=other[0].arm,
        tier=own[0].tier,
        rate=own[0].rate,
        seeds=min(len(a), len(b)),
        tokens=round(np.mean([run.tokens for run in own])),
        difference=difference,
        low=difference - reach,
        high=difference + reach,
        p=p,
        adjusted=p,
        detectable=float(stats.t.ppf(1 - ALPHA / 2, freedom) + POWER_QUANTILE) * error,
        seeds_needed=_seeds(difference, error * sqrt(min(len(a), len(b))), min_effect),
        domains=len(outside),
        domains_worse=sum(by_domain[name] > 0 for name in outside),
        in_domain=float(np.mean([by_domain[name] for name in inside])) if inside else None,
    )


def _seeds(difference: float, spread: float, min_effect: float) -> int | None:
    """How many seeds bring the end of the interval beyond the smallest effect, four times in five."""
    room = abs(difference) - min_effect
    needed = ((1.96 + POWER_QUANTILE) * spread / room) ** 2 if room > 0 else float("inf")
    return max(2, ceil(needed)) if isfinite(needed) and needed < 10_000 else None


def _holm(rows: Sequence[Comparison]) -> list[Comparison]:
    """With p-values adjusted for as many arms as there are, the control apart."""
    tested = sorted((one for one in rows if one.against != CONTROL), key=lambda one: one.p)
    adjusted: dict[str, float] = {}
    least = 0.0
    for place, one in enumerate(tested):
        least = max(least, min(1.0, one.p * (len(tested) - place)))
        adjusted[one.against] = least
    return [one.model_copy(update={"adjusted": adjusted.get(one.against, one.p)}) for one in rows]


def _mean(runs: Sequence[RunSheet], domain: str) -> float:
    return float(np.mean([run.bits_per_byte[domain] for run in runs]))
