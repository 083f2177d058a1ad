"""Whether texts that a model is judged by stand in what it learns from: shared runs of 13 tokens.

A token is a word, one character of Chinese, Japanese or Thai, or a mark (`kernels.units`); GPT-3's and many others'
measure of contamination (Brown et al. 2020, appendix C) is of 13 words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from pipeline.kernels.units import span_hashes, token_hashes

WIDTH = 13


def shared(held_out: Sequence[str], learnt: Iterable[pa.RecordBatch]) -> np.ndarray:
    """For each held-out text, whether a run of it occurs in `learnt`, or it is too short to tell (bool)."""
    runs = [_runs([text]) for text in held_out]
    listed = np.unique(np.concatenate(runs)) if runs else np.empty(0, np.uint64)
    met = np.zeros(len(listed), bool)
    for batch in learnt:
        found = np.unique(_runs(batch.column("text").to_pylist()))
        at = np.searchsorted(listed, found)
        inside = at < len(listed)
        inside[inside] = listed[at[inside]] == found[inside]
        met[at[inside]] = True
    hits = listed[met]
    return np.array([len(own) == 0 or bool(np.isin(own, hits).any()) for own in runs], bool)


def _runs(texts: Sequence[str]) -> np.ndarray:
    """Hashes of the runs of all texts; none goes from one text into the next."""
    counts, hashes = token_hashes(texts)
    spans = span_hashes(hashes, WIDTH)
    ends = np.repeat(np.cumsum(counts), counts)[: len(spans)]
    return spans[np.arange(len(spans)) + WIDTH <= ends]
