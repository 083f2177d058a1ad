"""Receipts of shards and the manifest that they add up to: the only source of every number that a person is shown."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.core.errors import StoreError

REMOVED, REMOVED_LEDGER = "removed", "removed.arrow"
"""The line of the funnel for documents that were taken out of a finished corpus, and their ledger in its folder."""

N_LONGEST = 10
"""Documents that are named for their length."""


class Record(BaseModel):
    """Base of what is written as JSON: frozen, and nothing unknown is read back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        """Indented JSON with sorted keys and a final newline: the same bytes for the same content."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


class Size(Record):
    """An amount of text: documents, characters (code points) and bytes (UTF-8)."""

    documents: int = 0
    characters: int = 0
    bytes: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(
            documents=self.documents + other.documents,
            characters=self.characters + other.characters,
            bytes=self.bytes + other.bytes,
        )

    @classmethod
    def of(cls, text: pa.Array) -> Size:
        """The size of a column of texts; null is a document without characters."""
        return cls(
            documents=len(text),
            characters=pc.sum(pc.utf8_length(text)).as_py() or 0,
            bytes=pc.sum(pc.binary_length(text)).as_py() or 0,
        )


class StageCount(Record):
    """What one stage did: `stage` is its label in the recipe; `read = kept + sum(dropped)` in documents.

    `found` counts what it met in the documents that it read, `kind/language`.
    """

    stage: str
    read: Size = Size()
    kept: Size = Size()
    dropped: dict[str, int] = {}
    found: dict[str, int] = {}

    def __add__(self, other: StageCount) -> StageCount:
        return StageCount(
            stage=self.stage,
            read=self.read + other.read,
            kept=self.kept + other.kept,
            dropped=dict(sorted((Counter(self.dropped) + Counter(other.dropped)).items())),
            found=dict(sorted((Counter(self.found) + Counter(other.found)).items())),
        )


class Group(Record):
    """The size of the kept documents of one source, language and licence."""

    source: str | None
    lang: str | None
    license: str | None
    size: Size


class TokenGroup(Record):
    """The tokens made of the documents of one split, source and language, `bytes` of UTF-8 text before.

    The end-of-document tokens are counted, padding is not.
    """

    split: str
    source: str | None
    lang: str | None
    documents: int
    bytes: int
    tokens: int


class LongDocument(Record):
    """A document and how many tokens it became."""

    id: str
    split: str
    tokens: int


class TokenTally(Record):
    """What became tokens in one shard. `used` is one bit an id of the vocabulary, base64; `engine` made the ids."""

    groups: tuple[TokenGroup, ...] = ()
    longest: tuple[LongDocument, ...] = ()
    used: str = ""
    vocabulary: int = 0
    engine: str = ""


class FileDigest(Record):
    """A stored file: path below its folder, rows, bytes and sha256."""

    path: str
    rows: int
    bytes: int
    sha256: str


class Input(Record):
    """An input file, or in a receipt the slice of it that was read; `sha256` is that of the whole file."""

    source: str
    name: str
    bytes: int
    sha256: str


class Receipt(Record):
    """What a worker did to one shard: the mark of completion and the memory of the counts."""

    shard: int
    rows_in: int
    rows_out: int
    stages: tuple[StageCount, ...]
    files: tuple[FileDigest, ...]
    inputs: tuple[Input, ...] = ()
    composition: tuple[Group, ...] = ()
    facts: dict[str, int] = {}
    tally: TokenTally | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    """Time by stage, of the run that did the work. The only part that differs from run to run."""
    check: str = ""
    """sha256 of the rest but `seconds`, set where it is written: a receipt that was changed since is none."""

    def checked(self) -> Receipt:
        """The same with its `check`."""
        return self.model_copy(update={"check": digest(self.model_dump(mode="json", exclude={"check", "seconds"}))})

    @property
    def n_dropped(self) -> int:
        """Documents in this shard's ledger."""
        return sum(sum(count.dropped.values()) for count in self.stages)


