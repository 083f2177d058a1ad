from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest

from pipeline.core.errors import StoreError
from pipeline.core.manifest import Manifest, read_manifest
from pipeline.report.funnel import as_grid, as_table, funnel
from pipeline.report.grid import as_markdown


def test_rows_follow_the_stages_in_order(corpus: Path) -> None:
    rows = funnel(read_manifest(corpus))
    assert [(row.stage, row.read.documents, row.kept.documents, row.dropped) for row in rows] == [
        ("language", 10, 9, 1),
        ("gopher", 9, 6, 3),
        ("minhash", 6, 4, 2),
        ("pack", 4, 4, 0),
    ]
    assert rows[1].reasons == (("too_few_words", 2), ("too_many_symbols", 1))
    assert rows[1].share_dropped == pytest.approx(3 / 9)


def test_a_stage_that_read_nothing_dropped_no_share(build_corpus) -> None:
    assert {row.share_dropped for row in funnel(read_manifest(build_corpus([])))} == {0.0}


def test_packed_rows_are_not_documents_even_if_packed_by_default(build_corpus) -> None:
    recipe = {"recipe": "tiny", "pack": {}}
    corpus = build_corpus([{"id": "a", "text": "t"}], recipe)
    assert [(row.stage, row.kept.documents) for row in funnel(read_manifest(corpus))][-1] == ("pack", 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda m: m["sweeps"][0]["stages"][1]["dropped"].update(too_few_words=7),
            "'gopher': 9 documents in, 6 kept, 8",
        ),
        (lambda m: m["sweeps"][1].update(rows_out=5), "sweep 'minhash': 6 in, 5 out, 2 dropped"),
        (lambda m: m["sweeps"][2].update(rows_in=3), "sweep 'minhash': 4 out, but 3 into 'pack'"),
        (lambda m: m["sweeps"][2].update(rows_out=92), "sweep 'pack': 92 rows out, 93 in its files"),
        (lambda m: m["documents"][0].update(rows=3), "the shards hold 5 documents, the composition counts 4"),
        (lambda m: m["sweeps"].pop(1), "6 documents are out of the last sweep, 4 in the shards"),
    ],
)
def test_books_that_do_not_close_are_refused(corpus: Path, change, says: str) -> None:
    changed = read_manifest(corpus).model_dump(mode="json")
    change(changed)
    with pytest.raises(StoreError, match="do not close") as error:
        funnel(Manifest.model_validate(changed))
    assert says in str(error.value)


def test_markdown_and_terminal_show_the_same_numbers(corpus: Path) -> None:
    from rich.console import Console

    rows = funnel(read_manifest(corpus))
    console = Console(width=200, file=StringIO())
    console.print(as_table(read_manifest(corpus)))
    for shown in (console.file.getvalue(), as_markdown(as_grid(rows, {}))):
        assert "gopher" in shown
        assert "33.33%" in shown
        assert f"{rows[-1].kept.characters:,}" in shown
