"""Listed words out of text: documents that hold them dropped, or the lines or sentences that do cut out.

A list is a file that the user names; none is part of this package. Words are compared without case, marks and accents,
whole (no part of a longer word), and Chinese, Japanese, Korean and Thai by characters, where no boundary shows what is
whole. Word lists take out dialect, medicine and what people say of themselves along with abuse: look at the ledger
before trusting one. The ledger says how many words of which list were met, never which.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.backends.lists import entries, find_installed, find_list
from pipeline.core.asset import Asset
from pipeline.core.manifest import Trial
from pipeline.core.stage import Count, Local
from pipeline.core.verdict import Reason, Verdict
from pipeline.kernels.grams import CHARACTER, grams, spelled, table_of
from pipeline.kernels.units import unit_ends

PLANTED = 50
"""Words of each list that are planted."""


_LDNOOBW = (
    "ar", "cs", "da", "de", "en", "eo", "es", "fa", "fi", "fil", "fr", "hi", "hu", "it", "ja", "kab", "ko", "nl", "no",
    "pl", "pt", "ru", "sv", "th", "tlh", "tr", "zh",
)  # fmt: skip
"""Languages of the List of Dirty, Naughty, Obscene and Otherwise Bad Words (CC-BY-4.0) in naughty-words 1.2.0."""


class WordList(BaseModel):
    """Words of one kind: written here, or files with an entry a line or a JSON list of them, plain or gzip."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: str = Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9_-]*$", description="name in ledger and card")
    paths: tuple[str, ...] = Field((), description="files with words or phrases")
    installed: tuple[str, ...] = Field(
        (), description="files in installed distributions, as better-profanity:better_profanity/profanity_wordlist.txt"
    )
    preset: Literal["ldnoobw", "better-profanity"] | None = Field(
        None,
        description="ldnoobw: the npm package naughty-words, below node_modules, each language's list in documents of "
        "that language; better-profanity: the English list of that Python distribution",
    )
    words: tuple[str, ...] = Field((), description="words or phrases, written here")
    langs: tuple[str, ...] = Field((), description="languages of the documents that they count in; empty: all")

    @model_validator(mode="after")
    def _has_words(self) -> Self:
        if not (self.paths or self.installed or self.words or self.preset):
            raise ValueError("give at least one of preset, paths, installed and words")
        if self.preset == "ldnoobw" and (strange := sorted(set(self.langs) - set(_LDNOOBW))):
            raise ValueError(f"ldnoobw has no list for {', '.join(strange)}; it has {', '.join(_LDNOOBW)}")
        return self

    def spelt_out(self) -> tuple[WordList, ...]:
        """The list, and those that its preset stands for."""
        lists = [self.model_copy(update={"preset": None})] if self.paths or self.installed or self.words else []
        if self.preset == "better-profanity":
            path = "better-profanity:better_profanity/profanity_wordlist.txt"
            lists.append(WordList(kind=self.kind, installed=(path,), langs=self.langs or ("en",)))
        for lang in (self.langs or _LDNOOBW) if self.preset == "ldnoobw" else ():
            lists.append(WordList(kind=self.kind, paths=(f"node_modules/naughty-words/{lang}.json",), langs=(lang,)))
        return tuple(lists)

    def assets(self) -> tuple[Asset, ...]:
        """The files, by content."""
        return (*map(find_list, self.paths), *map(find_installed, self.installed))

    def entries(self) -> tuple[str, ...]:
        """All words, each once, sorted."""
        return _entries(self.assets(), self.words)


class Met(NamedTuple):
    """A word that was met: row, bytes, and the number of its list."""

    row: int
    start: int
    stop: int
    listed: int


