"""A trained model in the form that transformers loads, with equal logits, its tokenizer and a card.

gpt becomes LlamaForCausalLM, bert BertForMaskedLM (BertForPreTraining where it learnt pairs), t5
T5ForConditionalGeneration; a classifier LlamaForSequenceClassification or BertForSequenceClassification.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.backends.tokenizer import CONFIG, FILE
from pipeline.core.errors import GristmillError, StoreError, UsageError
from pipeline.core.shards import write_text
from pipeline.train import names
from pipeline.train.checkpoint import CLASSIFIER, TOKENIZER, Sheet, load_model, write_tensors
from pipeline.train.evaluation import as_text, read_evaluations
from pipeline.train.metrics import Metrics
from pipeline.train.names import Named
from pipeline.train.shapes import EXTRA_TOKENS, Shape

if TYPE_CHECKING:
    from torch import Tensor


def export(folder: Path, out: Path) -> None:
    """Write a trained model or classifier into a new folder.

    GristmillError where that is not empty, or the model is quantised.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: not empty; name a new folder with --out")
    if (folder / CLASSIFIER).exists():
        from pipeline.train.finetune import load_classifier

        classifier, _, told = load_classifier(folder)
        weights, sheet, labels = classifier_names(classifier.state_dict(), told.sheet), told.sheet, told.labels
        about = classifier_card(folder, sheet, labels)
    else:
        model, sheet = load_model(folder)
        if sheet.bits:
            raise GristmillError(
                f"{folder}: its weights have {sheet.bits} bits; export the model that it was made from"
            )
        weights, labels, about = model_names(model.state_dict(), sheet), (), card(folder, sheet)
    out.mkdir(parents=True, exist_ok=True)
    write_tensors(out / "model.safetensors", dict(weights), {"format": "pt"})
    write_text(out / "config.json", _json(config(sheet, labels)))
    _write_tokenizer(folder / TOKENIZER, out, sheet, is_classifier=bool(labels))
    write_text(out / "README.md", about)


def model_names(state: Mapping[str, Tensor], sheet: Sheet) -> Named:
    """The tensors of a model, each under the name that transformers has for it."""
    if sheet.shape.kind == "bert":
        return names.bert(state, sheet.shape.layers, "pairs" if sheet.settings.pairs else "masked")
    return {"gpt": names.llama, "t5": names.t5}[sheet.shape.kind](state, sheet.shape.layers)


def classifier_names(state: Mapping[str, Tensor], sheet: Sheet) -> Named:
    """Those of a classifier."""
    own = {name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")}
    if sheet.shape.kind == "gpt":
        yield from names.llama(own, sheet.shape.layers)
        yield "score.weight", state["head.weight"]
    else:
        yield from names.bert(own, sheet.shape.layers, "labels")
        yield "classifier.weight", state["head.weight"]
        yield "classifier.bias", state["head.bias"]


def config(sheet: Sheet, labels: Sequence[str] = ()) -> dict[str, Any]:
    """What `config.json` says; with labels, of a classifier."""
    shape = sheet.shape
    common = {"vocab_size": shape.vocabulary, "dtype": "float32", "pad_token_id": shape.end}
    if labels:
        common |= {"id2label": dict(enumerate(labels)), "label2id": {name: n for n, name in enumerate(labels)}}
        common |= {"problem_type": "single_label_classification"}
    if shape.kind == "gpt":
        return common | {
            "architectures": ["LlamaForSequenceClassification" if labels else "LlamaForCausalLM"],
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
        head = "BertForPreTraining" if sheet.settings.pairs else "BertForMaskedLM"
        return common | {
            "architectures": ["BertForSequenceClassification" if labels else head],
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
    kind = {"gpt": "text-generation", "bert": "fill-mask", "t5": "text2text-generation"}[sheet.shape.kind]
    found = read_evaluations(folder)
    table = f"```\n{as_text(found)}\n```\n" if found else ""
    return _card(
        kind, sheet, "A reference model: trained to measure a corpus, not to be used for anything else.", table
    )


def classifier_card(folder: Path, sheet: Sheet, labels: Sequence[str]) -> str:
    """That of a classifier, with what it was measured to do."""
    from pipeline.train.finetune import METRICS

    found = Metrics.model_validate_json((folder / METRICS).read_bytes())
    head = "| | accuracy | F1 |\n| --- | ---: | ---: |\n"
    rows = (("this", found), ("an n-gram model a label", found.ngram))
    lines = [f"| {name} | {one.accuracy:.3f} | {one.macro_f1:.3f} |\n" for name, one in rows if one]
    return _card("text-classification", sheet, f"It tells apart: {', '.join(labels)}.", head + "".join(lines))


def _card(kind: str, sheet: Sheet, what: str, measured: str) -> str:
    shape, settings = sheet.shape, sheet.settings
    steps = (
        f"{settings.steps:,} steps of {settings.batch} rows, {settings.steps * settings.batch * shape.length:,} tokens"
    )
    lines = [
        *("---", "library_name: transformers", f"pipeline_tag: {kind}", "tags: [gristmill]", "---", ""),
        f"# A {shape.kind} of {shape.parameters:,} parameters",
        "",
        what,
        "",
        f"- Corpus: `sha256:{sheet.corpus}`, the digest of the manifest that Gristmill {sheet.gristmill} read.",
        f"- Model: {shape.layers} layers, width {shape.width}, {shape.heads} heads, rows of {shape.length} tokens.",
        f"- Training: {steps}; {settings.optimizer}, learning rate {settings.learning_rate:g}, seed {settings.seed}.",
        "- Every document began with the end token, and was read apart from its neighbours.",
        "",
        *(("Held-out texts, as Gristmill scored them:", "", measured) if measured else ()),
    ]
    return "\n".join(lines)


def _write_tokenizer(folder: Path, out: Path, sheet: Sheet, *, is_classifier: bool) -> None:
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
    around = (f"{end} $A", f"{end} $A $B", (end,)) if is_classifier else _around(shape, end, sheet.settings.pairs)
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


def _around(shape: Shape, end: str, pairs: bool) -> tuple[str, str, tuple[str, ...]] | None:
    """Templates of one text and of two, as the model met them; None where it met nothing around a text."""
    if shape.kind == "gpt":
        return f"{end} $A", f"{end} $A $B", (end,)
    if shape.kind == "bert" and pairs:
        return "<|cls|> $A <|sep|>", "<|cls|> $A <|sep|> $B:1 <|sep|>:1", ("<|cls|>", "<|sep|>")
    return None


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
