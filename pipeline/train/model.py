"""One transformer block, and three models of it: gpt, bert and t5 (`shapes` says what they are)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.train.attention import BUCKETS, Sight, relative_buckets, rotary_tables
from pipeline.train.block import Block, Past, View, norm
from pipeline.train.loss import head_loss, judged
from pipeline.train.shapes import Shape


@dataclass(frozen=True)
class Tokens:
    """Rows of ids (rows, tokens); `places` counts from 0 in every document; `types` is 0 or 1, for bert's pairs."""

    ids: Tensor
    places: Tensor
    sight: Sight
    types: Tensor | None = None

    def to(self, device: torch.device) -> Tokens:
        """The same on a device."""
        move = {name: getattr(self, name) for name in ("ids", "places", "types") if getattr(self, name) is not None}
        return replace(
            self, sight=self.sight.to(device), **{name: x.to(device, non_blocking=True) for name, x in move.items()}
        )


@dataclass(frozen=True)
class Batch:
    """What a model learns from: at `at`, counted through all rows, it shall say `targets`.

    `order` are the numbers of the rows as they were given. t5 reads `source` and sees of it what `crossing` lets each
    token see. bert's `follows` says of each row whether its second part follows the first.
    """

    tokens: Tokens
    order: np.ndarray
    at: Tensor
    targets: Tensor
    source: Tokens | None = None
    crossing: Tensor | None = None
    follows: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        plain = {n: x for n in ("at", "targets", "crossing", "follows") if (x := getattr(self, n)) is not None}
        return replace(
            self,
            tokens=self.tokens.to(device),
            source=self.source.to(device) if self.source else None,
            **{name: x.to(device, non_blocking=True) for name, x in plain.items()},
        )


class Model(nn.Module, ABC):
    """Base of the three: an embedding, blocks, and an output embedding which is the same but for t5."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)

    @property
    def head(self) -> tuple[Tensor, Tensor | None]:
        """Weight (vocabulary, width) and bias of the output."""
        return self.embedding.weight, None

    @abstractmethod
    def states(self, batch: Batch) -> Tensor:
        """What the output embedding is applied to: (rows, tokens, width)."""

    def forward(self, batch: Batch) -> Tensor:
        """The sum over targets of -ln p(target)."""
        weight, bias = self.head
        return head_loss(_taken(self.states(batch), batch.at), weight, batch.targets, bias)

    @torch.no_grad()
    def judge(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """-ln p(target) of every target, and whether it was the likeliest."""
        weight, bias = self.head
        return judged(_taken(self.states(batch), batch.at), weight, batch.targets, bias)

    def logits(self, batch: Batch) -> Tensor:
        """Of every token of every row: (rows, tokens, vocabulary)."""
        return functional.linear(self.states(batch), *self.head)


class Gpt(Model):
    """A decoder."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = norm(shape)
        cos, sin = rotary_tables(shape.length, shape.head_width)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        _start(self, 0.02, {"output.weight": 0.02 / math.sqrt(2 * shape.layers)})

    def states(self, batch: Batch) -> Tensor:
        """After the last norm."""
        return self.read(batch.tokens.ids, batch.tokens.sight)

    def read(self, ids: Tensor, sight: Sight, past: list[Past] | None = None) -> Tensor:
        """States of ids (rows, tokens), which follow on what `past` holds, one entry a layer.

        Places are counted along the row: what rotary positions see is only how far apart two tokens are.
        """
        begin = past[0].k.shape[2] if past and past[0].k is not None else 0
        rotary = tuple(table[begin : begin + ids.shape[1], None] for table in (self.cos, self.sin))
        view = View(sight, rotary)
        x = self.embedding(ids)
        for number, block in enumerate(self.blocks):
            x = block(x, view, past=past[number] if past else None)
        return self.norm(x)


