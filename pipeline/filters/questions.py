"""Which questions of which benchmarks stand in a text: an index of their runs of words, and what it takes.

Short runs of words of a question are looked up in a text. They are evidence where enough of them meet in one place:
either a long run without a gap (13 words, as of GPT-3; Brown et al. 2020, appendix C), or short ones that together
cover a share of the question, within twice its length (after `decon`; AllenAI 2025). So a word that was changed costs
the runs over it, and not the whole match. Runs that many questions share are no evidence for any of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.backends.benchmarks import Item
from pipeline.kernels.grams import CHARACTER, WORD, Grams, grams, spelled, table_of


class Evidence(NamedTuple):
    """What it takes, in words; a character of a script that is compared by characters is half a word."""

    gram: int
    run: int
    share: float
    least: int
    max_questions: int


class Part(NamedTuple):
    """A question, or an answer; `units` is its length, `seen` whether there is enough of it to be looked for."""

    benchmark: int
    item: int
    kind: str
    units: int
    seen: bool


class Match(NamedTuple):
    """A part that stands in a text: units covered of it, the longest run, and the units of the text that it spans."""

    row: int
    part: int
    covered: int
    run: int
    first: int
    last: int


class Index:
    """The grams of the parts that are long enough, without those that too many questions of a benchmark share."""

    def __init__(self, benchmarks: Sequence[Sequence[Item]], evidence: Evidence) -> None:
        self.evidence = evidence
        self.texts: list[str] = []
        told: list[tuple[int, int, str]] = []
        for number, listed in enumerate(benchmarks):
            for place, item in enumerate(listed):
                for kind in ("question", "answer"):
                    self.texts.append(getattr(item, kind))
                    told.append((number, place, kind))
        words, _ = grams(pa.array(self.texts, pa.large_string()), 1)
        met, lengths = grams(pa.array(self.texts, pa.large_string()), WORD * evidence.gram)
        self.parts = [
            Part(*said, int(length), bool(seen))
            for said, length, seen in zip(told, lengths, self._seen(words, lengths), strict=True)
        ]
        usable = np.array([part.seen for part in self.parts], bool)[met.row] & _tell(words, met)
        shared = self._shared(met)
        self.n_shared = len(np.unique(met.hash[usable & shared]))
        kept = np.flatnonzero(usable & ~shared)
        kept = kept[np.argsort(met.hash[kept], kind="stable")]
        self._met = Grams(*(column[kept] for column in met))
        self.hashes, starts = np.unique(self._met.hash, return_index=True)
        self.starts = np.append(starts, len(kept))
        self.table = table_of(self.hashes)

    def _seen(self, words: Grams, lengths: np.ndarray) -> np.ndarray:
        """Which parts have `least` words, and three quarters as many different ones that tell: not `(A) 1 (B) 2`."""
        rows, first = np.unique(np.rec.fromarrays([words.row, words.hash], names="row,hash"), return_index=True)
        different = np.zeros(len(lengths), np.int64)
        np.add.at(different, rows["row"], _telling(words)[first])
        least = WORD * self.evidence.least
        seen: np.ndarray = (lengths >= least) & (different >= least * 3 // 4)
        return seen

    def _shared(self, met: Grams) -> np.ndarray:
        """Whether more than `max_questions` questions of one benchmark have this gram."""
        item = np.array([(part.benchmark << 40) + part.item for part in self.parts], np.int64)[met.row]
        once = np.unique(np.rec.fromarrays([met.hash, item >> 40, item], names="hash,benchmark,item"))
        pairs, counts = np.unique(once[["hash", "benchmark"]], return_counts=True)
        many = np.unique(pairs["hash"][counts > self.evidence.max_questions])
        shared: np.ndarray = np.isin(met.hash, many)
        return shared

    def look(self, texts: pa.LargeStringArray) -> Grams:
        """The grams of the index that stand in these texts, compared word by word with the question's."""
        met, _ = grams(texts, WORD * self.evidence.gram, self.table)
        encoded = {row: texts[row].as_buffer().to_pybytes() for row in np.unique(met.row).tolist()}
        at = self.starts[np.searchsorted(self.hashes, met.hash)]
        same = np.ones(len(at), bool)
        for number, (row, start, stop, place) in enumerate(zip(met.row, met.start, met.stop, at, strict=True)):
            own = self.texts[self._met.row[place]].encode()[self._met.start[place] : self._met.stop[place]]
            same[number] = _spelled(encoded[int(row)][start:stop]) == _spelled(own)
        return Grams(*(column[same] for column in met))

    def matches(self, met: Grams, ignored: np.ndarray) -> list[Match]:
        """The parts that stand in the texts by these grams, `ignored` ones aside, by text and place."""
        usable = ~np.isin(met.hash, ignored)
        row, first, last = met.row[usable], met.first[usable], met.last[usable]
        number = np.searchsorted(self.hashes, met.hash[usable])
        counts = self.starts[number + 1] - self.starts[number]
        hit = np.repeat(np.arange(len(number)), counts)
        place = np.arange(len(hit)) - np.repeat(np.cumsum(counts) - counts, counts) + self.starts[number][hit]
        row, first, last, part = row[hit], first[hit], last[hit], self._met.row[place]
        order = np.lexsort((first, part, row))
        table = np.column_stack([row, part, first, last, self._met.first[place], self._met.last[place]])[order]
        changes = np.flatnonzero((table[1:, :2] != table[:-1, :2]).any(axis=1)) + 1
        found = [match for group in np.split(table, changes) for match in self._in_group(group)]
        return sorted(found, key=lambda match: (match.row, match.first, match.part))

    def _in_group(self, group: np.ndarray) -> Iterator[Match]:
        """The places in one text where one part stands; each begins behind the one before."""
        if len(group) == 0:
            return
        row, number = int(group[0, 0]), int(group[0, 1])
        part, evidence = self.parts[number], self.evidence
        needed = max(WORD * evidence.least, evidence.share * part.units)
        longest = WORD * evidence.run
        if len(group) * WORD + WORD * evidence.gram < min(needed, longest):
            return
        behind = -1
        for start in range(len(group)):
            if group[start, 2] < behind:
                continue
            near = group[start : start + np.searchsorted(group[start:, 3], group[start, 2] + 2 * part.units, "right")]
            run, covered = _longest(near), _union(near[:, 4], near[:, 5], part.units)
            if run >= longest or covered >= needed:
                behind = int(near[:, 3].max())
                yield Match(row, number, covered, run, int(near[0, 2]), behind)


