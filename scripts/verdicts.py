"""Validations whose outcome is known beforehand: do they come out right?

For each language: a clean corpus against one in which half of the documents are junk (better), against one in which
half of the text is said again and again (better, and seen from there worse), and against twenty random halves of itself
(no difference in at least nineteen). Texts are those of a folder of JSON lines, `<language>.jsonl.gz` with `id`,
`source` and `text`: `python scripts/verdicts.py FOLDER en zh`; with --json, one JSON object is the last line.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from pipeline.core.chance import draws
from pipeline.core.shards import write_table
from pipeline.core.validation import RunSheet, Validation
from pipeline.report.validation import as_text
from pipeline.run.executors import Failed, Processes
from pipeline.train.arms import Arm, Shelf
from pipeline.train.contest import Job, Ngram, run
from pipeline.train.held_out import COLUMNS, HeldOut
from pipeline.train.validate import PRESETS, Contest, Outside, validate

HALVES = 20

Do = Callable[[Iterable[Job]], Iterator[RunSheet]]


def main() -> None:
    """Every experiment in every language."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("languages", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("build/verdicts"))
    parser.add_argument("--preset", default="cpu-smoke", choices=PRESETS)
    parser.add_argument("--tiers", default="ngram,gpt")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    off = {tier: None for tier in ("ngram", "gpt") if tier not in given.tiers.split(",")}
    contest = PRESETS[given.preset].model_copy(update=off)
    with Processes(given.workers) as pool:

        def do(jobs: Iterable[Job]) -> Iterator[RunSheet]:
            for _, result in pool.map(run, list(jobs)):
                if isinstance(result, Failed):
                    raise result.error
                yield result

        found = {
            lang: experiments(given.folder / f"{lang}.jsonl.gz", given.out / lang, contest, do)
            for lang in given.languages
        }
    if given.json:
        print(json.dumps(found))


def experiments(path: Path, folder: Path, contest: Contest, do: Do) -> dict[str, object]:
    """The outcomes in one language, each with what was expected."""
    with gzip.open(path, "rt", encoding="utf-8") as lines_of:
        rows = [json.loads(line) for line in lines_of]
    out = draws([row["id"] for row in rows], 0, "verdicts") < 0.1
    outside = Outside(
        held_out([row for row, yes in zip(rows, out, strict=True) if yes], path.name.split(".")[0]), False
    )
    clean = [row for row, yes in zip(rows, out, strict=True) if not yes]
    arms = {
        name: Arm(name, what, (stored(folder / f"{name}.arrow", texts),))
        for name, what, texts in (
            ("clean", "the texts as they are", clean),
            ("junk", "half of the documents are junk", half_junk(clean)),
            ("repeated", "half of the text is that of a fiftieth of the documents", half_repeated(clean)),
        )
    }

    def against(first: str, others: list[Arm], how: Contest) -> Validation:
        own = Arm("curated", arms[first].what, arms[first].shelves)
        made = validate(
            [own, *others], [outside], how, folder / "runs", do, corpus=f"{path.name} {first}", drop_overlap=True
        )
        print(f"\n{path.name}: {first} as the corpus\n{as_text(made)}", flush=True)
        return made

    ngram = Contest(ngram=Ngram(500_000), seeds=contest.seeds, per_domain=contest.per_domain)
    halves = [Arm(f"half-{n:02d}", "half of the texts", arms["clean"].shelves, 0.5) for n in range(HALVES)]
    from_clean = outcomes(against("clean", [arms["junk"], arms["repeated"]], contest))
    from_repeated = outcomes(against("repeated", [arms["clean"]], contest))
    itself = outcomes(against("clean", halves, ngram))
    same = sum(outcome == "inconclusive" for name, outcome in itself.items() if name.startswith("half-"))
    return {
        "clean against junk (better)": from_clean["junk"],
        "clean against repeated (better)": from_clean["repeated"],
        "repeated against clean (worse)": from_repeated["clean"],
        f"clean against {HALVES} halves of itself (no difference in 19)": same,
        "control": from_clean["control"],
    }


def outcomes(made: Validation) -> dict[str, str]:
    """By arm; a control that differs from itself is told."""
    return {one.against: one.outcome if one.against != "control" else one.because for one in made.decisions}


def held_out(rows: list[dict[str, str]], name: str) -> HeldOut:
    """Texts as the trainer holds them out."""
    types = {column: pa.large_string() if column == "text" else pa.string() for column in COLUMNS}
    return HeldOut(
        name, pa.Table.from_pylist([{c: row.get(c) for c in COLUMNS} for row in rows], schema=pa.schema(types))
    )


def stored(path: Path, rows: list[dict[str, str]]) -> Shelf:
    """A shard with these texts."""
    ids, texts = [row["id"] for row in rows], [row["text"] for row in rows]
    write_table(path, pa.table({"id": pa.array(ids, pa.string()), "text": pa.array(texts, pa.large_string())}))
    return Shelf(path)


def half_junk(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Every other document replaced by as long a one of shuffled words, noisy characters or repeated lines."""
    chance = random.Random(0)
    return [
        row if n % 2 else row | {"text": JUNK[n // 2 % len(JUNK)](row["text"], chance)} for n, row in enumerate(rows)
    ]


def salad(text: str, chance: random.Random) -> str:
    """Its words, or characters where there are no spaces, in any order."""
    parts = text.split(" ")
    if len(parts) < len(text) / 50:
        parts = list(text)
    chance.shuffle(parts)
    return (" " if len(parts) < len(text) else "").join(parts)


def noise(text: str, chance: random.Random) -> str:
    """A fifth of its characters replaced by others of it."""
    return "".join(chance.choice(text) if chance.random() < 0.2 else character for character in text)


def lines(text: str, chance: random.Random) -> str:
    """A menu, as often as it takes."""
    menu = (
        "Home | About us | Contact | Log in\nCopyright. All rights reserved. Read more...\n首页 | 登录 | 注册 | 更多\n"
    )
    return (menu * (len(text) // len(menu) + 1))[: len(text)]


JUNK = (salad, noise, lines)


def half_repeated(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Half of the text from all documents, the other from a fiftieth of them, again and again under new ids."""
    chance = random.Random(0)
    order = chance.sample(rows, len(rows))
    few = order[: max(1, len(rows) // 50)]
    half, size = sum(len(row["text"]) for row in rows) // 2, 0
    again: list[dict[str, str]] = []
    while size < half:
        row = few[len(again) % len(few)]
        again.append(row | {"id": f"{row['id']} again {len(again)}"})
        size += len(row["text"])
    kept, size = [], 0
    for row in order:
        if size >= half:
            break
        kept.append(row)
        size += len(row["text"])
    return kept + again


if __name__ == "__main__":
    main()
