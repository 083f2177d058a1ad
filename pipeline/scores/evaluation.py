"""How good a score is at telling positives from negatives: the numbers that every classifier here is reported with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_BINS = 10
_SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)

Scores = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]


def evaluate(probability: Scores, truth: Truth) -> dict[str, Any]:
    """Plain JSON: accuracy, precision, recall and F1 at 0.5, area under the curve, calibration, the keep-share curve.

    `majority` is the accuracy of always saying the more frequent label. The calibration error is the mean distance
    between probability and share of positives in ten bins, weighted by their size (ECE). NaN counts as 0.
    """
    probability = np.nan_to_num(probability)
    said = probability >= 0.5
    hits, n = int((said & truth).sum()), len(truth)
    precision, recall = _ratio(hits, int(said.sum())), _ratio(hits, int(truth.sum()))
    bins = _bins(probability, truth)
    off = sum(row["documents"] * abs(row["probability"] - row["positive"]) for row in bins)
    return {
        "documents": n,
        "positive": int(truth.sum()),
        "majority": round(max(truth.mean(), 1 - truth.mean()), 4) if n else 0.0,
        "accuracy": _ratio(int((said == truth).sum()), n),
        "precision": precision,
        "recall": recall,
        "f1": round(2 * precision * recall / (precision + recall), 4) if precision + recall else 0.0,
        "auc": round(auc(probability, truth), 4),
        "calibration_error": round(off / n, 4) if n else 0.0,
        "calibration": bins,
        "keep": _kept(probability, truth),
    }


def auc(score: npt.NDArray[np.floating[Any]], truth: Truth) -> float:
    """The share of pairs of a positive and a negative that are ordered rightly, ties by half; 0.5 without pairs."""
    n_true = int(truth.sum())
    if n_true in (0, len(truth)):
        return 0.5
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2
    return float((rank[place][truth].sum() - n_true * (n_true + 1) / 2) / (n_true * (len(truth) - n_true)))


def _bins(probability: Scores, truth: Truth) -> list[dict[str, Any]]:
    at = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    return [
        {
            "from": place / _BINS,
            "documents": int((at == place).sum()),
            "probability": round(float(probability[at == place].mean()), 4),
            "positive": round(float(truth[at == place].mean()), 4),
        }
        for place in range(_BINS)
        if (at == place).any()
    ]


def _kept(probability: Scores, truth: Truth) -> list[dict[str, Any]]:
    """What is among the highest share of the documents, with the score that it takes to be there."""
    order = np.argsort(-probability, kind="stable")
    rows = []
    for share in _SHARES:
        n = max(1, round(share * len(order)))
        if len(order) >= n:
            hits = int(truth[order[:n]].sum())
            row = {"share": share, "score": round(float(probability[order[n - 1]]), 6)}
            rows.append({**row, "precision": _ratio(hits, n), "recall": _ratio(hits, int(truth.sum()))})
    return rows


def _ratio(part: int, of: int) -> float:
    return round(part / of, 4) if of else 0.0