class Bert(Model):
    """An encoder, with a head for masked tokens and one that says whether two parts follow each other."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.places = nn.Embedding(shape.length, shape.width)
        self.types = nn.Embedding(2, shape.width)
        self.embedding_norm = norm(shape)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.transform, self.transform_norm = nn.Linear(shape.width, shape.width), norm(shape)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))
        self.pooler, self.follows = nn.Linear(shape.width, shape.width), nn.Linear(shape.width, 2)
        _start(self, 0.02)

    @property
    def head(self) -> tuple[Tensor, Tensor | None]:
        """Tied, with a bias of its own."""
        return self.embedding.weight, self.bias

    def read(self, tokens: Tokens) -> Tensor:
        """The encoder's output (rows, tokens, width)."""
        types = self.types.weight[0] if tokens.types is None else self.types(tokens.types)
        x = self.embedding_norm(self.embedding(tokens.ids) + self.places(tokens.places) + types)
        for block in self.blocks:
            x = block(x, View(tokens.sight))
        return x

    def states(self, batch: Batch) -> Tensor:
        """Of every token, transformed for the output embedding."""
        return self._transformed(self.read(batch.tokens))

    def forward(self, batch: Batch) -> Tensor:
        """The sum over masked tokens; with pairs, their mean loss is added for each masked token."""
        read = self.read(batch.tokens)
        loss = head_loss(self._transformed(_taken(read, batch.at)), self.embedding.weight, batch.targets, self.bias)
        if batch.follows is None:
            return loss
        return loss + functional.cross_entropy(self.pairs(read), batch.follows) * len(batch.targets)

    def pairs(self, read: Tensor) -> Tensor:
        """Logits (rows, 2) of "the second part is another text" and "it follows", from the first token."""
        return self.follows(self.pooled(read))

    def pooled(self, read: Tensor) -> Tensor:
        """What stands for each row (rows, width)."""
        return torch.tanh(self.pooler(read[:, 0]))

    def _transformed(self, x: Tensor) -> Tensor:
        return self.transform_norm(functional.gelu(self.transform(x)))


class T5(Model):
    """An encoder of the text with holes, and a decoder of what was in them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.output = nn.Parameter(torch.empty(shape.vocabulary, shape.width))
        self.encoder = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.decoder = nn.ModuleList(Block(shape, cross=True) for _ in range(shape.layers))
        self.encoder_norm, self.decoder_norm = norm(shape), norm(shape)
        self.encoder_bias = nn.Embedding(BUCKETS, shape.heads)
        self.decoder_bias = nn.Embedding(BUCKETS, shape.heads)
        width = 1 / math.sqrt(shape.width)
        # Products of queries and keys are not scaled: the queries begin small.
        _start(self, width, {"embedding.weight": 1.0, "mixing.output.weight": 1 / math.sqrt(shape.hidden)})
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name.endswith(("attention.inputs.weight", "cross.query.weight")):
                    weight[: shape.width] /= math.sqrt(shape.head_width)

    @property
    def head(self) -> tuple[Tensor, Tensor | None]:
        """Its own."""
        return self.output, None

    def states(self, batch: Batch) -> Tensor:
        """Of the decoder, after its last norm."""
        if batch.source is None:
            raise ValueError("a t5 needs a source")
        return self.write(batch.tokens, self.read(batch.source), batch.crossing)

    def read(self, source: Tokens) -> Tensor:
        """The encoder's output (rows, tokens, width)."""
        x = self.embedding(source.ids)
        view = View(source.sight, bias=self._bias(self.encoder_bias, x, causal=False), mask=source.sight.mask)
        for block in self.encoder:
            x = block(x, view)
        return self.encoder_norm(x)

    def write(self, tokens: Tokens, memory: Tensor, crossing: Tensor | None) -> Tensor:
        """The decoder's output."""
        x = self.embedding(tokens.ids)
        view = View(tokens.sight, bias=self._bias(self.decoder_bias, x, causal=True), mask=tokens.sight.mask)
        across = View(tokens.sight, mask=crossing)
        for block in self.decoder:
            x = block(x, view, memory, across)
        return self.decoder_norm(x)

    def _bias(self, table: nn.Embedding, x: Tensor, *, causal: bool) -> Tensor:
        """What is added to the product of each query and key, by how far they are apart."""
        place = torch.arange(x.shape[1], device=x.device)
        buckets = relative_buckets(place[None, :] - place[:, None], causal=causal)
        return table(buckets).permute(2, 0, 1)[None]


def build(shape: Shape, seed: int = 0) -> Model:
    """A model with weights drawn by a seed, the same on every machine."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        model: Model = {"gpt": Gpt, "bert": Bert, "t5": T5}[shape.kind](shape)
    finally:
        torch.random.set_rng_state(state)
    return model


def _taken(states: Tensor, at: Tensor) -> Tensor:
    """The states (targets, width) at places counted through all rows; all of them are not copied."""
    flat = states.flatten(0, 1)
    return flat if len(at) == len(flat) else flat[at]


def _start(model: nn.Module, std: float, others: dict[str, float] | None = None) -> None:
    """Draw matrices with a standard deviation, those whose names end otherwise with another; biases begin at 0."""
    for name, parameter in model.named_parameters():
        found = [value for end, value in (others or {}).items() if name.endswith(end)]
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=found[0] if found else std)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
