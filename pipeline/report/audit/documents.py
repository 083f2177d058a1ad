"""Exact checks of documents: what the corpus is made of, its licences, where it comes from, equal texts."""

from __future__ import annotations

from collections import Counter

from pipeline.backends.domains import lineage, split_url
from pipeline.core.manifest import Size
from pipeline.report.audit.evidence import Evidence
from pipeline.report.audit.outcome import Outcome, differ, fails, holds, unknown
from pipeline.report.grid import Columns, Grid
from pipeline.report.licences import spdx
from pipeline.report.recipe_text import entries, fields

_DOMAINS = 20


def composition(evidence: Evidence) -> Outcome:
    """Documents, characters and bytes by source, language and licence are those of the manifest."""
    counted = {(g.source, g.lang, g.license): g.size for g in evidence.documents.groups}
    stated = {(g.source, g.lang, g.license): g.size for g in evidence.manifest.composition}
    problems = []
    for key in sorted({*counted, *stated}, key=str):
        found, said = counted.get(key, Size()), stated.get(key, Size())
        if found != said:
            name = " · ".join(str(part) for part in key)
            what = "documents" if found.documents != said.documents else "characters"
            problems.append(f"{name}: {getattr(found, what):,} {what}, the manifest says {getattr(said, what):,}")
    total = sum(counted.values(), Size())
    return differ(problems, f"{total.documents:,} documents, {total.characters:,} characters", "every document")


def licences(evidence: Evidence) -> Outcome:
    """Documents and characters by licence, and the share that SPDX knows, are those of the card."""
    counted, stated = (_by_license(groups) for groups in (evidence.documents.groups, evidence.manifest.composition))
    problems = [
        f"{name}: {counted[name].documents:,} documents, the manifest says {stated[name].documents:,}"
        for name in sorted({*counted, *stated}, key=str)
        if counted.setdefault(name, Size()) != stated.setdefault(name, Size())
    ]
    for source, allowed in _licences_of_sources(evidence).items():
        odd = {g.license for g in evidence.documents.groups if g.source == source} - {allowed}
        problems += [
            f"source {source} gives the licence {allowed}, its documents have {name}" for name in sorted(odd, key=str)
        ]
    known = sum((size for name, size in counted.items() if spdx(name)), Size())
    share = known.documents / (evidence.documents.n or 1)
    return differ(problems, f"{share:.2%} of the documents have a licence that SPDX knows", "every document")


def _by_license(groups: tuple[object, ...]) -> dict[str | None, Size]:
    sizes: dict[str | None, Size] = {}
    for group in groups:
        name, size = getattr(group, "license"), getattr(group, "size")  # noqa: B009
        sizes[name] = sizes.get(name, Size()) + size
    return sizes


def _licences_of_sources(evidence: Evidence) -> dict[str, str]:
    """The licence of sources whose files have no column for one: all their documents have the recipe's."""
    found = {}
    for entry in evidence.manifest.recipe.get("sources") or []:
        settings = entry.get("files") if isinstance(entry, dict) else None
        mapped = (settings or {}).get("columns")
        if settings and mapped and "license" not in mapped and not _writes_license(evidence):
            found[str(settings.get("name"))] = str(settings.get("license", "unknown"))
    return found


def _writes_license(evidence: Evidence) -> bool:
    """A stage may find a licence in the page."""
    return any("licen" in word or word in ("rights", "extract") for word, _ in entries(evidence.manifest.recipe))


def domains(evidence: Evidence) -> Outcome:
    """How the documents are spread over registered domains."""
    import polars as pl

    frame = evidence.documents.frame.filter(pl.col("url").str.contains("^https?://"))
    if frame.is_empty():
        return unknown("no document has a web address")
    hosts = frame.with_columns(
        pl.col("url").str.extract(r"^https?://(?:[^/@]*@)?([^/?#:]+)").fill_null("").alias("host")
    )
    summed = hosts.group_by("host").agg(pl.len().alias("n"), pl.col("characters").sum())
    documents: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for host, n, size in summed.iter_rows():
        name = lineage(split_url(f"//{host}")[0])[-1] if host else ""
        documents[name] += n
        characters[name] += size
    total, everything = sum(documents.values()), sum(characters.values())
    columns: Columns = (
        *(("Domain", "name"), ("Documents", "count"), ("Share of documents", "share")),
        *(("Characters", "count"), ("Share of characters", "share")),
    )
    largest = sorted(documents.items(), key=lambda item: (-item[1], item[0]))[:_DOMAINS]
    rows = [(name, n, n / total, characters[name], characters[name] / (everything or 1)) for name, n in largest]
    top = max(1, len(documents) // 10)
    held = sum(sorted(documents.values(), reverse=True)[:top]) / total
    said = f"{len(documents):,} domains; the largest tenth ({top:,}) has {held:.2%} of the documents"
    return holds(said, f"{total:,} documents with a web address", Grid(columns=columns, rows=tuple(rows)))


def texts(evidence: Evidence) -> Outcome:
    """Lengths of texts; and no two are equal where the recipe removes equal ones."""
    import polars as pl

    frame = evidence.documents.frame
    full = frame.filter(pl.col("bytes") > 0)
    twice = full.height - full["hash"].n_unique()
    sizes = frame["characters"]
    columns: Columns = (("Characters of a document", "text"), ("Value", "count"))
    names = {"least": 0.0, "first tenth": 0.1, "median": 0.5, "last tenth": 0.9, "most": 1.0}
    rows = [(name, int(sizes.quantile(at, "nearest") or 0)) for name, at in names.items()] if frame.height else []
    rows += [("documents whose text another has too", twice)]
    grid = Grid(columns=columns, rows=tuple(rows))
    if twice and _removes_equal(evidence):
        where = full.filter(full["hash"].is_duplicated())["id"].head(2).to_list()
        return fails(
            f"{twice:,} documents have the text of another, such as {' and '.join(map(str, where))}",
            "every document",
            grid,
        )
    return holds(f"{twice:,} equal texts", "every document", grid)


def _removes_equal(evidence: Evidence) -> bool:
    """Equal texts cannot be there: a stage removes them, and no stage after it changes texts."""
    words = {word for word, _ in entries(evidence.manifest.recipe)}
    by = fields(evidence.manifest.recipe, "exact").get("by", "text")
    if "exact" not in words or by == "url" or not evidence.again:
        return False
    return not evidence.again.rewritten_after("exact")
