"""A short form of `scripts/fuzz.py`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing import TARGETS, changed


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_an_error_meant_for_people_comes_of_any_bytes(name: str) -> None:
    target, seed = TARGETS[name]

    @settings(max_examples=150)
    @given(changed(seed) | st.binary(max_size=200))
    def any_bytes(data: bytes) -> None:
        target(data)

    any_bytes()