def _telling(words: Grams) -> np.ndarray:
    """Units of each word, 0 for a single letter or digit: in code and formulas these stand everywhere."""
    units = words.last - words.first
    told: np.ndarray = np.where((units == CHARACTER) | (words.stop - words.start > 1), units, 0)
    return told


def _tell(words: Grams, met: Grams) -> np.ndarray:
    """Which grams are made at least half of words that tell."""
    before = np.append(0, np.cumsum(_telling(words)))
    place = (words.row << 32) + words.first
    told = before[np.searchsorted(place, (met.row << 32) + met.last)]
    told -= before[np.searchsorted(place, (met.row << 32) + met.first)]
    tell: np.ndarray = 2 * told >= met.last - met.first
    return tell


def _union(first: np.ndarray, last: np.ndarray, units: int) -> int:
    """Units of the part that are covered."""
    change = np.zeros(units + 1, np.int64)
    np.add.at(change, first, 1)
    np.add.at(change, last, -1)
    return int((np.cumsum(change)[:units] > 0).sum())


def _longest(near: np.ndarray) -> int:
    """Units of the longest run that text and part have in common: grams that follow each other in both."""
    ends: dict[int, tuple[int, int]] = defaultdict(lambda: (-1, -1))
    best = 0
    for first, last, at, _ in near[:, 2:].tolist():
        start, end = ends[first - at]
        start = start if 0 <= first <= end else first
        ends[first - at] = (start, last)
        best = max(best, last - start)
    return best


@lru_cache(maxsize=1 << 14)
def _spelled(encoded: bytes) -> list[tuple[str, int]]:
    return spelled(encoded.decode())
