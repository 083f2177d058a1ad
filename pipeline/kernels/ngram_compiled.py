"""The compiled form of `ngram.score`. Needs numba."""

from __future__ import annotations

from math import log2

import numpy as np
from numba import njit

from pipeline.kernels.ngram import BACKOFF, BEGIN, END

_ROWS, _SHARES = "Array(i4, 1, 'C', readonly=True)", "Array(f4, 1, 'C', readonly=True)"
_PLACES = "Array(i8, 1, 'C', readonly=True)"


@njit(f"i8({_ROWS}, i8, i8, i4)", nogil=True, cache=True)
def _find(symbol, low, high, wanted):
    """The row from `low` to below `high` with this symbol; -1 where there is none."""
    end = high
    while low < high:
        middle = (low + high) >> 1
        if symbol[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < end and symbol[low] == wanted else -1


@njit(
    f"void({_ROWS}, {_ROWS}, {_SHARES}, {_SHARES}, i8, boolean, {_ROWS}, {_PLACES}, f8[::1], f8[::1])",
    nogil=True,
    cache=True,
)
def score(symbol, stop, weight, back, order, interpolated, symbols, starts, bits, ends):
    """Bits of the symbols of each text, and of its end."""
    contexts = np.empty(order + 1, np.int64)
    for text in range(len(starts) - 1):
        total, p = 0.0, 1.0
        contexts[0] = 1 + BEGIN
        n_contexts = min(1, order - 1)
        for at in range(starts[text], starts[text + 1] + 1):
            last = at == starts[text + 1]
            wanted = np.int32(END) if last else symbols[at]
            p = np.float64(weight[1 + wanted])
            found = np.int64(1 + wanted)
            for k in range(n_contexts):
                context = contexts[k]
                contexts[k] = found
                found = -1
                if context >= 0:
                    found = _find(symbol, stop[context - 1], stop[context], wanted)
                if found >= 0:
                    p = weight[found] + (back[context] * p if interpolated else 0.0)
                elif not interpolated:
                    p *= BACKOFF
                elif context >= 0:
                    p *= back[context]
            if n_contexts < order - 1:
                contexts[n_contexts] = found
                n_contexts += 1
            if not last:
                total -= log2(p)
        bits[text] = total
        ends[text] = -log2(p)
