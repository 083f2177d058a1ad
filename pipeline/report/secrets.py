"""Keys and tokens that must not be published: looked for in every document and in every file beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.manifest import Manifest, Record
from pipeline.core.shards import read_batches, read_schema

PATTERNS = {
    "Hugging Face token": r"\bhf_[A-Za-z0-9]{34}\b",
    "AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
    "key of a language model's provider": r"\bsk-(?:(?:ant|proj|svcacct)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{48})\b",
    "Google key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "Slack token": r"\bxox[abeprs]-[A-Za-z0-9-]{20,}",
    "private key": r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}",
}
"""Shapes that hardly occur by chance; understood alike by `re` and by Arrow's RE2."""

_ANY = "|".join(f"(?:{pattern})" for pattern in PATTERNS.values())
_EXAMPLE = re.compile(r"EXAMPLE|(.)\1{7}", re.IGNORECASE)
"""What documentation writes in place of a key."""


class Secret(Record):
    """Where one is; it is never shown itself. `place` is the id of a document, or a line."""

    file: str
    place: str
    kind: str


def find_secrets(folder: Path, manifest: Manifest, own: str | None = None) -> Iterator[Secret]:
    """Those in a release, in order. `own` is the token that will be used: not even a file beside may have it."""
    data = {file.path for file in (*manifest.documents, *manifest.tokens)}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name not in data and not name.startswith("tokenizer/"):
            yield from _in_file(path, name, own)
    for file in manifest.documents:
        yield from _in_documents(folder / file.path, file.path)


def _in_file(path: Path, name: str, own: str | None) -> Iterator[Secret]:
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        kinds = [*_kinds(line), *(["the token in use"] if own and own in line else [])]
        for kind in kinds:
            yield Secret(file=name, place=f"line {number}", kind=kind)


def _in_documents(path: Path, name: str) -> Iterator[Secret]:
    schema = read_schema(path)
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    for batch in read_batches(path, texts):
        for column in texts:
            hits = pc.fill_null(pc.match_substring_regex(batch.column(column), _ANY), False)
            if hits.true_count:
                found = batch.filter(hits)
                for document, text in zip(
                    found.column("id").to_pylist(), found.column(column).to_pylist(), strict=True
                ):
                    for kind in _kinds(text):
                        yield Secret(file=name, place=f"document {document}", kind=kind)


def _kinds(text: str) -> list[str]:
    """The kinds of keys in a text, each once; an example of documentation is none."""
    return [
        kind
        for kind, pattern in PATTERNS.items()
        if any(not _EXAMPLE.search(match.group()) for match in re.finditer(pattern, text))
    ]
