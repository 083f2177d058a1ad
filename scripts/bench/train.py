"""Training speed of `gpt`, beside a plain GPT-2 as nanoGPT writes it and LlamaForCausalLM of transformers.

Same widths, depths, vocabulary, rows and batch; whole steps: forward, backward, clipping, AdamW. The plain one has no
rotary positions, RMSNorm or gates, so less to do; transformers' has the architecture of ours. Rows are one document
each, or with --documents N several, which ours alone keeps apart. Contestants take turns; medians of the turns. On a
GPU all three run in bf16, and the share of the peak that its maker states is printed; --compile compiles all three.
On a busy machine, --clock cpu --threads 1 counts what the process used.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.train.batches import Maker, Piece
from pipeline.train.device import peak
from pipeline.train.model import build
from pipeline.train.optim import optimizers
from pipeline.train.settings import Settings
from pipeline.train.shapes import Shape, named_shape

Step = Callable[[np.ndarray], None]
ROWS = {"nano": 16, "small": 4}


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
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    clock = time.perf_counter if asked.clock == "wall" else time.process_time
    device = torch.device(asked.device)
    results: dict[str, dict[str, float]] = {}
    ratios: dict[str, float] = {}
    for size in asked.sizes:
        shape = named_shape("gpt", size, asked.tokens, 0, asked.length)
        rows = asked.rows or ROWS.get(size, 4)
        steps = {
            "gristmill": ours(shape, asked.documents, device, compiled=asked.compile),
            "plain torch": theirs(Plain(shape), device, compiled=asked.compile),
            "transformers": llama(shape, device, compiled=asked.compile),
        }
        found = {
            name: rows * asked.length / seconds
            for name, seconds in race(steps, rows, shape, asked.turns, device, clock).items()
        }
        results[size] = found
        print(
            f"{size}: {shape.parameters:,} parameters, {rows} rows of {asked.length}, {asked.documents} documents each"
        )
        for name, speed in found.items():
            work = speed * shape.flops()
            share = f", {work / peak(device):.1%} of the peak" if peak(device) else f", {work / 1e9:.1f} GFLOP/s"
            print(f"  {name:13} {speed:12,.0f} tokens/s{share if name == 'gristmill' else ''}")
            if name != "gristmill":
                ratios[f"{size} against {name}"] = round(found["gristmill"] / speed, 3)
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f} times as fast")
    if asked.json:
        print(json.dumps({"device": device.type, "tokens_per_second": results, "ratios": ratios}))


def race(
    steps: dict[str, Step], rows: int, shape: Shape, turns: int, device: torch.device, clock: Callable[[], float]
) -> dict[str, float]:
    """Median seconds of a step, each contestant's turn after the other's; one turn before is not counted."""
    chance = np.random.default_rng(0)
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(turns + 2):
        ids = chance.integers(1, shape.tokens, (rows, shape.length))
        names = list(steps)[turn % 3 :] + list(steps)[: turn % 3]
        for name in names:
            began = clock()
            steps[name](ids)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn > 1:
                spent[name].append(clock() - began)
    return {name: statistics.median(seconds) for name, seconds in spent.items()}


def ours(shape: Shape, documents: int, device: torch.device, *, compiled: bool) -> Step:
    """A step as `gristmill train` does it, the making of its batch included."""
    model = build(shape).to(device)
    if compiled:
        for block in model.blocks:
            block.compile()
    settings = Settings(steps=10, optimizer="adamw", warmup=0)
    taught = list(optimizers(model, settings).values())
    maker = Maker(shape, cut=device.type == "cpu" and not compiled)
    segments = np.arange(shape.length) * documents // shape.length

    def step(ids: np.ndarray) -> None:
        batch = maker.next_tokens([Piece(row, segments) for row in ids]).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = model(batch) / len(batch.targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        for optimizer in taught:
            optimizer.step()
            optimizer.zero_grad()

    return step


def theirs(model: nn.Module, device: torch.device, *, compiled: bool) -> Step:
    """A step as nanoGPT does it: its AdamW is the fused one on a GPU only."""
    model.to(device)
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=device.type == "cuda")
    trained = torch.compile(model) if compiled else model

    def step(ids: np.ndarray) -> None:
        shown = torch.from_numpy(np.roll(ids, 1, axis=1)).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = trained(shown, torch.from_numpy(ids).to(device))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def llama(shape: Shape, device: torch.device, *, compiled: bool) -> Step:
    """A step of LlamaForCausalLM, with the loss that it computes itself."""
    from transformers import LlamaConfig, LlamaForCausalLM

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

    return theirs(WithLoss(), device, compiled=compiled)


if __name__ == "__main__":
    main()
