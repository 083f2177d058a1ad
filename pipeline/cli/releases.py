"""Commands on a corpus that is handed to others: bring it into release form, publish, rehearse, prove, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import ANSWER_IS_NO, AsJson, folder, one_of, show

AnyCorpus = Annotated[Path, typer.Argument(metavar="CORPUS", parser=folder, help="folder of a corpus or release")]
Form = Annotated[str, typer.Option("--format", help="parquet or arrow")]


def export(
    corpus: Annotated[
        Path,
        typer.Argument(
            metavar="CORPUS|MODEL", parser=folder, help="folder of a corpus, a trained model or a classifier"
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR|URL", parser=folder, help="folder of the release; what is there already stays"
        ),
    ],
    form: Form = "parquet",
    workers: Annotated[int | None, typer.Option(min=1, help="threads; default: one a core")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a corpus as it is published: Parquet, card, manifest; or a trained model as transformers loads it."""
    from pipeline.report import release
    from pipeline.train import checkpoint
    from pipeline.train import export as of_models

    if any((corpus / name).exists() for name in (checkpoint.MODEL, checkpoint.CLASSIFIER)):
        of_models.export(corpus, out)
        show({"folder": out}, f"The model is in {out}; its card is {out / 'README.md'}", as_json=as_json)
        return

    written = release.export(corpus, out, form=one_of(release.Form, form, "--format"), workers=workers)
    size = sum(file.bytes for file in (*written.documents, *written.tokens))
    files = len(written.documents) + len(written.tokens)
    show(
        {"folder": out, "digest": written.digest, "root": written.root},
        f"{files:,} files, {size:,} bytes in {out}; root of the documents {written.root}",
        as_json=as_json,
    )


def publish(
    corpus: AnyCorpus,
    repository: Annotated[str, typer.Argument(metavar="USER/NAME", help="dataset on the Hugging Face Hub")],
    tag: Annotated[str | None, typer.Option(help="tag of the release; default: v and the recipe's version")] = None,
    private: Annotated[bool, typer.Option("--private", help="create it as a private dataset")] = False,
    gated: Annotated[str | None, typer.Option(help="who wants it must ask: auto or manual")] = None,
    pull_request: Annotated[bool, typer.Option("--pull-request", help="propose it, for others to merge")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be sent, and send nothing")] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|URL", parser=folder, help="an older release: say how much a store by chunks has of it"
        ),
    ] = None,
    form: Form = "parquet",
    as_json: AsJson = False,
) -> None:
    """Publish a corpus on the Hugging Face Hub; run again, it goes on where it stopped.

    A corpus is exported into CORPUS.release beside it first. The token is that of `hf auth login`, or HF_TOKEN.
    """
    import sys

    from pipeline.report import publish as publishing
    from pipeline.report import publish_plan, release
    from pipeline.report.hub import Gated

    ready = release.released(corpus, one_of(release.Form, form, "--format"))
    access = one_of(Gated, gated, "--gated") if gated else None
    wanted = publishing.Release(ready, repository, tag, private, access, pull_request)
    if dry_run:
        plan = publishing.plan_release(wanted)
        if against:
            plan = publish_plan.with_chunks(plan, ready, against)
        show(plan, publish_plan.as_text(plan), as_json=as_json)
        return
    done = publishing.publish(wanted, lambda line: print(line, file=sys.stderr))
    show(done, done.message, as_json=as_json)


def rehearse(
    corpus: Annotated[
        Path | None,
        typer.Argument(metavar="[CORPUS]", parser=folder, help="a corpus or release to publish, load and compare"),
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="folder that keeps what is published; default: a new one")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="port on this machine; 0: any")] = 0,
    as_json: AsJson = False,
) -> None:
    """Run a hub on this machine and, with CORPUS, rehearse the release: publish, again, download, load, stream.

    Without CORPUS it serves until Ctrl-C, and prints what to set for huggingface_hub and datasets to use it.
    """
    from tempfile import TemporaryDirectory

    from pipeline.report.rehearse import server, steps

    with (
        TemporaryDirectory(prefix="gristmill-rehearsal-") as scratch,
        server.serve(keep or Path(scratch) / "hub", port) as rehearsal,
    ):
        if corpus is None:
            settings = "\n".join(f"export {name}={value}" for name, value in rehearsal.environment.items())
            show(rehearsal.environment, settings, as_json=as_json)
            steps.wait()
            return
        done = steps.rehearse(corpus, rehearsal, Path(scratch))
    show(done, steps.as_text(done), as_json=as_json)
    if not all(step.passed for step in done):
        raise typer.Exit(ANSWER_IS_NO)


def prove(
    corpus: AnyCorpus,
    document: Annotated[str, typer.Argument(metavar="ID|URL|TEXT", help="- reads a text from standard input")],
    by: Annotated[str | None, typer.Option(help="only as id, url or text")] = None,
    out: Annotated[Path | None, typer.Option(help="file for the proof; default: standard output")] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that a document is in a corpus, or that it is not, without showing any text. The proof itself is JSON."""
    import sys

    from pipeline.core.proof import Kind
    from pipeline.core.shards import write_text
    from pipeline.report import prove as proving

    value = sys.stdin.read() if document == "-" else document
    proof = proving.prove(corpus, value, by=one_of(Kind, by, "--by") if by else None)
    if out is None:
        print(proof.to_json(), end="")
        return
    write_text(out, proof.to_json())
    said = proving.verify(proof, root=proof.root, of=value)
    show({"proof": out, "root": proof.root, "said": said}, said, as_json=as_json)


def verify(
    proof: Annotated[Path, typer.Argument(metavar="PROOF", help="file that gristmill prove wrote")],
    root: Annotated[str | None, typer.Option(help="root of the corpus, as its card says it")] = None,
    corpus: Annotated[Path | None, typer.Option(help="folder with the manifest that has the root")] = None,
    of: Annotated[
        str | None, typer.Option("--of", metavar="ID|URL|TEXT", help="what the proof should be about")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a proof; no document is needed for it."""
    from pipeline.core.manifest import read_manifest
    from pipeline.report import prove as proving

    wanted = root or (read_manifest(corpus).root if corpus else None)
    read = proving.read_proof(proof)
    said = proving.verify(read, root=wanted, of=of)
    show({"root": read.root, "compared": wanted is not None, "said": said}, said, as_json=as_json)


def diff(
    old: Annotated[Path, typer.Argument(metavar="A", parser=folder, help="folder of a corpus or release")],
    new: Annotated[Path, typer.Argument(metavar="B", parser=folder, help="folder of another, as a rule a later one")],
    out: Annotated[Path | None, typer.Option(help="file for the report in Markdown")] = None,
    card: Annotated[bool, typer.Option("--card", help="lay it beside B's card, which then shows it")] = False,
    as_json: AsJson = False,
) -> None:
    """What changed between two builds or releases, and why: recipe, inputs, versions, and documents."""
    import sys

    from rich.console import Console
    from rich.markdown import Markdown

    from pipeline.core.shards import write_text
    from pipeline.report import card as cards
    from pipeline.report import changes
    from pipeline.report import diff as comparing

    found = comparing.diff(old, new)
    if out:
        write_text(out, changes.as_markdown(found))
    if card:
        write_text(new / changes.FILE, found.to_json())
        cards.render_again(new)
    if sys.stdout.isatty() and not as_json:
        Console().print(Markdown(changes.as_markdown(found)))
    else:
        show(found, changes.as_markdown(found), as_json=as_json)
