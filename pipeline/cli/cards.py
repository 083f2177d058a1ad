"""Commands on what a corpus says of itself: its card, and whether that is true."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import ANSWER_IS_NO, AsJson, Corpus, Data, show


def card(
    corpus: Corpus,
    base: Annotated[Path, typer.Option(help="project folder that holds the answers")] = Path(),
    ask: Annotated[
        bool, typer.Option("--ask", help="ask what has no answer yet, and write it into the answers")
    ] = False,
    lang: Annotated[str, typer.Option(help="language of the card's own words: en or zh")] = "en",
    form: Annotated[
        str, typer.Option("--format", help="hub, json, croissant, gebru or eu-article-53: all but hub are printed")
    ] = "hub",
    as_json: AsJson = False,
) -> None:
    """Write the card of a built corpus again, after its answers have changed, and print where it is.

    In another language or format, print it instead.
    """
    from pipeline.report import card as cards

    if ask:
        _ask(corpus, base)
    if form == "hub" and lang == "en":
        path = cards.write_card(corpus, base)
        show({"card": path}, str(path), as_json=as_json)
    elif as_json:
        show({"text": cards.printed(corpus, base, form, lang)}, "", as_json=True)
    else:
        print(cards.printed(corpus, base, form, lang), end="")


def _ask(corpus: Path, base: Path) -> None:
    """Walk the author through the questions without an answer."""
    from pipeline.core.asset import Place
    from pipeline.core.errors import GristmillError
    from pipeline.core.manifest import read_manifest
    from pipeline.report import answers

    recipe = read_manifest(corpus).recipe
    name = (recipe.get("card") or {}).get("answers")
    if not name:
        raise GristmillError(
            "the recipe names no file for answers: add `answers: data_cards/NAME/answers.yaml` to its `card:` and "
            "build again"
        )
    path = Place(base=base).resolve(name)
    left = answers.ask(path, lambda question: str(typer.prompt(question, default="", show_default=False)))
    print(f"{path}: {len(left)} questions have no answer" + (f": {', '.join(left)}" if left else ""))


def audit(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS|hf://USER/NAME[@REV]", help="a folder, or a Hub dataset")],
    sample: Annotated[int, typer.Option(min=1, help="documents to draw for sampled checks")] = 3_000,
    seed: Annotated[str, typer.Option(help="a word of yours, so that nobody knows the sample beforehand")] = "",
    benchmark: Annotated[
        list[Path] | None, typer.Option(help="JSON lines of a benchmark to look for; may be repeated")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="make a drawn shard again from its inputs")] = False,
    base: Annotated[Path, typer.Option(help="project folder that the recipe's paths are relative to")] = Path(),
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="write audit.json here")] = None,
    write: Annotated[bool, typer.Option("--write", help="lay audit.json beside the card, which then shows it")] = False,
    sign: Annotated[Path | None, typer.Option(metavar="KEY", help="sign it: an Ed25519 private key in PEM")] = None,
    verify: Annotated[Path | None, typer.Option(metavar="KEY", help="the public key of who signed")] = None,
    as_json: AsJson = False,
) -> None:
    """Check every claim of a card from its files alone: PASS, FAIL or CANNOT VERIFY; exit code 3 if any fails."""
    from pipeline import library
    from pipeline.core.shards import write_text
    from pipeline.report import audit as audits

    found = library.audit(
        corpus,
        sample=sample,
        seed=seed,
        benchmarks=benchmark or (),
        rebuild=rebuild,
        base=base,
        data=data or (),
        write=write,
        sign=sign,
        verify=verify,
        tell=lambda note: print(f"note: {note}", file=sys.stderr),
    )
    if out:
        write_text(out, found.to_json())
    show(found, audits.as_text(found), as_json=as_json)
    if found.failed:
        raise typer.Exit(ANSWER_IS_NO)
