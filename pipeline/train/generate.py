"""Trained models write: a gpt goes on, token by token, by what it kept of those before; a t5 fills holes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.core.errors import GristmillError
from pipeline.train.attention import Sight, visible
from pipeline.train.block import Past
from pipeline.train.model import T5, Gpt, Model, Tokens
from pipeline.train.shapes import EXTRA_TOKENS

if TYPE_CHECKING:
    from pipeline.backends.tokenizer import Encoder

HOLE = re.compile(r" ?_{3,}")
"""What marks a hole in a prompt; the space before it is the hole's."""


def generate(
    model: Model,
    encoder: Encoder,
    prompt: str,
    *,
    tokens: int = 100,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
) -> Iterator[str]:
    """What follows the prompt, in pieces as they are made: to the end token, `tokens` of them, or the model's length.

    A t5 fills the holes `___` of the prompt, or one at its end, each with `tokens` at most: what follows the first is
    given. At temperature 0 always the likeliest; else one of the likeliest that together reach `top_p` (Holtzman et al.
    2020). GristmillError where the model does not write, or the prompt is too long.
    """
    chance = torch.Generator().manual_seed(seed)
    if not isinstance(model, T5):
        ids, _ = encoder.encode([prompt])
        yield from spelled(encoder, continued(model, ids.tolist(), tokens, temperature, top_p, chance))
        return
    parts = HOLE.split(prompt)
    parts = parts if len(parts) > 1 else [*parts, ""]
    ids, at = encoder.encode(parts)
    pieces = [ids[start:stop].tolist() for start, stop in zip(at[:-1].tolist(), at[1:].tolist(), strict=True)]
    for part, hole in zip(parts[1:], filled(model, pieces, tokens, temperature, top_p, chance), strict=True):
        yield from spelled(encoder, hole)
        yield part


def beginning(model: Model, prompt: str) -> str:
    """What comes before that."""
    return HOLE.split(prompt)[0] if isinstance(model, T5) else prompt


@torch.no_grad()
def continued(
    model: Model, ids: list[int], tokens: int, temperature: float, top_p: float, chance: torch.Generator
) -> Iterator[int]:
    """The ids that follow, of a gpt."""
    shape = model.shape
    if not isinstance(model, Gpt):
        raise GristmillError(f"a {shape.kind} does not write; train one with --model gpt or t5")
    if len(ids) >= shape.length:
        raise GristmillError(f"the text has {len(ids):,} tokens, the model reads {shape.length:,}: shorten it")
    weight = model.embedding.weight
    past = [Past() for _ in model.blocks]
    following = torch.tensor([[shape.end, *ids]], device=weight.device)
    is_training = model.training
    model.eval()
    for _ in range(min(tokens, shape.length - len(ids) - 1)):
        states = model.read(following, Sight(causal=following.shape[1] > 1, whole=1), past)
        logits = nn.functional.linear(states[0, -1], weight)[: shape.tokens].float().cpu()
        token = drawn(logits, temperature, top_p, chance)
        if token == shape.end:
            break
        yield token
        following = torch.tensor([[token]], device=weight.device)
    model.train(is_training)


def filled(
    model: T5, pieces: list[list[int]], tokens: int, temperature: float, top_p: float, chance: torch.Generator
) -> Iterator[Iterator[int]]:
    """The ids in each hole between pieces of a text, to be read in order. What follows the last piece is the end."""
    shape, device = model.shape, model.output.device
    holes = [shape.tokens + number for number in range(len(pieces) - 1)]
    source = [*pieces[0], *(token for hole, piece in zip(holes, pieces[1:], strict=False) for token in (hole, *piece))]
    source += [shape.end] if pieces[-1] else []
    if len(source) > shape.length or len(holes) > len(EXTRA_TOKENS["t5"]):
        raise GristmillError(
            f"the text has {len(source):,} tokens and {len(holes):,} holes, the model reads {shape.length:,} and "
            f"{len(EXTRA_TOKENS['t5'])}: shorten it"
        )
    is_training = model.training
    model.eval()
    with torch.no_grad():
        memory = model.read(_alone(source, causal=False, device=device))
    said = [shape.end]

    def hole() -> Iterator[int]:
        for _ in range(tokens):
            with torch.no_grad():
                states = model.write(_alone(said, causal=True, device=device), memory, None)
            logits = nn.functional.linear(states[0, -1], model.output).float().cpu()
            token = drawn(logits[: shape.tokens + len(EXTRA_TOKENS["t5"])], temperature, top_p, chance)
            if token == shape.end or token >= shape.tokens:
                break
            said.append(token)
            yield token

    for token in holes:
        said.append(token)
        yield hole()
    model.train(is_training)


def drawn(logits: Tensor, temperature: float, top_p: float, chance: torch.Generator) -> int:
    """One id by its chance."""
    if temperature == 0:
        return int(logits.argmax())
    odds, order = (logits / temperature).softmax(0).sort(descending=True)
    # A token is left out where those before it reach top_p without it.
    odds[odds.cumsum(0) - odds >= top_p] = 0.0
    return int(order[torch.multinomial(odds, 1, generator=chance)])


def spelled(encoder: Encoder, ids: Iterable[int]) -> Iterator[str]:
    """The text of ids, in pieces as they come."""
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=True)
    for token in ids:
        if piece := stream.step(encoder.tokenizer, token):
            yield piece


def _alone(ids: list[int], *, causal: bool, device: torch.device) -> Tokens:
    """One row of one document."""
    segments = np.zeros((1, len(ids)), np.int64)
    sight = Sight(causal, 0, mask=visible(segments, segments, causal=causal))
    return Tokens(torch.tensor([ids]), torch.arange(len(ids))[None], sight).to(device)
