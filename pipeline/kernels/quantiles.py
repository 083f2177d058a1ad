"""Exact quantiles of a column over many files, by radix: four rounds of counting fix 16 bits of each cut.

Values are mapped to 64-bit numbers in the same order. Memory is bounded by the number of cuts, not of values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import ceil, floor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipeline.core.shards import read_table
from pipeline.core.stage import Exchange

_BITS, _ROUNDS = 16, 4
_ROUNDING = 1e-9
"""0.1 of 30 is 3, not a little more."""

ABOVE = "above"


def cut_values(files: Sequence[Path], cuts: Mapping[str, float], exchange: Exchange) -> pa.Table:
    """Columns lang, documents, cut, value: one row a language and cut, of files with columns lang and value.

    `cuts` are quantiles by name. That called `above` is the least value which is kept where that share is dropped, the
    others the greatest value which belongs to that share. No value is null or NaN.
    """
    wanted = pl.DataFrame(schema={"lang": pl.String, "cut": pl.String, "prefix": pl.UInt64, "rank": pl.Int64})
    sizes = pl.DataFrame(schema={"lang": pl.String, "documents": pl.Int64})
    for done in range(_ROUNDS):
        prefixes = frozenset(wanted.select("lang", "prefix").iter_rows()) if done else None
        added = exchange(files, partial(_counted, prefixes=prefixes, done=done), _added)
        counts = pl.concat([pl.from_arrow(read_table(file)) for file in added]) if added else pl.DataFrame()
        if counts.is_empty():
            break
        if not done:
            sizes = counts.group_by("lang").agg(documents=pl.col("count").sum()).sort("lang")
            rows = [(lang, cut, 0, _rank(cut, q, n)) for lang, n in sizes.iter_rows() for cut, q in cuts.items()]
            wanted = pl.DataFrame(rows, schema=wanted.schema, orient="row")
        wanted = _narrowed(wanted, counts)
    value = pl.Series(_values(wanted["prefix"].to_numpy()), dtype=pl.Float64)
    found = wanted.with_columns(value=value).join(sizes, on="lang", maintain_order="left")
    columns = [("lang", pa.string()), ("documents", pa.int64()), ("cut", pa.string()), ("value", pa.float64())]
    return found.select(name for name, _ in columns).to_arrow().cast(pa.schema(columns))


def _rank(cut: str, quantile: float, n: int) -> int:
    """Which of n values in order a cut is, counted from one: the least that is kept, or the greatest."""
    if cut == ABOVE:
        return min(n, floor(quantile * n + _ROUNDING) + 1)
    return max(1, ceil(quantile * n - _ROUNDING))


def _narrowed(wanted: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    """Every prefix 16 bits longer, and the rank among the values that have it."""
    rows = []
    for lang, cut, prefix, rank in wanted.iter_rows():
        here = counts.filter((pl.col("lang") == lang) & (pl.col("prefix") == prefix)).sort("next")
        upto = here["count"].cum_sum().to_numpy()
        at = int(np.searchsorted(upto, rank))
        below = int(upto[at - 1]) if at else 0
        rows.append((lang, cut, (prefix << _BITS) | here["next"][at], rank - below))
    return pl.DataFrame(rows, schema=wanted.schema, orient="row")


def _counted(table: pa.Table, prefixes: frozenset[tuple[str, int]] | None, done: int) -> pa.Table:
    """How many values of a file have each of the next 16 bits, by language and the bits before, if these matter."""
    ordered = _ordered(table["value"].to_numpy())
    shift = np.uint64(64 - _BITS * (done + 1))
    bits = ordered >> shift
    prefix = bits >> np.uint64(_BITS) if done else np.zeros(len(bits), np.uint64)
    rows = pl.DataFrame({"lang": pl.from_arrow(table["lang"]), "prefix": prefix, "next": bits & np.uint64(0xFFFF)})
    if prefixes is not None:
        listed = pl.DataFrame(list(prefixes), schema={"lang": pl.String, "prefix": pl.UInt64}, orient="row")
        rows = rows.join(listed, on=["lang", "prefix"], how="semi")
    counts = rows.group_by("lang", "prefix", "next").agg(count=pl.len().cast(pl.Int64))
    # A hash that is the same in every process: the exchange wants keys that are evenly spread.
    spread = (counts["next"].to_numpy() * np.uint64(0x9E3779B97F4A7C15)) ^ counts["prefix"].to_numpy()
    return counts.to_arrow().append_column("key", pa.array(spread))


def _added(table: pa.Table) -> pa.Table:
    """The counts of all files, added up."""
    rows = pl.DataFrame(pl.from_arrow(table))
    return rows.group_by("lang", "prefix", "next").agg(pl.col("count").sum()).to_arrow()


def _ordered(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Numbers that are in the order of the values: negative ones with all bits turned, others with the first one."""
    bits = (values + 0.0).view(np.uint64)
    return np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(1 << 63))


def _values(ordered: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Inverse of `_ordered`."""
    first = np.uint64(1 << 63)
    return np.where(ordered & first, ordered ^ first, ~ordered).view(np.float64)
