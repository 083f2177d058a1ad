"""The loop: rows in a fixed order, losses for every step, held-out texts on the way, and exact resume.

On a CPU with a fixed number of threads, a run that was killed and resumed has the same losses and weights, bit by bit,
as one that was not. Several processes (torchrun) share each step's rows; what they learn differs by rounding only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed, nn

from pipeline import __version__
from pipeline.backends.tokenizer import FILE, load
from pipeline.core.errors import GristmillError, UsageError
from pipeline.train.attention import best_way
from pipeline.train.batches import Maker, Piece, chance_of
from pipeline.train.checkpoint import Sheet, State, restore, save, save_model
from pipeline.train.curve import Curve, Point
from pipeline.train.dataset import Order, Rows
from pipeline.train.device import device_of, keep_memory, peak, rank_of
from pipeline.train.held_out import HeldOut, Scored, score
from pipeline.train.model import Batch, Model, build
from pipeline.train.optim import clip, optimizers, rate
from pipeline.train.settings import Machine, Settings
from pipeline.train.shapes import Shape
from pipeline.train.sharding import shard

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Result:
    """The model, its losses, and for each held-out set the score of every document, at the end.

    `tokens` and `seconds` are those of this process since it began or resumed.
    """

    model: Model
    curve: tuple[Point, ...]
    scored: dict[str, Scored]
    tokens: int
    seconds: float


def fit(
    shape: Shape,
    rows: Rows,
    settings: Settings,
    machine: Machine | None = None,
    held_out: Sequence[HeldOut] = (),
    out: Path | None = None,
    *,
    resume: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Result:
    """Train a model of this shape on these rows, and score the held-out texts by it.

    What it returns follows from shape, rows and settings, on one kind of machine: a job for any executor. With `out`,
    checkpoints, curve and model are left there; `resume` goes on from the last checkpoint.
    """
    run = _Run(shape, rows, settings, machine or Machine(), out, resume=resume)
    encoder = load(rows.folder / FILE) if held_out else None
    scored: dict[str, Scored] = {}
    began = time.monotonic()
    while run.step < settings.steps:
        run.advance()
        is_last = run.step == settings.steps
        scores = bool(encoder) and (is_last or _due(run.machine.evaluate_every, run.step))
        saves = is_last or _due(run.machine.save_every, run.step)
        if scores or saves or _due(run.machine.log_every, run.step):
            tell(run.pace())
            if encoder and scores and run.scores:
                scored = {text.name: score(run.model, encoder, text) for text in held_out}
            run.note({name: found.total.bits_per_byte or 0.0 for name, found in scored.items()} if scores else {})
        if saves:
            run.save()
    if encoder and not scored and run.scores:
        # Resumed where there was nothing left to do.
        scored = {text.name: score(run.model, encoder, text) for text in held_out}
    return Result(run.model, tuple(run.curve.points), scored, run.tokens, time.monotonic() - began)


class _Run:
    """A run between two steps. The first process writes into `out`; all go on from what is there."""

    def __init__(
        self, shape: Shape, rows: Rows, settings: Settings, machine: Machine, out: Path | None, *, resume: bool
    ) -> None:
        self.rows, self.settings, self.machine = rows, settings, machine
        self.out = out if rank_of() == 0 else None
        self.sheet = Sheet(gristmill=__version__, corpus=rows.sheet.corpus, shape=shape, settings=settings)
        if settings.pairs and shape.kind != "bert":
            raise UsageError(f"--pairs: a {shape.kind} does not learn from pairs; a bert does")
        self.ranks = distributed.get_world_size() if distributed.is_initialized() else 1
        self.is_sharded = machine.shard and self.ranks > 1
        if settings.batch % self.ranks or len(rows) < self.ranks:
            raise GristmillError(
                f"{settings.batch} rows a step, of {len(rows):,}, cannot be shared by {self.ranks} processes: "
                "take a multiple with --batch"
            )
        if rows.sheet.length > shape.length or rows.sheet.vocabulary != shape.tokens:
            raise GristmillError(
                f"{rows.folder}: rows of {rows.sheet.length} with {rows.sheet.vocabulary:,} tokens; the model has "
                f"{shape.length} and {shape.tokens:,}"
            )
        if machine.threads:
            torch.set_num_threads(machine.threads)
        self.device = device_of(machine)
        keep_memory(self.device)
        self.model = build(shape, settings.seed).to(self.device)
        if machine.compile:
            for stack in self.model.children():
                for block in stack if isinstance(stack, nn.ModuleList) else ():
                    block.compile()
        self.trained = self._shared()
        self.optimizers = optimizers(self.model, settings)
        past = out / CHECKPOINTS if out else None
        state = restore(past, self.model, self.optimizers, self.sheet, resume=resume) if past else None
        self.step = state.step if state else 0
        at = state.order if state else Order(len(rows), settings.seed).state()
        self.feed = Feed(rows, Order.resumed(at, rank_of(), self.ranks))
        self.maker = Maker(shape, settings.pairs, best_way(self.device, compiled=machine.compile))
        self.curve = Curve(self.out, self.step)
        self.tokens = 0
        self._open: list[tuple[float, torch.Tensor, torch.Tensor]] = []
        self._since = (time.monotonic(), 0)

    def advance(self) -> None:
        """One step."""
        share = rate(self.settings, self.step)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = share * self.settings.learning_rate
        taken = self.feed.take(self.settings.batch // self.ranks)
        batches = [self._batch(taken[at : at + self.machine.rows]) for at in range(0, len(taken), self.machine.rows)]
        n_targets = torch.tensor(float(sum(len(batch.targets) for batch in batches)), device=self.device)
        if self.ranks > 1:
            distributed.all_reduce(n_targets)
        total = torch.zeros((), device=self.device)
        for number, batch in enumerate(batches, 1):
            if self.is_sharded:
                self.trained.set_requires_gradient_sync(number == len(batches))
            elif self.ranks > 1:
                self.trained.require_backward_grad_sync = number == len(batches)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                loss = self.trained(batch.to(self.device))
            # Gradients of processes are averaged, and shall be added.
            (loss * (self.ranks / n_targets)).backward()
            total += loss.detach()
        if self.ranks > 1:
            distributed.all_reduce(total)
        norm = clip(self.model, self.settings)
        for optimizer in self.optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.tokens += len(taken) * self.rows.sheet.length * self.ranks
        self._open.append((share * self.settings.learning_rate, total / n_targets, norm))

    def note(self, bits_per_byte: dict[str, float]) -> None:
        """Put the steps since the last note on the curve, with what was scored after the last of them."""
        first = self.step - len(self._open) + 1
        points = [
            Point(step=step, loss=float(loss), norm=float(norm), rate=share)
            for step, (share, loss, norm) in enumerate(self._open, first)
        ]
        if any(not math.isfinite(point.loss) for point in points):
            raise GristmillError(f"the loss of step {self.step} is no number: take a lower --learning-rate")
        points[-1] = points[-1].model_copy(update={"bits_per_byte": bits_per_byte})
        self.curve.add(points)
        self._open, self._since = [], (time.monotonic(), self.tokens)

    def pace(self) -> str:
        """Where it stands and how fast it has been since the last note; reads the loss, so it waits for the device."""
        loss = float(self._open[-1][1])
        began, tokens = self._since
        speed = (self.tokens - tokens) / max(time.monotonic() - began, 1e-9)
        work = speed * self.model.shape.flops(self.rows.sheet.length)
        most = peak(self.device) * self.ranks
        used = f"{work / most:.1%} of the peak" if most else f"{work / 1e9:.1f} GFLOP/s"
        return f"step {self.step:,} of {self.settings.steps:,}: loss {loss:.4f}, {speed:,.0f} tokens/s, {used}"

    def save(self) -> None:
        """A checkpoint, and the model as it is."""
        if not (self.out or self.is_sharded):
            return
        state = State(step=self.step, order=self.feed.order.state(), sheet=self.sheet)
        folder = self.out / CHECKPOINTS if self.out else None
        save(folder, self.model, self.optimizers, state, keep=self.machine.keep)
        if self.step == self.settings.steps:
            save_model(self.out, self.model, self.sheet, self.rows.folder)

    @property
    def scores(self) -> bool:
        """Whether this process scores: the first, or where they share one model, all."""
        return self.is_sharded or rank_of() == 0

    def _shared(self) -> nn.Module:
        """The model as all processes train it."""
        if self.is_sharded:
            shard(self.model, self.ranks, self.device)
        elif self.ranks > 1:
            # Without pairs, bert's head for them has no gradient.
            idle = self.model.shape.kind == "bert" and not self.settings.pairs
            return nn.parallel.DistributedDataParallel(self.model, find_unused_parameters=idle)
        return self.model

    def _batch(self, taken: list[tuple[int, int]]) -> Batch:
        chances = [chance_of(self.settings.seed, epoch, row) for epoch, row in taken]
        others = [int(chance.integers(len(self.rows))) for chance in chances] if self.settings.pairs else []
        return self.maker.make([self._row(row) for _, row in taken], chances, [self._row(row) for row in others])

    def _row(self, number: int) -> Piece:
        row = self.rows[number]
        return Piece(row["input_ids"], row["segment_ids"])


@dataclass
class Feed:
    """The rows of one process, epoch after epoch."""

    rows: Rows
    order: Order
    _left: Iterator[int] | None = None

    def take(self, n: int) -> list[tuple[int, int]]:
        """Epoch and number of the next `n` rows."""
        found: list[tuple[int, int]] = []
        while len(found) < n:
            self._left = iter(self.order) if self._left is None else self._left
            row = next(self._left, None)
            if row is None:
                self.order, self._left = self.order.next_epoch(), None
            else:
                found.append((self.order.epoch, row))
                self.order = self.order.after(1)
        return found


def _due(every: int | None, step: int) -> bool:
    return every is not None and step % every == 0
