"""A look at what was dropped (or kept): counts by reason, and a sample that the seed and the documents' ids fix."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path

from pipeline.core.errors import UsageError
from pipeline.core.manifest import Manifest, Record, read_manifest
from pipeline.report.ledger import FILE, Fate, Shelf, described, fates, scan, shelves
from pipeline.report.safe import one_line


class ReasonCount(Record):
    """How many documents a stage dropped for a reason."""

    stage: str
    reason: str
    documents: int


class Peek(Record):
    """The documents that match, counted, and a sample of them."""

    kept: bool
    documents: int
    counts: tuple[ReasonCount, ...]
    sample: tuple[Fate, ...]


def peek(
    corpus: Path,
    *,
    stage: str | None = None,
    reason: str | None = None,
    lang: str | None = None,
    kept: bool = False,
    n: int = 5,
    seed: int = 0,
    text_chars: int = 400,
) -> Peek:
    """Dropped documents of a built corpus by stage, reason and language; with `kept`, kept ones.

    The sample is the `n` smallest hashes of (seed, id): the same whatever the shards, and a larger `n` only adds to it.
    Reads ids and reasons, about two seconds a million documents, and text only from the files of the sample.
    """
    manifest = read_manifest(corpus)
    if kept and (stage or reason):
        raise UsageError("a kept document has no stage and no reason: leave out either these or `kept`")
    _check_names(manifest, stage, reason)
    chosen = [shelf for shelf in shelves(corpus, manifest) if (shelf.sweep is None) == kept and shelf.rows]
    if stage is not None:
        sweeps = {sweep.name for sweep in manifest.sweeps for count in sweep.stages if count.stage == stage}
        chosen = [shelf for shelf in chosen if shelf.sweep in sweeps]
    counts: Counter[tuple[str, str]] = Counter()
    wanted = {"stage": stage, "reason": reason, "lang": lang}
    found = heapq.nsmallest(max(n, 0), _hashed(chosen, wanted, seed, counts))
    sample = [fate for _, id, index, file in found for fate in _read(chosen[index], file, id, text_chars)]
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Peek(
        kept=kept,
        documents=sum(counts.values()),
        counts=() if kept else tuple(ReasonCount(stage=s, reason=r, documents=k) for (s, r), k in ordered),
        sample=tuple(sample),
    )


def as_text(seen: Peek) -> str:
    """For a terminal: the counts, then each document of the sample."""
    lines = [f"{seen.documents:,} documents {'kept' if seen.kept else 'dropped'}"]
    width = max((len(f"{count.documents:,}") for count in seen.counts), default=0)
    lines += [f"  {c.documents:>{width},}  {one_line(c.stage)}: {one_line(c.reason)}" for c in seen.counts]
    for fate in seen.sample:
        twin = [f"  in its place: {one_line(fate.twin)}"] if fate.twin else []
        lines += ["", *described(fate), *twin]
    return "\n".join(lines)


def _hashed(
    chosen: list[Shelf], wanted: dict[str, str | None], seed: int, counts: Counter[tuple[str, str]]
) -> Iterator[tuple[bytes, str, int, str]]:
    """Hash, id, shelf and file of each match; adds to `counts` on the way."""
    import polars as pl

    for index, shelf in enumerate(chosen):
        rows = scan(shelf)
        for name, value in wanted.items():
            rows = rows if value is None else rows.filter(pl.col(name) == value)
        named = [pl.lit("").alias("stage"), pl.lit("").alias("reason")] if shelf.sweep is None else ["stage", "reason"]
        for batch in rows.select("id", FILE, *named).collect_batches(maintain_order=True, engine="streaming"):
            counts.update({(s, r): k for s, r, k in batch.group_by("stage", "reason").len().iter_rows()})
            for id, file in zip(batch["id"].to_list(), batch[FILE].to_list(), strict=True):
                yield blake2b(f"{seed}:{id}".encode(), digest_size=8).digest(), id, index, file


def _read(shelf: Shelf, file: str, id: str, text_chars: int) -> list[Fate]:
    import polars as pl

    rows = scan(shelf.only([file])).filter(pl.col("id") == id).head(1).collect(engine="streaming")
    return fates(shelf, rows, text_chars=text_chars)


def _check_names(manifest: Manifest, stage: str | None, reason: str | None) -> None:
    counts = [count for sweep in manifest.sweeps for count in sweep.stages]
    stages = dict.fromkeys(count.stage for count in counts)
    reasons = dict.fromkeys(name for count in counts if stage in (None, count.stage) for name in count.dropped)
    for what, given, known in (("stage", stage, stages), ("reason", reason, reasons)):
        if given is not None and given not in known:
            near = get_close_matches(given, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known) or 'none'}"
            of = f" of stage {stage!r}" if what == "reason" and stage else ""
            raise UsageError(f"no {what} {given!r}{of} in this corpus; {hint}")
