"""Language models of KenLM (Heafield 2011), as CCNet published them for 48 languages; the package is optional."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import GristmillError, MissingBackend
from pipeline.kernels.units import spaced


def perplexities(model: Path, texts: Sequence[str], pieces: Path | None = None) -> npt.NDArray[np.float64]:
    """The perplexity of each text over all of its lines, the end of each counted; NaN for a text without words.

    Lines are lower case with 0 for every digit, cut by a SentencePiece model, or else into words, marks and single
    characters of scripts without spaces.
    """
    loaded, cut = _model(model), _cut(pieces)
    return np.array([_perplexity(loaded, [cut(_normalised(line)) for line in text.split("\n")]) for text in texts])


def _normalised(line: str) -> str:
    """A line as CCNet's models know it: lower case, digits as 0."""
    return "".join("0" if character.isdigit() else character for character in line.lower())


def _perplexity(model: Any, lines: Sequence[str]) -> float:
    filled = [line for line in lines if line]
    if not filled:
        return float("nan")
    score = sum(model.score(line) for line in filled)
    return float(10.0 ** (-score / sum(len(line.split()) + 1 for line in filled)))


def _cut(pieces: Path | None) -> Callable[[str], str]:
    if pieces is None:
        return lambda line: " ".join(spaced(line).split())
    processor = _pieces(pieces)
    return lambda line: " ".join(processor.encode(line, out_type=str))


@cache
def _model(path: Path) -> Any:
    try:
        import kenlm
    except ImportError:
        raise MissingBackend("kenlm", f"the language model {path.name}", "pip install 'kenlm>=0.3,<1'") from None
    try:
        return kenlm.Model(str(path))
    except (OSError, RuntimeError) as error:
        raise GristmillError(f"{path}: neither a model of `gristmill train-ngram` nor of KenLM ({error})") from error


@cache
def _pieces(path: Path) -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise MissingBackend("sentencepiece", f"cutting words by {path.name}", "pip install sentencepiece") from None
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise GristmillError(f"{path}: not a SentencePiece model ({error})") from error
