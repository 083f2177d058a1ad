from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from pipeline.core.asset import Place
from pipeline.run.checking import load_recipe
from pipeline.run.showing import Shown
from tests import projects

MAIL, PHONE = "jane.roe@mail-of-hers.com", "+49 30 901820 77"
HOSTILE = (
    "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>\n"
    "\u202egnp.exe\u202c <!-- --> {{script}} \x00 ${window.hacked = 3} <svg onload=window.hacked=4> needle-in-hay\n"
)
URL = 'javascript:window.hacked=5//"><script>window.hacked=6</script>'
RECIPE = {
    **{key: value for key, value in projects.RECIPE.items() if key not in ("tokenizer", "pack")},
    "sources": [
        *projects.RECIPE["sources"],
        {"files": {"name": "odd", "paths": ["data/odd.jsonl"], "columns": {**projects.COLUMNS, "date": "date"}}},
    ],
    "description": "Small & <b>hostile</b> </script>",
    "stages": [
        {"length": {"min_characters": 60, "by_language": {"en": {"min_characters": 200}}}},
        "repetition",
        {"harmful": {"lists": [{"kind": "abuse", "words": ["scoundrel"]}], "most": 1}},
        "exact",
        {"minhash": {"verify": True}},
    ],
}


def make_project(folder: Path) -> Path:
    """Some usual documents, and those that a page could stumble over."""
    recipe = projects.make_project(folder, n_files=3, per_file=30, recipe=RECIPE)
    rng = random.Random(3)

    def prose(n: int) -> str:
        return " ".join(rng.choice(projects.WORDS) + str(rng.randrange(40)) for _ in range(n))

    twin = prose(180)
    rows = [
        {"id": "hostile", "url": URL, "text": HOSTILE + prose(80)},
        {
            "id": "<script>window.hacked = 7</script>",
            "url": "https://kept.example.co.uk/a",
            "text": HOSTILE + prose(90),
        },
        {"id": "personal", "url": "https://news.example.co.uk/b", "text": f"Write to {MAIL} or {PHONE}, " + prose(70)},
        {"id": "short", "url": "https://news.example.co.uk/c", "text": f"Call {PHONE}."},
        {
            "id": "again",
            "url": None,
            "text": "One line, said again.\n" * 9 + "🙂 Another.\n" + "One line, said again.\n",
        },
        {"id": "abuse", "url": None, "text": f"You Scoundrel, you scoundrel! {prose(60)}"},
        {"id": "twin-1", "url": None, "text": twin},
        {"id": "twin-2", "url": None, "text": twin.replace(twin.split()[90], "otherwise")},
    ]
    lines = "".join(json.dumps({**row, "date": "2019-05-04"}, ensure_ascii=False) + "\n" for row in rows)
    (folder / "data" / "odd.jsonl").write_text(lines, encoding="utf-8")
    return recipe


def shown(recipe: Path) -> Shown:
    return Shown(load_recipe(recipe), Place(base=recipe.parent.parent))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Shown]:
    """A built corpus and its recipe's own code."""
    folder = tmp_path_factory.mktemp("report")
    recipe = make_project(folder)
    return projects.build(recipe, folder / "build").folder, shown(recipe)
