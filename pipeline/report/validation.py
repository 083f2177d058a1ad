"""A validation for people: what was decided against each arm, and the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.core.validation import CONTROL, Comparison, Validation
from pipeline.report.safe import inline, table, word

_HOW = (
    "models were trained on equal numbers of tokens of each arm and asked about texts that they had not seen; the "
    "difference is in bits a byte, the mean over domains, negative where the corpus is better; intervals are Welch's "
    "over seeds (95 %), p-values are adjusted over arms by Holm's method"
)


def as_markdown(found: Validation) -> Iterable[str]:
    """The section of the card, in paragraphs and tables."""
    yield "## Does it teach?"
    yield f"*How measured: {_HOW}.*"
    yield table(("The corpus against", "Outcome", "Because"), _decided(found))
    yield table(
        ("Against", "Tier", "Rate:", "Seeds:", "Difference:", "From:", "To:", "p:", "Detectable:", "Domains worse:"),
        (_cells(one) for one in found.comparisons),
    )
    yield table(
        ("Arm", "What", "Documents:", "Tokens:", "Most epochs:"),
        (
            (
                word(arm.name),
                inline(arm.what),
                f"{arm.documents:,}",
                f"{arm.tokens:,}",
                f"{_epochs(found, arm.name):.2f}",
            )
            for arm in found.arms
        ),
    )
    yield table(
        ("Held out", "Of the corpus", "Documents:", "Domains:", "Left out:"),
        (
            (
                word(one.name),
                "yes" if one.in_domain else "no",
                f"{one.documents:,}",
                f"{len(one.domains)}",
                f"{one.left_out}",
            )
            for one in found.held_out
        ),
    )
    yield "\n".join(f"- {sentence}" for sentence in found.limits)


def as_text(found: Validation) -> str:
    """The same for a terminal."""
    lines = [f"{one.against}: {one.outcome} ({one.because})" for one in found.decisions]
    head = ("against", "tier", "rate", "seeds", "difference", "from", "to", "p", "detectable", "worse")
    rows = [head, *(tuple(cell.strip("`") for cell in _cells(one)) for one in found.comparisons)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    shown = ["  ".join(cell.rjust(size) for cell, size in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(["the corpus against", *(f"  {line}" for line in lines), "", *shown])


def _decided(found: Validation) -> Iterable[tuple[str, str, str]]:
    for one in found.decisions:
        name = "itself (control)" if one.against == CONTROL else word(one.against)
        yield name, f"**{one.outcome}**" if one.against != CONTROL else "-", inline(one.because)


def _cells(one: Comparison) -> tuple[str, ...]:
    signed = (f"{value:+.4f}" for value in (one.difference, one.low, one.high))
    head = (word(one.against), one.tier, f"{one.rate:g}", f"{one.seeds}")
    return (*head, *signed, f"{one.adjusted:.4f}", f"{one.detectable:.4f}", f"{one.domains_worse} of {one.domains}")


def _epochs(found: Validation, arm: str) -> float:
    return max((run.epochs for run in found.runs if run.arm == arm), default=1.0)
