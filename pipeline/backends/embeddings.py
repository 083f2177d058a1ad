"""A linear probe on sentence embeddings, as FineWeb-Edu scores pages: the embedding model stays as it is.

Any folder that sentence-transformers loads will do (MiniLM, E5, BGE, Snowflake Arctic); code that a model brings along
is not run. The probe is a logistic regression, trained by Newton's method, and a file without code.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from pipeline.core.asset import Asset, current, known_digest
from pipeline.core.errors import GristmillError, MissingBackend
from pipeline.core.shards import whole

SUFFIX = ".npz"
_STEPS = 50
_LEAST_CHANGE = 1e-8
_FOLDS = 5
_PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10_000.0)


class Probe(BaseModel):
    """How a linear probe is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    folder: str = Field(min_length=1, description="folder of the sentence-embedding model")
    penalty: float | None = Field(
        None, gt=0, description="weight of the squared length of the probe's weights; none: chosen by cross-validation"
    )
    characters: int = Field(2000, ge=1, description="characters of a text that are embedded")


def find(folder: str) -> Asset:
    """The folder of an embedding model, with one digest over the names and contents of its files."""
    found = current().resolve(folder)
    if not (found / "config.json").is_file():
        raise GristmillError(f"{found}: no sentence-embedding model (a folder with config.json); correct `embeddings`")
    files = sorted(path for path in found.rglob("*") if path.is_file() and path.suffix in _CONTENT)
    lines = "".join(f"{path.relative_to(found).as_posix()} {known_digest(path)}\n" for path in files)
    return Asset(found, hashlib.sha256(lines.encode()).hexdigest())


_CONTENT = (".json", ".safetensors", ".bin", ".model", ".txt")


def train(
    texts: Sequence[str], labels: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64], how: Probe, path: Path
) -> None:
    """Write a probe; `weights` says how much each text counts."""
    model = find(how.folder)
    vectors = embed(model, [text[: how.characters] for text in texts])
    penalty = how.penalty or _best_penalty(vectors, labels, weights)
    coefficients = logistic(vectors, labels, weights, penalty)
    about = {"embeddings": np.array(model.sha256), "characters": np.array(how.characters)}
    with whole(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, coefficients=coefficients, **about)


def probabilities(path: Path, texts: Sequence[str | None], folder: str | None) -> npt.NDArray[np.float64]:
    """The probability of the positive label for each text; NaN for a text of white space."""
    probe = _load(path)
    if folder is None:
        raise GristmillError(f"{path}: a probe needs the model it was trained on: name its folder in `embeddings`")
    model = find(folder)
    if model.sha256 != probe.embeddings:
        raise GristmillError(f"{path}: trained on other embeddings than those in {model.path}; train it again on these")
    heads = [(text or "")[: probe.characters] for text in texts]
    filled = [row for row, text in enumerate(heads) if text.strip()]
    found = np.full(len(heads), np.nan)
    if filled:
        vectors = embed(model, [heads[row] for row in filled])
        found[filled] = _sigmoid(vectors @ probe.coefficients[:-1] + probe.coefficients[-1])
    return found


def embed(model: Asset, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """One row of numbers a text, rounded to six places, on the device that the run is given."""
    found = _encoder(model.path, current().device).encode(list(texts), show_progress_bar=False, convert_to_numpy=True)
    return np.round(np.asarray(found, np.float64), 6)


def logistic(
    vectors: npt.NDArray[np.float64],
    labels: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.float64],
    penalty: float,
) -> npt.NDArray[np.float64]:
    """Weights and intercept of a logistic regression; the penalty is on weights of standardised columns."""
    mean, spread = vectors.mean(0), vectors.std(0) + 1e-9
    inputs = np.column_stack([(vectors - mean) / spread, np.ones(len(vectors))])
    ridge = penalty * np.append(np.ones(vectors.shape[1]), 0.0)
    found = np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        p = _sigmoid(inputs @ found)
        slope = inputs.T @ (weights * (p - labels)) + ridge * found
        curve = (inputs * (weights * np.maximum(p * (1 - p), 1e-9))[:, None]).T @ inputs + np.diag(ridge + 1e-9)
        step = np.linalg.solve(curve, slope)
        found -= step
        if np.abs(step).max() < _LEAST_CHANGE:
            break
    return np.append(found[:-1] / spread, found[-1] - found[:-1] @ (mean / spread))


def _best_penalty(
    vectors: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64]
) -> float:
    """The penalty with the least loss on texts left out, a fifth at a time."""
    fold = np.arange(len(labels)) % _FOLDS
    losses = dict.fromkeys(_PENALTIES, 0.0)
    for penalty, left in ((penalty, left) for penalty in _PENALTIES for left in range(_FOLDS)):
        found = logistic(vectors[fold != left], labels[fold != left], weights[fold != left], penalty)
        p = _sigmoid(vectors[fold == left] @ found[:-1] + found[-1])
        right = np.where(labels[fold == left], p, 1 - p)
        losses[penalty] -= float(weights[fold == left] @ np.log(np.maximum(right, 1e-12)))
    return min(losses, key=losses.__getitem__)


def _sigmoid(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(values, -50, 50)))


class _Loaded(NamedTuple):
    coefficients: npt.NDArray[np.float64]
    embeddings: str
    characters: int


@cache
def _load(path: Path) -> _Loaded:
    try:
        with np.load(path, allow_pickle=False) as held:
            return _Loaded(held["coefficients"], str(held["embeddings"]), int(held["characters"]))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise GristmillError(f"{path}: not a probe ({error}); `gristmill train-classifier` makes one") from error


@cache
def _encoder(folder: Path, device: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingBackend(
            "sentence-transformers", "sentence embeddings", "pip install 'gristmill[embeddings]'"
        ) from None
    from transformers.utils import logging

    logging.disable_progress_bar()
    chosen = None if device == "auto" else device
    return SentenceTransformer(str(folder), device=chosen, local_files_only=True, trust_remote_code=False)
