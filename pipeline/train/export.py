"""A trained model in the form that transformers loads, with equal logits, its tokenizer and a card.

gpt becomes LlamaForCausalLM, bert BertForMaskedLM (BertForPreTraining where it learnt pairs), t5
T5ForConditionalGeneration.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.backends.tokenizer import CONFIG, FILE
from pipeline.core.errors import GristmillError, StoreError
from pipeline.core.shards import write_text
from pipeline.train.checkpoint import TOKENIZER, Sheet, load_model, write_tensors
from pipeline.train.evaluation import as_text, read_evaluations
from pipeline.train.shapes import EXTRA_TOKENS, Kind, Shape

if TYPE_CHECKING:
    from torch import Tensor

Named = Iterator[tuple[str, "Tensor"]]


def export(folder: Path, out: Path) -> None:
    """Write a trained model into a new folder; GristmillError where that is not empty, or the model is quantised."""
    model, sheet = load_model(folder)
    if sheet.bits:
        raise GristmillError(f"{folder}: its weights have {sheet.bits} bits; export the model that it was made from")
    if out.exists() and any(out.iterdir()):
        raise GristmillError(f"{out}: not empty; name a new folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    weights = dict(_NAMES[sheet.shape.kind](model.state_dict(), sheet))
    write_tensors(out / "model.safetensors", weights, {"format": "pt"})
    write_text(out / "config.json", _json(config(sheet)))
    _write_tokenizer(folder / TOKENIZER, out, sheet)
    write_text(out / "README.md", card(folder, sheet))


def config(sheet: Sheet) -> dict[str, Any]:
    """What `config.json` says."""
    shape = sheet.shape
    common = {"vocab_size": shape.vocabulary, "dtype": "float32", "pad_token_id": shape.end}
    if shape.kind == "gpt":
        return common | {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": shape.width,
            "intermediate_size": shape.hidden,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.heads,
            "max_position_embeddings": shape.length,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "rope_theta": 10_000.0,
            "tie_word_embeddings": True,
            "bos_token_id": shape.end,
            "eos_token_id": shape.end,
        }
    if shape.kind == "bert":
        return common | {
            "architectures": ["BertForPreTraining" if sheet.settings.pairs else "BertForMaskedLM"],
            "model_type": "bert",
            "hidden_size": shape.width,
            "intermediate_size": shape.hidden,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "max_position_embeddings": shape.length,
            "hidden_act": "gelu",
            "type_vocab_size": 2,
            "layer_norm_eps": 1e-12,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "tie_word_embeddings": True,
        }
    return common | {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "d_model": shape.width,
        "d_kv": shape.head_width,
        "d_ff": shape.hidden,
        "num_layers": shape.layers,
        "num_decoder_layers": shape.layers,
        "num_heads": shape.heads,
        "feed_forward_proj": "gated-gelu",
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "layer_norm_epsilon": 1e-6,
        "dropout_rate": 0.0,
        "tie_word_embeddings": False,
        "is_encoder_decoder": True,
        "eos_token_id": shape.end,
        "decoder_start_token_id": shape.end,
    }


def card(folder: Path, sheet: Sheet) -> str:
    """The model card: what it is, the corpus by its digest, how it was trained, and what it was measured to do."""
    shape, settings = sheet.shape, sheet.settings
    kind = {"gpt": "text-generation", "bert": "fill-mask", "t5": "text2text-generation"}[shape.kind]
    steps = (
        f"{settings.steps:,} steps of {settings.batch} rows, {settings.steps * settings.batch * shape.length:,} tokens"
    )
    lines = [
        *("---", "library_name: transformers", f"pipeline_tag: {kind}", "tags: [gristmill]", "---", ""),
        f"# A {shape.kind} of {shape.parameters:,} parameters",
        "",
        "A reference model: trained to measure a corpus, not to be used for anything else.",
        "",
        f"- Corpus: `sha256:{sheet.corpus}`, the digest of the manifest that Gristmill {sheet.gristmill} read.",
        f"- Model: {shape.layers} layers, width {shape.width}, {shape.heads} heads, rows of {shape.length} tokens.",
        f"- Training: {steps}; {settings.optimizer}, learning rate {settings.learning_rate:g}, seed {settings.seed}.",
        "- Every document began with the end token, and was read apart from its neighbours.",
        "",
    ]
    if found := read_evaluations(folder):
        lines += ["Held-out texts, as Gristmill scored them:", "", f"```\n{as_text(found)}\n```", ""]
    return "\n".join(lines)


def _llama(state: Mapping[str, Tensor], sheet: Sheet) -> Named:
    yield "model.embed_tokens.weight", state["embedding.weight"]
    yield "model.norm.weight", state["norm.weight"]
    for n in range(sheet.shape.layers):
        ours, theirs = f"blocks.{n}", f"model.layers.{n}"
        yield from _split(state, f"{ours}.attention.inputs", f"{theirs}.self_attn", ("q_proj", "k_proj", "v_proj"))
        yield from _split(state, f"{ours}.attention.output", f"{theirs}.self_attn", ("o_proj",))
        yield from _split(state, f"{ours}.mixing.inputs", f"{theirs}.mlp", ("gate_proj", "up_proj"))
        yield from _split(state, f"{ours}.mixing.output", f"{theirs}.mlp", ("down_proj",))
        yield f"{theirs}.input_layernorm.weight", state[f"{ours}.attention_norm.weight"]
        yield f"{theirs}.post_attention_layernorm.weight", state[f"{ours}.mixing_norm.weight"]


def _bert(state: Mapping[str, Tensor], sheet: Sheet) -> Named:
    for ours, theirs in (
        ("embedding", "bert.embeddings.word_embeddings"),
        ("places", "bert.embeddings.position_embeddings"),
        ("types", "bert.embeddings.token_type_embeddings"),
        ("embedding_norm", "bert.embeddings.LayerNorm"),
        ("transform", "cls.predictions.transform.dense"),
        ("transform_norm", "cls.predictions.transform.LayerNorm"),
        *((("pooler", "bert.pooler.dense"),) if sheet.settings.pairs else ()),
    ):
        yield from _same(state, ours, theirs)
    yield "cls.predictions.bias", state["bias"]
    if sheet.settings.pairs:
        # There, the first answer is that the second part follows.
        for part in ("weight", "bias"):
            yield f"cls.seq_relationship.{part}", state[f"follows.{part}"].flip(0)
    for n in range(sheet.shape.layers):
        ours, theirs = f"blocks.{n}", f"bert.encoder.layer.{n}"
        yield from _split(state, f"{ours}.attention.inputs", f"{theirs}.attention.self", ("query", "key", "value"))
        yield from _same(state, f"{ours}.attention.output", f"{theirs}.attention.output.dense")
        yield from _same(state, f"{ours}.attention_norm", f"{theirs}.attention.output.LayerNorm")
        yield from _same(state, f"{ours}.mixing.inputs", f"{theirs}.intermediate.dense")
        yield from _same(state, f"{ours}.mixing.output", f"{theirs}.output.dense")
        yield from _same(state, f"{ours}.mixing_norm", f"{theirs}.output.LayerNorm")


def _t5(state: Mapping[str, Tensor], sheet: Sheet) -> Named:
    yield "shared.weight", state["embedding.weight"]
    yield "lm_head.weight", state["output"]
    for stack in ("encoder", "decoder"):
        yield f"{stack}.final_layer_norm.weight", state[f"{stack}_norm.weight"]
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield bias, state[f"{stack}_bias.weight"]
        for n in range(sheet.shape.layers):
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


_NAMES: dict[Kind, Callable[[Mapping[str, Tensor], Sheet], Named]] = {"gpt": _llama, "bert": _bert, "t5": _t5}


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


def _write_tokenizer(folder: Path, out: Path, sheet: Sheet) -> None:
    """The tokenizer with the model's extra tokens, and with the tokens that every text begins or ends with."""
    from tokenizers import AddedToken, Tokenizer, processors

    shape = sheet.shape
    tokenizer = Tokenizer.from_file(str(folder / FILE))
    end = tokenizer.id_to_token(shape.end)
    extra = EXTRA_TOKENS[shape.kind]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in extra])
    wrong = [name for name in extra if tokenizer.token_to_id(name) != shape.extra(name)]
    if wrong:
        raise StoreError(
            f"{folder / FILE}: {wrong[0]!r} should get the id {shape.extra(wrong[0])}; is it there already?"
        )
    around = _around(shape, end, pairs=sheet.settings.pairs)
    if around:
        single, double, names = around
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, pair=double, special_tokens=[(name, tokenizer.token_to_id(name)) for name in names]
        )
    write_text(out / FILE, tokenizer.to_str(pretty=True))
    tokens = {"eos_token": end, "pad_token": end}
    tokens |= {"bos_token": end} if shape.kind == "gpt" else {}
    tokens |= dict(zip(("mask_token", "cls_token", "sep_token"), extra, strict=True)) if shape.kind == "bert" else {}
    write_text(
        out / CONFIG,
        _json(tokens | {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": shape.length}),
    )


def _around(shape: Shape, end: str, *, pairs: bool) -> tuple[str, str, tuple[str, ...]] | None:
    """Templates of one text and of two, as the model met them; None where it met nothing around a text."""
    if shape.kind == "gpt":
        return f"{end} $A", f"{end} $A $B", (end,)
    if shape.kind == "bert" and pairs:
        return "<|cls|> $A <|sep|>", "<|cls|> $A <|sep|> $B:1 <|sep|>:1", ("<|cls|>", "<|sep|>")
    return None


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
