"""Does this corpus teach? Models that learn from it are compared with models that learn as much from something else.

At equal numbers of tokens, over several seeds (which draw the documents, their order and the first weights), on texts
from outside, in bits a byte, by two kinds of model and at two learning rates, because rankings are known to flip with
the latter. The corpus against itself is the control.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from pipeline import __version__
from pipeline.backends.tokenizer import FILE
from pipeline.core.chance import draws
from pipeline.core.errors import GristmillError, UsageError
from pipeline.core.manifest import digest
from pipeline.core.shards import write_table, write_text
from pipeline.core.validation import (
    CONTROL,
    CURATED,
    ArmSheet,
    Comparison,
    HeldOutSheet,
    RunSheet,
    Validation,
    compare,
    decide,
)
from pipeline.train.arms import Arm, make_pool, neutral_tokenizer
from pipeline.train.contest import DOMAIN, HELD_OUT, Contest, Job
from pipeline.train.held_out import HeldOut
from pipeline.train.overlap import WIDTH, shared

LIMITS = (
    "It shows less junk and less repetition, not more knowledge: the models are far too small for questions.",
    "A corpus can win by resembling the held-out texts: those of its own domain are shown apart and decide nothing.",
    "It holds for these models and budgets; nothing follows for a model a thousand times as large.",
    "Each document of the raw arm has the text that it had when its fate was decided, extracted and as far normalized.",
    "The arm without a stage has the documents that this stage dropped; stages after it have not judged them.",
)
_METHOD = 4
"""Raised where runs of equal settings come out otherwise: those of before are not taken for them."""

_SHORTEST = 200
"""Characters of a held-out text."""

_FEWEST, _SPARE = 3, 8
"""Texts that a domain needs, once those that overlap are gone; times as many as are used are looked at for overlaps."""


class Outside(NamedTuple):
    """Held-out texts, and whether they are the corpus's own."""

    texts: HeldOut
    in_domain: bool


def validate(
    arms: Sequence[Arm],
    held_out: Sequence[Outside],
    contest: Contest,
    folder: Path,
    do: Callable[[Iterable[Job]], Iterator[RunSheet]],
    *,
    corpus: str,
    device: str = "cpu",
    drop_overlap: bool = False,
) -> Validation:
    """The whole comparison; the first arm is the curated one. Runs that lie in `folder` already are not done again.

    GristmillError where no text from outside is given, or where one stands in what is learnt from (`drop_overlap`
    leaves such texts out instead; the corpus's own are always left out).
    """
    without = pa.array(
        [id for one in held_out if one.in_domain for id in one.texts.documents["id"].to_pylist()], pa.string()
    )
    excerpts = _checked(held_out, arms, without, contest, drop_overlap=drop_overlap)
    table, sheets = _table(excerpts)
    named = [[a.name, a.what, a.share] for a in arms]
    asked = [contest.model_dump(mode="json"), device]
    key = digest([corpus, asked, named, [s.digest for s in sheets], __version__, _METHOD])
    folder = folder / key[:16]
    write_table(folder / HELD_OUT, table)
    pools = _pools(arms, without, contest, folder)
    contest = _once(contest, pools)
    jobs = list(_jobs(arms, contest, folder, device))
    runs = sorted(do(jobs), key=lambda one: (one.tier, one.rate, one.arm, one.seed))
    comparisons = compare(runs, sheets, contest.min_effect)
    return Validation(
        gristmill=__version__,
        corpus=corpus,
        settings=contest.model_dump(mode="json") | {"device": device},
        arms=pools,
        held_out=sheets,
        runs=tuple(runs),
        comparisons=comparisons,
        decisions=decide(comparisons, contest.min_effect),
        bootstrap={
            f"{one.against}/{one.tier}/{one.rate:g}": _bootstrap(jobs, one, table, sheets) for one in comparisons
        },
        limits=LIMITS,
    )


def _checked(
    held_out: Sequence[Outside], arms: Sequence[Arm], without: pa.Array, contest: Contest, *, drop_overlap: bool
) -> list[tuple[Outside, HeldOut, int]]:
    """The excerpts of each set that overlap no arm, and how many did."""
    if all(one.in_domain for one in held_out):
        raise UsageError("no texts from outside: name some with --held-out FILE.jsonl or a built corpus")
    excerpts = [_excerpts(one.texts, contest) for one in held_out]
    texts = [text for one in excerpts for text in one.documents["text"].to_pylist()]
    learnt = (batch for arm in arms for batch in arm.documents(without))
    overlaps = shared(texts, learnt)
    found, start = [], 0
    for one, excerpt in zip(held_out, excerpts, strict=True):
        hit = overlaps[start : start + excerpt.documents.num_rows]
        start += len(hit)
        if hit.any() and not (one.in_domain or drop_overlap):
            ids = ", ".join(excerpt.documents["id"].filter(pa.array(hit)).to_pylist()[:3])
            raise GristmillError(
                f"{one.texts.name}: {int(hit.sum())} of {len(hit)} texts share {WIDTH} tokens in a row with an arm (or "
                f"have no more), such as {ids}: they would be learnt by heart; --drop-overlap leaves them out"
            )
        left = _chosen(HeldOut(excerpt.name, excerpt.documents.filter(pa.array(~hit))), contest)
        if left.documents.num_rows:
            found.append((one, left, int(hit.sum())))
    if all(one.in_domain for one, _, _ in found):
        raise GristmillError(f"no domain outside has {_FEWEST} texts that do not overlap what is learnt from")
    return found


