"""MinHash signatures as columns, cut into bands as RedPajama-v2 publishes them: for deduplication elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.core.stage import Score
from pipeline.kernels.minhash import Shape, sketch

BANDS: Mapping[str, tuple[int, int]] = {"0.7": (14, 9), "0.8": (9, 13), "0.9": (5, 25), "1.0": (1, 128)}
"""Bands and rows by the similarity that RedPajama-v2 names them for, in its configuration `rp_v2.0.conf`."""

PERMUTATIONS = 128


class MinhashSignatures(Score):
    """Writes four lists of bands of one signature of 128 permutations; null for a text without a token.

    Two documents are candidates at a similarity where one band of `minhash_signature_<similarity>` is equal. A band is
    its rows as little-endian 32-bit numbers. Tokens and hashes are those of `minhash`, not RedPajama's.
    """

    writes: ClassVar[Mapping[str, pa.DataType]] = {f"minhash_signature_{name}": pa.list_(pa.binary()) for name in BANDS}

    shingle: int = Field(13, ge=1, le=64, description="words of a shingle")
    seed: int = Field(42, ge=0, description="seed of the permutations")

    def score(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """One signature a text, cut in four ways."""
        made = sketch(
            batch.column("text").cast(pa.large_string()), Shape(self.shingle, bands=1, rows=128, seed=self.seed)
        )
        empty = np.diff(made.shingles.offsets) == 0
        return {
            f"minhash_signature_{name}": _bands(made.signature, bands, rows, empty)
            for name, (bands, rows) in BANDS.items()
        }


def _bands(signature: np.ndarray, bands: int, rows: int, empty: np.ndarray) -> pa.Array:
    """The first `bands * rows` numbers of each signature as lists of binary values."""
    data = np.ascontiguousarray(signature[:, : bands * rows].astype("<u4"))
    n_bands = len(data) * bands
    flat = pa.Array.from_buffers(pa.binary(4 * rows), n_bands, [None, pa.py_buffer(data)]).cast(pa.binary())
    offsets = pa.array(np.append(np.arange(len(data)) * bands, n_bands).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, flat, mask=pa.array(empty))
