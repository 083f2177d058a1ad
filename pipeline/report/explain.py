"""Why is this page not in the corpus? The fate of a document, found by id, URL or a piece of its text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.core.errors import UsageError
from pipeline.core.manifest import Record, read_manifest
from pipeline.report.compare import Comparison, compare, comparison_as_text
from pipeline.report.ledger import Fate, Shelf, described, fates, holding, older_shelves, scan, shelves
from pipeline.report.safe import one_line

if TYPE_CHECKING:
    import polars as pl

By = Literal["id", "url", "text"]

_PATTERN_CHARS = 2000
"""A longer text is looked for by its beginning, and then compared whole."""


class Explanation(Record):
    """The fates found, and where was looked. `more`: there are further documents beyond the limit."""

    query: str
    by: tuple[By, ...]
    fates: tuple[Fate, ...]
    more: bool
    searched: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    """Each near-duplicate among them beside the document that was kept in its place."""
    missing: tuple[str, ...]

    @property
    def message(self) -> str:
        """What was found, or that nothing was and what was searched."""
        by = ", ".join(self.by[:-1]) + (" or " if self.by[1:] else "") + self.by[-1]
        n = len(self.fates)
        found = f"{n} {'document' if n == 1 else 'documents'}{' and more' if self.more else ''}" if n else "No document"
        lost = (
            f" Not there to be searched: {'; '.join(self.missing)} (the same build writes them)."
            if self.missing
            else ""
        )
        return f"{found} with this {by}. Searched: {'; '.join(self.searched)}.{lost}"


def explain(
    corpus: Path, query: str, *, by: By | None = None, limit: int = 10, text_chars: int = 400, base: Path = Path()
) -> Explanation:
    """The fates of the documents with this id, URL, or text anywhere in theirs (white space does not matter).

    Without `by`: the id or the URL, and if no document has it, the text. A twin is followed to its own end, also into
    the older builds that this one was compared with (their folders are below `base`, or beside the corpus). Texts are
    read a record batch at a time, so memory is bounded by the size of those, not of the corpus.
    """
    needle = " ".join(query.split())
    if not needle:
        raise UsageError("nothing to look for: give an id, a URL or some words of a text")
    manifest = read_manifest(corpus)
    places = shelves(corpus, manifest)
    there = [shelf for shelf in places if shelf.files and shelf.rows]
    steps: list[tuple[By, ...]] = [("id", "url"), ("text",)] if by is None else [(by,)]
    found: list[Fate] = []
    for step in steps:
        found = _find(there, needle, step, limit + 1, text_chars)
        if found:
            break
    older, gone = older_shelves(corpus, manifest, base)
    everywhere = [*there, *(shelf for shelf in older if shelf.files and shelf.rows)]
    ends = _ends(everywhere, found, text_chars)
    elsewhere = gone if any(fate.twin_build for fate in (*found, *ends.values())) else []
    compared = [compare(everywhere, fate, manifest.recipe) for fate in found[:limit] if fate.twin]
    return Explanation(
        query=query,
        by=step if found else tuple(way for step in steps for way in step),
        fates=tuple(_follow(fate, ends, ()) for fate in found[:limit]),
        more=len(found) > limit,
        comparisons=tuple(one for one in compared if one),
        searched=tuple(f"{shelf.name} ({shelf.rows:,} documents)" for shelf in there),
        missing=(*(f"{shelf.name} ({shelf.rows:,} documents)" for shelf in places if shelf.missing), *elsewhere),
    )


def as_text(explanation: Explanation) -> str:
    """For a terminal: each document, its twin below it, and what was searched."""
    beside = {one.document: comparison_as_text(one) for one in explanation.comparisons}
    lines = [line for fate in explanation.fates for line in (*_chain(fate), *beside.get(fate.document.id, ()), "")]
    return "\n".join([*lines, explanation.message])


def _find(places: list[Shelf], needle: str, by: tuple[By, ...], limit: int, text_chars: int) -> list[Fate]:
    import polars as pl

    found: list[Fate] = []
    for place in places:
        match = pl.any_horizontal([_match(needle, way) for way in by])
        shelf = place if "text" in by else holding(place, match)
        if not shelf.files:
            continue
        rows = scan(shelf).filter(match)
        if by == ("text",) and len(needle) > _PATTERN_CHARS:
            batches = rows.collect_batches(maintain_order=True, engine="streaming")
            whole = [batch.filter(_holds(batch["text"], needle)) for batch in batches]
            rows = pl.concat(whole).lazy() if whole else rows.head(0)
        some = rows.head(limit - len(found)).collect(engine="streaming")
        found += fates(shelf, some, text_chars=text_chars, around=needle if by == ("text",) else "")
        if len(found) >= limit:
            break
    return found


def _match(needle: str, by: By) -> pl.Expr:
    import polars as pl

    if by == "id":
        return pl.col("id").eq_missing(pl.lit(needle))
    if by == "url":
        return pl.col("url").is_in(_spellings(needle)).fill_null(False)
    start = needle[:_PATTERN_CHARS].split()
    return pl.col("text").str.contains(r"[\s\x1c-\x1f]+".join(map(_quoted, start))).fill_null(False)


def _spellings(url: str) -> list[str]:
    """The URL with either scheme, with and without a final slash, and without its fragment."""
    bare = re.sub(r"^https?://", "", url).partition("#")[0].rstrip("/")
    return [url, *(f"{scheme}{bare}{slash}" for scheme in ("http://", "https://") for slash in ("", "/"))]


def _quoted(word: str) -> str:
    """The word as a pattern of Rust's regex, which refuses some of the escapes that `re.escape` writes."""
    return re.sub(r"([\\.+*?()|\[\]{}^$#&~-])", r"\\\1", word)


def _holds(texts: pl.Series, needle: str) -> list[bool]:
    return [needle in " ".join((text or "").split()) for text in texts]


Place = tuple[str | None, str]
"""A build (None: the corpus that was asked) and an id in it."""


def _ends(places: list[Shelf], found: Iterable[Fate], text_chars: int) -> dict[Place, Fate]:
    """The fate of every twin, of their twins, and so on: one look at the ids for each link of the chain."""
    import polars as pl

    ends: dict[Place, Fate] = {}
    wanted = {_twin(fate) for fate in found if fate.twin}
    while wanted:
        new: dict[Place, Fate] = {}
        for place in places:
            match = pl.col("id").is_in(sorted(id for build, id in wanted if build == place.build))
            shelf = holding(place, match)
            rows = scan(shelf).filter(match).collect(engine="streaming") if shelf.files else pl.DataFrame()
            for fate in fates(shelf, rows, text_chars=text_chars):
                new.setdefault((fate.build, fate.document.id), fate)
        ends |= new
        wanted = {_twin(fate) for fate in new.values() if fate.twin} - ends.keys()
    return ends


def _twin(fate: Fate) -> Place:
    return fate.twin_build, fate.twin or ""


def _follow(fate: Fate, ends: dict[Place, Fate], seen: tuple[Place, ...]) -> Fate:
    twin = _twin(fate)
    if twin in seen or twin not in ends:
        return fate
    return fate.model_copy(update={"twin_fate": _follow(ends[twin], ends, (*seen, twin))})


def _chain(fate: Fate) -> list[str]:
    lines = described(fate)
    if fate.twin_fate:
        lines += ["  in its place was kept, at that time:", *(f"    {line}" for line in _chain(fate.twin_fate))]
    elif fate.twin:
        lines.append(f"  in its place was kept {one_line(fate.twin)}, which no shard and no ledger here holds")
    return lines
