"""Every real archive builds: what is cut or corrupt is in the ledger with file and offset, and counts add up."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from pipeline.core.asset import Place
from pipeline.report.funnel import check_books
from pipeline.report.ledger import ledger_folders
from pipeline.run import engine
from pipeline.run.checking import recipe_of
from pipeline.run.options import Options
from pipeline.run.plan import make_plan
from pipeline.run.progress import Quiet

DATA = os.environ.get("GRISTMILL_DATA")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA, reason="GRISTMILL_DATA names no folder with real archives"),
]


def test_every_archive_builds_and_adds_up(tmp_path: Path) -> None:
    folder = Path(str(DATA)) / "warc"
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SOURCE.txt")
    names = [path.relative_to(folder).as_posix() for path in files]
    texts = [name for name in names if "wet" in name]
    recipe = recipe_of(
        {
            "recipe": "archives",
            "version": "1",
            "sources": [
                {"warc": {"name": "pages", "paths": [name for name in names if name not in texts], "part_bytes": 1}},
                {"wet": {"name": "texts", "paths": texts, "part_bytes": 1}},
            ],
            "stages": ["extract", "normalize", "language", "exact"],
        },
        folder,
    )
    place = Place(base=folder)
    with place.active():
        plan = make_plan(recipe)
    built = engine.build(plan, Options(tmp_path, workers=2, place=place), Quiet())
    check_books(built.manifest)
    assert {entry.name for entry in built.manifest.inputs} == set(names)
    ledgers = [path for ledger in ledger_folders(built.folder, built.manifest) for path in ledger.glob("*.arrow")]
    lost = pl.concat([pl.read_ipc(path) for path in ledgers], how="diagonal_relaxed")
    lost = lost.filter(pl.col("reason") == "unreadable")
    assert lost.height and lost.select(pl.col("file", "offset", "detail").is_not_null().all()).row(0) == (True,) * 3
    blamed = set(lost["file"])
    for word in ("clipped", "bad", ".arc"):
        assert any(word in name for name in blamed), f"nothing of a damaged {word} file is in the ledger: {blamed}"
    assert sum(file.rows for file in built.manifest.documents) >= 30
