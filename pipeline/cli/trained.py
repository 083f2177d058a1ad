"""Commands on a trained model: let it write, and hand it on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.models import ALONE, Baseline, OnDevice, Threads, Trained, beside, held_out_texts, loaded
from pipeline.cli.options import AsJson, checked, show

NewOut = Annotated[Path, typer.Option("--out", help="new folder")]


def generate(
    model: Trained,
    prompt: Annotated[str, typer.Argument(help="the beginning; for a t5, a text with holes: ___")] = "",
    tokens: Annotated[int, typer.Option(min=1, help="at most")] = 100,
    temperature: Annotated[float, typer.Option(min=0, help="0: always the likeliest")] = 0.8,
    top_p: Annotated[float, typer.Option(min=0.0001, max=1, help="of the likeliest tokens that reach it")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="another seed draws others")] = 0,
    device: OnDevice = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Let a gpt continue a text, or a t5 fill its holes; it is printed as it is made."""
    from pipeline.train import generate as generating

    used, encoder = loaded(model, device, threads)
    pieces = generating.generate(used, encoder, prompt, tokens=tokens, temperature=temperature, top_p=top_p, seed=seed)
    if as_json:
        show({"prompt": prompt, "text": "".join(pieces)}, "", as_json=True)
        return
    print(generating.beginning(used, prompt), end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def quantize(
    model: Trained,
    out: NewOut,
    held_out: Annotated[
        list[str], typer.Option("--held-out", metavar="[NAME=]FILE", help="texts that say what it costs")
    ],
    bits: Annotated[int, typer.Option(help="8 or 4")] = 8,
    bound: Annotated[
        float | None, typer.Option(min=0, help="bits per byte that it may cost; default: 0.005 at 8, 0.05 at 4")
    ] = None,
    baseline: Baseline = None,
    device: OnDevice = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Store the matrices of a model in 8 or 4 bits, if held-out texts do not take too many bits more by it.

    Beside it stands an n-gram model of the tokens that it learnt from.
    """
    from pipeline.train.quantize import store

    used, encoder = loaded(model, device, threads)
    counted = beside(model, baseline, model)
    found = store(model, used, encoder, held_out_texts(None, held_out), bits, out, bound, counted)
    lines = [
        f"{loss.held_out}: {loss.before:.4f} bits per byte before, {loss.after:.4f} after"
        + (f"; an n-gram model {loss.ngram:.4f}" if loss.ngram is not None else "")
        for loss in found
    ]
    lines += [] if counted else [ALONE.format(model / "rows")]
    size = f"{found[0].bytes_before:,} bytes became {found[0].bytes_after:,}"
    show(found, "\n".join([*lines, f"{size}; the model is in {out}"]), as_json=as_json)


def finetune(
    model: Trained,
    texts: Annotated[Path, typer.Argument(help="JSON lines of `text` and `label`")],
    out: NewOut,
    test: Annotated[
        Path | None, typer.Option(help="texts to measure it on; default: a share of the others, by hash")
    ] = None,
    test_share: Annotated[float, typer.Option(min=0, max=0.9, help="share held out without --test")] = 0.2,
    epochs: Annotated[int, typer.Option(min=1, help="times that every text is seen")] = 3,
    batch: Annotated[int, typer.Option(min=1, help="texts in a step")] = 16,
    learning_rate: Annotated[float, typer.Option(help="at its highest")] = 5e-4,
    weights: Annotated[str, typer.Option(help="balanced: every label counts as much; equal: every text")] = "balanced",
    seed: Annotated[int, typer.Option(min=0, help="of order, new weights and held-out texts")] = 0,
    device: OnDevice = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Teach a trained gpt or bert to tell texts apart, and measure it on texts that it has not seen."""
    import torch

    from pipeline.train import finetune as tuning
    from pipeline.train.device import device_of
    from pipeline.train.settings import Machine

    settings = checked(
        tuning.Tuning,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        weights=weights,
        test=test_share,
        seed=seed,
    )
    if threads:
        torch.set_num_threads(threads)
    metrics = tuning.finetune(
        model,
        tuning.read_texts(texts),
        settings,
        out,
        tuning.read_texts(test) if test else None,
        device=device_of(Machine(device=device)),
        tell=(lambda _: None) if as_json else print,
    )
    lines = [
        f"{name}: precision {one.precision:.3f}, recall {one.recall:.3f}, F1 {one.f1:.3f}, {one.support:,} texts"
        for name, one in metrics.labels.items()
    ]
    counted = metrics.ngram or metrics
    lines += [
        f"accuracy {metrics.accuracy:.3f}, F1 {metrics.macro_f1:.3f}",
        f"an n-gram model a label: accuracy {counted.accuracy:.3f}, F1 {counted.macro_f1:.3f}",
        f"the most frequent label: accuracy {metrics.majority:.3f}",
    ]
    answer = {"accuracy": metrics.accuracy, "macro_f1": metrics.macro_f1, **metrics.model_dump()}
    show(answer, "\n".join([*lines, f"The classifier is in {out}"]), as_json=as_json)


def classify(
    classifier: Annotated[Path, typer.Argument(metavar="CLASSIFIER", help="folder that `gristmill finetune` wrote")],
    texts: Annotated[list[str], typer.Argument(help="texts")],
    as_json: AsJson = False,
) -> None:
    """Say how likely each label is for texts."""
    from pipeline.train import finetune as tuning

    used, encoder, card = tuning.load_classifier(classifier)
    odds = [dict(zip(card.labels, row.tolist(), strict=True)) for row in tuning.classify(used, encoder, texts)]
    best = [max(row, key=lambda label: row[label]) for row in odds]
    lines = [f"{label} {row[label]:.1%}: {text}" for label, row, text in zip(best, odds, texts, strict=True)]
    show(odds, "\n".join(lines), as_json=as_json)
