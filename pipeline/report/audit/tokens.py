"""Checks of packed rows: exact counts of all of them, and a drawn part of the documents encoded again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.manifest import LongDocument, longest_of
from pipeline.core.shards import read_batches
from pipeline.report.audit.evidence import Evidence
from pipeline.report.audit.outcome import Outcome, differ, holds, unknown
from pipeline.report.audit.packed import rows_of
from pipeline.report.funnel import packing_of

if TYPE_CHECKING:
    import polars as pl


def tokens(evidence: Evidence) -> Outcome:
    """Counts of packed rows by split, language and source are the manifest's, of exactly the documents there are."""
    import polars as pl

    manifest, packed = evidence.manifest, evidence.tokens
    if not manifest.tokens and "pack" not in manifest.recipe:
        return holds("none", "every row")
    problems = [f"{name}: the pieces of a row do not follow each other" for name in packed.disorder]
    documents = evidence.documents.frame.select("id", "lang", "source", "bytes").unique("id")
    by_document = packed.frame.group_by("split", "id").agg(pl.col("length").sum())
    unpacked = documents.join(by_document, on="id", how="anti")
    strange = by_document.join(documents, on="id", how="anti")
    refused = sum(sum(count.dropped.values()) for sweep in packing_of(manifest) for count in sweep.stages)
    if unpacked.height != refused:
        problems += [f"{name} is a document and in no row" for name in unpacked["id"].head(2)]
        problems += [f"{unpacked.height:,} documents are in no row, the funnel says {refused:,} of the packing"]
    problems += [f"{name} is in a row and no document" for name in strange["id"].head(2)]
    for name, n in sorted(packed.facts.items()):
        if manifest.facts.get(name, 0) != n:
            problems.append(f"{name}: {n:,}, the manifest says {manifest.facts.get(name, 0):,}")
    if not problems:
        problems += list(_groups(evidence, by_document.join(documents, on="id")))
        problems += list(_vocabulary(evidence))
        longest = longest_of(
            LongDocument(id=name, split=split, tokens=size)
            for split, name, size in by_document.sort("length", descending=True).head(1000).iter_rows()
        )
        if manifest.longest and [one.tokens for one in longest][: len(manifest.longest)] != [
            one.tokens for one in manifest.longest
        ]:
            problems.append(f"the longest document has {longest[0].tokens:,} tokens, the manifest's list is another")
    total = sum(n for name, n in packed.facts.items() if name.endswith("_tokens"))
    return differ(problems, f"{total:,} tokens in {sum(packed.rows.values()):,} rows", "every row")


def _groups(evidence: Evidence, joined: pl.DataFrame) -> Iterator[str]:
    import polars as pl

    summed = joined.group_by("split", "source", "lang").agg(
        pl.len().alias("documents"), pl.col("bytes").sum(), pl.col("length").sum().alias("tokens")
    )
    names = ("documents", "bytes", "tokens")
    found = {tuple(row[key] for key in ("split", "source", "lang")): row for row in summed.iter_rows(named=True)}
    stated = {(g.split, g.source, g.lang): g for g in evidence.manifest.token_groups}
    for key in sorted({*found, *stated}, key=str):
        for name in names:
            counted, said = (found[key][name] if key in found else 0), getattr(stated.get(key), name, 0)
            if counted != said:
                yield f"{' · '.join(map(str, key))}: {counted:,} {name}, the manifest says {said:,}"
                break


def _vocabulary(evidence: Evidence) -> Iterator[str]:
    """How many ids occur, but for ends of documents and padding, which the packing did not count."""
    stated = evidence.manifest.facts.get("vocabulary_used")
    if stated is None or not evidence.manifest.tokenizer:
        return
    encoder = evidence.encoder
    facts = evidence.tokens.facts
    used = np.pad(evidence.tokens.used, (0, max(0, encoder.size - len(evidence.tokens.used))))
    used[encoder.pad] -= sum(n for name, n in facts.items() if name.endswith("_padding"))
    used[encoder.end] -= sum(n for name, n in facts.items() if re.fullmatch("[^_]+_documents", name))
    if len(used) > encoder.size:
        yield f"the id {len(used) - 1:,} is not of the tokenizer, which has {encoder.size:,}"
    elif (found := int((used > 0).sum())) != stated:
        yield f"{found:,} tokens of the vocabulary occur, the manifest says {stated:,}"
    if (said := evidence.manifest.facts.get("vocabulary", 0)) != encoder.size:
        yield f"the tokenizer has {encoder.size:,} tokens, the manifest says {said:,}"


def tokenizer(evidence: Evidence) -> Outcome:
    """The tokenizer of the corpus makes of drawn documents exactly the ids that their rows hold."""
    if not evidence.manifest.tokens:
        return holds("there are no tokens", "")
    if not evidence.manifest.tokenizer:
        return unknown("the corpus has no tokenizer")
    drawn = evidence.sample
    if any(count.dropped for sweep in packing_of(evidence.manifest) for count in sweep.stages):
        packed_ids = pa.array(evidence.tokens.frame["id"].unique().to_list(), pa.string())
        drawn = drawn.filter(pc.is_in(drawn["id"], value_set=packed_ids))  # the others kill what encodes them
    ids, offsets = evidence.encoder.encode([text or "" for text in drawn["text"].to_pylist()])
    wanted = {
        name: np.append(ids[start:stop], evidence.encoder.end)
        for name, start, stop in zip(drawn["id"].to_pylist(), offsets[:-1], offsets[1:], strict=True)
    }
    held: dict[str, dict[int, np.ndarray]] = {}
    for file in evidence.manifest.tokens:
        for batch in read_batches(evidence.path(file.path)):
            length = batch.schema.field("input_ids").type.list_size
            tokens = batch.column("input_ids").flatten().to_numpy(zero_copy_only=False).reshape(-1, length)
            names, starts, sizes, at = pc.list_flatten(batch.column("documents")).flatten()
            chosen = np.flatnonzero(pc.is_in(names, value_set=pa.array(list(wanted), pa.string())).to_numpy(False))
            where = rows_of(batch)
            for piece in chosen.tolist():
                start, size = starts[piece].as_py(), sizes[piece].as_py()
                row = tokens[where[piece], start : start + size]
                held.setdefault(names[piece].as_py(), {})[at[piece].as_py()] = row
    problems = []
    for name, right in wanted.items():
        pieces = held.get(name, {})
        packed = np.concatenate([pieces[at] for at in sorted(pieces)]) if pieces else np.zeros(0, np.int32)
        if not np.array_equal(packed, right):
            problems.append(f"{name} is packed as other tokens than the tokenizer makes of its text")
    return differ(problems, f"{len(wanted):,} documents encoded again, token by token", evidence.scope)