class Older(Record):
    """A finished build that a stage compared its documents with: the folder as the recipe names it, and its key."""

    folder: str
    name: str
    key: str


class Index(Record):
    """What a stage that needs all documents knew of them, kept for later builds to compare theirs with.

    `path` is the folder of its sketches below the root that the corpus lies in, one file a shard.
    """

    stage: str
    word: str
    version: int
    fields: dict[str, Any]
    sources: tuple[str, ...]
    path: str
    shards: int
    older: tuple[Older, ...] = ()


class Sweep(Record):
    """All receipts of one sweep, added up."""

    name: str
    key: str
    shards: int
    rows_in: int
    rows_out: int
    stages: tuple[StageCount, ...]


class Warned(Record):
    """A rule that fired on nothing or on nearly everything, or an expected share that was missed."""

    stage: str
    message: str


class Trial(Record):
    """How a detector did where positives were planted: of `planted`, `found`; of `clean` texts, `false_alarms`."""

    kind: str
    lang: str | None
    planted: int
    found: int
    clean: int = 0
    false_alarms: int = 0

    @property
    def recall(self) -> float:
        """The share of the planted that was found."""
        return self.found / self.planted if self.planted else 0.0

    @property
    def precision(self) -> float:
        """The share of what was found that had been planted."""
        hits = self.found + self.false_alarms
        return self.found / hits if hits else 0.0


class Manifest(Record):
    """A finished corpus in numbers. Only `execution` (versions, times) may differ between two builds."""

    gristmill: str
    recipe: dict[str, Any]
    key: str
    root: str = ""
    """Of the tree over all documents (`core/merkle.py`): the same in whatever shards and file format they lie."""
    sweeps: tuple[Sweep, ...]
    inputs: tuple[Input, ...]
    composition: tuple[Group, ...]
    documents: tuple[FileDigest, ...]
    tokens: tuple[FileDigest, ...] = ()
    tokenizer: tuple[FileDigest, ...] = ()
    """`tokenizer.json`, and what lies beside it."""
    indexes: tuple[Index, ...] = ()
    versions: dict[str, int] = {}
    """The version of each source's and stage's code, by name and label."""
    facts: dict[str, int] = {}
    decided: dict[str, dict[str, Any]] = {}
    """By stage, what a stage that needs all documents says of its decision."""
    trials: dict[str, tuple[Trial, ...]] = {}
    """By stage, how a detector did when it was tried on planted positives."""
    token_groups: tuple[TokenGroup, ...] = ()
    longest: tuple[LongDocument, ...] = ()
    warnings: tuple[Warned, ...] = ()
    execution: dict[str, Any] = {}

    @field_validator("tokenizer", mode="before")
    @classmethod
    def _of_older_builds(cls, value: Any) -> Any:
        """They list `tokenizer.json` alone."""
        return value if isinstance(value, (list, tuple)) else [value] if value else []

    @property
    def files(self) -> tuple[FileDigest, ...]:
        """All that was written: shards, rows, tokenizer."""
        return (*self.documents, *self.tokens, *self.tokenizer)

    @property
    def name(self) -> str:
        """`recipe@version`."""
        return f"{self.recipe.get('recipe')}@{self.recipe.get('version')}"

    @property
    def digest(self) -> str:
        """sha256 of everything but `execution`."""
        return digest(self.model_dump(mode="json", exclude={"execution"}))


