"""A near-duplicate beside the document that was kept in its place: what they share, how much, and their cluster.

A pure function of the ledgers, the documents and the recipe in the manifest: nothing is remembered for it.
"""

from __future__ import annotations

from typing import Any

from pipeline.core.manifest import Record
from pipeline.kernels.minhash import PRESETS, Unit, tokens
from pipeline.report.ledger import Fate, Shelf, holding, scan
from pipeline.report.safe import one_line

CLUSTER = 20
"""So many members of a cluster are named."""
_LONG = 80
"""A longer stretch is shown by its beginning and its end."""


class Piece(Record):
    """A stretch of a text; `shared` if every token of it is in a shingle that both documents have."""

    text: str
    shared: bool


class Comparison(Record):
    """`jaccard` is that of the two sets of shingles, anew; `size` and the first `cluster` ids with the same twin.

    The cluster is what the corpus and the older builds that it was compared with have of it.
    """

    document: str
    twin: str
    jaccard: float
    shingle: int
    unit: Unit
    texts: tuple[tuple[Piece, ...], tuple[Piece, ...]]
    size: int
    cluster: tuple[str, ...]


def compare(places: list[Shelf], fate: Fate, recipe: dict[str, Any]) -> Comparison | None:
    """The comparison of a near-duplicate with its twin; None if either text is gone, or another stage dropped it."""
    import polars as pl

    assert fate.twin is not None and fate.stage is not None
    shingled = shingled_by(recipe, fate.stage)
    if shingled is None:
        return None
    own, other = (fate.build, fate.document.id), (fate.twin_build, fate.twin)
    texts: dict[tuple[str | None, str], str] = {}
    cluster: set[str] = set()
    for place in places:
        match = pl.col("id").is_in([id for build, id in (own, other) if build == place.build])
        shelf = holding(place, match)
        if shelf.files:
            rows = scan(shelf).filter(match).select("id", "text").collect(engine="streaming")
            for name, text in rows.iter_rows():
                texts.setdefault((place.build, name), text or "")
        if place.sweep is not None:
            same = (pl.col("stage") == fate.stage) & (pl.col("twin") == fate.twin)
            cluster.update(scan(place).filter(same).select("id").collect(engine="streaming")["id"])
    if own not in texts or other not in texts:
        return None
    width, unit = shingled
    similarity, one, two = marked(texts[own], texts[other], width, unit)
    return Comparison(
        document=fate.document.id,
        twin=fate.twin,
        jaccard=similarity,
        shingle=width,
        unit=unit,
        texts=(one, two),
        size=len(cluster) + 1,
        cluster=(fate.twin, *sorted(cluster))[:CLUSTER],
    )


def shingled_by(recipe: dict[str, Any], label: str) -> tuple[int, Unit] | None:
    """The shingles of the stage with this label; None if it is no `minhash`."""
    for entry in recipe.get("stages", ()):
        named = entry if isinstance(entry, dict) else {entry: {}}
        [(word, fields)] = [pair for pair in named.items() if pair[0] != "as"]
        if word == "minhash" and label == named.get("as", word):
            fields = fields or {}
            width, unit, *_ = PRESETS.get(str(fields.get("preset")), PRESETS["fineweb"])
            return fields.get("shingle", width), fields.get("unit", unit)
    return None


def marked(one: str, other: str, width: int, unit: Unit) -> tuple[float, tuple[Piece, ...], tuple[Piece, ...]]:
    """The Jaccard similarity of two texts' shingles, and each text cut where what they share starts and ends."""
    found = [tokens(text, unit) for text in (one, other)]
    runs = [
        [tuple(token for _, _, token in listed[i : i + width]) for i in range(max(len(listed) - width + 1, 1))]
        for listed in found
    ]
    both = set(runs[0]) & set(runs[1])
    similarity = len(both) / max(len(set(runs[0]) | set(runs[1])), 1)
    cut = []
    for text, listed, shingles in zip((one, other), found, runs, strict=True):
        shared = sorted({place for i, run in enumerate(shingles) if run in both for place in range(i, i + len(run))})
        cut.append(_pieces(text, listed, shared))
    return similarity, cut[0], cut[1]


def comparison_as_text(found: Comparison) -> list[str]:
    """For a terminal: what is shared stands between ⟦ and ⟧."""
    many = f"; {found.size - CLUSTER:,} more" if found.size > CLUSTER else ""
    names = ", ".join(one_line(name) for name in found.cluster)
    lines = [
        f"  Jaccard similarity {found.jaccard:.4f} of runs of {found.shingle} {found.unit}; shared text in ⟦ ⟧",
        f"  cluster of {found.size:,}: {names}{many}",
    ]
    for name, pieces in zip((found.document, found.twin), found.texts, strict=True):
        lines += [f"  {one_line(name)}:", "    " + "".join(_shown(piece) for piece in pieces)]
    return lines


def _pieces(text: str, listed: list[tuple[int, int, str]], shared: list[int]) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    end = 0
    first = 0
    for n, place in enumerate(shared):
        if n + 1 < len(shared) and shared[n + 1] == place + 1:
            continue
        start, stop = listed[shared[first]][0], listed[place][1]
        pieces += [Piece(text=text[end:start], shared=False), Piece(text=text[start:stop], shared=True)]
        end, first = stop, n + 1
    pieces.append(Piece(text=text[end:], shared=False))
    return tuple(piece for piece in pieces if piece.text)


def _shown(piece: Piece) -> str:
    line = one_line(f".{piece.text}.")[1:-1]
    if len(line) > 2 * _LONG:
        line = f"{line[:_LONG]} … {line[-_LONG:]}"
    return f"⟦{line}⟧" if piece.shared else line
