"""How a recipe names a benchmark: its files, and which of their fields hold questions and answers."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.backends.benchmarks import Layout, presets
from pipeline.backends.lists import find_list
from pipeline.core.asset import Asset


class BenchmarkFiles(BaseModel):
    """Files of questions, and which fields hold them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="name in ledger and card")
    paths: tuple[str, ...] = Field(min_length=1, description="JSON lines, JSON, Parquet or Arrow files, plain or gzip")
    preset: str | None = Field(None, description="a known benchmark whose fields these are, such as gsm8k or mmlu")
    question: tuple[str, ...] = Field((), description="fields that make the question, where no preset says so")
    answer: tuple[str, ...] = Field((), description="fields that make the answer, choices included")
    id: str | None = Field(None, description="field with the id; the number in the file where there is none")
    lang: str | None = Field(None, description="language of the questions, for the card")
    sha256: dict[str, str] = Field({}, description="digests that the files must have, by path")

    @model_validator(mode="after")
    def _says_where_the_questions_are(self) -> Self:
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
        return tuple(find_list(path, self.sha256.get(path)) for path in self.paths)
