"""A recipe: which documents, which stages, which tokenizer. `checking` reads one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from pipeline.core.asset import Place
from pipeline.core.manifest import digest
from pipeline.core.schema import DOCUMENT, NEVER_STORED, SOURCE
from pipeline.core.stage import Share, Source, Stage


class Card(BaseModel):
    """What a person declares of the corpus: its licence, and the file with the answers that no machine can give."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    license: str = Field(description="licence of the corpus as a whole, as an SPDX or Hub identifier")
    answers: str | None = Field(None, description="YAML file of declared words, relative to the project's folder")
    previous: str | None = Field(
        None, description="folder of the version before, relative to the project's: the card says what changed since"
    )


class Published(BaseModel):
    """A removal rate that others have published, to be quoted beside ours."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    share: Share = Field(description="share of documents that a stage of this kind removed there")
    source: str = Field(min_length=1, description="who published it and where, such as `Dolma, table 3`")


class Header(BaseModel):
    """The top level of a recipe, apart from its stages."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    recipe: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", description="name of the corpus and of its folder")
    version: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.+-]*$", description="to be raised with every change")
    description: str = Field("", description="one sentence for people")
    limit: int | None = Field(None, ge=1, description="documents to read of each source at most, spread over its parts")
    card: Card | None = Field(None, description="licence of the corpus and where the author's answers are")
    expect: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="share of documents that a stage should remove, as [least, most]"
    )
    published: dict[str, Published] = Field(
        default_factory=dict, description="removal rate that others published for such a stage, quoted in the card"
    )


@dataclass(frozen=True)
class Named:
    """A stage under the label that the ledger and the card know it by."""

    label: str
    stage: Stage

    @property
    def identity(self) -> list[Any]:
        """What a key is made of: never where files are, nor how the stage is executed."""
        stage = self.stage
        assets = sorted(asset.sha256 for asset in stage.assets())
        return [self.label, stage.word, stage.version, stage.fields(), assets]


@dataclass(frozen=True)
class Recipe:
    """A recipe that has been checked. `data` is the YAML it came from, overrides applied."""

    header: Header
    sources: tuple[Source, ...]
    stages: tuple[Named, ...]
    tokenizer: Named | None
    pack: Named | None
    data: dict[str, Any]
    base: Path
    overrides: tuple[str, ...] = ()

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        set: Mapping[str, Any] | Sequence[str] = (),
        data: Sequence[str | Path] = (),
        offline: bool = False,
    ) -> Recipe:
        """Read and check a recipe; RecipeError carries every problem.

        `set` changes values, `{"stages.gopher.min_words": 20}` or as `--set` has them; `data` are further folders that
        the files it names may lie in; models that it names are not downloaded if `offline`.
        """
        from pipeline.run.checking import load_recipe, project_folder

        changes = [f"{key}={json.dumps(value)}" for key, value in set.items()] if isinstance(set, Mapping) else set
        with Place(base=project_folder(Path(path)), data=tuple(map(Path, data)), offline=offline).active():
            return load_recipe(Path(path), changes)

    @property
    def name(self) -> str:
        """Folder of the corpus. With overrides it has their hash, so that a try-out never replaces the corpus."""
        return self.header.recipe + (f"~{digest(sorted(self.overrides))[:8]}" if self.overrides else "")

    @property
    def all_stages(self) -> tuple[Named, ...]:
        """Stages in order, the tokenizer and the packing included."""
        return (*self.stages, *(named for named in (self.tokenizer, self.pack) if named))

    @property
    def judges(self) -> frozenset[str]:
        """Labels of the stages that do nothing but drop: one that drops nothing might as well not be there."""
        return frozenset(n.label for n in self.stages if n.stage.reasons and not n.stage.columns_written())


def stored_columns(sources: Sequence[Source], before: Sequence[Named]) -> dict[str, pa.DataType]:
    """The columns of a shard after these stages: every document's, then what the stages wrote."""
    columns = dict(DOCUMENT)
    for source in sources:
        columns.update({name: dtype for name, dtype in source.columns_written().items() if name not in SOURCE})
    for named in before:
        columns.update(named.stage.columns_written())
    return {name: dtype for name, dtype in columns.items() if name not in NEVER_STORED}
