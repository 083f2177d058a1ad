"""Batches of tables that somebody else wrote: whether they can be touched, and how much of them may be written out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.sources.records import BYTES, ROWS


def unsound(batch: pa.RecordBatch) -> str:
    """What is wrong with a batch whose offsets, views or indices lead out of its buffers; UTF-8 is not looked at."""
    try:
        for array in batch.columns:
            _whole(array)
    except (pa.ArrowException, IndexError) as error:
        return f"damaged record batch ({first_line(error)})"
    return ""


def _whole(array: pa.Array) -> None:
    if pa.types.is_dictionary(array.type):
        known = pc.min_max(array.indices).as_py()
        if not 0 <= (known["min"] or 0) <= (known["max"] or 0) < max(1, len(array.dictionary)):
            raise IndexError(f"an index of {known['max']} into a dictionary of {len(array.dictionary)}")
        _whole(array.dictionary)
    else:
        bare = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}
        (array.view(bare[array.type]) if array.type in bare else array).validate(full=True)


def by_text(batch: pa.RecordBatch, name: str) -> Iterator[tuple[pa.RecordBatch, int]]:
    """The batch cut by `ROWS` and by `BYTES` of its texts written out, and these bytes: rows can share a long text."""
    text = batch.column(name)
    if pa.types.is_dictionary(text.type):
        sizes = pc.binary_length(text.dictionary.cast(pa.large_binary())).take(text.indices)
    elif is_text(text.type):
        sizes = pc.binary_length(text.cast(pa.large_binary()))
    else:
        sizes = pa.nulls(batch.num_rows, pa.int64())
    held = np.cumsum(sizes.fill_null(0).to_numpy(zero_copy_only=False))
    start, before = 0, 0
    while start < batch.num_rows:
        fits = int(np.searchsorted(held, before + BYTES, "right"))
        stop = min(max(fits, start + 1), start + ROWS, batch.num_rows)
        yield batch.slice(start, stop - start), int(held[stop - 1]) - before
        start, before = stop, int(held[stop - 1])


def is_text(dtype: pa.DataType) -> bool:
    """Whether a column of this type is text, or bytes that may be."""
    strings = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    binaries = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(is_kind(dtype) for is_kind in strings + binaries)


def first_line(error: Exception) -> str:
    """What an error of the library says, without its trace."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
