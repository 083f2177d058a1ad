"""The command that asks whether a corpus teaches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, Corpus, Device, EngineName, OnEngine, folder, show

if TYPE_CHECKING:
    from pipeline.core.validation import RunSheet
    from pipeline.train.arms import Arm
    from pipeline.train.contest import Contest, Job
    from pipeline.train.validate import Outside


def validate(
    corpus: Corpus,
    held_out: Annotated[
        list[str] | None,
        typer.Option("--held-out", metavar="[NAME=]FILE", help="texts from outside: JSON lines, or a built corpus"),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="CORPUS", parser=folder, help="another build to compare with; may be repeated"),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="STAGE", help="and with what this stage dropped put back; may be repeated"),
    ] = None,
    preset: Annotated[str, typer.Option(help="cpu-smoke (minutes), cpu, gpu-small or gpu")] = "cpu-smoke",
    seeds: Annotated[int | None, typer.Option(min=2, max=100, help="runs of each kind; default: 5")] = None,
    tiers: Annotated[str, typer.Option(help="ngram, gpt, or both")] = "ngram,gpt",
    min_effect: Annotated[float | None, typer.Option(min=0, help="bits a byte that matter; default: 0.01")] = None,
    drop_overlap: Annotated[
        bool, typer.Option("--drop-overlap", help="leave out texts that overlap an arm, instead of refusing")
    ] = False,
    device: Annotated[Device, typer.Option(help="auto is a GPU if there is one")] = "cpu",
    workers: Annotated[int | None, typer.Option(min=1, help="runs at once; default: one a core")] = None,
    engine: OnEngine = "processes",
    as_json: AsJson = False,
) -> None:
    """Does the corpus teach? Models that learn from it against models that learn from its raw input, and from others.

    The answer, with every run, is written to validation.json in the corpus; the card shows it. Runs that were done
    before are not done again.
    """
    from pipeline.core.manifest import read_manifest
    from pipeline.core.shards import write_text
    from pipeline.core.validation import FILE
    from pipeline.report.card import render_again
    from pipeline.report.validation import as_text
    from pipeline.train.validate import validate as validated

    started = time.monotonic()
    found = validated(
        _arms(corpus, against or [], without or []),
        _held_out(corpus, held_out or []),
        _contest(preset, seeds, tiers, min_effect),
        corpus.resolve().parent / f"{corpus.resolve().name}.validation",
        lambda jobs: _done(jobs, workers, engine, gpus=int(device == "cuda")),
        corpus=read_manifest(corpus).digest,
        device=device,
        drop_overlap=drop_overlap,
    )
    found = found.model_copy(update={"seconds": round(time.monotonic() - started, 1)})
    write_text(corpus / FILE, found.to_json())
    render_again(corpus)
    show(found, as_text(found), as_json=as_json)


def _arms(corpus: Path, against: list[Path], without: list[str]) -> list[Arm]:
    """The corpus, its raw input, as much of that at random, and what was named."""
    from pipeline.core.errors import GristmillError, UsageError
    from pipeline.core.manifest import read_manifest
    from pipeline.report.ledger import shelves
    from pipeline.train.arms import Arm, Shelf

    manifest = read_manifest(corpus)
    kept, *ledgers = shelves(corpus, manifest)
    own = tuple(Shelf(path) for path in kept.files)
    dropped = tuple(Shelf(path) for ledger in ledgers for path in ledger.files)
    if not dropped:
        raise GristmillError(f"{corpus}: its store has no ledgers, so its raw input is not known; build it again")
    curated = Arm("curated", "the documents of the corpus", own)
    raw = Arm("raw", "all documents that were read: those kept and those dropped", own + dropped)
    n_kept = sum(group.size.documents for group in manifest.composition)
    n_raw = n_kept + sum(ledger.rows for ledger in ledgers)
    random = Arm("random", "as many of all documents, drawn by hash", raw.shelves, n_kept / max(1, n_raw))
    arms = [curated, raw, random]
    for build in against:
        other = read_manifest(build)
        files = shelves(build, other)[0].files
        name = f"against-{build.resolve().name}"
        arms.append(Arm(name, f"the build {other.key[:16]}", tuple(Shelf(path) for path in files)))
    known = {count.stage for sweep in manifest.sweeps for count in sweep.stages}
    for stage in without:
        if stage not in known:
            raise UsageError(f"--without {stage}: no such stage; there are {', '.join(sorted(known))}")
        back = tuple(Shelf(shelf.path, stage) for shelf in dropped)
        arms.append(Arm(f"without-{stage}", f"the corpus and what {stage} dropped", own + back))
    return arms


def _held_out(corpus: Path, named: list[str]) -> list[Outside]:
    from pipeline.train.held_out import of_corpus, of_documents, of_file
    from pipeline.train.validate import Outside

    own = of_corpus(corpus, "own")
    found = [Outside(own, True)] if own else []
    for entry in named:
        name, _, file = entry.rpartition("=")
        path = folder(file)
        texts = of_documents(path, name or path.resolve().name) if path.is_dir() else of_file(path, name or path.stem)
        found.append(Outside(texts, False))
    return found


def _contest(preset: str, seeds: int | None, tiers: str, min_effect: float | None) -> Contest:
    from pipeline.core.errors import UsageError
    from pipeline.train.contest import PRESETS

    if preset not in PRESETS:
        raise UsageError(f"--preset {preset}: choose one of {', '.join(PRESETS)}")
    chosen = set(tiers.split(","))
    if not chosen or chosen - {"ngram", "gpt"}:
        raise UsageError(f"--tiers {tiers}: ngram, gpt, or ngram,gpt")
    given = {"seeds": seeds, "min_effect": min_effect} | {tier: None for tier in ("ngram", "gpt") if tier not in chosen}
    changes = {key: value for key, value in given.items() if value is not None or key in ("ngram", "gpt")}
    return PRESETS[preset].model_copy(update=changes)


def _done(jobs: Iterable[Job], workers: int | None, engine: EngineName, *, gpus: int) -> Iterator[RunSheet]:
    """Every run's result; what failed is told at the end, with the first error."""
    import os

    from rich.progress import track

    from pipeline.core.errors import BuildFailed
    from pipeline.run.executors import Failed
    from pipeline.run.options import Options
    from pipeline.train.contest import run

    listed = list(jobs)
    failures: dict[str, Exception] = {}
    options = Options(workers=workers or os.cpu_count() or 1, engine=engine)
    with options.executor() as executor:
        for job, result in track(executor.map(run, listed, gpus=gpus), "validating", len(listed)):
            if isinstance(result, Failed):
                failures[job.name] = result.error
            else:
                yield result
    if failures:
        raise BuildFailed(failures)
