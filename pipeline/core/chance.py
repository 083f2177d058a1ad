"""Chance without a stream: a number for each document that nothing but the document, a seed and a purpose decides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np


def draws(ids: Iterable[str], seed: int, purpose: str) -> np.ndarray:
    """One float64 in [0, 1) an id, uniform over ids.

    `purpose` keeps draws apart: were a sample of a tenth and a holdout of a hundredth to share their draws, a tenth of
    the sample would be held out.
    """
    key = hashlib.blake2b(f"{seed}\0{purpose}".encode(), digest_size=32).digest()
    digests = [hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in ids]
    return (np.frombuffer(b"".join(digests), dtype="<u8") >> np.uint64(11)) * 2.0**-53


def last_draw(drawn: np.ndarray, sizes: Sequence[int] | np.ndarray, budget: int) -> float:
    """The draw of the document with which those of lower draws reach a budget; of the last, if none does."""
    order = np.argsort(drawn, kind="stable")
    at = int(np.searchsorted(np.cumsum(np.asarray(sizes)[order]), budget))
    return float(drawn[order[min(at, len(order) - 1)]]) if len(order) else 0.0
