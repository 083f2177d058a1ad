"""Near-duplicates by MinHash and banding, with the true Jaccard similarity of every pair that decides.

A. Broder, "On the resemblance and containment of documents" (1997). Presets: FineWeb (Penedo et al., 2024, 14 bands of
8 rows over word 5-grams, unverified), NeMo Curator (20 bands of 13 rows over runs of 24 characters, unverified).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from pipeline.core.shards import whole
from pipeline.core.stage import Decision, Exchange, Share, Sketches
from pipeline.core.verdict import Verdict
from pipeline.dedup.against import BUILT_BEFORE, Incremental, Origins
from pipeline.dedup.clusters import (
    IDENTITY,
    by_precedence,
    components,
    drop_rows,
    identity,
    keep_rows,
    runs,
    without_keepers,
)
from pipeline.dedup.connected import EDGES, smallest_connected, write_connected
from pipeline.kernels.minhash import (
    PRESETS,
    Ragged,
    Shape,
    Unit,
    banding,
    distinct,
    jaccard,
    mix64,
    probability,
    sketch,
)

COMPARED = 32
"""In a band group, every document is compared with this many of those that precede all others."""


class Minhash(Incremental):
    """Keeps one document of each cluster of near-duplicates.

    Two documents become a candidate pair with probability `1 - (1 - J^rows)^bands`, where J is the Jaccard similarity
    of their sets of shingles: runs of words, or of characters in scripts without spaces, whatever the declared
    language, so that copies labelled differently still meet. Without `bands` and `rows`, they follow from `threshold`
    (`gristmill lsh --threshold 0.8` shows them). With `verify`, J itself is computed from the hashed sets (relative
    error below n / 2^32 for n shingles), and only pairs with `J >= threshold` connect. Without, every candidate pair
    connects, and `value` is estimated from the signatures with standard error `sqrt(J (1 - J) / (bands * rows))`,
    slightly too high because the pair is known to agree in a band.

    A cluster is what is connected, so its ends may be less similar than the threshold: every dropped document is
    similar to one of its cluster, and `value` says how similar to its `twin`, the one that is kept; `detail` says how
    many documents the cluster has. In a band group of more than 33 documents each is compared with the 32 that come
    first (in the order of `keep`), not with all others. The sketch takes 8 bytes a band and 4 bytes a shingle
    (verify), or 1 byte a row of each band (no verify).

    `against` an older build, its sketches are read again and nothing else of it: they hold the hashed shingles, so
    that pairs with older documents are verified as all others. Its documents come before all new ones, whatever
    `keep` says. Only `threshold`, as long as bands and rows stay, and `count` may be other than there.
    """

    preset: Literal["fineweb", "nemo", "strict"] | None = Field(
        None,
        description="published settings, which fields given beside it override: `fineweb` (words, 14 bands of 8 rows, "
        "unverified), `nemo` (24 characters, 20 bands of 13 rows, unverified), `strict` (words, 25 bands of 5 rows)",
    )
    shingle: int = Field(5, ge=1, le=64, description="tokens in a row that make one shingle")
    unit: Unit = Field(
        "words",
        description="what a token is: a word (each character of scripts without spaces), or every character, with "
        "what stands between two words as one blank",
    )
    bands: int | None = Field(
        None, ge=1, le=1024, description="bands, more find less similar pairs; by default what `threshold` needs"
    )
    rows: int | None = Field(None, ge=1, le=64, description="rows of each band; more miss less similar pairs")
    seed: int = Field(1, ge=0, lt=1 << 32, description="seed of the permutations, as in datasketch")
    verify: bool = Field(True, description="compute the Jaccard similarity of candidate pairs, and connect by it alone")
    threshold: Share = Field(0.75, description="least Jaccard similarity of a near-duplicate, where pairs are verified")
    keep: Literal["source_order", "longest", "newest", "highest"] = Field(
        "source_order",
        description="which one of a cluster is kept: of the source that comes first in the recipe; with the most "
        "characters; with the latest `date` (time zones are not looked at); or with the highest value of `column`. "
        "What is equal goes by source order, then by id",
    )
    column: str | None = Field(None, description="the column that `keep: highest` goes by")
    count: bool = Field(
        False, description="write the column `duplicates`: how many documents of its cluster each document stands for"
    )

    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = (*IDENTITY, "text")
    reasons: ClassVar[tuple[str, ...]] = ("near_duplicate", BUILT_BEFORE)

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, given: Any) -> Any:
        name = str(given.get("preset")) if isinstance(given, dict) else ""
        if name not in PRESETS:
            return given
        width, unit, bands, rows, _ = PRESETS[name]
        preset = {"shingle": width, "unit": unit, "bands": bands, "rows": rows, "verify": name == "strict"}
        return {**preset, **given}

    @model_validator(mode="after")
    def _complete(self) -> Minhash:
        if (self.bands is None) != (self.rows is None):
            raise ValueError("give `bands` and `rows`, or neither: they then follow from `threshold`")
        if (self.column is None) == (self.keep == "highest"):
            raise ValueError("`keep: highest` needs a `column`, and nothing else has use for one")
        return self

    @property
    def shape(self) -> Shape:
        """What a sketch is made of."""
        bands, rows = (self.bands, self.rows) if self.bands and self.rows else banding(self.threshold)
        return Shape(self.shingle, self.unit, bands, rows, self.seed)

    def settings(self) -> dict[str, Any]:
        """The shape of the sketches, and what they hold besides bands."""
        return {**self.shape._asdict(), "verify": self.verify, "keep": self.keep, "column": self.column}

    def columns_read(self) -> tuple[str, ...]:
        """The text, what identifies a document, and what it is kept by."""
        by = {"newest": ("date",), "highest": (self.column or "",)}
        return (*IDENTITY, "text", *by.get(self.keep, ()))

    def columns_written(self) -> dict[str, pa.DataType]:
        """`duplicates`, where it is asked for."""
        return {"duplicates": pa.int64()} if self.count else {}

    def note(self) -> str:
        """Which pairs the bands find."""
        bands, rows = self.shape.bands, self.shape.rows
        levels = ", ".join(f"{j:g}: {probability(j, bands, rows):.3f}" for j in (0.5, 0.6, 0.7, 0.8, 0.9))
        rule = f"kept apart below J = {self.threshold:g}" if self.verify else "connected without a check"
        return f"{bands} bands of {rows} rows find a pair of Jaccard similarity {levels}; what they find is {rule}"

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Band keys, and what pairs are compared by; documents without a shingle have no row."""
        found = sketch(batch.column("text").cast(pa.large_string()), self.shape)
        columns = identity(batch.select(["row", *IDENTITY]))
        if self.keep != "source_order":
            columns["worth"] = self._worth(batch)
        columns["bands"] = _fixed(found.bands)
        if self.verify:
            columns["shingles"] = _packed(found.shingles)
        else:
            columns["signature"] = _fixed(found.signature.astype(np.uint8))
        rows = pa.RecordBatch.from_pydict(columns)
        filled = np.diff(found.shingles.offsets) > 0
        return rows if filled.all() else rows.filter(pa.array(filled))

    def _worth(self, batch: pa.RecordBatch) -> pa.Array:
        """What documents are kept by, the highest first; null comes last."""
        if self.keep == "longest":
            return pc.utf8_length(batch.column("text")).cast(pa.float64())
        if self.keep == "highest":
            return batch.column(self.column).cast(pa.float64())
        digits = pc.replace_substring_regex(pc.utf8_slice_codeunits(batch.column("date"), 0, 19), "[^0-9]", "")
        digits = pc.if_else(pc.equal(digits, ""), pa.scalar(None, pa.string()), digits)
        return pc.utf8_rpad(pc.utf8_slice_codeunits(digits, 0, 14), 14, "0").cast(pa.float64())

    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        """Connect what shares a band; then look at each connected set as a whole, and write the drop lists.

        A connected set of candidates has to fit in the memory of one worker. To connect them takes 5 bytes a document,
        or rounds of shuffles where these are more than the memory allowed.
        """
        compared = self.compared(sketches)
        origins, addresses, bases = compared.origins, compared.bases, out / "bases.npy"
        with whole(bases, sync=False) as temporary:
            np.save(temporary, addresses)
        edges = exchange(compared.files, partial(_by_band, bases=bases), _stars)
        candidates = out / "candidates.arrow"
        drops: list[Path] = []
        if write_connected(edges, int(addresses[-1]), candidates, exchange):
            members = partial(_by_candidate, origins=origins, bases=bases, candidates=candidates)
            drops = exchange(compared.files, members, partial(self.drops, origins=origins))
            candidates.unlink()
        bases.unlink()
        compared.write_drops(drops, out, exchange)

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """Apply the drop list; and count, where that is asked for."""
        return without_keepers(super().judge(batch, decision), batch.num_rows, "duplicates" if self.count else None)

    def drops(self, table: pa.Table, origins: Origins) -> pa.Table:
        """The drops among whole connected sets of candidates, and with `count` the keepers that stand for them."""
        table = by_precedence(table)
        if self.verify:
            sets = distinct(_ragged(table["shingles"]))
            keeper = _verified(_matrix(table["bands"]), sets, self.threshold)
        else:
            _, first, group = np.unique(table["key"].to_numpy(), return_index=True, return_inverse=True)
            keeper = first[group]
        gone = np.flatnonzero(keeper != np.arange(table.num_rows))
        if self.verify:
            value, limit = jaccard(sets, keeper[gone], gone), self.threshold
        else:
            value, limit = _estimated(_matrix(table["signature"]), keeper[gone], gone), None
        sizes = np.bincount(keeper, minlength=table.num_rows)
        details = [f"cluster of {size} documents" for size in sizes[keeper[gone]].tolist()]
        found = drop_rows(table, keeper, "near_duplicate", value, limit, details)
        return origins.told(pa.concat_tables([found, keep_rows(table, keeper)]) if self.count else found)


