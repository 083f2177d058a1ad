"""How predictable a text is to a language model of its language: CCNet's measure of quality (Wenzek et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.backends import kenlm, ngram
from pipeline.core.asset import Asset, find_asset
from pipeline.core.stage import Score

OTHERS = "*"


class Perplexity(Score):
    """Writes the perplexity of each text for the model of its language, a word; null without a model or without words.

    A model is a file that `gristmill train-ngram` or `train_ngram` wrote, or a KenLM model (ARPA or binary) where the
    package kenlm is installed; such a one reads lines, as CCNet does, through the SentencePiece model that is given.
    """

    optional: ClassVar[tuple[str, ...]] = ("lang",)
    example: ClassVar[Mapping[str, Any]] = {"models": {"la": "models/la.arrow"}}

    models: dict[str, str] = Field(min_length=1, description="model files by language; `*` is for any other")
    sentencepiece: dict[str, str] = Field({}, description="by language, the SentencePiece model of a KenLM model")
    sha256: dict[str, str] = Field({}, description="digests that the files must have, by path")
    column: str = Field("perplexity", min_length=1, description="column to write")

    @model_validator(mode="after")
    def _files_belong_together(self) -> Self:
        if unknown := sorted(set(self.sentencepiece) - set(self.models)):
            raise ValueError(f"sentencepiece: {unknown[0]!r} has no model")
        if unknown := sorted(set(self.sha256) - set(self._paths)):
            raise ValueError(f"sha256: {unknown[0]!r} is none of the files that are named here")
        return self

    @property
    def _paths(self) -> tuple[str, ...]:
        return (*self.models.values(), *self.sentencepiece.values())

    def columns_written(self) -> Mapping[str, pa.DataType]:
        """The column that is named."""
        return {self.column: pa.float64()}

    def assets(self) -> tuple[Asset, ...]:
        """All files."""
        return tuple(self._asset(path) for path in self._paths)

    def score(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """Language by language."""
        texts = [text or "" for text in batch.column("text").to_pylist()]
        keys = [lang if lang in self.models else OTHERS for lang in batch.column("lang").to_pylist()]
        found = np.full(len(texts), np.nan)
        for key in sorted(set(keys) & set(self.models)):
            rows = [row for row, wanted in enumerate(keys) if wanted == key]
            found[rows] = self._perplexities(key, [texts[row] for row in rows])
        return {self.column: pa.array(found, from_pandas=True)}

    def _perplexities(self, lang: str, texts: Sequence[str]) -> np.ndarray:
        path = self._asset(self.models[lang]).path
        if is_ngram(path):
            return ngram.perplexities(ngram.load(path), texts)
        pieces = self.sentencepiece.get(lang)
        return kenlm.perplexities(path, texts, self._asset(pieces).path if pieces else None)

    def _asset(self, path: str) -> Asset:
        return find_asset(path, self.sha256.get(path), what="language model")


def is_ngram(path: Path) -> bool:
    """Whether a file is one of ours: Arrow's magic."""
    with path.open("rb") as stream:
        return stream.read(6) == b"ARROW1"
