"""Documents that wait to be packed: their tokens, on the host or on a device, and what rows need to know of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import pyarrow as pa

from pipeline.backends.tokenizer import Encoder
from pipeline.kernels.pack.plan import Plan


class Tokens(Protocol):
    """Ids of documents, one after the other, without their end-of-document tokens, where they were made."""

    def add(self, texts: pa.LargeStringArray) -> np.ndarray:
        """Encode and keep; the number of tokens of each text (int64)."""

    def fill(self, plan: Plan, length: int, *, end: int, pad: int) -> Callable[[], np.ndarray]:
        """Begin to lay out rows by a plan over these ids; what is returned waits and gives them, flat, as int32."""

    def forget(self, n: int) -> None:
        """Drop the first `n` ids; a plan counts from what is the first then."""


class Host:
    """Tokens in memory, made by the library."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._parts: list[np.ndarray] = []

    def add(self, texts: pa.LargeStringArray) -> np.ndarray:
        """Encode and keep."""
        ids, offsets = self._encoder.encode(texts.to_pylist())
        self._parts.append(ids)
        return np.diff(offsets)

    def fill(self, plan: Plan, length: int, *, end: int, pad: int) -> Callable[[], np.ndarray]:
        """One copy of each stretch."""
        ids = self._joined()
        last, padding = np.array([end], dtype=np.int32), np.full(length, pad, dtype=np.int32)
        parts = [np.empty(0, dtype=np.int32)]
        sizes = np.diff(plan.boundaries).tolist()
        for source, size, finish in zip(plan.sources.tolist(), sizes, plan.finishes.tolist(), strict=True):
            if source < 0:
                parts.append(padding[:size])
            else:
                parts.append(ids[source : min(source + size, finish)])
                if source + size > finish:
                    parts.append(last)
        return lambda: np.concatenate(parts)

    def forget(self, n: int) -> None:
        """Drop the first `n` ids."""
        self._parts = [self._joined()[n:].copy()]

    def _joined(self) -> np.ndarray:
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0] if self._parts else np.empty(0, dtype=np.int32)


class Waiting:
    """Documents of one split that are in no row yet; of the first, `gone` tokens are."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.sizes = np.empty(0, dtype=np.int64)
        self.gone = 0
        self._names: list[pa.Array] = []

    @property
    def names(self) -> pa.StringArray:
        """The ids of the documents."""
        if len(self._names) != 1:
            self._names = [pa.concat_arrays(self._names) if self._names else pa.array([], pa.string())]
        return self._names[0]

    def add(self, names: pa.StringArray, texts: pa.LargeStringArray) -> np.ndarray:
        """More documents; the size of each, its end-of-document token counted."""
        sizes: np.ndarray = self.tokens.add(texts) + 1
        self._names.append(names)
        self.sizes = np.concatenate([self.sizes, sizes])
        return sizes

    def forget(self, n_tokens: int) -> None:
        """Drop what the first rows hold, ends counted."""
        ends = np.cumsum(self.sizes)
        first = int(np.searchsorted(ends, n_tokens, side="right"))
        begun = n_tokens - int(ends[first - 1]) if first else n_tokens
        self.tokens.forget(n_tokens - first)
        self.gone = begun + (self.gone if first == 0 else 0)
        self._names = [self.names[first:]]
        self.sizes = self.sizes[first:].copy()
        if begun:
            self.sizes[0] -= begun
