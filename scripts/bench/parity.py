"""Verdicts of our families of rules against datatrove's filters, with the same limits, on real documents.

Two columns of agreement: with the same words given to both (datatrove's own), which shows that the rules are the same
rules; and end to end, each with its own words. Then each class of disagreement with its cause. The documents are prose,
the main text of web pages in English, and for languages without prose sentences of news put together by six. A language
whose tokenizer is not in bench-env is left out, and named. With --write, the tables go into docs/rules.md.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
from rules_common import FAMILIES, ROOT, ask_peer, batch, pages, prose, reasons, sentences

from pipeline.filters.limits import Limits
from pipeline.kernels.textstats import Columns, statistics

PROSE = ("en", "zh", "de", "fr", "es", "ru", "cs", "hu", "sv", "no", "ja")
SENTENCES = ("ko", "th", "ar", "hi", "tr", "vi")
PAGE = ROOT / "docs" / "rules.md"
BEGIN, END = "<!-- parity.py writes from here -->\n", "<!-- to here -->\n"


class Row(NamedTuple):
    """One family on one set of documents."""

    documents: str
    count: int
    family: str
    same_words: float
    end_to_end: float


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--langs", nargs="+", default=[*PROSE, *SENTENCES])
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[Row] = []
    causes: Counter[tuple[str, str, str, str, str]] = Counter()
    missing: dict[str, str] = {}
    for name, lang, texts in sets(options.langs, options.documents):
        answer = ask_peer(texts, lang, words=True)
        if "missing" in answer:
            missing[name] = answer["missing"]
            print(f"left out: {name}: {missing[name]}", flush=True)
            continue
        given = statistics(pa.array(texts, pa.large_string()), [lang] * len(texts), located(texts, answer["words"]))
        for family, stage in FAMILIES.items():
            theirs = answer["reasons"][family]
            same, own = reasons(fixed(stage, given, batch(texts, lang))), reasons(stage.judge(batch(texts, lang)))
            rows.append(Row(name, len(texts), family, agree(same, theirs), agree(own, theirs)))
            print(f"{name} {family}: {rows[-1].same_words:.2%} {rows[-1].end_to_end:.2%}", flush=True)
            for with_same, mine, their in zip(same, own, theirs, strict=True):
                if (mine is None) != (their is None) or (with_same is None) != (their is None):
                    causes[name, family, cause(with_same, mine, their), mine or "kept", their or "kept"] += 1
    written = "\n".join(tables(rows, causes, missing))
    print(written)
    if options.write:
        before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{written}\n{END}{rest.split(END)[1]}", encoding="utf-8")
    if options.json:
        print(json.dumps({"agreement": [row._asdict() for row in rows], "missing": missing}))


def sets(langs: Sequence[str], most: int) -> Iterator[tuple[str, str, list[str]]]:
    """Name, language and texts of each set of documents."""
    for lang in langs:
        if lang in PROSE:
            yield f"{lang}, prose", lang, prose(lang, most)
        else:
            yield f"{lang}, sentences", lang, sentences(lang)
        if lang == "en":
            yield "en, web pages", lang, pages()


def cause(with_same: str | None, mine: str | None, their: str | None) -> str:
    """Why two verdicts on a document differ, or differed before words made up for it."""
    if (with_same is None) == (their is None):
        return "other words"
    if (mine is None) == (their is None):
        return "another count, made up for by other words"
    return "another count"


def tables(rows: Sequence[Row], causes: Counter[Any], missing: dict[str, str]) -> Iterator[str]:
    """Agreement, what is behind the rest, and what was left out."""
    families = [*FAMILIES]
    yield f"| documents | | {' | '.join(families)} |"
    yield f"|---|---|{'---|' * len(families)}"
    for name in dict.fromkeys(row.documents for row in rows):
        of_set = {row.family: row for row in rows if row.documents == name}
        cells = (f"{of_set[one].same_words:.2%}, {of_set[one].end_to_end:.2%}" for one in families)
        yield f"| {name} | {of_set[families[0]].count:,} | {' | '.join(cells)} |"
    yield "\n| documents | family | cause | ours | datatrove's | times |\n|---|---|---|---|---|---|"
    for key, times in causes.most_common():
        yield f"| {' | '.join(key)} | {times} |"
    if missing:
        yield ""
        yield from (f"Left out: {name}: {why}" for name, why in missing.items())


def agree(mine: Sequence[str | None], theirs: Sequence[str | None]) -> float:
    """Share of documents that both keep or both drop."""
    return sum((a is None) == (b is None) for a, b in zip(mine, theirs, strict=True)) / max(len(mine), 1)


def fixed(stage: Limits, columns: Columns, rows: pa.RecordBatch):  # type: ignore[no-untyped-def]
    """The verdict of a family on columns that were counted elsewhere."""
    family = type(stage)
    given = type(family.__name__, (family,), {"counted": lambda self, texts, langs: columns, "word": family.word})
    return given.model_validate(stage.model_dump()).judge(rows)


def located(texts: Sequence[str], words: Sequence[Sequence[str]]) -> list[list[tuple[int, int]]]:
    """Where the words of the other side stand in the texts; one that is not found as it is, is left out.

    Korean morphemes may share a syllable, so a word that would leave a gap may begin where the one before it did.
    """
    places = []
    for text, listed in zip(texts, words, strict=True):
        before, at = 0, 0
        found: list[tuple[int, int]] = []
        for word in listed:
            start = text.find(word, at)
            if start < 0 or text[at:start].strip():
                shared = text.find(word, before, at + len(word))
                start = start if shared < 0 else shared
            if start >= 0:
                before, at = start, start + len(word)
                found.append((before, at))
        places.append(found)
    return places


if __name__ == "__main__":
    main()
