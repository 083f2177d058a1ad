"""A small corpus of made-up sentences that two identifiers tell apart, built once; and what a saboteur can do to it."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.core.asset import Place
from pipeline.core.errors import RecipeError
from pipeline.core.manifest import FileDigest, Manifest, Size, StageCount, read_manifest
from pipeline.core.merkle import root_of
from pipeline.core.shards import read_table, write_table
from pipeline.report.audit import CHECKS
from pipeline.report.audit.evidence import Documents, Evidence
from pipeline.report.audit.outcome import Outcome
from pipeline.report.audit.packed import Packed
from pipeline.report.card import render_again, write_card
from pipeline.run.again import AskedAgain
from pipeline.run.checking import recipe_of
from pipeline.run.store import file_digest
from tests import projects

WORDS = {
    "en": (
        "old young quiet busy wooden heavy narrow bright clever patient foreign famous hungry careful ancient broken",
        "miller river village teacher garden window merchant forest bridge letter winter soldier kitchen doctor island",
        "remembered followed painted forgot repaired discovered described carried promised watched visited understood",
        "The {a} {n} near the {n} {v} every {a} {n}, although nobody in the {n} had {v} what the {a} {n} {v} before. ",
    ),
    "de": (
        "alte junge stille fleißige hölzerne schwere schmale helle kluge geduldige fremde berühmte hungrige",
        "Müller Lehrer Garten Kaufmann Wald Brief Winter Soldat Arzt Nachbar Fluss Bauer Bürger Wagen Schüler Turm",
        "erkannte verfolgte malte vergaß reparierte entdeckte beschrieb trug versprach besuchte verstand bemerkte",
        "Der {a} {n} hinter dem Haus {v} jeden Morgen den {n}, obwohl niemand wusste, warum der {a} {n} ihn so {v}. ",
    ),
}

BENCHMARK = "A farmer sells seventeen sacks of flour for four coins each and then gives half of them to his brother"

QUESTION = "Which of the four lighthouses on the northern coast was painted red after the great storm of that autumn?"
FILE = {"name": "lighthouses", "paths": ["bench.jsonl"], "question": ["question"]}


def sentences(lang: str, seed: str, n: int = 14) -> str:
    """A text that shares hardly five words in a row with another."""
    adjectives, nouns, verbs, frame = WORDS[lang]
    drawn = random.Random(f"{lang}/{seed}")
    lists = {"a": adjectives.split(), "n": nouns.split(), "v": verbs.split()}
    text = ""
    for part in (frame * n).split("{"):
        name, closed, rest = part.partition("}")
        text += drawn.choice(lists[name]) + rest if closed else part
    return text.strip()


RECIPE: dict[str, Any] = {
    "recipe": "audited",
    "version": "1.0",
    "description": "Made-up sentences in two languages",
    "sources": [
        {"files": {"name": "good", "paths": ["data/good-*.jsonl"], "license": "CC0-1.0", "columns": projects.COLUMNS}},
        {"files": {"name": "web", "paths": ["data/web-*.jsonl"], "license": "CC-BY-4.0", "columns": projects.COLUMNS}},
    ],
    "stages": [
        "normalize",
        "pii",
        {"contamination": {"written": [BENCHMARK], "against": [FILE]}},
        "language",
        {"length": {"min_characters": 100}},
        "exact",
        {"minhash": {"bands": 20, "rows": 6}},
    ],
    "tokenizer": {"train_bpe": {"vocab": 400}},
    "pack": {"length": 128, "strategy": "best_fit", "holdout": 0.1},
    "card": {"license": "CC-BY-4.0", "answers": "answers.yaml"},
    "expect": {"length": [0.2, 0.5]},
}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs, recipe, and the built corpus in `build/audited`."""
    folder = tmp_path_factory.mktemp("audited")
    (folder / "data").mkdir()
    for name, lang in (("good-0", "en"), ("good-1", "de"), ("web-0", "en"), ("web-1", "en")):
        rows = []
        for row in range(30):
            text = sentences(lang, f"{name}/{row}")
            text += f" Write to miller{row}@mill{row}.com." if row % 10 == 0 else f" {BENCHMARK}." if row == 7 else ""
            rows.append({"id": f"{name}-{row}", "text": text, "url": f"https://www.site{row % 7}.org/{name}/{row}"})
        rows += [
            {**rows[0], "id": f"{name}-twin"},
            {**rows[1], "id": f"{name}-near", "text": rows[1]["text"] + " End."},
        ]
        rows.append({"id": f"{name}-short", "text": "Too short.", "url": None})
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / "data" / f"{name}.jsonl").write_text(lines + "\n", encoding="utf-8")
    (folder / "answers.yaml").write_text("title: Audited\ncontact: me@example.org\n", encoding="utf-8")
    (folder / "bench.jsonl").write_text(json.dumps({"question": QUESTION}) + "\n", encoding="utf-8")
    recipe = projects.write_recipe(folder, RECIPE)
    write_card(projects.build(recipe, folder / "build").folder, folder)
    return folder


