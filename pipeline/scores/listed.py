"""How much of a document stands on lists: unwanted words in its text, categories of its domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar, Self

import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.backends.blocklists import first_listed, table
from pipeline.backends.domains import lineage, split_url
from pipeline.backends.lists import entries, find_list
from pipeline.core.asset import Asset, current
from pipeline.core.stage import Score
from pipeline.core.text import folded, is_unspaced, words


class Listed(Score):
    """Writes RedPajama-v2's two signals that need lists: `rps_doc_ldnoobw_words` and `rps_doc_ut1_blacklist`.

    The first is the number of occurrences of entries of the list of the document's language, as whole words (Chinese,
    Japanese and Thai ones anywhere), null where no list is given for it; the second the categories whose domains hold
    the document's, null where it has no URL or no list is given. LDNOOBW's and UT1's lists are what RedPajama used.
    """

    reads: ClassVar[tuple[str, ...]] = ("text",)
    optional: ClassVar[tuple[str, ...]] = ("lang", "url")
    writes: ClassVar[Mapping[str, pa.DataType]] = {
        "rps_doc_ldnoobw_words": pa.int64(),
        "rps_doc_ut1_blacklist": pa.list_(pa.string()),
    }

    words: dict[str, str] = Field({}, description="files with unwanted words and phrases, by language")
    domains: dict[str, str] = Field({}, description="files with domains, by category")
    sha256: dict[str, str] = Field({}, description="digests that the files must have, by path")

    @model_validator(mode="after")
    def _digests_are_of_these(self) -> Self:
        if unknown := sorted(set(self.sha256) - {*self.words.values(), *self.domains.values()}):
            raise ValueError(f"sha256: {unknown[0]!r} is none of the files that are named here")
        return self

    def assets(self) -> tuple[Asset, ...]:
        """All files that are named, by content."""
        return tuple(self._asset(path) for path in (*self.words.values(), *self.domains.values()))

    def score(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """Count words, then look domains up."""
        texts, langs, urls = (batch.column(name).to_pylist() for name in ("text", "lang", "url"))
        lists = {lang: _phrases(self._asset(path)) for lang, path in self.words.items()}
        counts = [
            _occurrences(text or "", lang, lists[lang]) if lang in lists else None
            for text, lang in zip(texts, langs, strict=True)
        ]
        return {
            "rps_doc_ldnoobw_words": pa.array(counts, pa.int64()),
            "rps_doc_ut1_blacklist": pa.array(self._categories(urls), pa.list_(pa.string())),
        }

    def _categories(self, urls: Sequence[str | None]) -> list[list[str] | None]:
        hosts = [split_url(url)[0] if url else "" for url in urls]
        names = [lineage(host) if host else () for host in hosts]
        met = {
            category: first_listed(names, [table(self._asset(path), "domains", current().cache)])
            for category, path in sorted(self.domains.items())
        }
        return [
            [category for category, found in met.items() if found[row] is not None] if self.domains and host else None
            for row, host in enumerate(hosts)
        ]

    def _asset(self, path: str) -> Asset:
        return find_list(path, self.sha256.get(path))


Phrases = tuple[Mapping[int, frozenset[tuple[str, ...]]], tuple[str, ...]]
"""Entries as sequences of words, by their number of words; and those of scripts without spaces, as they are."""


@cache
def _phrases(asset: Asset) -> Phrases:
    spaced: dict[int, set[tuple[str, ...]]] = {}
    unspaced: list[str] = []
    for entry in entries(asset.path):
        if is_unspaced(entry):
            unspaced.append(entry.lower())
        elif tokens := tuple(folded(word) for word in words(entry)):
            spaced.setdefault(len(tokens), set()).add(tokens)
    return {size: frozenset(found) for size, found in sorted(spaced.items())}, tuple(sorted(set(unspaced)))


def _occurrences(text: str, lang: str | None, phrases: Phrases) -> int:
    spaced, unspaced = phrases
    tokens = [folded(word) for word in words(text, lang)] if spaced else []
    whole = sum(
        tuple(tokens[at : at + size]) in listed
        for size, listed in spaced.items()
        for at in range(len(tokens) - size + 1)
    )
    lower = text.lower() if unspaced else ""
    return whole + sum(lower.count(entry) for entry in unspaced)
