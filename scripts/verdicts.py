"""Validations whose outcome is known beforehand: do they come out right?

For each language: a clean corpus against one in which half of the documents are junk (better), against one in which
half of the text is said again and again (better, and the same runs seen from there: worse), and twenty times against
itself under other seeds (no difference in at least nineteen). Texts are those of a folder of JSON lines,
`<language>.jsonl.gz` with `id`, `source` and `text`: `python scripts/verdicts.py FOLDER en zh`; with --json, one JSON
object is the last line. Runs are kept in --out: stopped and started again, it goes on.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from pipeline.core.chance import draws
from pipeline.core.shards import write_table
from pipeline.core.validation import CONTROL, CURATED, RunSheet, Validation, compare, decide
from pipeline.report.validation import as_text
from pipeline.run.executors import Failed, Processes
from pipeline.train.arms import Arm, Shelf
from pipeline.train.contest import PRESETS, Contest, Job, run
from pipeline.train.held_out import COLUMNS, HeldOut
from pipeline.train.validate import Outside, validate

TIMES = 20
"""Comparisons of the corpus with itself."""

Do = Callable[[Iterable[Job]], Iterator[RunSheet]]


def main() -> None:
    """Every experiment in every language."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("languages", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("build/verdicts"))
    parser.add_argument("--preset", default="cpu-smoke", choices=PRESETS)
    parser.add_argument("--tiers", default="ngram,gpt")
    parser.add_argument("--tokens", type=int, help="of a run, in place of the preset's")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--few", type=int, default=50, help="half of the text is that of one document in so many")
    parser.add_argument("--experiments", nargs="+", default=["others", "itself"], choices=["others", "itself"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of the transformer")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    given = parser.parse_args()
    contest = PRESETS[given.preset]
    more = {"tokens": given.tokens} if given.tokens else {}
    tiers = {
        tier: replace(getattr(contest, tier), **more) if tier in given.tiers.split(",") else None
        for tier in ("ngram", "gpt")
    }
    contest = contest.model_copy(update={**tiers, "seeds": given.seeds})
    with Processes(given.workers) as pool:

        def do(jobs: Iterable[Job]) -> Iterator[RunSheet]:
            for _, result in pool.map(run, list(jobs)):
                if isinstance(result, Failed):
                    raise result.error
                yield result

        found = {
            lang: experiments(
                given.folder / f"{lang}.jsonl.gz",
                given.out / lang,
                contest,
                given.experiments,
                do,
                few=given.few,
                device=given.device,
            )
            for lang in given.languages
        }
    if given.json:
        print(json.dumps(found, ensure_ascii=False))


def experiments(
    path: Path, folder: Path, contest: Contest, names: list[str], do: Do, *, few: int, device: str
) -> dict[str, object]:
    """The outcomes in one language, each with what was expected."""
    with gzip.open(path, "rt", encoding="utf-8") as lines_of:
        rows = [json.loads(line) for line in lines_of]
    out = draws([row["id"] for row in rows], 0, "verdicts") < 0.1
    outside = Outside(
        held_out([row for row, yes in zip(rows, out, strict=True) if yes], path.name.split(".")[0]), False
    )
    clean = [row for row, yes in zip(rows, out, strict=True) if not yes]
    own, *others = (
        Arm(name, what, (stored(folder / f"{name}.arrow", texts),))
        for name, what, texts in (
            (CURATED, "the texts as they are", clean),
            ("junk", "half of the documents are junk", half_junk(clean)),
            ("repeated", f"half of the text is that of a {few}th of the documents", half_repeated(clean, few)),
        )
    )
    found: dict[str, object] = {}

    def validated(arms: list[Arm], contest: Contest) -> Validation:
        name = f"{path.name} clean"
        return validate(arms, [outside], contest, folder / "runs", do, corpus=name, device=device, drop_overlap=True)

    if "others" in names:
        made = validated([own, *others], contest)
        print(f"\n{path.name}: clean\n{as_text(made)}", flush=True)
        said = outcomes(made)
        found |= {
            "clean against junk (better)": said["junk"],
            "clean against repeated (better)": said["repeated"],
            "repeated against clean (worse)": seen_from(made, "repeated"),
            "control": said[CONTROL],
        }
    if "itself" in names:
        often = contest.model_copy(update={"seeds": TIMES * contest.seeds, "rates": (1.0,)})
        made = validated([own], often)
        found |= against_itself(made, contest.seeds)
    print(json.dumps(found, indent=1), flush=True)
    return found


def outcomes(made: Validation) -> dict[str, str]:
    """By arm; a control that differs from itself is told."""
    return {one.against: one.outcome if one.against != CONTROL else one.because for one in made.decisions}


def seen_from(made: Validation, arm: str) -> str:
    """What is said of an arm against the curated one, by the same runs."""
    names = {arm: CURATED, CURATED: arm}
    runs = [run.model_copy(update={"arm": names[run.arm]}) for run in made.runs if run.arm in names]
    [decision] = decide(compare(runs, made.held_out, made.min_effect), made.min_effect)
    return decision.outcome


def against_itself(made: Validation, seeds: int) -> dict[str, object]:
    """How many of the comparisons of so many seeds see no difference, and how many intervals leave out zero."""
    same, off, widths = 0, 0, []
    for first in range(0, TIMES * seeds, seeds):
        runs = [run for run in made.runs if first <= run.seed < first + seeds]
        found = compare(runs, made.held_out, made.min_effect)
        same += decide(found, made.min_effect)[0].because.endswith("does not differ from itself")
        off += any(one.low > 0 or one.high < 0 for one in found)
        widths += [one.high - one.low for one in found]
    return {
        f"clean against itself, {TIMES} times (no difference in {TIMES - 1})": same,
        "intervals without zero": off,
        "mean width of an interval": round(sum(widths) / len(widths), 4),
    }


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


def half_repeated(rows: list[dict[str, str]], one_in: int) -> list[dict[str, str]]:
    """Half of the text from all documents, the other from few of them, again and again under new ids."""
    chance = random.Random(0)
    order = chance.sample(rows, len(rows))
    few = order[: max(1, len(rows) // one_in)]
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
