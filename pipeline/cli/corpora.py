"""Commands on a finished corpus: look into it, explain it, and hand it on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import ANSWER_IS_NO, AsJson, Corpus, Root, folder, one_of, show


def peek(
    corpus: Corpus,
    stage: Annotated[str | None, typer.Option(help="only what this stage dropped")] = None,
    reason: Annotated[str | None, typer.Option(help="only what was dropped for this reason")] = None,
    lang: Annotated[str | None, typer.Option(help="only documents of this language")] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="how many documents")] = 5,
    kept: Annotated[bool, typer.Option("--kept", help="show kept documents instead")] = False,
    seed: Annotated[int, typer.Option(help="another seed shows others")] = 0,
    as_json: AsJson = False,
) -> None:
    """Show dropped documents, by stage and reason, with the measure that each verdict rests on."""
    from pipeline.report import peek as peeking

    found = peeking.peek(corpus, stage=stage, reason=reason, lang=lang, n=n, kept=kept, seed=seed)
    show(found, peeking.as_text(found), as_json=as_json)


def explain(
    corpus: Corpus,
    document: Annotated[str, typer.Argument(metavar="ID|URL|TEXT", help="a piece of a text is enough")],
    base: Annotated[Path, typer.Option(help="project folder, below which the recipe names older builds")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Tell the fate of a document: kept where, or dropped by which stage, why, and what was kept instead."""
    from pipeline.report import explain as explaining

    fates = explaining.explain(corpus, document, base=base)
    show(fates, explaining.as_text(fates), as_json=as_json)
    if not fates.fates:
        raise typer.Exit(ANSWER_IS_NO)


def pack(
    corpus: Corpus,
    out: Annotated[Path, typer.Option("--out", metavar="DIR|URL", parser=folder, help="new folder for the files")],
    layout: Annotated[str, typer.Option(help="bin, megatron, mds, litdata or parquet")] = "bin",
    shuffle: Annotated[int | None, typer.Option(min=0, help="seed: shuffle rows over all shards")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the packed rows of a corpus as a trainer reads them."""
    from pipeline.core.packed import Layout
    from pipeline.tokens import layouts

    sheet = layouts.export(corpus, one_of(Layout, layout, "--layout"), out, shuffle)
    rows = ", ".join(f"{split} {counts['rows']:,} rows" for split, counts in sheet.splits.items())
    show(sheet, f"{rows} of {sheet.length:,} tokens ({sheet.dtype}) in {out}", as_json=as_json)


def remove(
    corpus: Corpus,
    wanted: Annotated[list[str], typer.Argument(metavar="IDS|URLS", help="ids or URLs of documents")],
    date: Annotated[str, typer.Option(help="date of the request, for the tombstones, such as 2026-11-24")],
    reason: Annotated[str, typer.Option(help="reason, for the tombstones")] = "taken down on request",
    purge: Annotated[bool, typer.Option("--purge", help="also from the store: all that was ever removed")] = False,
    base: Annotated[Path, typer.Option(help="project folder that holds the answers of the card")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Take documents out of a finished corpus: text, tokens, counts and card; a tombstone stays for each."""
    from pipeline.report import card as cards
    from pipeline.run import gc
    from pipeline.run import remove as removing

    stones = removing.remove(corpus, wanted, reason, date)
    if stones:
        cards.write_card(corpus, base)
    nothing = "Nothing to do: all of them were removed before."
    said = f"{len(stones):,} documents removed; {corpus / removing.TOMBSTONES} names them." if stones else nothing
    if purge and (all_stones := removing.tombstones(corpus)):
        freed = gc.purge(corpus, [stone.id for stone in all_stones.tombstones])
        said += f" {len(freed.paths):,} files of the store had their text, and have it no more."
        said += " The sources still do: the next build of this recipe reads them into the store again."
    else:
        named = stones[0].id if stones else wanted[0]
        said += " The store beside the corpus still has the text; this rids it of all that was ever removed:"
        said += f" gristmill remove {corpus} {named} --date {date} --purge"
    show(stones, said, as_json=as_json)


def gc(
    root: Root = Path("build"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
    unlock: Annotated[
        bool, typer.Option("--unlock", help="only remove what dead builds have locked in a bucket")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what no finished corpus of a root needs: sweeps of earlier recipes, and of builds that never ended."""
    from pipeline.run import gc as collecting

    if unlock:
        names = collecting.unlock(root)
        show(names, "\n".join([*names, f"{len(names):,} locks removed"]), as_json=as_json)
        return
    freed = collecting.collect(root, dry_run=dry_run)
    what = "would go" if dry_run else "deleted"
    text = "\n".join([*freed.paths, f"{len(freed.paths):,} folders {what}, {freed.bytes / 1e6:,.1f} MB of files"])
    show(freed, text, as_json=as_json)
