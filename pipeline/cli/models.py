"""Commands on reference models: train one on a corpus, and see what it has learnt."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import AsJson, Device, checked, folder, show

if TYPE_CHECKING:
    from pipeline.backends.ngram import Model as Counted
    from pipeline.backends.tokenizer import Encoder
    from pipeline.train.dataset import Rows
    from pipeline.train.evaluation import Evaluation
    from pipeline.train.held_out import HeldOut, Scored
    from pipeline.train.model import Model

Rowed = Annotated[
    Path,
    typer.Argument(
        metavar="CORPUS", parser=folder, help="folder of a built corpus, or what `gristmill pack --layout bin` wrote"
    ),
]
Trained = Annotated[Path, typer.Argument(metavar="MODEL", help="folder that `gristmill train --out` wrote")]
Out = Annotated[Path, typer.Option("--out", help="folder of the run: model, curve, checkpoints")]
HeldOuts = Annotated[
    list[str] | None,
    typer.Option("--held-out", metavar="[NAME=]FILE", help="texts to score: JSON lines, or a corpus with a holdout"),
]
OnDevice = Annotated[Device, typer.Option(help="auto is a GPU if there is one")]
Baseline = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR|URL",
        parser=folder,
        help="corpus or layout that the n-gram model beside it counts; default: MODEL/rows",
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, help="threads of the CPU; default: torch's")]

CONTINUED = 128
"""Tokens that are added to a text at most, for BLEU."""

ALONE = "no n-gram model beside it: {} is not there; name what the model learnt from with --baseline"


def train(
    corpus: Rowed,
    out: Out,
    model: Annotated[str, typer.Option(help="gpt, bert or t5")] = "gpt",
    size: Annotated[str, typer.Option(help="nano, micro, mini, small, base, medium, large or 1b")] = "nano",
    steps: Annotated[int | None, typer.Option(min=1, help="default: every row once")] = None,
    batch: Annotated[int, typer.Option(min=1, help="rows in a step, over all processes")] = 16,
    optimizer: Annotated[str, typer.Option(help="muon (for matrices; adamw for the rest) or adamw")] = "muon",
    learning_rate: Annotated[float | None, typer.Option(help="at its highest; default: by the size")] = None,
    warmup: Annotated[int | None, typer.Option(min=0, help="steps; default: a twentieth")] = None,
    decay: Annotated[float, typer.Option(min=0, max=1, help="share of the steps, at the end")] = 0.4,
    weight_decay: Annotated[float, typer.Option(min=0, help="how fast matrices shrink")] = 0.1,
    clip: Annotated[float, typer.Option(min=0, help="largest norm of the gradient; 0: any")] = 1.0,
    pairs: Annotated[bool, typer.Option("--pairs", help="bert: next-sentence prediction too")] = False,
    seed: Annotated[int, typer.Option(min=0, help="of weights, order and all that is drawn")] = 0,
    held_out: HeldOuts = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the last checkpoint in --out")] = False,
    device: OnDevice = "auto",
    threads: Threads = None,
    rows: Annotated[int, typer.Option(min=1, help="rows at once; a larger batch is done in parts")] = 16,
    compiled: Annotated[bool, typer.Option("--compile", help="by torch.compile: faster after a minute")] = False,
    shard: Annotated[bool, typer.Option("--shard", help="split weights and optimizer over processes (FSDP)")] = False,
    log_every: Annotated[int, typer.Option(min=1, help="steps")] = 10,
    evaluate_every: Annotated[int | None, typer.Option(min=1, help="steps; default: at the end only")] = None,
    save_every: Annotated[int | None, typer.Option(min=1, help="steps; default: at the end only")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a reference model on the packed rows of a corpus; several processes: torchrun -m pipeline.cli train ..."""
    from pipeline.backends.tokenizer import FILE, load
    from pipeline.core.errors import MissingBackend
    from pipeline.train import curve as curves
    from pipeline.train.baseline import learnt
    from pipeline.train.processes import processes, wait
    from pipeline.train.settings import Machine, Settings
    from pipeline.train.shapes import named_shape, usual_rate

    with processes() as is_first:
        found = _rows(corpus, out) if is_first else None
        wait()
        found = found or _rows(corpus, out)
        sheet = found.sheet
        shape = named_shape(model, size, sheet.vocabulary, sheet.end, sheet.length)
        steps = steps or -(-len(found) // batch)
        settings = checked(
            Settings,
            steps=steps,
            batch=batch,
            optimizer=optimizer,
            learning_rate=learning_rate or usual_rate(shape),
            warmup=steps // 20 if warmup is None else warmup,
            decay=decay,
            weight_decay=weight_decay,
            clip=clip,
            pairs=pairs,
            seed=seed,
        )
        machine = checked(
            Machine,
            device=device,
            threads=threads,
            rows=rows,
            compile=compiled,
            shard=shard,
            log_every=log_every,
            evaluate_every=evaluate_every,
            save_every=save_every,
        )
        tokens = settings.steps * settings.batch * sheet.length
        say = print if is_first and not as_json else lambda _: None
        say(f"{model} {size}: {shape.layers} layers of width {shape.width}, {shape.parameters:,} parameters")
        say(
            f"{tokens:,} tokens in {steps:,} steps, {tokens / (len(found) * sheet.length):.2f} times the corpus; "
            f"{shape.flops():,} operations a token, {tokens * shape.flops():.3g} in all"
        )
        from pipeline.train.loop import fit

        result = fit(shape, found, settings, machine, held_out_texts(corpus, held_out), out, resume=resume, tell=say)
    if not is_first:
        return
    counted = learnt(found, shape, settings) if result.scored else None
    found_scores = _written(out, result.scored, counted, load(found.folder / FILE))
    try:
        curves.plot({f"{model} {size}": result.curve}, out / curves.PICTURE)
    except MissingBackend as error:
        say(f"note: {error}")
    answer = {"out": out, "loss": result.curve[-1].loss, "tokens": result.tokens, "seconds": result.seconds}
    text = f"{_table(found_scores)}The model is in {out}, its losses in {out / curves.CURVE}"
    show({**answer, "scores": found_scores}, text, as_json=as_json)


def evaluate(
    model: Trained,
    held_out: HeldOuts = None,
    task: Annotated[
        list[Path] | None, typer.Option(help="multiple choice, a YAML file as lm-evaluation-harness has them")
    ] = None,
    continuations: Annotated[
        Path | None, typer.Option("--continue", help="JSON lines of `text` and `reference`: BLEU of what a gpt adds")
    ] = None,
    baseline: Baseline = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder for evaluation.json; default: the model's")] = None,
    device: OnDevice = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Score a trained model: bits per byte of held-out texts by source and language, multiple choice, BLEU.

    Beside it stands an n-gram model of the same tokens.
    """
    from pipeline.core.errors import UsageError
    from pipeline.train import baseline as counting
    from pipeline.train import choices
    from pipeline.train.held_out import score

    if not (held_out or task or continuations):
        raise UsageError("nothing to evaluate on: give --held-out FILE, --task FILE or --continue FILE")
    used, encoder = loaded(model, device, threads)
    counted = beside(model, baseline, out or model)
    scored = {text.name: score(used, encoder, text) for text in held_out_texts(None, held_out)}
    found = _written(out or model, scored, counted, encoder)
    answerers = {"model": partial(choices.likelihoods, used, encoder)}
    writers = {"model": partial(choices.continued, used, encoder, tokens=CONTINUED)}
    if counted:
        answerers["ngram"] = partial(counting.likelihoods, counted, encoder)
        writers["ngram"] = partial(counting.continued, counted, encoder, tokens=CONTINUED)
    lines, answered = [], {}
    for name, asked in map(choices.read_task, task or ()):
        answered[name] = {kind: choices.ask(likely, asked) for kind, likely in answerers.items()}
        lines += [
            f"{name}, {kind}: {share.accuracy:.1%} of {share.questions:,} right, {share.accuracy_by_byte:.1%} by byte; "
            f"by guessing {share.chance:.1%}"
            for kind, share in answered[name].items()
        ]
    answer: dict[str, Any] = {"held_out": found, "tasks": answered}
    if continuations:
        answer["bleu"] = {kind: choices.continued_bleu(write, continuations) for kind, write in writers.items()}
        lines += [f"BLEU of continuations, {kind}: {share:.2f}" for kind, share in answer["bleu"].items()]
    if not counted:
        lines.append(ALONE.format(model / "rows"))
    show(answer, _table(found) + "\n".join(lines), as_json=as_json)


def beside(model: Path, baseline: Path | None, out: Path) -> Counted | None:
    """The n-gram model of what a model learnt from; None where its rows are not there and none are named."""
    from pipeline.train.baseline import learnt
    from pipeline.train.checkpoint import read_sheet

    own = model / "rows"
    source = baseline or (own if own.exists() else None)
    if source is None:
        return None
    sheet = read_sheet(model)
    return learnt(_rows(source, out / "baseline"), sheet.shape, sheet.settings)


def loaded(trained: Path, device: Device, threads: int | None) -> tuple[Model, Encoder]:
    """A trained model on its device, and its tokenizer."""
    import torch

    from pipeline.backends.tokenizer import FILE, load
    from pipeline.train.checkpoint import TOKENIZER, load_model
    from pipeline.train.device import device_of
    from pipeline.train.settings import Machine

    if threads:
        torch.set_num_threads(threads)
    model, _ = load_model(trained)
    return model.to(device_of(Machine(device=device))), load(trained / TOKENIZER / FILE)


def _rows(corpus: Path, out: Path) -> Rows:
    """The rows of a corpus, written as a `bin` layout below the run where they are not one already."""
    from pipeline.core.manifest import read_manifest
    from pipeline.core.packed import LAYOUT_FILE
    from pipeline.tokens.layouts import export
    from pipeline.train.dataset import Rows

    if (corpus / LAYOUT_FILE).exists():
        return Rows(corpus)
    rows = out / "rows"
    if not (rows / LAYOUT_FILE).exists() or Rows(rows).sheet.corpus != read_manifest(corpus).digest:
        shutil.rmtree(rows, ignore_errors=True)
        export(corpus, "bin", rows)
    return Rows(rows)


def held_out_texts(corpus: Path | None, named: list[str] | None) -> list[HeldOut]:
    """Those that were named, and what the corpus itself holds out."""
    from pipeline.core.errors import GristmillError, UsageError
    from pipeline.train.held_out import of_corpus, of_file

    found: dict[str, HeldOut] = {}
    if corpus and (corpus / "manifest.json").exists() and (own := of_corpus(corpus)):
        found[own.name] = own
    for entry in named or ():
        name, _, file = entry.rpartition("=")
        path = folder(file)
        text = of_corpus(path, name or path.name) if path.is_dir() else of_file(path, name or path.stem)
        if text is None:
            raise GristmillError(f"{path}: holds no documents out; set `holdout` of `pack` in its recipe")
        if text.name in found:
            raise UsageError(f"--held-out {entry}: there is another {text.name!r}; name it with NAME=FILE")
        found[text.name] = text
    return list(found.values())


def _written(out: Path, scored: dict[str, Scored], counted: Counted | None, encoder: Encoder) -> dict[str, Evaluation]:
    """The evaluations with those of an n-gram model, also as `evaluation.json` in a folder."""
    from pydantic_core import to_json

    from pipeline.core.shards import write_text
    from pipeline.train.baseline import score
    from pipeline.train.evaluation import EVALUATION, evaluations

    beside = {name: score(counted, encoder, one.held_out) for name, one in scored.items()} if counted else {}
    found = evaluations(scored, beside)
    if found:
        write_text(out / EVALUATION, to_json(found, indent=1).decode() + "\n")
    return found


def _table(found: dict[str, Evaluation]) -> str:
    from pipeline.train.evaluation import as_text

    return f"{as_text(found)}\n" if found else ""
