"""Drop pages by their address: blocked domains, blocked pages, and words that give a site away.

The rules are RefinedWeb's (Penedo et al. 2023, appendix G.1): a strict entry anywhere in the URL, a hard word as a
whole word, or two soft words. Its list had 4.6 million domains: see `backends.blocklists`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Self
from urllib.parse import unquote

import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.backends.blocklists import Hashes, Kind, first_listed, hashes_of, page_of, table
from pipeline.backends.domains import lineage, split_url
from pipeline.backends.lists import entries, find_list
from pipeline.core.asset import Asset, current
from pipeline.core.stage import Local
from pipeline.core.verdict import Reason, Verdict

_FILES = ("domains", "urls", "strict", "hard", "soft")
_BETWEEN = re.compile(r"[\W_]+")


class Urls(Local):
    """Drops documents whose URL is on a list; documents without a URL pass.

    A domain blocks itself and every host below it, in any spelling of an international name. A URL is compared without
    scheme, user, port, fragment and trailing slash. The ledger's `detail` is the entry that was met.
    """

    reads: ClassVar[tuple[str, ...]] = ("url",)
    reasons: ClassVar[tuple[str, ...]] = ("blocked_domain", "blocked_url", "blocked_word_in_url")
    example: ClassVar[Mapping[str, Any]] = {"block": ["example.org"]}

    block: tuple[str, ...] = Field((), description="domains that are blocked, written here")
    domains: tuple[str, ...] = Field((), description="files with domains, one a line, plain or gzip")
    urls: tuple[str, ...] = Field((), description="files with URLs of single pages")
    strict: tuple[str, ...] = Field((), description="files with entries that block anywhere in a URL, marks ignored")
    hard: tuple[str, ...] = Field((), description="files with words of which one blocks")
    soft: tuple[str, ...] = Field((), description="files with words of which `soft_words` block")
    soft_words: int = Field(2, ge=1, description="distinct soft words that block")
    sha256: dict[str, str] = Field({}, description="digests that the files must have, by path")

    @model_validator(mode="after")
    def _blocks_something(self) -> Self:
        named = [path for field in _FILES for path in getattr(self, field)]
        if not named and not self.block:
            raise ValueError(f"give at least one of block, {', '.join(_FILES)}")
        if unknown := sorted(set(self.sha256) - set(named)):
            raise ValueError(f"sha256: {unknown[0]!r} is none of the files that are named here")
        return self

    def assets(self) -> tuple[Asset, ...]:
        """All files that are named, by content."""
        return tuple(asset for field in _FILES for asset in self._assets(field))

    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """Look up domains, then pages, then words."""
        urls = batch.column("url").to_pylist()
        split = [split_url(url) if url else None for url in urls]
        names = [_blockable(parts[0]) if parts else () for parts in split]
        domain = first_listed(names, [hashes_of(self.block), *self._tables("domains")])
        page = first_listed([(page_of(parts),) if parts else () for parts in split], self._tables("urls"))
        reasons: list[Reason | None] = []
        for url, blocked, listed in zip(urls, domain, page, strict=True):
            if blocked is not None:
                reasons.append(Reason("blocked_domain", detail=blocked))
            elif listed is not None:
                reasons.append(Reason("blocked_url", detail=listed))
            else:
                reasons.append(self._by_words(url) if url else None)
        return Verdict.of(reasons)

    def _by_words(self, url: str) -> Reason | None:
        if not (self.strict or self.hard or self.soft):
            return None
        found = _BETWEEN.split(unquote(url).lower())
        if self.strict and (met := _anywhere(self._assets("strict")).search("".join(found))):
            return Reason("blocked_word_in_url", 1, 1, detail=met[0])
        if hard := sorted(_words(self._assets("hard")).intersection(found)):
            return Reason("blocked_word_in_url", 1, 1, detail=hard[0])
        soft = sorted(_words(self._assets("soft")).intersection(found))
        if len(soft) >= self.soft_words:
            return Reason("blocked_word_in_url", len(soft), self.soft_words, detail=" ".join(soft))
        return None

    def _assets(self, field: str) -> tuple[Asset, ...]:
        return tuple(find_list(path, self.sha256.get(path)) for path in getattr(self, field))

    def _tables(self, kind: Kind) -> list[Hashes]:
        return [table(asset, kind, current().cache) for asset in self._assets(kind)]


def _blockable(host: str) -> tuple[str, ...]:
    return lineage(host) if host else ()


@cache
def _words(assets: tuple[Asset, ...]) -> frozenset[str]:
    return frozenset(entry.lower() for asset in assets for entry in entries(asset.path))


@cache
def _anywhere(assets: tuple[Asset, ...]) -> re.Pattern[str]:
    """A pattern of all entries, without the marks in them; the longest of those that begin at one place."""
    bare = {_BETWEEN.sub("", entry) for entry in _words(assets)} - {""}
    return re.compile("|".join(map(re.escape, sorted(bare, key=lambda entry: (-len(entry), entry)))) or r"(?!)")
