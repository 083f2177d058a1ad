"""A gpt continues a text, token by token, by what it has kept of the tokens before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.core.errors import GristmillError
from pipeline.train.attention import Sight
from pipeline.train.block import Past
from pipeline.train.model import Gpt, Model

if TYPE_CHECKING:
    from pipeline.backends.tokenizer import Encoder


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
    """Pieces of text as they are made, until the end token, `tokens` of them, or the model's length.

    At temperature 0 always the likeliest; else one of the likeliest that together reach `top_p` (Holtzman et al. 2020).
    """
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=True)
    ids, _ = encoder.encode([prompt])
    for token in continued(model, ids.tolist(), tokens, temperature, top_p, seed):
        if piece := stream.step(encoder.tokenizer, token):
            yield piece


@torch.no_grad()
def continued(
    model: Model, ids: list[int], tokens: int, temperature: float = 0.0, top_p: float = 1.0, seed: int = 0
) -> Iterator[int]:
    """The ids that follow; GristmillError where the model is no gpt, or the beginning as long as its rows."""
    shape = model.shape
    if not isinstance(model, Gpt):
        raise GristmillError(f"a {shape.kind} does not continue texts; train one with --model gpt")
    if len(ids) >= shape.length:
        raise GristmillError(f"the text has {len(ids):,} tokens, the model reads {shape.length:,}: shorten it")
    weight = model.embedding.weight
    chance = torch.Generator().manual_seed(seed)
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


def drawn(logits: Tensor, temperature: float, top_p: float, chance: torch.Generator) -> int:
    """One id by its chance."""
    if temperature == 0:
        return int(logits.argmax())
    odds, order = (logits / temperature).softmax(0).sort(descending=True)
    # A token is left out where those before it reach top_p without it.
    odds[odds.cumsum(0) - odds >= top_p] = 0.0
    return int(order[torch.multinomial(odds, 1, generator=chance)])
