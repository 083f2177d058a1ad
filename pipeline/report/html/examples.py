"""Examples for a report: what each rule removed, what barely survived it, and near-duplicates side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.core.again import Showing
from pipeline.core.manifest import Manifest
from pipeline.report.compare import Piece, marked, shingled_by
from pipeline.report.html.data import LONG, Documents, Limit, masked
from pipeline.report.html.draw import EXAMPLES
from pipeline.report.html.marks import marks

NEAR = 0.5
"""What barely survived is at most so far from its limit, as a share of the limit."""

CONTEXT = 160
"""Characters of a stretch that two near-duplicates share and that are shown, at its beginning and its end."""


def removed(found: Documents) -> list[list[int]]:
    """For every fate the rows of its first documents, those with the smallest draws."""
    return [np.flatnonzero(found.fate == number)[:EXAMPLES].tolist() for number in range(1, len(found.fates) + 1)]


def survivors(found: Documents, limit: Limit) -> list[int]:
    """The kept documents that are closest to a limit, on its right side."""
    away = np.abs(limit.value - limit.limit) / np.maximum(np.abs(limit.limit), 1e-9)
    fits = (found.fate == 0) & found.sampled & ~limit.beyond & (away <= NEAR)
    rows = np.flatnonzero(fits)
    chosen: list[int] = rows[np.argsort(away[rows], kind="stable")][:EXAMPLES].tolist()
    return chosen


def long_texts(found: Documents, wanted: Mapping[int, Sequence[str]], showing: Showing) -> dict[int, dict[str, Any]]:
    """By row the masked beginning of a document, and by reason the places to mark in it."""
    rows = sorted(wanted)
    langs = [found.labels["lang"][row] or None for row in rows]
    texts = masked(showing, [found.raw[row] for row in rows], langs, LONG)
    return {
        row: {"text": text, "marks": {why: spans for why in wanted[row] if (spans := marks(why, text, lang))}}
        for row, text, lang in zip(rows, texts, langs, strict=True)
    }


def clusters(found: Documents, manifest: Manifest, showing: Showing) -> list[dict[str, Any]]:
    """Near-duplicates beside the document that was kept, with what they share; those whose texts are all there."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(found.ids):
        rows[name].append(row)
    told = []
    for cluster in found.drawn.clusters:
        shingled = shingled_by(manifest.recipe, cluster.stage)
        dropped = ([row for row in rows[name] if found.twins[row] == cluster.twin] for name in cluster.members)
        members = [listed[0] for listed in dropped if listed]
        twins = sorted(rows[cluster.twin], key=lambda row: found.fate[row] > 0)
        if not (shingled and members and twins):
            continue
        everything = [twins[0], *members]
        langs = [found.labels["lang"][row] or None for row in everything]
        texts = masked(showing, [found.raw[row] for row in everything], langs, LONG)
        pairs = []
        for row, text in zip(members, texts[1:], strict=True):
            similarity, one, two = marked(text, texts[0], *shingled)
            pairs.append({"row": row, "jaccard": similarity, "texts": [_shown(one), _shown(two)]})
        told.append({"stage": cluster.stage, "size": cluster.size, "twin": twins[0], "pairs": pairs})
    return told


def _shown(pieces: Sequence[Piece]) -> list[list[Any]]:
    """Text and whether it is shared; long shared stretches by their ends."""
    return [[_ends(piece.text) if piece.shared else piece.text, int(piece.shared)] for piece in pieces]


def _ends(text: str) -> str:
    return text if len(text) <= 2 * CONTEXT + 3 else f"{text[:CONTEXT]} … {text[-CONTEXT:]}"
