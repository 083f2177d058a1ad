"""Who and what a corpus speaks of, in tables: scripts, years, topics, and terms for groups of people.

Descriptive, of a sample that does not depend on how the corpus is cut into shards. A count is no verdict: a word may
stand for a group, for something else, or be quoted; people are spoken of without any of these words, and the lists are
short. Which words stand near says how a group is written about here, not what is true or harmful.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from pipeline.core.chance import draws
from pipeline.core.errors import StoreError, UsageError
from pipeline.core.manifest import Record, read_manifest
from pipeline.core.shards import read_batches, write_text
from pipeline.core.text import folded, stop_words, words
from pipeline.report.grid import Grid, as_markdown
from pipeline.report.topics import topics

FILE = "measures.json"
SAMPLE, CHARACTERS = 4000, 5000
"""Documents that are read for topics and groups, and characters of each."""

LANGUAGES, LEAST, TOPICS = 3, 60, 10
"""Languages that have topics, the most frequent first; documents of the sample that it takes; topics of each."""

NEAR, LEAST_NEAR = 10, 5
"""Words on each side of a term that are its company, and how often one has to be there."""

LIMITS = (
    "topics: clusters of words in a sample, their number is chosen; a document is in exactly one",
    "groups: short lists of words in English and Chinese; a word may mean something else, and people are spoken of "
    "without any of them; pronouns are counted with women and men",
    "company: words that stand near a term more often than chance would have it; quoted and contradicted all the same",
    "years: of the documents that have a date, which is when they were fetched or published, as the source has it",
)

_SCRIPTS: Mapping[str, Sequence[tuple[int, int]]] = {
    "Latin": ((0x41, 0x24F), (0x1E00, 0x1EFF)),
    "Greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "Cyrillic": ((0x400, 0x52F),),
    "Armenian": ((0x530, 0x58F),),
    "Hebrew": ((0x590, 0x5FF),),
    "Arabic": ((0x600, 0x6FF), (0x750, 0x77F), (0xFB50, 0xFDFF), (0xFE70, 0xFEFF)),
    "Devanagari": ((0x900, 0x97F),),
    "Bengali": ((0x980, 0x9FF),),
    "Other Indic": ((0xA00, 0xDFF),),
    "Thai and Lao": ((0xE00, 0xEFF),),
    "Tibetan, Burmese and Khmer": ((0xF00, 0x109F), (0x1780, 0x17FF)),
    "Georgian": ((0x10A0, 0x10FF),),
    "Ethiopic": ((0x1200, 0x139F),),
    "Hangul": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7AF)),
    "Kana": ((0x3041, 0x30FF),),
    "Han": ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)),
}


class Measure(Record):
    """One table and what it shows."""

    title: str
    grid: Grid


class Measures(Record):
    """All tables about the corpus with this manifest digest; `sampled` documents were read for topics and groups."""

    corpus: str
    documents: int
    sampled: int
    tables: tuple[Measure, ...]
    limits: tuple[str, ...] = LIMITS


def measure(corpus: Path, terms: Mapping[str, Mapping[str, Sequence[str]]] | None = None) -> Measures:
    """Measure a built corpus and write `measures.json` into it; `terms`: by language and group, in place of ours."""
    manifest = read_manifest(corpus)
    scripts, years, documents = Counter[str](), Counter[str](), 0
    sample: list[tuple[float, str, str, str]] = []
    for file in manifest.documents:
        for batch in read_batches(corpus / file.path):
            documents += batch.num_rows
            texts = [text or "" for text in batch.column("text").to_pylist()]
            scripts.update(_scripts("".join(texts)))
            years.update(date[:4] for date in batch.column("date").to_pylist() if date)
            ids = batch.column("id").to_pylist()
            langs = [lang or "und" for lang in batch.column("lang").to_pylist()]
            read = zip(
                draws(ids, 0, "measures").tolist(), ids, langs, (text[:CHARACTERS] for text in texts), strict=True
            )
            sample = sorted([*sample, *read])[:SAMPLE]
    by_lang: dict[str, list[list[str]]] = defaultdict(list)
    for _, _, lang, text in sample:
        by_lang[lang].append([folded(word) for word in words(text, lang)])
    tables = [
        *_counted("Scripts, by letters", "Script", scripts),
        *_counted("Years, by documents", "Year", years),
        *_topic_tables(by_lang),
        *_group_tables(by_lang, terms or _terms()),
    ]
    found = Measures(corpus=manifest.digest, documents=documents, sampled=len(sample), tables=tuple(tables))
    write_text(corpus / FILE, found.to_json())
    return found


def read_measures(folder: Path) -> Measures | None:
    """What was measured of a corpus; None where nothing was. StoreError where it cannot be read."""
    path = folder / FILE
    try:
        return Measures.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise StoreError(
            f"{path}: damaged or of another version ({error}); `gristmill measures` writes it again"
        ) from error


def read_terms(path: Path) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Terms for groups by language, from JSON; StoreError says what it should be."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {
            lang: {name: [str(word) for word in listed] for name, listed in groups.items()}
            for lang, groups in told.items()
        }
    except OSError as error:
        raise UsageError(f"--groups {path}: cannot be read: {error.strerror}") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise StoreError(
            f'{path}: should be JSON such as {{"en": {{"nurses": ["nurse", "nurses"]}}}} ({error})'
        ) from None


def as_text(found: Measures) -> str:
    """All tables in Markdown."""
    blocks = [f"{table.title}\n\n{as_markdown(table.grid)}" for table in found.tables]
    return "\n\n".join([*blocks, "\n".join(f"- {limit}" for limit in found.limits)])


def _scripts(text: str) -> dict[str, int]:
    """Letters by script."""
    told = np.bincount(
        _script_of()[np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)], minlength=len(_SCRIPTS) + 2
    )
    names = ["", *_SCRIPTS, "Others"]
    return {name: int(n) for name, n in zip(names[1:], told[1:], strict=True) if n}


@cache
def _script_of() -> np.ndarray:
    """The number of the script of each code point; 0 for what is no letter."""
    table = np.zeros(0x110000, np.uint8)
    letters = np.fromiter((chr(point).isalpha() for point in range(0x110000)), bool, 0x110000)
    table[letters] = len(_SCRIPTS) + 1
    for number, ranges in enumerate(_SCRIPTS.values(), 1):
        for first, last in ranges:
            table[first : last + 1] = np.where(letters[first : last + 1], number, 0)
    return table


def _counted(title: str, name: str, counts: Mapping[str, int]) -> Iterator[Measure]:
    total = sum(counts.values())
    rows = tuple((key, n, n / total) for key, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    if rows:
        head: Any = ((name, "name"), ("Count", "count"), ("Share", "share"))
        yield Measure(title=title, grid=Grid(columns=head, rows=rows, rest="added"))


def _topic_tables(by_lang: Mapping[str, list[list[str]]]) -> Iterator[Measure]:
    ordered = sorted(by_lang.items(), key=lambda item: (-len(item[1]), item[0]))[:LANGUAGES]
    for lang, documents in ordered:
        if len(documents) < LEAST:
            continue
        telling = [[word for word in document if _tells(word, lang)] for document in documents]
        found = topics(telling, TOPICS)
        rows = tuple((", ".join(topic.words), topic.documents, topic.documents / len(documents)) for topic in found)
        if rows:
            head: Any = (("Words that set it apart", "text"), ("Documents", "count"), ("Share", "share"))
            title = f"Topics of {len(documents):,} documents in `{lang}`"
            yield Measure(title=title, grid=Grid(columns=head, rows=rows))


def _tells(word: str, lang: str) -> bool:
    return len(word) > 1 and not any(map(str.isdigit, word)) and word not in stop_words(lang)


def _group_tables(
    by_lang: Mapping[str, list[list[str]]], terms: Mapping[str, Mapping[str, Sequence[str]]]
) -> Iterator[Measure]:
    for lang, groups in sorted(terms.items()):
        documents = by_lang.get(lang, [])
        group_of = {folded(word): name for name, listed in groups.items() for word in listed}
        met, held, near = Counter[str](), Counter[str](), defaultdict[str, Counter[str]](Counter)
        everywhere = Counter(word for document in documents for word in document)
        for document in documents:
            places = [(at, group_of[word]) for at, word in enumerate(document) if word in group_of]
            met.update(group for _, group in places)
            held.update({group for _, group in places})
            for at, group in places:
                company = document[max(0, at - NEAR) : at] + document[at + 1 : at + 1 + NEAR]
                near[group].update(word for word in company if _tells(word, lang) and word not in group_of)
        rows = tuple(
            (group, n, held[group], ", ".join(_company(near[group], everywhere)))
            for group, n in sorted(met.items(), key=lambda item: (-item[1], item[0]))
        )
        if rows:
            head: Any = (("Group", "text"), ("Terms met", "count"), ("Documents", "count"), ("Words near them", "text"))
            title = f"Terms for groups in {len(documents):,} documents in `{lang}`"
            yield Measure(title=title, grid=Grid(columns=head, rows=rows))


def _company(near: Counter[str], everywhere: Counter[str], most: int = 8) -> list[str]:
    """Words that are near more often than elsewhere, by the logarithm of the ratio times the root of the count."""
    total_near, total = sum(near.values()), sum(everywhere.values())
    scores = {
        word: log2(n * total / (total_near * everywhere[word])) * n**0.5 for word, n in near.items() if n >= LEAST_NEAR
    }
    ordered = sorted((word for word, score in scores.items() if score > 0), key=lambda word: (-scores[word], word))
    return ordered[:most]


@cache
def _terms() -> Mapping[str, Mapping[str, Sequence[str]]]:
    listed = files("pipeline.report").joinpath("groups.json").read_text(encoding="utf-8")
    told: Mapping[str, Mapping[str, Sequence[str]]] = json.loads(listed)
    return told