@dataclass
class Saboteur:
    """Spoils a copy of the corpus, and covers his traces as far as files allow."""

    project: Path
    folder: Path

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.folder)

    def claim(self, **changes: Any) -> None:
        """Change the manifest, and let the card say the same."""
        changed = self.manifest.model_copy(update=changes)
        (self.folder / "manifest.json").write_text(changed.to_json(), encoding="utf-8")
        render_again(self.folder)

    def rewrite(self, kind: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], at: int = 0) -> None:
        """Change the rows of one shard."""
        files = self.manifest.documents if kind == "documents" else self.manifest.tokens
        path = self.folder / files[at].path
        table = read_table(path)
        path.unlink()
        write_table(path, pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema))

    def add(self, *texts: tuple[str, str]) -> None:
        """Slip in documents: language and text."""
        self.rewrite(
            "documents",
            lambda rows: (
                rows + [{**rows[0], "id": f"new-{n}", "lang": lang, "text": t} for n, (lang, t) in enumerate(texts)]
            ),
        )

    def cover(self, *, root: bool = True) -> None:
        """Count everything again that can be counted: digests, rows, composition, root, tokens, the funnel's end."""
        manifest = self.manifest
        documents = tuple(self._measured(manifest.documents))
        tokens = tuple(self._measured(manifest.tokens))
        seen = Documents.read([(file.path, self.folder / file.path) for file in documents])
        total = sum((group.size for group in seen.groups), Size())
        packed = Packed.read([(file.path, self.folder / file.path) for file in tokens])
        tokenizer = tuple(file_digest(self.folder / file.path, self.folder, 0) for file in manifest.tokenizer)
        *before, last, packing = manifest.sweeps
        read = last.stages[0].read
        gone = read.documents - total.documents
        reasons = {"near_duplicate": gone} if gone >= 0 else {}
        read = read if gone >= 0 else total
        counts = (StageCount(stage=last.stages[0].stage, read=read, kept=total, dropped=reasons),)
        last = last.model_copy(update={"stages": counts, "rows_in": read.documents, "rows_out": total.documents})
        before[-1] = self._keeping(before[-1], read)
        stages = (StageCount(stage="pack", read=total, kept=total),)
        n_rows = sum(file.rows for file in tokens)
        packing = packing.model_copy(update={"stages": stages, "rows_in": total.documents, "rows_out": n_rows})
        self.claim(
            documents=documents,
            tokens=tokens,
            tokenizer=tokenizer,
            composition=seen.groups,
            sweeps=(*before, last, packing),
            facts={**manifest.facts, **packed.facts},
            root=root_of([self.folder / file.path for file in documents]) if root else manifest.root,
        )

    def _measured(self, files: tuple[FileDigest, ...]) -> Iterator[FileDigest]:
        for file in files:
            if (self.folder / file.path).exists():
                yield file_digest(self.folder / file.path, self.folder, read_table(self.folder / file.path).num_rows)

    def _keeping(self, sweep: Any, size: Size) -> Any:
        *stages, end = sweep.stages
        more = end.kept.documents - size.documents
        if not more:
            return sweep
        dropped = {reason: n + more for reason, n in end.dropped.items()}
        changed = end.model_copy(update={"kept": size, "dropped": dropped})
        return sweep.model_copy(update={"stages": (*stages, changed), "rows_out": size.documents})

    def evidence(self, **more: Any) -> Evidence:
        place = Place(base=self.project, offline=True)
        try:
            asked = AskedAgain(recipe_of(self.manifest.recipe, self.project, files=False), place, self.folder.parent)
        except RecipeError:
            asked = None
        return Evidence(self.folder, again=asked, seed="test", place=place, **more)

    def caught_by(self, check: str, **more: Any) -> Outcome:
        """What one check says."""
        from pipeline.report.audit import _ask

        return _ask(CHECKS[check], self.evidence(**more))


@pytest.fixture
def saboteur(project: Path, tmp_path: Path) -> Saboteur:
    shutil.copytree(project / "build", tmp_path / "build")
    return Saboteur(project, tmp_path / "build" / "audited")