def digest(value: Any) -> str:
    """sha256 of canonical JSON; TypeError for what JSON cannot hold, so that nothing is hashed by its address."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def add_stages(rows: Iterable[tuple[StageCount, ...]]) -> tuple[StageCount, ...]:
    """Stage by stage, the sum over shards."""
    total: dict[str, StageCount] = {}
    for counts in rows:
        for count in counts:
            total[count.stage] = total[count.stage] + count if count.stage in total else count
    return tuple(total.values())


def add_inputs(rows: Iterable[tuple[Input, ...]]) -> tuple[Input, ...]:
    """File by file, the bytes of its slices added up, in the order in which they were read."""
    total: dict[tuple[str, str], Input] = {}
    for inputs in rows:
        for entry in inputs:
            key = (entry.source, entry.name)
            read = total[key].bytes + entry.bytes if key in total else entry.bytes
            total[key] = entry.model_copy(update={"bytes": read})
    return tuple(total.values())


def add_groups(rows: Iterable[tuple[Group, ...]]) -> tuple[Group, ...]:
    """Group by group, the sum over shards, in a fixed order."""
    total: dict[tuple[str, str, str], Group] = {}
    for groups in rows:
        for group in groups:
            key = (group.source or "", group.lang or "", group.license or "")
            size = total[key].size + group.size if key in total else group.size
            total[key] = group.model_copy(update={"size": size})
    return tuple(total[key] for key in sorted(total))


def add_token_groups(rows: Iterable[tuple[TokenGroup, ...]]) -> tuple[TokenGroup, ...]:
    """Group by group, the sum over shards, in a fixed order."""
    total: dict[tuple[str, str, str], TokenGroup] = {}
    for groups in rows:
        for group in groups:
            key = (group.split, group.source or "", group.lang or "")
            had = total.get(key)
            counts = {
                name: getattr(group, name) + (getattr(had, name) if had else 0)
                for name in ("documents", "bytes", "tokens")
            }
            total[key] = group.model_copy(update=counts)
    return tuple(total[key] for key in sorted(total))


def longest_of(documents: Iterable[LongDocument]) -> tuple[LongDocument, ...]:
    """The `N_LONGEST` longest documents, the longest first."""
    return tuple(sorted(documents, key=lambda document: (-document.tokens, document.split, document.id))[:N_LONGEST])


def n_used(tallies: Iterable[TokenTally]) -> int:
    """How many ids of the vocabulary occur in any of the shards."""
    total = 0
    for tally in tallies:
        total |= int.from_bytes(base64.b64decode(tally.used), "little")
    return total.bit_count()


def compose(batch: pa.RecordBatch) -> tuple[Group, ...]:
    """The groups of a batch of documents."""
    keys = ["source", "lang", "license"]
    table = pa.table({name: batch.column(name) for name in keys}).append_column(
        "characters", pc.utf8_length(batch.column("text"))
    )
    table = table.append_column("bytes", pc.binary_length(batch.column("text")))
    grouped = table.group_by(keys).aggregate([("characters", "sum"), ("bytes", "sum"), ([], "count_all")])
    return tuple(
        Group(
            source=row["source"],
            lang=row["lang"],
            license=row["license"],
            size=Size(documents=row["count_all"], characters=row["characters_sum"] or 0, bytes=row["bytes_sum"] or 0),
        )
        for row in grouped.to_pylist()
    )


def _instead(folder: Path) -> str:
    """What may have been meant by a folder that is no corpus."""
    if not folder.is_dir():
        return f", for there is no such folder as {folder}; `gristmill build RECIPE` makes a corpus, in build/"
    corpora = sorted(str(path.parent) for path in folder.glob("*/manifest.json"))[:5]
    return f"; did you mean {' or '.join(corpora)}?" if corpora else "; `gristmill build RECIPE` writes one"


def read_receipt(path: Path) -> Receipt | None:
    """The receipt, None where there is none; StoreError where it cannot be read."""
    try:
        receipt = Receipt.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreError(f"{path}: not a receipt; delete it and run the same build again") from error
    if receipt != receipt.checked():
        raise StoreError(f"{path}: was changed since it was written; delete it and run the same build again")
    return receipt


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a built corpus; StoreError says how to make one."""
    path = folder / "manifest.json"
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{path}: no manifest here{_instead(folder)}") from None
    except ValueError as error:
        raise StoreError(f"{path}: not a manifest of this version ({error}); build again") from error
