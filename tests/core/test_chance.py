from __future__ import annotations

import numpy as np

from pipeline.core.chance import draws, last_draw


def test_draws_are_uniform_and_apart_by_seed_and_purpose() -> None:
    ids = [f"doc-{index}" for index in range(20_000)]
    base = draws(ids, 0, "sample")
    assert base.min() >= 0 and base.max() < 1
    assert np.abs(np.histogram(base, bins=10, range=(0, 1))[0] - 2000).max() < 250
    for other in (draws(ids, 1, "sample"), draws(ids, 0, "holdout")):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.03


def test_a_draw_is_of_the_id_alone() -> None:
    assert draws(["b", "a"], 3, "x")[1] == draws(["a"], 3, "x")[0]
    assert draws(["a"], 3, "x")[0] == 0.9374317970541889
    assert len(draws([], 0, "x")) == 0


def test_the_last_draw_is_that_with_which_the_lowest_reach_the_budget() -> None:
    drawn, sizes = np.array([0.7, 0.1, 0.4]), [10, 10, 10]
    assert [last_draw(drawn, sizes, budget) for budget in (1, 10, 11, 20, 999)] == [0.1, 0.1, 0.4, 0.4, 0.7]
    assert last_draw(np.empty(0), [], 5) == 0.0
