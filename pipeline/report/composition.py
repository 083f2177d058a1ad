"""What a corpus is made of, as fields: documents by language, source and licence, and the tokens made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from pipeline.core.manifest import Group, Manifest, Size, TokenGroup
from pipeline.report.fields import Field, Line, from_run
from pipeline.report.grid import Cell, Columns, Grid
from pipeline.report.licences import conflicts, spdx

COUNTED = (
    "counted by the workers on the text that they wrote, and added up over all shards; "
    "characters are Unicode code points, bytes are UTF-8"
)
_PACKED = (
    "rows and bytes are those of the files written; the other counts are the packing stage's own, the token that "
    "ends a document included and padding not"
)


def documents(manifest: Manifest) -> Iterator[Field]:
    """By language and by source."""
    for name, title, key in (("by_language", "Language", _lang), ("by_source", "Source", _source)):
        yield from_run(name, portions(title, manifest.composition, key), COUNTED, "composition", scope="every document")


def rights(manifest: Manifest) -> Iterator[Field]:
    """By licence; how many have one that SPDX knows; what their licences ask and that of the whole does not."""
    groups = manifest.composition
    yield from_run(
        "by_license", portions("Licence", groups, _license), COUNTED, "composition", "licences", scope="every document"
    )
    total = sum((group.size for group in groups), Size())
    known = sum((group.size for group in groups if spdx(group.license)), Size())
    shares: dict[str, str | int | float] = {
        "documents": known.documents / (total.documents or 1),
        "characters": known.characters / (total.characters or 1),
    }
    text = "{documents:.2%} of the documents and {characters:.2%} of the characters have a licence that SPDX knows."
    method = "the column `license` read as an SPDX expression, the Hub's own words translated"
    yield from_run("spdx", Line(text=text, values=shares), method, "licences", scope="every document")
    declared = (manifest.recipe.get("card") or {}).get("license")
    asked = [(g.license, why, g.size.documents) for g in groups if (why := conflicts(g.license, declared))]
    if asked:
        sums: dict[tuple[str | None, str], int] = {}
        for license, why, n in asked:
            sums[license, why] = sums.get((license, why), 0) + n
        columns: Columns = (("Licence asks", "name"), ("What", "told"), ("Documents", "count"))
        rows = tuple((license, why, n) for (license, why), n in sorted(sums.items(), key=lambda item: -item[1]))
        method = "licences of documents that ask what that of the compilation does not: to be looked at, no judgement"
        yield from_run("conflicts", Grid(columns=columns, rows=rows), method, "licences", scope="every document")
    text = (
        "Declared for the compilation: {license}. The licence of each document stands in its column `license`."
        if declared
        else "No licence is declared for the compilation. The licence of each document stands in its column `license`."
    )
    line = Line(text=text, values={"license": str(declared)} if declared else {})
    yield from_run("license", line, "from the recipe", "recipe")


def portions(title: str, groups: Sequence[Group], key: Callable[[Group], str | None]) -> Grid:
    """Documents, characters and bytes by what `key` gives, the most documents first."""
    sizes: dict[str | None, Size] = {}
    for group in groups:
        sizes[key(group)] = sizes.get(key(group), Size()) + group.size
    total = sum(sizes.values(), Size())
    ordered = sorted(sizes.items(), key=lambda item: (-item[1].documents, item[0] or ""))
    columns: Columns = (
        *((title, "name"), ("Documents", "count"), ("Characters", "count"), ("Bytes", "count")),
        *(("Share of documents", "share"), ("Share of characters", "share")),
    )
    rows = tuple(
        (
            *(name, size.documents, size.characters, size.bytes),
            size.documents / (total.documents or 1),
            size.characters / (total.characters or 1),
        )
        for name, size in ordered
    )
    return Grid(columns=columns, rows=rows, rest="added")


def tokens(manifest: Manifest) -> Iterator[Field]:
    """What was packed for training."""
    if not manifest.tokens:
        return
    yield from_run("splits", _splits(manifest), _PACKED, "tokens", "files", scope="every row")
    for name, title, key in (
        ("tokens_by_language", "Tokens of language", _token_lang),
        ("tokens_by_source", "Tokens of source", _token_source),
    ):
        if manifest.token_groups:
            grid = _token_portions(title, manifest.token_groups, key)
            yield from_run(name, grid, _PACKED, "tokens", "tokenizer", scope="every document")
    facts = manifest.facts
    if (size := facts.get("vocabulary")) and (used := facts.get("vocabulary_used")) is not None:
        values: dict[str, str | int | float] = {"size": size, "used": used, "share": used / size}
        text = "Of {size:,} tokens of the vocabulary {used:,} occur ({share:.2%})."
        yield from_run("vocabulary", Line(text=text, values=values), _PACKED, "tokens", scope="every row")
    if manifest.longest:
        columns: Columns = (("Longest documents", "text"), ("Split", "name"), ("Tokens", "count"))
        rows = tuple((one.id, one.split, one.tokens) for one in manifest.longest)
        yield from_run("longest", Grid(columns=columns, rows=rows), _PACKED, "tokens", scope="every row")
    counts = tuple((name, n) for name, n in sorted(facts.items()) if not name.startswith("vocabulary"))
    if counts:
        grid = Grid(columns=(("Count", "name"), ("Value", "count")), rows=counts)
        yield from_run("counts", grid, _PACKED, "tokens", scope="every row")
    for file in manifest.tokenizer:
        if PurePosixPath(file.path).name == "tokenizer.json":
            line = Line(text="Tokenizer: `tokenizer/tokenizer.json`, sha256 {sha256}.", values={"sha256": file.sha256})
            yield from_run("tokenizer", line, "the sha256 of the file", "files", "tokenizer")


def _splits(manifest: Manifest) -> Grid:
    counts: dict[str, list[int]] = {}
    for file in manifest.tokens:
        had = counts.get(split := PurePosixPath(file.path).parent.name, [0, 0, 0])
        counts[split] = [had[0] + 1, had[1] + file.rows, had[2] + file.bytes]
    columns: Columns = (
        *(("Split", "name"), ("Files", "count"), ("Rows", "count"), ("Bytes", "count"), ("Tokens", "count")),
        *(("Padding", "thousandths"), ("Documents cut", "share")),
    )
    rows = []
    for split, (files, n_rows, n_bytes) in sorted(counts.items(), key=lambda item: (item[0] != "train", item[0])):
        names = ("tokens", "padding", "documents", "cut_documents")
        full, padding, whole, cut = (manifest.facts.get(f"{split}_{name}", 0) for name in names)
        shares = (padding / (full + padding or 1), cut / (whole or 1))
        rows.append((split, files, n_rows, n_bytes, full, *shares))
    return Grid(columns=columns, rows=tuple(rows))


def _token_portions(title: str, groups: Sequence[TokenGroup], key: Callable[[TokenGroup], str | None]) -> Grid:
    counts: dict[str | None, list[int]] = {}
    for group in groups:
        had = counts.get(key(group), [0, 0, 0])
        counts[key(group)] = [had[0] + group.documents, had[1] + group.tokens, had[2] + group.bytes]
    total = sum(tokens for _, tokens, _ in counts.values()) or 1
    columns: Columns = (
        *((title, "name"), ("Documents", "count"), ("Tokens", "count")),
        *(("Share of tokens", "share"), ("Bytes per token", "number")),
    )
    ordered = sorted(counts.items(), key=lambda item: (-item[1][1], item[0] or ""))
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, n, tokens, tokens / total, n_bytes / (tokens or 1)) for name, (n, tokens, n_bytes) in ordered
    )
    return Grid(columns=columns, rows=rows)


def _lang(group: Group) -> str | None:
    return group.lang


def _source(group: Group) -> str | None:
    return group.source


def _license(group: Group) -> str | None:
    return group.license


def _token_lang(group: TokenGroup) -> str | None:
    return group.lang


def _token_source(group: TokenGroup) -> str | None:
    return group.source
