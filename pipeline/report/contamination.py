"""A corpus's runs of eight words as a filter that can be handed on without its text, to test later benchmarks against.

The filter (a blocked Bloom filter) answers whether a run may stand in the corpus: a run that does is always found, one
that does not is found by mistake with the probability that it states. A question is taken to stand in the corpus where
13 words in a row do, or, if it has fewer, all of it; it takes eight words to be looked for. Runs of different documents
are not told apart, which is why shorter runs are not kept. About three bytes a word of the corpus.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from pipeline.backends.benchmarks import Item
from pipeline.core.errors import StoreError
from pipeline.core.manifest import Record, read_manifest
from pipeline.core.shards import read_batches, whole, write_text
from pipeline.kernels.bloom import Seen, false_share
from pipeline.kernels.grams import WORD, grams

RUN, EVIDENCE = 8, 13
"""Words of a run in the filter, and of one that is evidence."""

BITS = 24
"""Bits a run; a run of the corpus that occurs again takes none, but is counted in the size."""

NAME, FILTER = "contamination.json", "contamination.npy"


class About(Record):
    """What the filter is of: the corpus by the digest of its manifest, and how often it errs."""

    corpus: str
    version: str
    digest: str
    documents: int
    runs: int
    words: int
    false_share: float
    """Share of the runs that are not in the corpus and are taken for such, at most."""


class Tested(Record):
    """One benchmark against a filter. `found` are the ids of questions that stand in the corpus."""

    questions: int
    long_enough: int
    found: tuple[str, ...]
    about: About


def write_filter(corpus: Path) -> About:
    """Read the documents of a corpus twice, to count and to fill, and write the filter beside them."""
    manifest = read_manifest(corpus)
    shards = [corpus / file.path for file in manifest.documents]
    runs = sum(len(met) for shard in shards for met in _runs(shard))
    seen = Seen.of_bytes(max(1, runs) * BITS // 8)
    for shard in shards:
        for met in _runs(shard):
            seen.add(met)
    about = About(
        corpus=str(manifest.recipe["recipe"]),
        version=str(manifest.recipe["version"]),
        digest=manifest.digest,
        documents=sum(file.rows for file in manifest.documents),
        runs=runs,
        words=RUN,
        false_share=false_share(runs, seen.words.nbytes, filters=1),
    )
    with whole(corpus / FILTER) as temporary, temporary.open("wb") as stream:
        np.save(stream, seen.words)
    write_text(corpus / NAME, about.to_json())
    return about


def read_filter(folder: Path) -> tuple[About, Seen]:
    """The filter in a folder, which may hold nothing else; StoreError says how to make one."""
    try:
        about = About.model_validate_json((folder / NAME).read_bytes())
        return about, Seen(np.load(folder / FILTER, mmap_mode="r"))
    except FileNotFoundError:
        raise StoreError(f"{folder}: no filter here; `gristmill contamination CORPUS` writes one") from None
    except (ValidationError, ValueError, json.JSONDecodeError) as error:
        raise StoreError(f"{folder}: {NAME} or {FILTER} is damaged ({error}); write or get them again") from error


def test(folder: Path, items: Sequence[Item]) -> Tested:
    """Look every question up, and its answer where that is long enough by itself."""
    about, seen = read_filter(folder)
    texts = [text for item in items for text in (item.question, item.answer)]
    met, lengths = grams(pa.array(texts, pa.large_string()), WORD * about.words)
    present = seen.has(met.hash)
    found: dict[str, None] = {}
    for row in np.unique(met.row[present]).tolist():
        mine = met.row == row
        if _longest(met.first[mine], met.last[mine], present[mine]) >= min(WORD * EVIDENCE, int(lengths[row])):
            found[items[row // 2].id] = None
    long_enough = (lengths.reshape(-1, 2) >= WORD * about.words).any(axis=1)
    return Tested(questions=len(items), long_enough=int(long_enough.sum()), found=tuple(found), about=about)


def as_text(tested: Tested) -> str:
    """The answer in sentences."""
    about = tested.about
    ids = f": {', '.join(tested.found)}" if tested.found else ""
    return (
        f"{len(tested.found)} of {tested.questions} questions stand in {about.corpus}@{about.version}{ids}.\n"
        f"{tested.long_enough} are long enough to be found ({about.words} words); with changed words none is. A run of "
        f"words that is not there is taken for one that is with a probability of at most {about.false_share:.1e}."
    )


def _runs(shard: Path) -> list[np.ndarray]:
    return [grams(batch.column("text"), WORD * RUN)[0].hash for batch in read_batches(shard)]


def _longest(first: np.ndarray, last: np.ndarray, present: np.ndarray) -> int:
    """Units of the longest stretch of a text whose runs are all present."""
    best, start = 0, -1
    for low, high, here in zip(first.tolist(), last.tolist(), present.tolist(), strict=True):
        start = -1 if not here else low if start < 0 else start
        best = max(best, high - start if here else 0)
    return best
