"""The doors: one command each. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import sys

import typer

from pipeline.cli import about, cards, contents, corpora, models, recipes, releases, scorers, trained, validating

app = typer.Typer(
    name="gristmill",
    help="Open text corpora from one recipe file, with every document accounted for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    *(recipes.build, recipes.plan, recipes.census, recipes.limits, recipes.lsh),
    *(cards.card, cards.audit),
    *(corpora.peek, corpora.explain, corpora.pack, corpora.remove),
    *(releases.export, releases.publish, releases.rehearse, releases.prove, releases.verify, releases.diff),
    *(contents.contamination, contents.measures),
    *(models.train, models.evaluate, validating.validate),
    corpora.gc,
    *(trained.generate, trained.quantize, trained.finetune, trained.classify),
    *(scorers.train_ngram, scorers.train_classifier),
    *(about.stages, about.schema, about.doctor),
):
    app.command()(command)


def main() -> None:
    """Run the command line; errors meant for people are printed without a traceback."""
    from pipeline.core.errors import GristmillError

    try:
        app()
    except GristmillError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
