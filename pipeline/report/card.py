"""README.md of a corpus: the Hub's YAML front matter, then the datasheet in Markdown. No clock, no machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from pipeline.core.asset import Place
from pipeline.core.manifest import FileDigest, Input, Manifest, read_manifest
from pipeline.core.shards import write_text
from pipeline.report.datasheet import Answers, Datasheet, Portion, TokenPortion, Tokens, datasheet, read_answers
from pipeline.report.funnel import as_markdown
from pipeline.report.grid import as_markdown as as_grid
from pipeline.report.safe import fenced, inline, one_line, prose, table, word

_LISTED = 50
"""Rows of a table of files or groups; one last row adds up the rest."""

_NOT_STATED = "Not stated."


def write_card(corpus: Path, base: Path) -> Path:
    """Write README.md into a built corpus and return its path; the recipe's answers are looked for below `base`."""
    manifest = read_manifest(corpus)
    path = corpus / "README.md"
    write_text(path, render_card(manifest, answers_of(manifest.recipe, base)))
    return path


def answers_of(recipe: Mapping[str, Any], base: Path) -> Answers:
    """The answers that a recipe names; RecipeError where they cannot be used."""
    named = (recipe.get("card") or {}).get("answers")
    return read_answers(Place(base=base).resolve(named) if named else None)


def render_card(manifest: Manifest, answers: Answers | None = None, *, suffix: str = "arrow") -> str:
    """The card; `suffix` is that of the shards where it will lie (`parquet` for an export)."""
    sheet = datasheet(manifest, answers)
    header = yaml.safe_dump(front_matter(sheet, manifest, suffix), sort_keys=False, allow_unicode=True, width=10_000)
    return f"---\n{header}---\n\n" + "\n\n".join(_body(sheet)) + "\n"


def front_matter(sheet: Datasheet, manifest: Manifest, suffix: str = "arrow") -> dict[str, Any]:
    """What the Hub reads. `dataset_info` is left out: a row count there that goes stale stops `load_dataset`."""
    languages = [p.name for p in sheet.composition.by_language if p.name and re.fullmatch(r"[a-z]{2,3}", p.name)]
    tags = ["gristmill", "pretraining", *(["tokenized"] if manifest.tokens else [])]
    found = {
        "pretty_name": one_line(sheet.answers.text("title") or sheet.name),
        "language": sorted(set(languages) - {"und"}),
        **hub_license(sheet.license),
        "size_categories": [size_category(sheet.composition.total.documents)],
        "task_categories": ["text-generation"],
        "tags": tags,
        "configs": _configs(manifest, suffix),
    }
    return {key: value for key, value in found.items() if value}


_HUB_LICENSES = (
    " afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc0-1.0 "
    "cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 "
    "cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 "
    "cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 "
    "gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 "
    "osl-3.0 pddl postgresql unknown unlicense wtfpl zlib "
)
_SPDX_TO_HUB = {
    "odc-by-1.0": "odc-by",
    "odbl-1.0": "odbl",
    "pddl-1.0": "pddl",
    "lgpllr": "lgpl-lr",
    "c-uda-1.0": "c-uda",
}
_HUB_TO_SPDX = {
    "odc-by": "ODC-By-1.0",
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
    "lgpl-lr": "LGPLLR",
    "c-uda": "C-UDA-1.0",
}


def hub_license(name: str | None) -> dict[str, str]:
    """The Hub's licence keys for an SPDX or Hub identifier: what the Hub does not list is `other`, under its name."""
    if not name:
        return {"license": "unknown"}
    bare = re.sub(r"^(a?gpl|lgpl|gfdl)(-[0-9.]+)-(only|or-later)$", r"\1\2", name.strip().lower())
    bare = "gfdl" if bare.startswith("gfdl-") else _SPDX_TO_HUB.get(bare, bare)
    if f" {bare} " in _HUB_LICENSES:
        return {"license": bare}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") or "unnamed"}


def size_category(documents: int) -> str:
    """The Hub's exact word for a number of rows."""
    bounds = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    above = sum(documents >= 10 ** (3 + step) for step in range(len(bounds)))
    if above == 0:
        return "n<1K"
    return "n>1T" if above == len(bounds) else f"{bounds[above - 1]}<n<{bounds[above]}"


def _configs(manifest: Manifest, suffix: str) -> list[dict[str, Any]]:
    """The data files by config. A shard without rows makes `load_dataset` fail: it is left out by naming the others."""
    splits: dict[str, list[FileDigest]] = {}
    for file in manifest.tokens:
        splits.setdefault(PurePosixPath(file.path).parent.name, []).append(file)
    ordered = sorted(splits, key=lambda name: (name != "train", name))
    documents = _data_files({"train": ("documents", manifest.documents)}, suffix)
    tokens = _data_files({name: (f"tokens/{name}", splits[name]) for name in ordered}, suffix)
    configs = [{"config_name": "documents", "default": True, "data_files": documents}] if documents else []
    return configs + ([{"config_name": "tokens", "data_files": tokens}] if tokens else [])


