from __future__ import annotations

import numpy as np
import pytest

from pipeline.scores.evaluation import auc, evaluate


def test_the_numbers_of_six_documents_by_hand() -> None:
    probability = np.array([0.95, 0.9, 0.6, 0.4, 0.2, np.nan])
    truth = np.array([True, True, False, True, False, False])
    found = evaluate(probability, truth)
    assert found["accuracy"] == round(4 / 6, 4) and found["majority"] == 0.5
    assert found["precision"] == found["recall"] == found["f1"] == round(2 / 3, 4)
    # Eight of nine pairs of a positive and a negative are in order: 0.6 is above 0.4.
    assert found["auc"] == round(8 / 9, 4)
    # Bins: 0.9 and more (two, right), 0.6, 0.4, 0.2, 0.
    errors = 2 * abs(1 - 0.925) + 0.6 + 0.6 + 0.2 + 0
    assert found["calibration_error"] == round(errors / 6, 4)
    half = next(row for row in found["keep"] if row["share"] == 0.5)
    assert half == {"share": 0.5, "score": 0.6, "precision": round(2 / 3, 4), "recall": round(2 / 3, 4)}


def test_nothing_held_out_has_no_quality() -> None:
    found = evaluate(np.empty(0), np.empty(0, bool))
    assert found["documents"] == 0 and found["accuracy"] == 0 and found["keep"] == []


def test_ties_count_half() -> None:
    assert auc(np.array([1.0, 1.0, 1.0, 1.0]), np.array([True, False, True, False])) == 0.5
    assert auc(np.array([1.0, 2.0]), np.array([True, True])) == 0.5
    assert auc(np.array([2.0, 1.0, 1.0]), np.array([True, True, False])) == pytest.approx(0.75)
