"""What transformers calls the tensors of our models; matrices that lie on top of each other here lie apart there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Named = Iterator[tuple[str, "Tensor"]]
Head = Literal["masked", "pairs", "labels"]


def llama(state: Mapping[str, Tensor], layers: int) -> Named:
    """Of a gpt."""
    yield "model.embed_tokens.weight", state["embedding.weight"]
    yield "model.norm.weight", state["norm.weight"]
    for n in range(layers):
        ours, theirs = f"blocks.{n}", f"model.layers.{n}"
        yield from _split(state, f"{ours}.attention.inputs", f"{theirs}.self_attn", ("q_proj", "k_proj", "v_proj"))
        yield from _split(state, f"{ours}.attention.output", f"{theirs}.self_attn", ("o_proj",))
        yield from _split(state, f"{ours}.mixing.inputs", f"{theirs}.mlp", ("gate_proj", "up_proj"))
        yield from _split(state, f"{ours}.mixing.output", f"{theirs}.mlp", ("down_proj",))
        yield f"{theirs}.input_layernorm.weight", state[f"{ours}.attention_norm.weight"]
        yield f"{theirs}.post_attention_layernorm.weight", state[f"{ours}.mixing_norm.weight"]


def bert(state: Mapping[str, Tensor], layers: int, head: Head) -> Named:
    """Of a bert, with the head that it goes by."""
    for ours, theirs in (
        ("embedding", "bert.embeddings.word_embeddings"),
        ("places", "bert.embeddings.position_embeddings"),
        ("types", "bert.embeddings.token_type_embeddings"),
        ("embedding_norm", "bert.embeddings.LayerNorm"),
        *((("pooler", "bert.pooler.dense"),) if head != "masked" else ()),
    ):
        yield from _same(state, ours, theirs)
    if head != "labels":
        yield from _same(state, "transform", "cls.predictions.transform.dense")
        yield from _same(state, "transform_norm", "cls.predictions.transform.LayerNorm")
        yield "cls.predictions.bias", state["bias"]
    if head == "pairs":
        # There, the first answer is that the second part follows.
        for part in ("weight", "bias"):
            yield f"cls.seq_relationship.{part}", state[f"follows.{part}"].flip(0)
    for n in range(layers):
        ours, theirs = f"blocks.{n}", f"bert.encoder.layer.{n}"
        yield from _split(state, f"{ours}.attention.inputs", f"{theirs}.attention.self", ("query", "key", "value"))
        yield from _same(state, f"{ours}.attention.output", f"{theirs}.attention.output.dense")
        yield from _same(state, f"{ours}.attention_norm", f"{theirs}.attention.output.LayerNorm")
        yield from _same(state, f"{ours}.mixing.inputs", f"{theirs}.intermediate.dense")
        yield from _same(state, f"{ours}.mixing.output", f"{theirs}.output.dense")
        yield from _same(state, f"{ours}.mixing_norm", f"{theirs}.output.LayerNorm")


def t5(state: Mapping[str, Tensor], layers: int) -> Named:
    """Of a t5."""
    yield "shared.weight", state["embedding.weight"]
    yield "lm_head.weight", state["output"]
    for stack in ("encoder", "decoder"):
        yield f"{stack}.final_layer_norm.weight", state[f"{stack}_norm.weight"]
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield bias, state[f"{stack}_bias.weight"]
        for n in range(layers):
            ours, theirs = f"{stack}.{n}", f"{stack}.block.{n}.layer"
            yield from _split(state, f"{ours}.attention.inputs", f"{theirs}.0.SelfAttention", ("q", "k", "v"))
            yield from _split(state, f"{ours}.attention.output", f"{theirs}.0.SelfAttention", ("o",))
            yield from _same(state, f"{ours}.attention_norm", f"{theirs}.0.layer_norm")
            if stack == "decoder":
                yield from _split(state, f"{ours}.cross.query", f"{theirs}.1.EncDecAttention", ("q",))
                yield from _split(state, f"{ours}.cross.memory", f"{theirs}.1.EncDecAttention", ("k", "v"))
                yield from _split(state, f"{ours}.cross.output", f"{theirs}.1.EncDecAttention", ("o",))
                yield from _same(state, f"{ours}.cross_norm", f"{theirs}.1.layer_norm")
            last = f"{theirs}.{2 if stack == 'decoder' else 1}"
            yield from _split(state, f"{ours}.mixing.inputs", f"{last}.DenseReluDense", ("wi_0", "wi_1"))
            yield from _split(state, f"{ours}.mixing.output", f"{last}.DenseReluDense", ("wo",))
            yield from _same(state, f"{ours}.mixing_norm", f"{last}.layer_norm")


def _same(state: Mapping[str, Tensor], ours: str, theirs: str) -> Named:
    for part in ("weight", "bias"):
        if f"{ours}.{part}" in state:
            yield f"{theirs}.{part}", state[f"{ours}.{part}"]


def _split(state: Mapping[str, Tensor], ours: str, theirs: str, names: tuple[str, ...]) -> Named:
    """The matrices that lie on top of each other, each under its name."""
    for part in ("weight", "bias"):
        if f"{ours}.{part}" in state:
            for name, tensor in zip(names, state[f"{ours}.{part}"].chunk(len(names)), strict=True):
                yield f"{theirs}.{name}.{part}", tensor
