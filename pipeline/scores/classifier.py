"""What a trained classifier thinks of a text: fastText's models, or a linear probe on sentence embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.backends import classifier, embeddings, hub
from pipeline.core.asset import Asset, find_asset
from pipeline.core.stage import Score


class HubFile(BaseModel):
    """A file of a repository on the Hugging Face Hub, at a fixed commit."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    repo: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$", description="repository, as owner/name")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="commit; a branch moves, so only a full hash will do")
    file: str = Field("model.bin", min_length=1, description="the model's name there")


class Classifier(Score):
    """Writes the probability of a label; null for a text of white space, and for languages that are not asked for.

    `model` is a fastText supervised model (.bin or .ftz), or a probe (.npz) that `train_classifier` or `gristmill
    train-classifier` made, which needs the `embeddings` that it was trained on. Texts must be prepared as in training:
    `line` for most published models, `tokens` for those that are trained here. A limit is another stage: `threshold`
    (DCLM keeps 0.018112 and more of its model), or `quantile` (its best tenth).
    """

    optional: ClassVar[tuple[str, ...]] = ("lang",)
    example: ClassVar[Mapping[str, Any]] = {"model": "models/quality.bin", "languages": ["la"]}

    model: str | None = Field(None, description="model file")
    hub: HubFile | None = Field(None, description="model file on the Hugging Face Hub, in place of `model`")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="digest that the model file must have")
    label: str = Field(classifier.POSITIVE, min_length=1, description="label whose probability is written")
    prepare: classifier.Prepare = Field("line", description="how a text is put before fastText; see `train_classifier`")
    embeddings: str | None = Field(None, description="folder of the sentence-embedding model of a probe")
    languages: tuple[str, ...] = Field((), description="languages that are scored; none: all")
    column: str = Field("quality", min_length=1, description="column to write")

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if (self.model is None) == (self.hub is None):
            raise ValueError("name one model: a file in `model`, or one on the Hub in `hub`")
        return self

    def columns_written(self) -> Mapping[str, pa.DataType]:
        """The column that is named."""
        return {self.column: pa.float64()}

    def fields(self) -> dict[str, Any]:
        """All but where the files lie."""
        return self.model_dump(mode="json", exclude={"model", "sha256", "embeddings"})

    def assets(self) -> tuple[Asset, ...]:
        """The model, unless the Hub's commit stands for it, and the embedding model."""
        own = () if self.model is None else (find_asset(self.model, self.sha256, what="classifier"),)
        return (*own, *((embeddings.find(self.embeddings),) if self.embeddings else ()))

    def score(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """Ask the model."""
        texts, langs = batch.column("text").to_pylist(), batch.column("lang").to_pylist()
        asked = [row for row, lang in enumerate(langs) if not self.languages or lang in self.languages]
        found = np.full(len(texts), np.nan)
        if asked:
            found[asked] = self._probabilities([texts[row] for row in asked])
        return {self.column: pa.array(found, from_pandas=True)}

    def _probabilities(self, texts: Sequence[str | None]) -> np.ndarray:
        path = self._path()
        return probabilities(path, texts, self.label, self.prepare, self.embeddings)

    def _path(self) -> Path:
        if self.model is not None:
            return self.assets()[0].path
        assert self.hub
        return hub.find(self.hub.repo, self.hub.revision, self.hub.file, self.sha256)


def probabilities(
    model: Path, texts: Sequence[str | None], label: str, prepare: classifier.Prepare, folder: str | None
) -> np.ndarray:
    """The probability of a label by either kind of model; `folder` has the embeddings of a probe."""
    if model.suffix == embeddings.SUFFIX:
        return embeddings.probabilities(model, texts, folder)
    return classifier.probabilities(model, texts, label, prepare)
