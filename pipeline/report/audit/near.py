"""The near-duplicates that are left, from a sample drawn so that similar documents are drawn together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.shards import read_batches
from pipeline.kernels.minhash import PRESETS, Ragged, Shape, banding, distinct, jaccard, sketch
from pipeline.report.audit.evidence import Evidence
from pipeline.report.audit.outcome import Outcome, fails, holds, unknown
from pipeline.report.grid import Cell, Columns, Grid
from pipeline.report.recipe_text import entries, fields

_DRAWS = 4
"""Independent permutations; the spread of their estimates is the interval."""

_NEIGHBOURS = 100
"""Documents with the same least hash that one is compared with: of a boilerplate of thousands not all pairs."""

_LEVELS = (0.5, 0.7, 0.8, 0.9)


class _Drawn(NamedTuple):
    """One document under one permutation: its least hash, its shingles and its bands by the recipe's own shape."""

    id: str
    least: int
    shingles: np.ndarray
    bands: np.ndarray


def near_duplicates(evidence: Evidence) -> Outcome:
    """Pairs of similar documents that are left, and none that the recipe's own bands bring together.

    A document is drawn where a hash of its least min-hash is below a bound. Documents with the same least hash, which
    those of similarity J have with probability J, are thus drawn together: every such pair counts 1 / (bound J).
    """
    total = evidence.documents.n
    if total < 2:
        return unknown("there are not two documents")
    share = min(1.0, evidence.n_sampled / total)
    claims = "minhash" in {word for word, _ in entries(evidence.manifest.recipe)}
    shape, threshold = _shape(fields(evidence.manifest.recipe, "minhash"))
    estimates = {level: np.zeros(_DRAWS) for level in _LEVELS}
    caught: dict[frozenset[str], float] = {}
    n_drawn = 0
    for number, drawn in enumerate(_draw(evidence, shape, share)):
        n_drawn += len(drawn)
        for left, right, similarity in _pairs(drawn):
            for level in _LEVELS:
                estimates[level][number] += (similarity >= level) / (share * similarity)
            if similarity >= threshold and (left.bands == right.bands).any():
                caught[frozenset((left.id, right.id))] = similarity
    drawn_of = "every document" if share >= 1 else f"{n_drawn // _DRAWS:,} drawn documents of {total:,}"
    scope = f"{drawn_of} under each of {_DRAWS} permutations"
    columns: Columns = (
        *(("Pairs at least so similar", "share"), ("Estimated", "number"), ("From", "number"), ("To", "number")),
        ("A thousand documents", "number"),
    )
    rows: list[tuple[Cell, ...]] = []
    for level, found in estimates.items():
        mean, spread = float(found.mean()), 1.96 * float(found.std(ddof=1)) / _DRAWS**0.5
        rows.append((level, mean, max(0.0, mean - spread), mean + spread, 1000 * mean / total))
    grid = Grid(columns=columns, rows=tuple(rows))
    said = f"about {rows[2][1]:,.0f} pairs of similarity {_LEVELS[2]:g} and more"
    if not claims:
        return unknown(f"the card claims nothing; seen: {said}", scope, grid, sampled=True)
    if caught and evidence.again and not evidence.again.rewritten_after("minhash"):
        names, similarity = next(iter(caught.items()))
        example = f"such as {' and '.join(sorted(names))} ({similarity:.2f})"
        return fails(
            f"{len(caught):,} pairs that the recipe's own bands bring together are left, {example}",
            scope,
            grid,
            sampled=True,
        )
    return holds(f"{said}; none that the recipe's own bands bring together", scope, grid, sampled=True)


def _shape(given: dict[str, object]) -> tuple[Shape, float]:
    """The recipe's bands, and the similarity from which its stage drops (0 where pairs are not verified)."""
    preset = PRESETS.get(str(given.get("preset")))
    threshold = float(str(given.get("threshold", 0.75)))
    bands, rows = banding(threshold)
    base = preset or Shape(5, "words", bands, rows)
    named = {"shingle": "width", "unit": "unit", "bands": "bands", "rows": "rows", "seed": "seed"}
    shape = base._replace(**{field: given[name] for name, field in named.items() if name in given})
    verified = given.get("verify", preset is None or given.get("preset") == "strict")
    return shape, threshold if verified else 0.0


def _draw(evidence: Evidence, shape: Shape, share: float) -> list[list[_Drawn]]:
    bound = np.uint64(min(int(share * 2**32), 2**32 - 1))
    wide = share >= 1
    drawn: list[list[_Drawn]] = [[] for _ in range(_DRAWS)]
    permuted = Shape(shape.width, shape.unit, _DRAWS, 1, int.from_bytes(evidence.seed.encode()[:3], "big") + 1)
    for file in evidence.manifest.documents:
        for batch in read_batches(evidence.path(file.path)):
            texts = batch.column("text").cast(pa.large_string())
            least = sketch(texts, permuted).signature
            mixed = _mix(least)
            chosen = np.ones_like(mixed, dtype=bool) if wide else mixed < bound
            full = pc.fill_null(pc.greater(pc.binary_length(texts), 0), False).to_numpy(zero_copy_only=False)
            rows = np.flatnonzero(chosen.any(axis=1) & full)
            if not len(rows):
                continue
            found = sketch(texts.take(pa.array(rows)), shape)
            sets = distinct(found.shingles)
            names = batch.column("id").take(pa.array(rows)).to_pylist()
            for at, row in enumerate(rows.tolist()):
                held = sets.values[sets.offsets[at] : sets.offsets[at + 1]]
                if len(held):
                    for number in np.flatnonzero(chosen[row]).tolist():
                        drawn[number].append(_Drawn(str(names[at]), int(least[row, number]), held, found.bands[at]))
    return drawn


def _mix(least: np.ndarray) -> np.ndarray:
    """The finalizer of MurmurHash3 over least hashes, which are small numbers: evenly spread afterwards."""
    mixed = least.astype(np.uint64)
    for factor, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        mixed = ((mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    return mixed ^ (mixed >> np.uint64(16))


def _pairs(drawn: list[_Drawn]) -> list[tuple[_Drawn, _Drawn, float]]:
    """All pairs with the same least hash, and their similarity."""
    ordered = sorted(drawn, key=lambda one: one.least)
    left: list[int] = []
    right: list[int] = []
    for at, one in enumerate(ordered):
        after = at + 1
        while after < min(len(ordered), at + _NEIGHBOURS) and ordered[after].least == one.least:
            left.append(at)
            right.append(after)
            after += 1
    if not left:
        return []
    offsets = np.cumsum([0, *(len(one.shingles) for one in ordered)])
    sets = Ragged(offsets, np.concatenate([one.shingles for one in ordered]))
    similarity = jaccard(sets, np.array(left), np.array(right)).tolist()
    return [(ordered[a], ordered[b], s) for a, b, s in zip(left, right, similarity, strict=True) if s > 0]
