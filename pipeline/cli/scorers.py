"""Commands that train the models which later recipes score documents by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, checked, show

Texts = Annotated[list[str], typer.Argument(metavar="FILES", help="JSON lines, Parquet, Arrow or text; paths, globs")]


def train_ngram(
    files: Texts,
    out: Annotated[Path, typer.Option("--out", help="the model, such as models/en.arrow")],
    order: Annotated[int, typer.Option(min=1, max=10, help="longest run of words that is counted")] = 5,
    unit: Annotated[str, typer.Option(help="word or byte")] = "word",
    method: Annotated[str, typer.Option(help="kneser_ney or stupid_backoff")] = "kneser_ney",
    prune: Annotated[int, typer.Option(min=0, help="runs of three and more that occur so often are forgotten")] = 0,
    fold: Annotated[bool, typer.Option(help="lower case, and 0 for every digit")] = True,
    as_json: AsJson = False,
) -> None:
    """Train an n-gram language model on texts of one language, for the stage `perplexity`."""
    from typing import cast, get_args

    from pipeline.backends import ngram
    from pipeline.core.asset import sha256_file
    from pipeline.core.errors import UsageError

    for option, value, known in (
        ("--unit", unit, ("word", "byte")),
        ("--method", method, get_args(ngram.Method)),
    ):
        if value not in known:
            raise UsageError(f"{option} {value}: {' or '.join(known)}")
    model = ngram.train(
        _texts(files),
        order,
        cast("ngram.Unit", unit),
        method=cast("ngram.Method", method),
        prune=prune,
        fold=fold,
    )
    model.save(out)
    counts = {"order": order, "unit": unit, "ngrams": len(model.trie.symbol) - 1, "symbols": model.trie.vocabulary}
    made = {"model": str(out), "sha256": sha256_file(out), **counts}
    show(made, f"{made['ngrams']:,} n-grams of {made['symbols']:,} {unit}s in {out}", as_json=as_json)


def train_classifier(
    positive: Annotated[list[str], typer.Option("--positive", metavar="FILES", help="what is wanted; may be repeated")],
    negative: Annotated[list[str], typer.Option("--negative", metavar="FILES", help="what is not; may be repeated")],
    out: Annotated[Path, typer.Option("--out", help="folder for the model and its report")],
    holdout: Annotated[float, typer.Option(min=0.01, max=0.9, help="share that is measured on")] = 0.2,
    embeddings: Annotated[Path | None, typer.Option(help="sentence-embedding model: train a probe on it")] = None,
    rate: Annotated[float, typer.Option(help="learning rate of fastText")] = 0.5,
    epochs: Annotated[int, typer.Option(min=1, help="times that fastText sees every text")] = 25,
    dimension: Annotated[int, typer.Option(min=1, help="numbers a word in fastText")] = 32,
    ngrams: Annotated[int, typer.Option(min=1, help="longest run of words that is a feature of fastText")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="seed of training and of what is held out")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train a quality classifier for the stage `classifier`, and report how it does on a part held out."""
    from pipeline.backends.classifier import FastText
    from pipeline.backends.embeddings import Probe
    from pipeline.core.asset import Place
    from pipeline.core.shards import write_text
    from pipeline.report import facts, grid
    from pipeline.scores.train_classifier import Example, fit, model_name

    by_words = checked(FastText, rate=rate, epochs=epochs, dimension=dimension, ngrams=ngrams, seed=seed)
    how = Probe(folder=str(embeddings.resolve())) if embeddings else by_words
    examples = [Example(text, kind) for kind, paths in ((True, positive), (False, negative)) for text in _texts(paths)]
    out.mkdir(parents=True, exist_ok=True)
    with Place(data=(embeddings.resolve(),) if embeddings else ()).active():
        report = fit(examples, out, how, holdout=holdout, seed=seed)
    model = out / model_name(how)
    needs = f"embeddings: {embeddings}" if embeddings else f"prepare: {by_words.prepare}"
    entry = f"classifier: {{model: {model}, {needs}}}"
    tables = "\n\n".join(grid.as_markdown(table) for table in facts.decided(report))
    write_text(out / "report.json", json.dumps(report, indent=1) + "\n")
    write_text(
        out / "report.md", f"# How `{model.name}` does on what it has not seen\n\nIn a recipe: `{entry}`\n\n{tables}\n"
    )
    held = report["held_out"]
    said = ", ".join(f"{name} {held[name]:.3f}" for name in ("accuracy", "precision", "recall", "f1", "auc"))
    text = f"{held['documents']:,} held out (always the same: {held['majority']:.3f}): {said}\nIn a recipe: {entry}"
    show({"model": str(model), **report}, f"{text}\nThe report is in {out / 'report.md'}", as_json=as_json)


def _texts(paths: list[str]) -> Iterator[str]:
    """The texts of files; GristmillError names a record that cannot be read."""
    from pipeline.core.asset import Place
    from pipeline.core.errors import SourceError
    from pipeline.sources.files import Files

    folders = tuple(Path(path).resolve().parent for path in paths)
    source = Files(name="examples", paths=tuple(paths))
    with Place(data=folders).active():
        for part in source.parts():
            for batch in source.read(part):
                for row in batch.select(["text", "unreadable", "file", "offset"]).to_pylist():
                    if row["unreadable"]:
                        raise SourceError(row["file"], row["unreadable"], offset=row["offset"])
                    if row["text"]:
                        yield row["text"]
