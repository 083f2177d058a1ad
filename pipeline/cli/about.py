"""Commands about Gristmill itself: the stages, the schema of recipes, and what works on this machine."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipeline.cli.options import ANSWER_IS_NO, AsJson, show


def stages(
    words: Annotated[list[str] | None, typer.Argument(help="only these")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="print the Markdown itself")] = False,
    as_json: AsJson = False,
) -> None:
    """The stage reference, generated from the classes."""
    from rich.console import Console
    from rich.markdown import Markdown

    from pipeline.core.errors import UsageError
    from pipeline.run import reference, registry

    for word in words or ():
        if word not in registry.stages():
            raise UsageError(f"unknown stage {word!r}{registry.suggestion(word, list(registry.stages()))}")
    text = reference.reference(words or ())
    if as_json:
        show(reference.listed(words or ()), text, as_json=True)
    elif markdown:
        print(text, end="")
    else:
        Console().print(Markdown(text))


def schema() -> None:
    """The JSON Schema of recipes, for editors."""
    from pipeline.run import reference

    print(json.dumps(reference.schema(), indent=1))


def doctor(as_json: AsJson = False) -> None:
    """What is installed, which backends and devices work, and what to type for the rest."""
    from pipeline.run import doctor as doctors

    findings = doctors.examine()
    show(findings, doctors.as_text(findings), as_json=as_json)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(ANSWER_IS_NO)