class Harmful(Local):
    """Drops documents with more listed words than `most`, or cuts the lines or sentences out that hold any.

    Counts by kind and language, and recall and false alarms on planted words, come into manifest and card.
    """

    optional: ClassVar[tuple[str, ...]] = ("lang",)
    writes: ClassVar[Mapping[str, pa.DataType]] = {"text": pa.large_string()}
    reasons: ClassVar[tuple[str, ...]] = ("listed_words", "nothing_left")
    example: ClassVar[Mapping[str, Any]] = {"lists": [{"kind": "words", "words": ["buy now"]}]}

    lists: tuple[WordList, ...] = Field(min_length=1, description="what is looked for")
    level: Literal["document", "line", "sentence"] = Field("document", description="what is taken out")
    most: Count = Field(0, description="listed words of a document that stays; with level document only")
    min_left: Count = Field(1, description="characters that must be left of a document that was cut")

    def assets(self) -> tuple[Asset, ...]:
        """The files of all lists."""
        return tuple(asset for words in self.listed() for asset in words.assets())

    def listed(self) -> tuple[WordList, ...]:
        """All lists, presets spelt out."""
        return tuple(words for one in self.lists for words in one.spelt_out())

    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """Look the words up, and take out what holds them."""
        texts, langs = batch.column("text"), batch.column("lang").to_pylist()
        kinds = [words.kind for words in self.listed()]
        by_row: dict[int, list[Met]] = {}
        found: Counter[str] = Counter()
        for met in self.met(texts, langs):
            by_row.setdefault(met.row, []).append(met)
            found[f"{kinds[met.listed]}/{langs[met.row] or 'und'}"] += 1
        reasons: list[Reason | None] = [None] * batch.num_rows
        changed = texts.to_pylist() if by_row and self.level != "document" else []
        for row, words in by_row.items():
            counts = Counter(kinds[met.listed] for met in words)
            detail = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
            if self.level == "document":
                over = len(words) > self.most
                reasons[row] = Reason("listed_words", len(words), self.most, detail=detail) if over else None
                continue
            left = _cut(changed[row], words, self.level)
            if len(left) < self.min_left:
                reasons[row] = Reason("nothing_left", len(left), self.min_left, detail=detail)
            else:
                changed[row] = left
        column = pa.array(changed, pa.large_string()) if changed else texts
        return replace(Verdict.of(reasons, {"text": column}), found=found)

    def met(self, texts: pa.LargeStringArray, langs: list[str | None]) -> list[Met]:
        """Every listed word in every text, in the languages that its list is for."""
        found = []
        for number, words in enumerate(self.listed()):
            for units, table in _tables(words.entries()).items():
                met, _ = grams(texts, units, table)
                places = zip(met.row.tolist(), met.start.tolist(), met.stop.tolist(), strict=True)
                found += [Met(*place, number) for place in places if not words.langs or langs[place[0]] in words.langs]
        return sorted(found)

    def masked(self, batch: pa.RecordBatch) -> pa.LargeStringArray:
        """The texts with `<LISTED>` in place of every listed word."""
        texts = batch.column("text").to_pylist()
        encoded: dict[int, bytes] = {}
        for met in reversed(self.met(batch.column("text"), batch.column("lang").to_pylist())):
            had = encoded.get(met.row) or texts[met.row].encode()
            encoded[met.row] = had[: met.start] + b"<LISTED>" + had[met.stop :]
        masked = [encoded[row].decode() if row in encoded else text for row, text in enumerate(texts)]
        return pa.array(masked, pa.large_string())

    def trials(self) -> tuple[Trial, ...]:
        """Words of each list in sentences, in capitals and beside marks; and as parts of longer words."""
        results = []
        for number, listed in enumerate(self.listed()):
            words = listed.entries()
            chosen = words[:: max(1, len(words) // PLANTED)][:PLANTED]
            planted = [_AROUND[place % len(_AROUND)].format(word) for place, word in enumerate(chosen)]
            clean = [f"x{word}x" for word in chosen if all(units > CHARACTER for _, units in spelled(word))]
            lang = listed.langs[0] if listed.langs else None
            hits = {met.row for met in self._tried(planted, lang) if met.listed == number}
            alarms = {met.row for met in self._tried(clean, lang) if met.listed == number}
            trial = Trial(kind=listed.kind, lang=lang, planted=len(planted), found=len(hits))
            results.append(trial.model_copy(update={"clean": len(clean), "false_alarms": len(alarms)}))
        return tuple(results)

    def _tried(self, texts: list[str], lang: str | None) -> list[Met]:
        return self.met(pa.array(texts, pa.large_string()), [lang] * len(texts))


_AROUND = ("It was {} again, they said.", "“{}!”", "({}), и так далее", "他们说{}。", "...{}...")


@cache
def _entries(files: tuple[Asset, ...], written: tuple[str, ...]) -> tuple[str, ...]:
    """The entries that have a letter or digit."""
    found = set(written)
    for asset in files:
        lines = list(entries(asset.path))
        if lines and lines[0].startswith("["):
            lines = [word for word in json.loads(" ".join(lines)) if isinstance(word, str)]
        found.update(lines)
    return tuple(sorted(word for word in found if spelled(word)))


@cache
def _tables(words: tuple[str, ...]) -> Mapping[int, np.ndarray]:
    """Hashes of the entries, by their length in units."""
    by_units: dict[int, list[str]] = {}
    for word in words:
        by_units.setdefault(sum(units for _, units in spelled(word)), []).append(word)
    hashes = {units: grams(pa.array(same, pa.large_string()), units)[0].hash for units, same in by_units.items()}
    return {units: table_of(np.unique(met)) for units, met in sorted(hashes.items())}


def _cut(text: str, words: list[Met], level: str) -> str:
    """The text without the lines or sentences that hold one of these words."""
    ends = unit_ends(text, level)
    starts = [0, *ends[:-1]]
    encoded = text.encode()
    gone = {bisect_right(starts, len(encoded[: met.start].decode())) - 1 for met in words}
    return "".join(
        text[start:end] for at, (start, end) in enumerate(zip(starts, ends, strict=True)) if at not in gone
    ).strip()
