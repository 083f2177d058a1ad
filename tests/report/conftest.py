from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.core.manifest import FileDigest, Group, Input, Manifest, Size, StageCount, Sweep, Warned
from pipeline.core.schema import DOCUMENT, VERDICT
from pipeline.core.shards import read_table, shard_name, write_table
from pipeline.report.release import export
from pipeline.run.remove import remove
from tests import projects

SWEEPS = {"gopher": ("language", "gopher"), "minhash": ("minhash",)}


@dataclass
class Doc:
    id: str
    text: str
    lang: str | None = "en"
    source: str = "crawl"
    license: str | None = "unknown"
    stage: str | None = None
    reason: str | None = None
    value: float | None = None
    limit: float | None = None
    twin: str | None = None
    detail: str | None = None
    shard: int = 0
    lang_score: float = 0.9
    url: str = field(default="")

    def row(self) -> dict[str, Any]:
        return {**vars(self), "url": self.url or f"https://example.org/{self.id}", "file": "a.warc.gz", "offset": 7}


DOCS = [
    Doc("kept-1", "The mill by the river\n\n  grinds   slowly. " * 3, license="cc-by-4.0"),
    Doc("kept-2", "春天来了，花开了。小河边的磨坊又转起来了。", lang="zh"),
    Doc("kept-3", "A tale of grain and stone.", source="books", license="cc0-1.0", shard=1),
    Doc("kept-4", "Ein Satz über Mehl.", lang="de", license=None, shard=1),
    Doc("drop-1", "夏天也很热，蝉声不断。", "zh", stage="language", reason="language_uncertain", value=0.41, limit=0.5),
    Doc("drop-2", "buy", stage="gopher", reason="too_few_words", value=1, limit=50),
    Doc("drop-3", "buy now", stage="gopher", reason="too_few_words", value=2, limit=50, shard=1),
    Doc("drop-4", "# # # #", stage="gopher", reason="too_many_symbols", value=1.0, limit=0.1, detail="4 of 4 words"),
    Doc(
        "twin-1",
        "The mill by the river grinds slowly!",
        stage="minhash",
        reason="near_duplicate",
        value=0.93,
        limit=0.8,
    ),
    Doc("twin-2", "The mill at the river grinds.", stage="minhash", reason="near_duplicate", value=0.85, limit=0.8),
]
DOCS[-2].twin, DOCS[-1].twin = "kept-1", "twin-1"

RECIPE = {
    "recipe": "tiny",
    "version": "2026.11.0",
    "sources": [{"warc": {"paths": ["a.warc.gz"], "name": "crawl"}}],
    "stages": [{"language": {"keep": {"en": 0.65}}}, {"gopher": {"min_words": 50}, "as": "gopher"}, "minhash"],
    "pack": {"length": 2048},
    "card": {"license": "odc-by"},
    "expect": {"gopher": [0.05, 0.30], "minhash": [0.2, 0.5]},
}


def build(root: Path, docs: list[Doc], recipe: dict[str, Any] = RECIPE) -> Path:
    """A corpus on disk as the engine would leave it, its manifest counted from the documents."""
    left = list(docs)
    sweeps = []
    for number, (name, stages) in enumerate(SWEEPS.items()):
        key, rows_in, counts = f"{number}" * 64, len(left), []
        gone = [doc for doc in left if doc.stage in stages]
        for stage in stages:
            out = [doc for doc in left if doc.stage == stage]
            kept = [doc for doc in left if doc.stage != stage]
            dropped = dict(Counter(str(doc.reason) for doc in out))
            counts.append(StageCount(stage=stage, read=size(left), kept=size(kept), dropped=dropped))
            left = kept
        columns = {**VERDICT, **DOCUMENT, **({"lang_score": pa.float64()} if number else {})}
        write(root / "store" / f"{name}-{key[:16]}" / "ledger", gone, columns)
        sweeps.append(Sweep(name=name, key=key, shards=2, rows_in=rows_in, rows_out=len(left), stages=tuple(counts)))
    if "pack" in recipe:
        packed = StageCount(stage="pack", read=size(left), kept=size(left))
        sweeps.append(Sweep(name="pack", key="2" * 64, shards=2, rows_in=len(left), rows_out=93, stages=(packed,)))
    corpus = root / str(recipe["recipe"])
    rows = write(corpus / "documents", left, {**DOCUMENT, "lang_score": pa.float64()})
    groups: dict[tuple[Any, ...], list[Doc]] = {}
    for doc in left:
        groups.setdefault((doc.source, doc.lang, doc.license), []).append(doc)
    manifest = Manifest(
        gristmill="2026.11.0",
        recipe=recipe,
        key="f" * 64,
        sweeps=tuple(sweeps),
        inputs=(Input(source="crawl", name="a.warc.gz", bytes=12345, sha256="a" * 64),),
        composition=tuple(
            Group(source=s, lang=lang, license=lic, size=size(members)) for (s, lang, lic), members in groups.items()
        ),
        documents=tuple(digest(f"documents/{shard_name(i)}.arrow", n) for i, n in enumerate(rows)),
        tokens=(digest("tokens/holdout/shard-00000.arrow", 3), digest("tokens/train/shard-00000.arrow", 90)),
        tokenizer=(digest("tokenizer/tokenizer.json", 0),),
        facts={"train_tokens": 184_320, "train_padding": 1_234},
        warnings=(Warned(stage="gopher", message="removed 33.3% of its documents, expected 5.0% to 30.0%"),),
        execution={"python": "3.11.7", "packages": {"pyarrow": "26.0.1"}, "seconds": 12.5},
    )
    (corpus / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return corpus


def size(docs: list[Doc]) -> Size:
    return Size.of(pa.array([doc.text for doc in docs], type=pa.large_string()))


def digest(path: str, rows: int) -> FileDigest:
    return FileDigest(path=path, rows=rows, bytes=rows * 100 + 1, sha256="c" * 64)


def write(folder: Path, docs: list[Doc], columns: dict[str, pa.DataType]) -> list[int]:
    counts = []
    for shard in (0, 1):
        rows = [doc.row() for doc in docs if doc.shard == shard]
        table = pa.table({name: pa.array([row.get(name) for row in rows], dtype) for name, dtype in columns.items()})
        write_table(folder / f"{shard_name(shard)}.arrow", table)
        counts.append(len(rows))
    return counts


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return build(tmp_path, DOCS)


@pytest.fixture
def build_corpus(tmp_path: Path) -> Callable[..., Path]:
    """Build another corpus from (id, text, fields) rows: `build_corpus([dict(id=..., text=...), ...], recipe)`."""

    def make(rows: list[dict[str, Any]], recipe: dict[str, Any] = RECIPE) -> Path:
        return build(tmp_path, [Doc(**row) for row in rows], recipe)

    return make


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A release, and one of the same corpus without its first document."""
    folder = tmp_path_factory.mktemp("publish")
    corpus = projects.build(projects.make_project(folder, n_files=2, per_file=30), folder / "build").folder
    first = export(corpus, folder / "first")
    name = read_table(folder / "first" / first.documents[0].path)["id"][0].as_py()
    remove(corpus, [name], "asked", "2026-11-25")
    export(corpus, folder / "second")
    return folder / "first", folder / "second"