def _data_files(splits: dict[str, tuple[str, Sequence[FileDigest]]], suffix: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for split, (folder, files) in splits.items():
        full = [f"{folder}/{PurePosixPath(file.path).stem}.{suffix}" for file in files if file.rows]
        if full:
            found.append({"split": split, "path": f"{folder}/*.{suffix}" if len(full) == len(files) else full})
    return found


def _body(sheet: Datasheet) -> Iterable[str]:
    total, made = sheet.composition.total, sheet.reproducibility
    n_languages = len([portion for portion in sheet.composition.by_language if portion.name])
    languages = f" in {n_languages} {'language' if n_languages == 1 else 'languages'}" if n_languages else ""
    yield f"# {inline(sheet.answers.text('title') or sheet.name)}"
    yield (
        f"{total.documents:,} documents, {total.characters:,} characters, {total.bytes:,} bytes of text{languages}, "
        f"built by Gristmill {inline(made.gristmill)} from the recipe {word(sheet.name)}, "
        f"version {inline(sheet.version)}."
    )
    yield from ([inline(sheet.description)] if sheet.description else [])
    n = len(sheet.unanswered)
    yield (
        "Every number on this page is computed from `manifest.json`; every section says how it was measured. "
        "Sentences under a question are the authors' own words. "
        f"{n} of {len(Answers.model_fields)} questions have no answer."
    )
    yield from _questions(sheet.answers, "motivation", "intended_uses", "out_of_scope_uses")
    yield from _composition(sheet)
    yield from _questions(sheet.answers, "license_note", "collection", "sensitive_content")
    yield "## Funnel"
    yield _how("counted in the sweep that dropped them; that documents read = kept + dropped was checked for this page")
    yield as_markdown(
        sheet.funnel, {stage: f"{said.share:.2%} ({inline(said.source)})" for stage, said in sheet.published.items()}
    )
    yield "Each dropped document is in the ledger of its sweep, with the reason and the numbers it rests on."
    yield from _checks(sheet)
    yield from _told(sheet)
    yield "## Processing"
    yield "The whole recipe; stages run in this order."
    yield fenced(sheet.recipe, "yaml")
    if sheet.tokens:
        yield from _tokens(sheet.tokens)
    yield "## Limitations"
    yield _answer(sheet.answers, "limitations")
    yield from (["What the recipe and the numbers show:", _bullets(sheet.limits)] if sheet.limits else [])
    yield from _reproducibility(sheet)
    yield from _questions(sheet.answers, "maintenance", "contact")
    yield "## How should it be cited?"
    citation = sheet.answers.text("citation")
    yield fenced(citation) if citation else _NOT_STATED


def _questions(answers: Answers, *questions: str) -> Iterable[str]:
    for question in questions:
        yield f"## {Answers.model_fields[question].description}"
        yield _answer(answers, question)


def _answer(answers: Answers, question: str) -> str:
    said = answers.text(question)
    return prose(said) if said else _NOT_STATED


def _how(how: str) -> str:
    return f"*How measured: {how}.*"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _composition(sheet: Datasheet) -> Iterable[str]:
    composition = sheet.composition
    yield "## Composition"
    yield _how(composition.how)
    for title, portions in (
        ("Language", composition.by_language),
        ("Source", composition.by_source),
        ("Licence", composition.by_license),
    ):
        yield _portions(title, portions)
    declared = hub_license(sheet.license)
    spdx = _HUB_TO_SPDX.get(declared["license"])
    yield (
        f"Declared for the compilation: {word(sheet.license)}{f' (SPDX `{spdx}`)' if spdx else ''}. "
        if sheet.license
        else "No licence is declared for the compilation. "
    ) + "The licence of each document stands in its column `license`."


def _portions(title: str, portions: tuple[Portion, ...]) -> str:
    head = (title, "Documents:", "Characters:", "Bytes:", "Share of documents:", "Share of characters:")
    rows = [_portion(word(p.name) if p.name else "(not stated)", [p]) for p in portions[:_LISTED]]
    if rest := portions[_LISTED:]:
        rows.append(_portion(f"({len(rest):,} others)", rest))
    return table(head, rows)


def _portion(name: str, parts: Sequence[Portion]) -> tuple[str, ...]:
    counts = (
        sum(part.size.documents for part in parts),
        sum(part.size.characters for part in parts),
        sum(part.size.bytes for part in parts),
    )
    shares = (sum(part.share_of_documents for part in parts), sum(part.share_of_characters for part in parts))
    return (name, *(f"{count:,}" for count in counts), *(f"{share:.2%}" for share in shares))


def _checks(sheet: Datasheet) -> Iterable[str]:
    if sheet.expectations:
        yield "## Expected shares"
        yield "The share of documents that the recipe expects a stage to drop, and the share that it dropped."
        yield table(
            ("Stage", "From:", "To:", "Found:", "Met"),
            (
                (
                    word(e.stage),
                    f"{e.low:.2%}",
                    f"{e.high:.2%}",
                    "(did not run)" if e.found is None else f"{e.found:.2%}",
                    "yes" if e.met else "no",
                )
                for e in sheet.expectations
            ),
        )
    if sheet.compared:
        yield "## Older builds"
        yield "Documents that are in a finished build (or in one that it was compared with itself) were dropped."
        rows = ((word(c.stage), inline(c.name), f"`{c.key[:16]}`", f"{c.dropped:,}") for c in sheet.compared)
        yield table(("Stage", "Build", "Key", "Dropped:"), rows)
    if sheet.warnings:
        yield "## Warnings of the build"
        yield _bullets(f"{word(warned.stage)} {inline(warned.message)}" for warned in sheet.warnings)


def _told(sheet: Datasheet) -> Iterable[str]:
    if sheet.found:
        yield "## Found in the documents"
        yield _how("counted by the stage in all documents that it read, kept or dropped")
        for stage, grid in sheet.found.items():
            yield f"By {word(stage)}:"
            yield as_grid(grid)
    if sheet.decided:
        yield "## Decisions"
        yield _how("by a stage that looks at all documents before it judges any; the facts are its own")
        for stage, grids in sheet.decided.items():
            yield f"By {word(stage)}:"
            yield from (as_grid(grid) for grid in grids)
    if sheet.trials:
        yield "## Detectors on trial"
        yield _how("positives were planted in memory and the detector was run on them, with clean texts beside")
        for stage, grid in sheet.trials.items():
            yield f"Of {word(stage)}:"
            yield as_grid(grid)


def _tokens(tokens: Tokens) -> Iterable[str]:
    yield "## Tokens"
    yield _how(tokens.how)
    yield table(
        ("Split", "Files:", "Rows:", "Bytes:", "Tokens:", "Padding:", "Documents cut:"),
        (
            (
                word(s.name),
                *(f"{count:,}" for count in (s.files, s.rows, s.bytes, s.tokens)),
                f"{s.share_of_padding:.3%}",
                f"{s.share_of_documents_cut:.2%}",
            )
            for s in tokens.splits
        ),
    )
    for title, portions in (("Tokens of language", tokens.by_language), ("Tokens of source", tokens.by_source)):
        if portions:
            head = (title, "Documents:", "Tokens:", "Share of tokens:", "Bytes per token:")
            yield table(head, _listed(portions, _token_portion))
    if tokens.vocabulary and tokens.vocabulary_used is not None:
        share = tokens.vocabulary_used / tokens.vocabulary
        yield f"Of {tokens.vocabulary:,} tokens of the vocabulary {tokens.vocabulary_used:,} occur ({share:.2%})."
    if tokens.longest:
        yield table(
            ("Longest documents", "Split", "Tokens:"),
            ((inline(one.id), word(one.split), f"{one.tokens:,}") for one in tokens.longest),
        )
    if tokens.counts:
        yield table(("Count", "Value:"), ((word(name), f"{value:,}") for name, value in tokens.counts.items()))
    if tokens.tokenizer:
        yield f"Tokenizer: `tokenizer/tokenizer.json`, sha256 `{tokens.tokenizer.sha256}`."


def _token_portion(portion: TokenPortion) -> tuple[str, ...]:
    name = word(portion.name) if portion.name else "(not stated)"
    counts = (f"{portion.documents:,}", f"{portion.tokens:,}", f"{portion.share_of_tokens:.2%}")
    return (name, *counts, f"{portion.bytes_per_token:.3f}")


def _reproducibility(sheet: Datasheet) -> Iterable[str]:
    made = sheet.reproducibility
    yield "## Reproducibility"
    yield _how(made.how)
    rows = [("Key", word(made.key)), ("Manifest digest", word(made.digest)), ("Gristmill", word(made.gristmill))]
    yield table(("What", "Value"), rows + [(word(name), inline(value)) for name, value in made.versions.items()])
    yield "Build it again from `recipe.yaml` and compare the digest:"
    yield fenced("gristmill build recipe.yaml", "bash")
    head = ("Sweep", "Shards:", "Key")
    yield table(head, ((word(sweep.name), f"{sweep.shards:,}", word(sweep.key)) for sweep in made.sweeps))
    if made.inputs:
        yield "Inputs, as they were read:"
        yield table(("Input", "Of source", "Bytes:", "sha256"), _listed(made.inputs, _input))
    yield "## Integrity"
    yield _how("rows, bytes and sha256 of each file when it was written")
    yield table(("File", "Rows:", "Bytes:", "sha256"), _listed(sheet.files, _file))


def _listed(items: Sequence[Any], cells: Any) -> list[tuple[str, ...]]:
    rows = [cells(item) for item in items[:_LISTED]]
    left = len(items) - _LISTED
    return [*rows, (f"({left:,} more in `manifest.json`)", *[""] * (len(rows[0]) - 1))] if left > 0 else rows


def _input(item: Input) -> tuple[str, ...]:
    return (inline(item.name), word(item.source), f"{item.bytes:,}", word(item.sha256))


def _file(item: FileDigest) -> tuple[str, ...]:
    return (inline(item.path), f"{item.rows:,}", f"{item.bytes:,}", word(item.sha256))
