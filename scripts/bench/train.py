"""Training speed of `gpt`, beside a plain GPT-2 as nanoGPT writes it and LlamaForCausalLM of transformers.

Same widths, depths, vocabulary, rows and batch; whole steps: forward, backward, clipping, AdamW. The plain one has no
rotary positions, RMSNorm or gates, so less to do; transformers' has the architecture of ours. Rows are one document
each, or with --documents N several, which ours alone keeps apart. Contestants are processes of their own and take
turns on the same tokens; a ratio is the median of those of the turns. On a GPU all three run in bf16, and the share of
the peak that its maker states is printed; --compile compiles all three. On a busy machine, --clock cpu --threads 1
counts what a process used.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.train.attention import best_way
from pipeline.train.batches import Maker, Piece
from pipeline.train.device import keep_memory, peak
from pipeline.train.model import build
from pipeline.train.optim import clip, optimizers
from pipeline.train.settings import Settings
from pipeline.train.shapes import Shape, named_shape

Step = Callable[[np.ndarray], None]
ROWS = {"nano": 16, "small": 4}
UNCOUNTED = 2
"""Turns before the first that counts."""


class Task(NamedTuple):
    """What the contestants are given, and how they are timed."""

    shape: Shape
    documents: int
    device: str
    threads: int
    clock: str
    compiled: bool


class PlainBlock(nn.Module):
    """GPT-2's: LayerNorm before, one matrix for queries, keys and values, GELU of four times the width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, tokens, width) to the same."""
        rows, length, width = x.shape
        q, k, v = self.qkv(self.first(x)).split(width, dim=2)
        q, k, v = (part.view(rows, length, self.heads, width // self.heads).transpose(1, 2) for part in (q, k, v))
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).contiguous().view(rows, length, width))
        return x + self.down(functional.gelu(self.up(self.second(x))))


class Plain(nn.Module):
    """GPT-2 in plain torch: learned positions, tied embeddings, the logits of all tokens at once."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.tokens, self.places = (nn.Embedding(n, shape.width) for n in (shape.vocabulary, shape.length))
        self.blocks = nn.ModuleList(PlainBlock(shape.width, shape.heads) for _ in range(shape.layers))
        self.norm, self.head = (
            nn.LayerNorm(shape.width, bias=False),
            nn.Linear(shape.width, shape.vocabulary, bias=False),
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)
        self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """The mean loss."""
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["nano", "small"])
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--rows", type=int, help="of a step; default: 16 for nano, else 4")
    parser.add_argument("--tokens", type=int, default=8192, help="of the vocabulary")
    parser.add_argument("--documents", type=int, default=1, help="of a row")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    speeds: dict[str, dict[str, float]] = {}
    ratios: dict[str, float] = {}
    for size in asked.sizes:
        shape = named_shape("gpt", size, asked.tokens, 0, asked.length)
        rows = asked.rows or ROWS.get(size, 4)
        task = Task(shape, asked.documents, asked.device, asked.threads, asked.clock, asked.compile)
        spent = race(task, rows, asked.turns)
        speeds[size] = {name: rows * asked.length / statistics.median(taken) for name, taken in spent.items()}
        print(
            f"{size}: {shape.parameters:,} parameters, {rows} rows of {asked.length}, {asked.documents} documents each"
        )
        for name, speed in speeds[size].items():
            work = speed * shape.flops()
            share = f", {work / peak(device):.1%} of the peak" if peak(device) else f", {work / 1e9:.1f} GFLOP/s"
            print(f"  {name:13} {speed:12,.0f} tokens/s{share if name == 'gristmill' else ''}")
            if name != "gristmill":
                turns = zip(spent[name], spent["gristmill"], strict=True)
                ratios[f"{size} against {name}"] = round(statistics.median(theirs / ours for theirs, ours in turns), 3)
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f} times as fast")
    if asked.json:
        print(json.dumps({"device": device.type, "tokens_per_second": speeds, "ratios": ratios}))


def race(task: Task, rows: int, turns: int) -> dict[str, list[float]]:
    """Seconds of each contestant's step in every turn that counts; in a turn, all are given the same tokens."""
    chance = np.random.default_rng(0)
    context = multiprocessing.get_context("spawn")
    lines, processes = {}, []
    for name in CONTESTANTS:
        lines[name], far = context.Pipe()
        processes.append(context.Process(target=contest, args=(name, task, far), daemon=True))
        processes[-1].start()
        far.close()
    spent: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for turn in range(turns + UNCOUNTED):
        ids = chance.integers(1, task.shape.tokens, (rows, task.shape.length))
        first = turn % len(CONTESTANTS)
        for name in [*list(CONTESTANTS)[first:], *list(CONTESTANTS)[:first]]:
            lines[name].send(ids)
            seconds = lines[name].recv()
            if turn >= UNCOUNTED:
                spent[name].append(seconds)
    for name, process in zip(CONTESTANTS, processes, strict=True):
        lines[name].close()
        process.join()
    return spent


def contest(name: str, task: Task, line: Connection) -> None:
    """One contestant: takes tokens, makes a step of them, and says how long that took."""
    torch.set_num_threads(task.threads)
    clock = time.perf_counter if task.clock == "wall" else time.process_time
    step = CONTESTANTS[name](task)
    while True:
        try:
            ids = line.recv()
        except EOFError:
            return
        began = clock()
        step(ids)
        if task.device == "cuda":
            torch.cuda.synchronize()
        line.send(clock() - began)


def ours(task: Task) -> Step:
    """A step as `gristmill train` does it, the making of its batch included."""
    shape, device = task.shape, torch.device(task.device)
    keep_memory(device)
    model = build(shape).to(device)
    if task.compiled:
        for block in model.blocks:
            block.compile()
    settings = Settings(steps=10, optimizer="adamw", warmup=0)
    taught = list(optimizers(model, settings).values())
    maker = Maker(shape, way=best_way(device, compiled=task.compiled))
    segments = np.arange(shape.length) * task.documents // shape.length

    def step(ids: np.ndarray) -> None:
        batch = maker.next_tokens([Piece(row, segments) for row in ids]).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = model(batch) / len(batch.targets)
        loss.backward()
        clip(model, settings)
        for optimizer in taught:
            optimizer.step()
            optimizer.zero_grad()

    return step


def plain(task: Task) -> Step:
    """A step of plain torch."""
    return theirs(Plain(task.shape), task)


def theirs(model: nn.Module, task: Task) -> Step:
    """A step as nanoGPT does it: its AdamW is the fused one on a GPU only."""
    device = torch.device(task.device)
    model.to(device)
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=device.type == "cuda")
    trained = torch.compile(model) if task.compiled else model

    def step(ids: np.ndarray) -> None:
        shown = torch.from_numpy(np.roll(ids, 1, axis=1)).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = trained(shown, torch.from_numpy(ids).to(device))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def llama(task: Task) -> Step:
    """A step of LlamaForCausalLM, with the loss that it computes itself."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = task.shape
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.length,
        tie_word_embeddings=True,
        use_cache=False,
    )

    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = LlamaForCausalLM(config)

        def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
            return self.model(input_ids=ids, labels=targets).loss

    return theirs(WithLoss(), task)


CONTESTANTS: dict[str, Callable[[Task], Step]] = {"gristmill": ours, "plain torch": plain, "transformers": llama}


if __name__ == "__main__":
    main()
