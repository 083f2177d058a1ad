"""The doors: one command each. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import errno
import sys
from typing import Annotated

import typer

from pipeline import __version__
from pipeline.cli import (
    about,
    cards,
    contents,
    corpora,
    models,
    recipes,
    releases,
    reporting,
    scorers,
    starting,
    trained,
    validating,
)
from pipeline.cli.local import Command


def _version(asked: bool) -> None:
    if asked:
        print(f"gristmill {__version__}")
        raise typer.Exit()


app = typer.Typer(
    name="gristmill",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS = {
    "Begin": (starting.new, starting.recipes, about.stages, about.schema, about.doctor),
    "Build a corpus": (recipes.plan, recipes.census, recipes.limits, recipes.lsh, recipes.build),
    "Look into it": (reporting.report, corpora.peek, corpora.explain, contents.measures, contents.contamination),
    "Is it true, is it good": (cards.card, cards.audit, validating.validate),
    "Keep it": (releases.diff, corpora.remove, corpora.gc),
    "Hand it on": (releases.export, releases.rehearse, releases.publish, releases.prove, releases.verify),
    "Train on it": (corpora.pack, models.train, models.evaluate, trained.generate, trained.quantize),
    "Classify texts": (trained.finetune, trained.classify, scorers.train_ngram, scorers.train_classifier),
}
"""By what somebody wants to do, as `gristmill --help` shows them."""

for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(cls=Command, rich_help_panel=panel)(command)


@app.callback()
def gristmill(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print it")] = False,
) -> None:
    """Open text corpora from one recipe file, with every document accounted for."""


def main() -> None:
    """Run the command line; errors meant for people, and files that cannot be used, are told without a traceback."""
    from pipeline.core.errors import GristmillError

    try:
        app()
    except GristmillError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if not error.filename and error.errno not in _OF_THE_MACHINE:
            raise
        print(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}", file=sys.stderr)
        sys.exit(1)


_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)
"""Errors of a disk that is full, broken or closed: no defect of the program, and nothing that a traceback explains."""
