"""fastText classifiers (Joulin et al. 2016): ask any supervised model, or train one reproducibly.

The binding is asked one text at a time, as in `backends.language`. Training uses one thread, so that the same texts
give the same bytes; more would not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from pipeline.core.errors import GristmillError, MissingBackend
from pipeline.kernels.units import spaced

Prepare = Literal["line", "tokens"]
POSITIVE, NEGATIVE = "positive", "negative"
"""The labels of models that are trained here."""

_PREFIX = "__label__"


class FastText(BaseModel):
    """How a fastText classifier is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prepare: Prepare = Field(
        "tokens",
        description="tokens: lower case, with blanks around marks and single characters of scripts without spaces; "
        "line: the text as it is, on one line",
    )
    rate: float = Field(0.5, gt=0, le=10, description="learning rate")
    dimension: int = Field(32, ge=1, le=1024, description="numbers a word and n-gram")
    epochs: int = Field(25, ge=1, le=10_000, description="times that every text is seen")
    ngrams: int = Field(2, ge=1, le=10, description="longest run of words that is a feature")
    subwords: tuple[int, int] = Field((0, 0), description="shortest and longest run of characters that is a feature")
    buckets: int = Field(200_000, ge=1, le=1 << 26, description="rows that n-grams are hashed into")
    min_count: int = Field(1, ge=1, description="occurrences that a word needs to be a feature")
    seed: int = Field(0, ge=0, description="seed of fastText")


def probabilities(model: Path, texts: Sequence[str | None], label: str, prepare: Prepare) -> npt.NDArray[np.float64]:
    """The probability of a label for each text; NaN for a text of white space."""
    loaded = _load(model)
    wanted = label if label.startswith(_PREFIX) else _PREFIX + label
    if wanted not in (known := loaded.get_labels()):
        listed = ", ".join(name.removeprefix(_PREFIX) for name in known[:12])
        raise GristmillError(f"{model}: the model has no label {label!r}; it has {listed}")
    return np.array([_probability(loaded, prepared(text or "", prepare), wanted) for text in texts], np.float64)


def train(texts: Sequence[str], labels: Sequence[bool], how: FastText, path: Path) -> None:
    """Write a model with the labels `positive` and `negative`; a text that is there twice counts twice."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "train.txt"
        with lines.open("w", encoding="utf-8") as stream:
            for text, label in zip(texts, labels, strict=True):
                stream.write(f"{_PREFIX}{POSITIVE if label else NEGATIVE} {prepared(text, how.prepare)}\n")
        settings = {
            **{"input": str(lines), "lr": how.rate, "dim": how.dimension, "epoch": how.epochs},
            **{"wordNgrams": how.ngrams, "minn": how.subwords[0], "maxn": how.subwords[1]},
            **{"bucket": how.buckets, "minCount": how.min_count, "seed": how.seed, "thread": 1, "verbose": 0},
        }
        _fasttext()
        done = subprocess.run(
            [sys.executable, "-c", _TRAIN, json.dumps(settings), os.fspath(path)],
            env={**os.environ, **_ZEROED},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise GristmillError(f"fastText cannot be trained on these texts ({said}); if it diverged, lower `rate`")


_TRAIN = """
import fasttext, json, sys
fasttext.train_supervised(**json.loads(sys.argv[1])).save_model(sys.argv[2])
"""
_ZEROED = {"MALLOC_PERTURB_": "255"}
"""With one thread fasttext-modern 0.10 sets a tenth of its matrix and reads the rest as it was found: what other work
left there, "Encountered NaN" at worst. So it gets a process of its own, whose allocator (glibc's) gives out zeros."""


def prepared(text: str, how: Prepare) -> str:
    """A text as fastText reads it: on one line, without what the binding refuses."""
    clean = text.encode("utf-8", "ignore").decode("utf-8").replace("\0", " ")
    # A word of the text that looks like a label would be taken for one.
    clean = clean.replace(_PREFIX, " ")
    return " ".join((spaced(clean.lower()) if how == "tokens" else clean).split())


def _probability(model: Any, line: str, label: str) -> float:
    if not line:
        return float("nan")
    names, values = model.predict(line, k=-1)
    return min(1.0, float(dict(zip(names, values, strict=True)).get(label, 0.0)))


@cache
def _load(path: Path) -> Any:
    try:
        return _fasttext().load_model(os.fspath(path))
    except ValueError as error:
        raise GristmillError(f"{path}: not a fastText model ({error})") from error


def _fasttext() -> Any:
    try:
        import fasttext
    except ImportError:
        raise MissingBackend("fasttext", "classifiers", "pip install 'fasttext-modern>=0.10,<1'") from None
    return fasttext
