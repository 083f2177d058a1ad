"""Commands on what a corpus contains: questions of benchmarks, and whom and what it speaks of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, Corpus, folder, show


def contamination(
    corpus: Annotated[
        Path, typer.Argument(metavar="CORPUS", parser=folder, help="a built corpus, or a folder with its filter alone")
    ],
    benchmark: Annotated[list[Path] | None, typer.Option(help="file of a benchmark to look for; repeatable")] = None,
    preset: Annotated[str | None, typer.Option(help="a known benchmark whose fields these are, such as gsm8k")] = None,
    question: Annotated[list[str] | None, typer.Option(help="field of the question, where no preset says so")] = None,
    answer: Annotated[list[str] | None, typer.Option(help="field of the answer")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a filter of a corpus's runs of words; with --benchmark, test one by it, without the text."""
    from pipeline.backends.benchmarks import Layout, items, presets
    from pipeline.core.errors import UsageError
    from pipeline.report import contamination as testing

    if not benchmark:
        about = testing.write_filter(corpus)
        size = (corpus / testing.FILTER).stat().st_size / 1e6
        files = f"{corpus / testing.NAME} and {testing.FILTER} ({size:.1f} MB)"
        show(about, f"{files} hold {about.runs:,} runs of {about.words} words; hand them on to test", as_json=as_json)
        return
    if (preset is None) == (not question) or (preset is not None and preset not in presets()):
        raise UsageError(f"give --question with a field, or --preset with one of {', '.join(presets())}")
    layout = presets()[preset] if preset else Layout(tuple(question or ()), tuple(answer or ()))
    tested = testing.test(corpus, [item for path in benchmark for item in items(path, layout)])
    show(tested, testing.as_text(tested), as_json=as_json)


def measures(
    corpus: Corpus,
    groups: Annotated[Path | None, typer.Option(help="JSON with terms by language and group, in place of ours")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure scripts, years, topics, and terms for groups of people with the words near them; the card shows them."""
    from pipeline.report import measures as measuring

    found = measuring.measure(corpus, measuring.read_terms(groups) if groups else None)
    show(found, measuring.as_text(found), as_json=as_json)
