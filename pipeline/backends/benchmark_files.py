"""How a recipe names a benchmark: its files, and which of their fields hold questions and answers."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.backends import hub
from pipeline.backends.benchmarks import Layout, presets
from pipeline.backends.lists import find_list
from pipeline.core.asset import Asset, known_digest


class HubFiles(BaseModel):
    """Files of a dataset on the Hugging Face Hub, at a fixed commit."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    repo: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$", description="repository, as owner/name")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="commit; a branch moves, so only a full hash will do")
    files: tuple[str, ...] = Field(min_length=1, description="their names there")

    def assets(self) -> tuple[Asset, ...]:
        """The files in the cache, downloaded if need be."""
        found = (hub.find(self.repo, self.revision, file, kind="dataset") for file in self.files)
        return tuple(Asset(path, known_digest(path)) for path in found)


class BenchmarkFiles(BaseModel):
    """Files of questions, and which fields hold them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="name in ledger and card")
    paths: tuple[str, ...] = Field((), description="JSON lines, JSON, Parquet or Arrow files, plain or gzip")
    hub: HubFiles | None = Field(None, description="such files of a dataset on the Hugging Face Hub")
    preset: str | None = Field(None, description="a known benchmark whose fields these are, such as gsm8k or mmlu")
    question: tuple[str, ...] = Field((), description="fields that make the question, where no preset says so")
    answer: tuple[str, ...] = Field((), description="fields that make the answer, choices included")
    id: str | None = Field(None, description="field with the id; the number in the file where there is none")
    lang: str | None = Field(None, description="language of the questions, for the card")
    sha256: dict[str, str] = Field({}, description="digests that the files must have, by path")

    @model_validator(mode="after")
    def _says_where_the_questions_are(self) -> Self:
        if not self.paths and self.hub is None:
            raise ValueError("give the files in paths, or those of a dataset in hub")
        if (self.preset is None) == (not self.question):
            raise ValueError("give either a preset or the fields of the question")
        if self.preset is not None and self.preset not in presets():
            raise ValueError(f"unknown preset {self.preset!r}: choose one of {', '.join(presets())}, or give question")
        return self

    @property
    def layout(self) -> Layout:
        """The fields as given, or those of the preset."""
        return presets()[self.preset] if self.preset else Layout(self.question, self.answer, self.id)

    def assets(self) -> tuple[Asset, ...]:
        """The files, by content."""
        local = tuple(find_list(path, self.sha256.get(path)) for path in self.paths)
        return (*local, *(self.hub.assets() if self.hub else ()))
