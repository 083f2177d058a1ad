"""A validation for people: what was decided against each arm, and the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.core.validation import CONTROL, Comparison, Validation
from pipeline.report.fields import Field, Line, Points, from_run
from pipeline.report.grid import Grid

_METHOD = (
    "models were trained on equal numbers of tokens of each arm and asked about texts that they had not seen; the "
    "difference is in bits a byte, the mean over domains, negative where the corpus is better; intervals are Welch's "
    "over seeds (95%), p-values are adjusted over arms by Holm's method"
)
_CHECK = "validation"


def fields(found: Validation) -> Iterator[Field]:
    """What the card says of it: decisions, comparisons, arms, held-out texts, and what it does not show."""
    decided = tuple((_name(one.against), one.outcome, one.because) for one in found.decisions)
    columns = (("The corpus against", "text"), ("Outcome", "text"), ("Because", "told"))
    yield from_run("verdict", Grid(columns=columns, rows=decided), _METHOD, _CHECK, scope=_scope(found))
    yield from_run("comparisons", _comparisons(found), _METHOD, _CHECK, scope=_scope(found))
    arms = tuple((arm.name, arm.what, arm.documents, arm.tokens, arm.sampled) for arm in found.arms)
    columns = (("Arm", "name"), ("What", "text"), ("Documents", "count"), ("Tokens", "count"), ("Sampled", "share"))
    said = "the documents that runs are drawn from, tokenized by one tokenizer learnt from all arms alike"
    beyond = "another validation of the same corpus counts them again"
    yield from_run("arms", Grid(columns=columns, rows=arms), said, unchecked=beyond)
    texts = tuple((one.name, one.in_domain, one.documents, len(one.domains), one.left_out) for one in found.held_out)
    columns = (
        *(("Held-out texts", "name"), ("Of the corpus", "text")),
        *(("Excerpts", "count"), ("Domains", "count"), ("Left out", "count")),
    )
    said = "no run of 13 tokens of an excerpt occurs in what was learnt from; those in which one does are left out"
    yield from_run("held_out", Grid(columns=columns, rows=texts), said, unchecked="the texts are not published")
    limits = Points(lines=tuple(Line(text=sentence) for sentence in found.limits))
    yield from_run("validation_limits", limits, "", unchecked="they are sentences")


def as_text(found: Validation) -> str:
    """The same for a terminal."""
    lines = [f"{_name(one.against)}: {one.outcome} ({one.because})" for one in found.decisions]
    head = ("against", "tier", "rate", "seeds", "difference", "from", "to", "p", "detectable", "worse")
    rows = [head, *map(_cells, found.comparisons)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    shown = ["  ".join(cell.rjust(size) for cell, size in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(["the corpus against", *(f"  {line}" for line in lines), "", *shown])


def _comparisons(found: Validation) -> Grid:
    rows = tuple(
        (
            *(one.against, one.tier, one.rate, one.seeds, one.difference, one.low, one.high),
            *(one.adjusted, one.detectable, f"{one.domains_worse} of {one.domains}", one.in_domain),
        )
        for one in found.comparisons
    )
    return Grid(
        columns=(
            *(("Against", "name"), ("Tier", "text"), ("Rate", "value"), ("Seeds", "count")),
            *(("Difference", "number"), ("From", "number"), ("To", "number"), ("p", "number")),
            *(("Detectable", "number"), ("Domains worse", "told"), ("In domain", "number")),
        ),
        rows=rows,
    )


def _cells(one: Comparison) -> tuple[str, ...]:
    signed = (f"{value:+.4f}" for value in (one.difference, one.low, one.high))
    head = (one.against, one.tier, f"{one.rate:g}", f"{one.seeds}")
    return (*head, *signed, f"{one.adjusted:.4f}", f"{one.detectable:.4f}", f"{one.domains_worse} of {one.domains}")


def _name(arm: str) -> str:
    return "itself (control)" if arm == CONTROL else arm


def _scope(found: Validation) -> str:
    tiers = ", ".join(dict.fromkeys(one.tier for one in found.comparisons))
    return f"{len(found.runs)} runs: {tiers}"
