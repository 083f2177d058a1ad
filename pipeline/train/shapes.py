"""What a reference model is: its kind, its measures, and what it costs, all known before torch is loaded.

Three kinds from one block. `gpt` is Llama's decoder (Touvron et al. 2023): rotary positions, RMSNorm before, SwiGLU.
`bert` is Devlin et al. 2018: learned positions, LayerNorm after, GELU. `t5` is T5 1.1 (Raffel et al. 2020; Shazeer
2020): relative positions, RMSNorm before, gated GELU. They are the architectures of LlamaForCausalLM, BertForMaskedLM
and T5ForConditionalGeneration, so that what is trained here is loaded there.
"""

from __future__ import annotations

from typing import Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from pipeline.core.errors import UsageError

Kind = Literal["gpt", "bert", "t5"]

SIZES: dict[str, tuple[int, int, int]] = {
    "nano": (4, 128, 4),
    "micro": (4, 192, 6),
    "mini": (6, 256, 8),
    "small": (8, 512, 8),
    "base": (12, 768, 12),
    "medium": (24, 1024, 16),
    "large": (24, 1536, 24),
    "1b": (20, 2048, 32),
}
"""By name: layers, width, heads. `nano` learns within minutes on a CPU; `base` is the size of GPT-2 and BERT."""

EXTRA_TOKENS: dict[str, tuple[str, ...]] = {
    "gpt": (),
    "bert": ("<|mask|>", "<|cls|>", "<|sep|>"),
    "t5": tuple(f"<|extra_{n}|>" for n in range(100)),
}
"""Tokens that a kind needs beside those of the tokenizer: their ids follow its last one, in this order."""

MASKED = 0.15
"""BERT's share of tokens to be guessed."""

NOISE, SPAN = 0.15, 3.0
"""T5's share of tokens in holes, and the mean length of a hole."""

VOCABULARY_MULTIPLE = 64
"""Rows of the embedding are filled up to a multiple of this, which matrix units like."""


class Shape(BaseModel):
    """Measures of a model; `tokens` is the tokenizer's size, `end` its end-of-document token.

    `layers` are those of each stack: a t5 has two.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    kind: Kind
    layers: int = Field(ge=1, le=200)
    width: int = Field(ge=8, le=65536)
    heads: int = Field(ge=1, le=1024)
    hidden: int = Field(ge=8, le=262144)
    tokens: int = Field(ge=2, le=4_000_000)
    end: int = Field(ge=0)
    length: int = Field(ge=8, le=1_048_576)

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding: tokens, extra tokens, filled up."""
        return -(-(self.tokens + len(EXTRA_TOKENS[self.kind])) // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE

    @property
    def is_tied(self) -> bool:
        """Whether input and output share their embedding: t5 does not."""
        return self.kind != "t5"

    def extra(self, token: str) -> int:
        """The id of one of the kind's extra tokens."""
        return self.tokens + EXTRA_TOKENS[self.kind].index(token)

    @property
    def parameters(self) -> int:
        """All of them."""
        d, norm = self.width, self.width
        if self.kind == "bert":
            block = self._attention + 4 * d + self._mixing + self.hidden + d + 4 * norm
            outside = (self.length + 2) * d + 2 * norm + d**2 + d + 2 * norm + self.vocabulary + d**2 + d + 2 * d + 2
            return self.vocabulary * d + self.layers * block + outside
        block = self._attention + self._mixing + 2 * norm
        if self.kind == "gpt":
            return self.vocabulary * d + self.layers * block + norm
        crossing = self._attention + norm
        return 2 * self.vocabulary * d + self.layers * (2 * block + crossing) + 2 * norm + 2 * 32 * self.heads

    def flops(self, length: int | None = None) -> int:
        """Floating-point operations of one token of a row, forward and backward, in rows of so many tokens.

        Six for each parameter that multiplies it, and those of attention over whole rows (PaLM, appendix B), of which a
        causal or document mask needs a part only. bert's head sees the masked tokens, t5's decoder what was in holes.
        """
        length = length or self.length
        block, head, seen = self._attention + self._mixing, self.vocabulary * self.width, 2 * length * self.width
        if self.kind == "gpt":
            return 6 * (self.layers * (block + seen) + head)
        if self.kind == "bert":
            return round(6 * (self.layers * (block + seen) + MASKED * (head + self.width**2)))
        # A fifth of the tokens: those in holes, and one more for each hole.
        share = NOISE * (1 + 1 / SPAN)
        decoder = self.layers * (block + self._attention + seen * (1 + share)) + head
        return round(6 * (self.layers * (block + seen) + share * decoder))

    @property
    def _attention(self) -> int:
        return 4 * self.width**2

    @property
    def _mixing(self) -> int:
        return (2 if self.kind == "bert" else 3) * self.width * self.hidden


def named_shape(kind: str, size: str, tokens: int, end: int, length: int) -> Shape:
    """The shape of a kind and size; GristmillError lists what there is."""
    if kind not in EXTRA_TOKENS:
        raise UsageError(f"--model {kind}: choose one of {', '.join(EXTRA_TOKENS)}")
    if size not in SIZES:
        raise UsageError(f"--size {size}: choose one of {', '.join(SIZES)}")
    layers, width, heads = SIZES[size]
    # Two matrices of 4 d, or three of 8/3 d: as many parameters.
    hidden = 4 * width if kind == "bert" else -(-8 * width // 3 // 64) * 64
    return Shape(
        kind=cast(Kind, kind),
        layers=layers,
        width=width,
        heads=heads,
        hidden=hidden,
        tokens=tokens,
        end=end,
        length=length,
    )


def usual_rate(shape: Shape) -> float:
    """A learning rate that suits the width: 2e-3 for nano, 5e-4 for 1b."""
    return float(f"{2e-3 * (128 / shape.width) ** 0.5:.2g}")