def _verified(bands: np.ndarray, sets: Ragged, threshold: float) -> np.ndarray:
    """For each document the first of its cluster, connected by pairs that share a band and are similar enough.

    Round by round, the next one of each band group is compared with all after it that it is not yet connected with.
    """
    n, n_bands = bands.shape
    keys, document = bands.ravel(), np.repeat(np.arange(n), n_bands)
    order = np.argsort(keys, kind="stable")
    keys, document = keys[order], document[order]
    starts, ends = runs(keys)
    first = np.arange(n)
    for leader in range(COMPARED):
        open_groups = ends - starts > leader + 1
        starts, ends = starts[open_groups], ends[open_groups]
        if not len(starts):
            break
        follows = ends - starts - leader - 1
        left = np.repeat(document[starts + leader], follows)
        within = np.arange(len(left)) - np.repeat(np.cumsum(follows) - follows, follows)
        right = document[np.repeat(starts + leader + 1, follows) + within]
        pairs = np.unique((left * n + right)[first[left] != first[right]])
        left, right = np.divmod(pairs, n)
        near = jaccard(sets, left, right) >= threshold
        first = components(first[left[near]], first[right[near]], n)[first]
    return first


def _estimated(signature: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Jaccard similarity from the low 8 bits of each position, corrected for chance (Li and König, 2010)."""
    agree = np.mean(signature[left] == signature[right], axis=1)
    similarity: np.ndarray = np.clip((agree - 2**-8) / (1 - 2**-8), 0, 1)
    return similarity


def _by_band(table: pa.Table, bases: Path) -> pa.Table:
    """A row for each band of each document: the key, and the document's address."""
    bands = _matrix(table["bands"])
    return pa.table({"key": bands.ravel(), "address": np.repeat(_addresses(table, bases), bands.shape[1])})


def _stars(table: pa.Table) -> pa.Table:
    """Edges from the smallest address of each band group to all others of it."""
    keys, address = table["key"].to_numpy(), table["address"].to_numpy()
    starts, ends = runs(keys)
    least = np.repeat(np.minimum.reduceat(address, starts), ends - starts) if len(keys) else address
    other = least != address
    return pa.Table.from_arrays([pa.array(least[other]), pa.array(address[other])], schema=EDGES)


def _by_candidate(table: pa.Table, origins: Origins, bases: Path, candidates: Path) -> pa.Table:
    """The documents of a shard that have a candidate, keyed by the set that they are connected in."""
    inside, smallest = smallest_connected(candidates, _addresses(table, bases))
    return origins.ranked(table.take(pa.array(inside))).append_column("key", pa.array(mix64(smallest)))


def _addresses(table: pa.Table, bases: Path) -> np.ndarray:
    """Addresses of documents, by where those of each shard begin."""
    addresses: np.ndarray = np.load(bases, mmap_mode="r")[table["shard"].to_numpy()] + table["row"].to_numpy()
    return addresses


def _fixed(matrix: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    matrix: np.ndarray = pc.list_flatten(column).to_numpy().reshape(len(column), column.type.list_size)
    return matrix


def _packed(sets: Ragged) -> pa.LargeBinaryArray:
    """The lists as bytes: Arrow takes rows of these seven times as fast as of lists."""
    buffers = [None, pa.py_buffer(4 * sets.offsets), pa.py_buffer(np.ascontiguousarray(sets.values))]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(sets.offsets) - 1, buffers)


def _ragged(column: pa.ChunkedArray) -> Ragged:
    """Inverse of `_packed`."""
    counts = pc.binary_length(column).to_numpy() // 4
    data = b"".join(column.to_pylist())
    return Ragged(np.append(0, np.cumsum(counts)).astype(np.int64), np.frombuffer(data, dtype=np.uint32))
