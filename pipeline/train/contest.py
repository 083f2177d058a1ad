"""How a corpus is validated, and one run of it: a model learns from an arm, and is asked about the held-out texts.

A run is a job: it depends on its record and on the files that this names, writes its result beside the others, and is
not done again where that is there.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from pipeline.backends.ngram import bits_of_ids, train_ids
from pipeline.backends.tokenizer import FILE, Encoder, load
from pipeline.core.packed import LayoutSheet
from pipeline.core.shards import read_table, whole
from pipeline.core.validation import RunSheet, Tier
from pipeline.train.arms import Pool
from pipeline.train.settings import Machine, Settings
from pipeline.train.shapes import Shape

HELD_OUT, DOMAIN = "held-out.arrow", "domain"

PIECE = 256
"""Tokens that an n-gram model takes from one place at most; a transformer takes rows."""


@dataclass(frozen=True)
class Ngram:
    """The first tier: a Kneser-Ney model of token ids, in about a second of CPU for a million tokens."""

    tokens: int
    order: int = 4


@dataclass(frozen=True)
class Gpt:
    """The second tier: a transformer, at the end of its schedule."""

    tokens: int
    layers: int
    width: int
    heads: int
    length: int
    batch: int
    learning_rate: float


class Contest(BaseModel):
    """How a corpus is validated; part of what the result depends on, all of it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    seeds: int = Field(5, ge=2, le=100)
    rates: tuple[float, ...] = (1.0, 0.1)
    vocabulary: int = Field(4096, ge=300)
    ngram: Ngram | None = None
    gpt: Gpt | None = None
    per_domain: int = Field(20, ge=1)
    domains: int = Field(20, ge=1)
    excerpt: int = Field(1200, ge=100)
    pool_bytes: int = Field(64 << 20, ge=1)
    min_effect: float = Field(0.01, ge=0)


PRESETS = {
    "cpu-smoke": Contest(ngram=Ngram(2_000_000), gpt=Gpt(40_000, 2, 64, 2, 128, 8, 3e-3), per_domain=8, domains=8),
    "cpu": Contest(ngram=Ngram(2_000_000), gpt=Gpt(400_000, 3, 96, 3, 256, 16, 3e-3)),
    "gpu-small": Contest(
        ngram=Ngram(20_000_000, 5),
        gpt=Gpt(400_000_000, 8, 384, 6, 1024, 64, 1.5e-3),
        vocabulary=16384,
        per_domain=100,
        pool_bytes=4 << 30,
    ),
    "gpu": Contest(
        ngram=Ngram(100_000_000, 5),
        gpt=Gpt(3_000_000_000, 12, 768, 12, 2048, 256, 8e-4),
        vocabulary=32768,
        per_domain=200,
        pool_bytes=32 << 30,
    ),
}


@dataclass(frozen=True)
class Job:
    """A run, named by everything that it depends on but the files in `folder`: pools, tokenizer, held-out texts."""

    folder: Path
    arm: str
    seed: int
    model: Ngram | Gpt
    rate: float = 1.0
    device: str = "cpu"

    @property
    def tier(self) -> Tier:
        """Which model."""
        return "ngram" if isinstance(self.model, Ngram) else "gpt"

    @property
    def name(self) -> str:
        """How files and messages call it."""
        return f"{self.tier}-{self.arm}-{self.seed:03d}-{self.rate:g}"

    @property
    def result(self) -> Path:
        """Where its result lies."""
        return self.folder / "runs" / f"{self.name}.json"

    @property
    def bits(self) -> Path:
        """Where the bits of each held-out document lie."""
        return self.result.with_suffix(".npy")


