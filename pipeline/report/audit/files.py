"""Exact checks of files: digests, rows, columns, the root over documents, the recipe, and the card itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import PurePosixPath

from pipeline.core.document import parse_yaml
from pipeline.core.schema import DOCUMENT
from pipeline.core.shards import TEMPORARY
from pipeline.report.audit.evidence import Evidence
from pipeline.report.audit.outcome import Outcome, differ, fails, holds, unknown
from pipeline.report.card import CARD, card_of

_DATA = (".arrow", ".parquet")


def files(evidence: Evidence) -> Outcome:
    """Every listed file is there with its bytes and sha256, and no file of data or tokenizer that is not listed."""
    listed = evidence.manifest.files
    problems = []
    for file in listed:
        evidence.path(file.path)
        size, sha256 = evidence.digests[file.path]
        if size != file.bytes:
            problems.append(f"{file.path} has {size:,} bytes, the manifest says {file.bytes:,}")
        elif sha256 != file.sha256:
            problems.append(f"{file.path} has the sha256 {sha256[:16]}…, the manifest says {file.sha256[:16]}…")
    names = {file.path for file in listed} | {"removed.arrow"}
    for path in sorted(evidence.folder.rglob("*")):
        name = path.relative_to(evidence.folder).as_posix()
        hidden = any(part.startswith(".") and not part.startswith(TEMPORARY) for part in PurePosixPath(name).parts)
        if (path.suffix in _DATA or path.parent.name == "tokenizer") and name not in names and not hidden:
            problems.append(f"{name} is not in the manifest")
    total = sum(size for size, _ in evidence.digests.values())
    return differ(problems, f"{len(listed):,} files, {total:,} bytes", "every file")


def rows(evidence: Evidence) -> Outcome:
    """The rows of every shard are as many as the manifest says."""
    counted = evidence.documents.rows
    problems = [
        f"{file.path} has {counted.get(file.path, 0):,} rows, the manifest says {file.rows:,}"
        for file in evidence.manifest.documents
        if counted.get(file.path, 0) != file.rows
    ]
    for file in evidence.manifest.tokens:
        found = evidence.tokens.rows.get(file.path, 0)
        if found != file.rows:
            problems.append(f"{file.path} has {found:,} rows, the manifest says {file.rows:,}")
    n = evidence.documents.n
    return differ(problems, f"{n:,} documents, {sum(evidence.tokens.rows.values()):,} packed rows", "every row")


def columns(evidence: Evidence) -> Outcome:
    """All shards have the same columns, those of every document among them; no id and no text is missing."""
    import polars as pl

    schemas = evidence.documents.schemas
    problems = []
    first: tuple[str, list[tuple[str, str]]] | None = None
    for name, schema in schemas.items():
        shape = [(field.name, str(field.type).removeprefix("large_")) for field in schema]
        problems += [f"{name} has no column {column!r}" for column in DOCUMENT if column not in schema.names]
        if first and shape != first[1]:
            odd = sorted({column for column, _ in set(shape) ^ set(first[1])})
            problems.append(f"{name} and {first[0]} differ in the columns {', '.join(odd)}")
        first = first or (name, shape)
    frame = evidence.documents.frame
    if bare := frame.filter(pl.col("id").is_null() | (pl.col("id") == "")).height:
        problems.append(f"{bare:,} documents have no id")
    n = len(first[1]) if first else 0
    return differ(problems, f"{n:,} columns in {len(schemas):,} shards", "every shard")


def root(evidence: Evidence) -> Outcome:
    """The Merkle root over ids, URLs and texts is the one that the manifest states."""
    stated = evidence.manifest.root
    if not stated:
        return unknown("the manifest states none")
    found = evidence.documents.root
    if found != stated:
        return fails(f"the documents have the root {found[:16]}…, the manifest says {stated[:16]}…", "every document")
    return holds(f"{found[:16]}…", "every document")


def recipe(evidence: Evidence) -> Outcome:
    """`recipe.yaml` is the recipe that the manifest and the card quote."""
    path = evidence.path("recipe.yaml")
    written = parse_yaml(path.read_bytes(), "recipe.yaml").value
    stated = evidence.manifest.recipe
    keys = sorted({*(written or {}), *stated})
    odd = [key for key in keys if (written or {}).get(key) != stated.get(key)]
    if odd:
        return fails(f"recipe.yaml and the manifest differ in {', '.join(odd)}", "the whole recipe")
    return holds(f"{len(keys)} sections", "the whole recipe")


def card(evidence: Evidence) -> Outcome:
    """README.md is what manifest, answers and audit render to: every number in it is theirs."""
    written = evidence.path(CARD).read_text(encoding="utf-8")
    rendered = card_of(evidence.folder)
    if written == rendered:
        return holds(f"{len(rendered.splitlines()):,} lines", "every line")
    return differ(list(_differences(written, rendered)), "", "every line")


def _differences(written: str, rendered: str) -> Iterator[str]:
    """What differs, figure by figure where it is in a table."""
    had, want = written.splitlines(), rendered.splitlines()
    for tag, start, stop, first, last in SequenceMatcher(None, had, want, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        if tag == "replace" and stop - start == last - first:
            for at, to in zip(range(start, stop), range(first, last), strict=True):
                yield from _difference(had[at], want[to], _heading(want, to), _titles(want, to))
        else:
            place = _heading(want, first)
            yield from (f"{place}: README.md has a line that is not theirs: {line[:80]}" for line in had[start:stop])
            yield from (f"{place}: README.md lacks the line: {line[:80]}" for line in want[first:last])


def _difference(had: str, want: str, place: str, titles: list[str]) -> Iterator[str]:
    cells, wanted = _cells(had), _cells(want)
    if len(cells) == len(wanted) == len(titles) > 1:
        for title, cell, right in zip(titles, cells, wanted, strict=True):
            if cell != right:
                figure = f"{place}, {wanted[0].strip()}, {title.strip()}"
                yield f"{figure}: README.md says {cell.strip()}, it should be {right.strip()}"
    else:
        yield f"{place}: README.md says {had[:80]!r}, it should be {want[:80]!r}"


def _cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line)[1:-1]


def _titles(lines: list[str], at: int) -> list[str]:
    """The cells of the first row of the table that a line is in."""
    while at > 0 and lines[at - 1].startswith("|"):
        at -= 1
    return _cells(lines[at])


def _heading(lines: list[str], at: int) -> str:
    above = (line.lstrip("# ") for line in reversed(lines[: at + 1]) if line.startswith("#"))
    return next(above, "front matter")
