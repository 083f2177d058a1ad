"""The command that shows a corpus in a browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, Corpus, Data, show


def report(
    corpus: Corpus,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="write here, not report.html in the corpus")] = None,
    sample: Annotated[int, typer.Option(min=1, help="documents to show and measure, kept and dropped")] = 100_000,
    lang: Annotated[str, typer.Option(help="language that the page opens in: en or zh")] = "en",
    no_text: Annotated[bool, typer.Option("--no-text", help="figures only: no text, id or URL of a document")] = False,
    base: Annotated[Path, typer.Option(help="project folder that the recipe's paths are relative to")] = Path(),
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Write one HTML file: funnel, rules with examples, limits to try, contents, duplicates, checks, search."""
    from pipeline.core.asset import Place
    from pipeline.core.errors import GristmillError
    from pipeline.core.manifest import read_manifest
    from pipeline.report.html import page
    from pipeline.report.words import words
    from pipeline.run.checking import recipe_of
    from pipeline.run.showing import Shown

    words(lang)
    recipe = read_manifest(corpus).recipe
    try:
        showing = Shown(recipe_of(recipe, base), Place(base=base, data=tuple(data or ()), offline=True))
        showing.check()
    except GristmillError as error:
        print(f"note: figures only, as the recipe's stages cannot be asked: {error}", file=sys.stderr)
        showing = None
    path = page.write_report(corpus, out, sample=sample, showing=showing, lang=lang, text=not no_text)
    size = path.stat().st_size
    show({"path": path, "bytes": size}, f"{path} ({size / 1e6:.1f} MB); open it in a browser", as_json=as_json)