def run(job: Job) -> RunSheet:
    """Do it, or read what it gave before."""
    if job.result.exists() and job.bits.exists():
        return RunSheet.model_validate_json(job.result.read_bytes())
    encoder = load(job.folder / FILE)
    held_out = read_table(job.folder / HELD_OUT)
    # The control is the curated arm again, under seeds of its own.
    arm, seed = ("curated", job.seed + 1_000_000) if job.arm == "control" else (job.arm, job.seed)
    pool, piece = Pool(job.folder / "pools" / f"{arm}.arrow"), getattr(job.model, "length", PIECE)
    ids, starts, epochs = pool.taken(seed, job.model.tokens, encoder.end, piece)
    if isinstance(job.model, Ngram):
        bits, curve = _by_ngram(job.model, encoder, ids, starts, held_out), ""
    else:
        bits, curve = _by_gpt(job, job.model, encoder, ids, starts, held_out, seed)
    sheet = RunSheet(
        arm=job.arm,
        seed=job.seed,
        tier=job.tier,
        rate=job.rate,
        tokens=len(ids),
        epochs=round(epochs, 4),
        bits_per_byte=by_domain(held_out, bits),
        curve=curve,
    )
    with whole(job.bits) as temporary, temporary.open("wb") as stream:
        np.save(stream, bits, allow_pickle=False)
    with whole(job.result) as temporary:
        temporary.write_text(sheet.to_json(), encoding="utf-8")
    return sheet


def by_domain(held_out: pa.Table, bits: np.ndarray) -> dict[str, float]:
    """Bits a byte of all documents of each domain."""
    domains = np.array(held_out[DOMAIN].to_pylist(), dtype=object)
    sizes = held_out["bytes"].to_numpy()
    return {
        name: round(float(bits[domains == name].sum() / sizes[domains == name].sum()), 9)
        for name in sorted(set(domains.tolist()))
    }


def _by_ngram(model: Ngram, encoder: Encoder, ids: np.ndarray, starts: np.ndarray, held_out: pa.Table) -> np.ndarray:
    trained = train_ids(ids, starts, encoder.size, model.order)
    asked, at = encoder.encode(held_out["text"].to_pylist())
    return bits_of_ids(trained, asked, at)


def _by_gpt(
    job: Job, model: Gpt, encoder: Encoder, ids: np.ndarray, starts: np.ndarray, held_out: pa.Table, seed: int
) -> tuple[np.ndarray, str]:
    """Bits of each document, and the digest of the losses."""
    from pipeline.train.held_out import HeldOut
    from pipeline.train.loop import fit

    shape = Shape(
        kind="gpt",
        layers=model.layers,
        width=model.width,
        heads=model.heads,
        hidden=-(-8 * model.width // 3 // 64) * 64,
        tokens=encoder.size,
        end=encoder.end,
        length=model.length,
    )
    rows = Packed(job.folder, ids, starts, model.length)
    steps = max(1, len(ids) // (model.length * model.batch))
    settings = Settings(
        steps=steps,
        batch=model.batch,
        learning_rate=model.learning_rate * job.rate,
        warmup=min(10, steps // 5),
        seed=seed,
    )
    machine = Machine(device=job.device, threads=1, rows=model.batch)
    told = HeldOut("held-out", held_out)
    found = fit(shape, rows, settings, machine, [told])
    losses = json.dumps([point.loss for point in found.curve])
    return found.scored["held-out"].counts[:, -1], hashlib.sha256(losses.encode()).hexdigest()


@dataclass(frozen=True)
class Packed:
    """Documents one after the other in rows of `length`, as `fit` reads rows; a row that is not full is left out."""

    folder: Path
    ids: np.ndarray = field(repr=False)
    starts: np.ndarray = field(repr=False)
    length: int

    def __len__(self) -> int:
        return max(1, len(self.ids) // self.length)

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        """`input_ids` and `segment_ids` of a row, int64."""
        first = row * self.length
        ids = self.ids[first : first + self.length].astype(np.int64)
        place = np.arange(first, first + len(ids))
        document = np.searchsorted(self.starts, place, side="right")
        short = self.length - len(ids)
        segments = np.pad(document - document[0], (0, short), constant_values=-1)
        return {"input_ids": np.pad(ids, (0, short)), "segment_ids": segments}

    @cached_property
    def sheet(self) -> LayoutSheet:
        """What a layout would say of these rows."""
        encoder = load(self.folder / FILE)
        return LayoutSheet(
            layout="bin",
            corpus="",
            dtype="int32",
            length=self.length,
            vocabulary=encoder.size,
            end=encoder.end,
            pad=encoder.pad,
            shuffle=None,
            splits={"train": {"rows": len(self)}},
            files=(),
        )
