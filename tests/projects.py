"""Small projects on disk to build: a recipe, and inputs with duplicates, near-duplicates and what the rules drop."""

from __future__ import annotations

import hashlib
import json
import random
import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.asset import Place
from pipeline.run import engine
from pipeline.run.checking import load_recipe
from pipeline.run.options import Options
from pipeline.run.plan import make_plan
from pipeline.run.progress import Quiet

WORDS = re.findall(
    r"\w+",
    """
    the of and to a in that is was for on are with as his they be at one have this from or had by hot word but
    what some we can out other were all there when up use your how said an each she which do their time if will
    way about many then them write would like so these her long make thing see him two has look more day could go
    come did number sound no most people my over know water than call first who may down side been now find miller
    river grain
    """,
)

COLUMNS = {"id": "id", "url": "url"}

RECIPE: dict[str, Any] = {
    "recipe": "small",
    "version": "1.0",
    "sources": [
        {"files": {"name": "good", "paths": ["data/good/*.jsonl"], "license": "cc0-1.0", "columns": COLUMNS}},
        {"files": {"name": "web", "paths": ["data/web/*.jsonl"], "part_bytes": 20_000, "columns": COLUMNS}},
    ],
    "stages": [
        "text_statistics",
        {"length": {"min_characters": 100}},
        "exact",
        {"threshold": {"column": "n_words", "max": 400}},
        {"minhash": {"bands": 14, "rows": 8}},
    ],
    "tokenizer": {"train_bpe": {"vocab": 400}},
    "pack": {"length": 128, "strategy": "best_fit", "holdout": 0.1},
    "card": {"license": "cc0-1.0"},
}


def make_project(folder: Path, *, n_files: int = 6, per_file: int = 60, recipe: dict[str, Any] | None = None) -> Path:
    """Write inputs and a recipe; returns the recipe's path."""
    rng = random.Random(7)
    texts: list[str] = []
    for index in range(n_files):
        lines = []
        for row in range(per_file):
            text = _text(rng, texts)
            texts.append(text)
            lines.append(
                json.dumps({"id": f"{index}-{row}", "text": text, "url": f"https://example.org/{index}/{row}"})
            )
        group = "good" if index % 3 == 0 else "web"
        path = folder / "data" / group / f"part-{index}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return write_recipe(folder, recipe or RECIPE)


def write_recipe(folder: Path, recipe: dict[str, Any]) -> Path:
    """Write a recipe into a project."""
    path = folder / "recipes" / "small.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump(recipe, sort_keys=False, Dumper=_Plain), encoding="utf-8")
    return path


def build(recipe: Path, root: Path, *, workers: int = 1, batch_rows: int = 256, **more: Any) -> engine.Built:
    """Build in this process."""
    options = Options(root, workers, batch_rows, Place(base=recipe.parent.parent), **more)
    with options.place.active():
        plan = make_plan(load_recipe(recipe))
    return engine.build(plan, options, Quiet())


def digests(corpus: Path) -> dict[str, str]:
    """sha256 of every file that may not differ between two builds of a recipe."""
    kept = [path for part in ("documents", "tokens", "tokenizer") for path in (corpus / part).rglob("*")]
    files = [path for path in (*kept, corpus / "recipe.yaml") if path.is_file()]
    return {path.relative_to(corpus).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _text(rng: random.Random, texts: list[str]) -> str:
    kind = rng.random()
    if kind < 0.08 and texts:
        return rng.choice(texts)
    if kind < 0.16 and texts:
        words = rng.choice(texts).split()
        words[rng.randrange(len(words))] = "changed"
        return " ".join(words)
    if kind < 0.22:
        return "too short"
    n_words = rng.randint(60, 300) if kind < 0.95 else 500
    return " ".join(rng.choice(WORDS) + str(rng.randrange(40)) for _ in range(n_words))


class _Plain(yaml.SafeDumper):
    """YAML without anchors, which recipes refuse."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