def _excerpts(texts: HeldOut, contest: Contest) -> HeldOut:
    """The beginnings of documents, the domain of each, in the order of a hash; of a domain a few more than are used."""
    documents = texts.documents.filter(pc.greater_equal(pc.utf8_length(texts.documents["text"]), _SHORTEST))
    by = "source" if len(pc.unique(documents["source"])) > 1 else "lang"
    order = np.argsort(draws(documents["id"].to_pylist(), 0, "validate held out"), kind="stable")
    documents = documents.take(pa.array(order, pa.int64()))
    names = pc.fill_null(documents[by], "").to_pylist()
    domain = pa.array([f"{texts.name}/{name}".rstrip("/") for name in names], pa.string())
    cut = pc.utf8_slice_codeunits(documents["text"], 0, contest.excerpt)
    at = documents.schema.get_field_index("text")
    excerpts = documents.set_column(at, "text", cut).append_column(DOMAIN, domain)
    return HeldOut(texts.name, _first(excerpts, contest.per_domain * _SPARE))


def _chosen(excerpts: HeldOut, contest: Contest) -> HeldOut:
    """As many as are used, of the domains that have most, and enough."""
    counts = {row["values"]: row["counts"] for row in excerpts.documents[DOMAIN].value_counts().to_pylist()}
    enough = sorted((name for name in counts if counts[name] >= _FEWEST), key=lambda name: (-counts[name], name))
    of_those = pc.is_in(excerpts.documents[DOMAIN], pa.array(enough[: contest.domains], pa.string()))
    return HeldOut(excerpts.name, _first(excerpts.documents.filter(of_those), contest.per_domain))


def _first(table: pa.Table, n: int) -> pa.Table:
    """The first `n` rows of each domain."""
    met: Counter[str] = Counter()
    kept = []
    for name in table[DOMAIN].to_pylist():
        met[name] += 1
        kept.append(met[name] <= n)
    return table.filter(pa.array(kept, pa.bool_()))


def _table(found: Sequence[tuple[Outside, HeldOut, int]]) -> tuple[pa.Table, tuple[HeldOutSheet, ...]]:
    """All held-out texts, and what is said of each set."""
    sheets, tables = [], []
    for one, left, overlapping in found:
        size = pc.binary_length(left.documents["text"]).cast(pa.int64())
        tables.append(left.documents.append_column("bytes", size))
        counts = left.documents[DOMAIN].value_counts()
        sheets.append(
            HeldOutSheet(
                name=left.name,
                in_domain=one.in_domain,
                documents=left.documents.num_rows,
                bytes=pc.sum(size).as_py(),
                left_out=overlapping,
                domains={row["values"]: row["counts"] for row in sorted(counts.to_pylist(), key=lambda r: r["values"])},
                digest=left.digest,
            )
        )
    return pa.concat_tables(tables).combine_chunks(), tuple(sheets)


def _pools(arms: Sequence[Arm], without: pa.Array, contest: Contest, folder: Path) -> tuple[ArmSheet, ...]:
    """Every arm, tokenized; made once."""
    path = folder / "pools.json"
    if not path.exists():
        encoder = neutral_tokenizer(arms, without, contest.vocabulary, contest.pool_bytes // 16, folder)
        sheets = [
            make_pool(arm, without, encoder, contest.pool_bytes, folder / "pools" / f"{arm.name}.arrow") for arm in arms
        ]
        write_text(path, _Pools(arms=tuple(sheets)).model_dump_json())
    assert (folder / FILE).exists()
    return _Pools.model_validate_json(path.read_bytes()).arms


def _once(contest: Contest, pools: Sequence[ArmSheet]) -> Contest:
    """With an n-gram model that counts half of the smallest arm at most.

    What it counts twice tells it nothing and spoils its discounts, in a small arm more than in a large one; and seeds
    that read all of an arm would be one run said again.
    """
    if contest.ngram is None:
        return contest
    most = max(1, min(arm.tokens for arm in pools) // 2)
    return contest.model_copy(update={"ngram": replace(contest.ngram, tokens=min(contest.ngram.tokens, most))})


class _Pools(BaseModel):
    arms: tuple[ArmSheet, ...]


def _jobs(arms: Sequence[Arm], contest: Contest, folder: Path, device: str) -> Iterator[Job]:
    """Every arm and the control, each seed, each model; the n-gram model has no learning rate."""
    for arm in (*(arm.name for arm in arms), CONTROL):
        for seed in range(contest.seeds):
            if contest.ngram:
                yield Job(folder, arm, seed, contest.ngram)
            if contest.gpt:
                for rate in contest.rates if arm != CONTROL else contest.rates[:1]:
                    yield Job(folder, arm, seed, contest.gpt, rate, device)


def _bootstrap(
    jobs: Sequence[Job], one: Comparison, held_out: pa.Table, sheets: Sequence[HeldOutSheet], times: int = 1000
) -> tuple[float, float]:
    """95 % of the difference of means over domains, where seeds and, within each domain, documents are drawn again."""
    own, other = (
        np.stack([np.load(job.bits) for job in jobs if (job.arm, job.tier, job.rate) == (arm, one.tier, one.rate)])
        for arm in (CURATED, one.against)
    )
    domains, sizes = np.array(held_out[DOMAIN].to_pylist(), dtype=object), held_out["bytes"].to_numpy()
    places = [np.flatnonzero(domains == name) for sheet in sheets if not sheet.in_domain for name in sheet.domains]
    chance = np.random.Generator(np.random.Philox(0))
    drawn = np.empty(times)
    for turn in range(times):
        picked = [chance.choice(place, len(place)) for place in places]
        left, right = (bits[chance.integers(len(bits), size=len(bits))].mean(0) for bits in (own, other))
        drawn[turn] = np.mean([(left[rows] - right[rows]).sum() / sizes[rows].sum() for rows in picked])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return round(float(low), 6), round(float(high), 6)
