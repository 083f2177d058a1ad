"""The source `packages`: documents inside installed Python distributions. Their files are read, never their code."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import Distribution as InstalledDistribution
from itertools import groupby
from typing import Annotated, Any, ClassVar, Self

import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.core.asset import sha256_file
from pipeline.core.errors import SourceError
from pipeline.core.schema import DOCUMENT, RAW, UNREADABLE
from pipeline.core.stage import Part, Slice, Source
from pipeline.sources.expand import Damaged
from pipeline.sources.installed import declared_license, installed, label, listed, located_file
from pipeline.sources.listing import grouped
from pipeline.sources.members import member_sizes, read_members
from pipeline.sources.pieces import Pieces, pieces
from pipeline.sources.records import Origin, Row, batches

_LICENSE_FILES = ("*.dist-info/licenses/**", "*.dist-info/LICEN[CS]E*", "*.dist-info/COPYING*")
_CHANGED = "changed since it was planned: plan again"

_NAMES = {
    **{"bengali": "bn", "chinese": "zh", "dutch": "nl", "english": "en", "french": "fr", "german": "de"},
    **{"hebrew": "he", "hindi": "hi", "indonesian": "id", "italian": "it", "japanese": "ja", "korean": "ko"},
    **{"marathi": "mr", "oriya": "or", "persian": "fa", "portuguese": "pt", "russian": "ru", "spanish": "es"},
    **{"swedish": "sv", "tamil": "ta", "telugu": "te", "thai": "th", "traditionalchinese": "zh", "turkish": "tr"},
    **{"ukrainian": "uk", "urdu": "ur", "yoruba": "yo", "arabic": "ar", "polish": "pl", "vietnamese": "vi"},
}


_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Distribution(Pieces):
    """Files of one or several distributions that are read in the same way."""

    distribution: _Name | tuple[_Name, ...] = Field(description="name of an installed distribution, or a list of names")
    files: tuple[str, ...] = Field((), description="globs inside the distribution, or inside `archive`")
    archive: str | None = Field(None, description="a ZIP file in the distribution whose members are meant")
    license: str | None = Field(None, description="licence, where the distribution declares none or a wrong one")
    language: str | None = Field(None, description="ISO code, or a regular expression on the path with one group")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        named = self.format not in ("description", "license_files")
        if named != bool(self.files):
            raise ValueError(f"format {self.format} {'needs' if named else 'takes no'} `files`")
        if self.archive and not named:
            raise ValueError(f"format {self.format} takes no `archive`")
        if (self.format == "match") != (self.match is not None):
            raise ValueError("`match` and `format: match` belong together")
        for name, pattern in (("match", self.match), ("language", self.language)):
            if pattern and (name == "match" or "(" in pattern):
                _one_group(name, pattern)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The distributions."""
        return (self.distribution,) if isinstance(self.distribution, str) else self.distribution

    def hint(self, path: str) -> str | None:
        """The language that the recipe, or the path, says."""
        if self.language is None or "(" not in self.language:
            return self.language
        found = re.search(self.language, path)
        return _NAMES.get(found[1].lower(), found[1]) if found else None


class Packages(Source):
    """Manuals, message catalogues and other texts that installed distributions bring along: a corpus without a network.

    Nothing is imported, executed or unpickled, and nothing unpacked to the disk. The licence is the one that a
    distribution declares, which no one has verified. `file` is `name==version/path`, `offset` the number of the piece
    in that file; `lang` is a hint of the path. A file that cannot be parsed becomes a document with `unreadable` set.
    """

    version: ClassVar[int] = 2
    example: ClassVar[Mapping[str, Any]] = {
        "name": "descriptions",
        "distributions": [{"distribution": "pydantic", "format": "description"}],
    }

    distributions: tuple[Distribution, ...] = Field(min_length=1, description="what is read, in this order")
    max_bytes: int = Field(32 << 20, ge=1, description="longest file or member of an archive; in bytes")
    part_bytes: int = Field(3 << 20, ge=1, description="bytes of files that become one shard")

    def columns_written(self) -> Mapping[str, pa.DataType]:
        """Text, HTML, or both; `lang` where there are hints."""
        formats = {entry.format for entry in self.distributions}
        absent = {"text"} if formats == {"html"} else set()
        absent |= set() if "html" in formats else set(RAW)
        absent |= set() if any(entry.language for entry in self.distributions) else {"lang"}
        written = {**DOCUMENT, **RAW, **UNREADABLE}
        return {name: dtype for name, dtype in written.items() if name not in absent}

    def parts(self) -> list[Part]:
        """The files of each entry sorted by path, neighbours joined up to `part_bytes`."""
        found: dict[tuple[str, int], int] = {}
        slices: list[Slice] = []
        for number, entry in enumerate(self.distributions):
            for name in entry.names:
                for piece in _slices(entry, number, installed(name), self.part_bytes):
                    if (first := found.setdefault((piece.name, piece.start), number)) != number:
                        raise SourceError(
                            piece.name, f"matched by distributions[{first}] and [{number}]: change `files`"
                        )
                    slices.append(piece)
        return grouped(slices, self.part_bytes)

    def read(self, part: Part) -> Iterator[pa.RecordBatch]:
        """The documents of one part, file by file."""
        return batches(self._rows(part))

    def _rows(self, part: Part) -> Iterator[Row]:
        for uri, together in groupby(part.slices, key=lambda piece: piece.uri):
            number, _, name = uri.partition(":")
            entry, distribution = self.distributions[int(number)], installed(name)
            licence = entry.license or declared_license(distribution.metadata) or self.license
            for piece in together:
                for file, content in _files(entry, distribution, piece, self.max_bytes):
                    yield from _documents(entry, content, Origin(self.name, licence, self.terms, file))


def _documents(entry: Distribution, content: bytes | Damaged, origin: Origin) -> Iterator[Row]:
    number = 0
    try:
        if isinstance(content, Damaged):
            raise content
        for columns in pieces(content, entry):
            hint = entry.hint(origin.file)
            yield origin.document(number, url=f"pypi:{origin.file}#{number}", lang=hint, **columns)
            number += 1
    except Damaged as error:
        yield origin.unreadable(number, str(error))


def _slices(entry: Distribution, number: int, distribution: InstalledDistribution, part_bytes: int) -> Iterator[Slice]:
    """The files that an entry means; of an archive, runs of its members."""
    prefix, uri = label(distribution), f"{number}:{distribution.metadata['Name']}"
    for path in _paths(entry, distribution):
        located = located_file(distribution, path)
        name, digest = f"{prefix}/{path}", hashlib.sha256(located.read_bytes()).hexdigest()
        if entry.archive is None:
            yield Slice(uri, name, digest, located.stat().st_size)
            continue
        sizes = member_sizes(located, name)
        chosen = [sizes[member] for member in _chosen(entry.files, sorted(sizes), name)]
        for start, stop, size in _runs(chosen, part_bytes):
            yield Slice(uri, name, digest, size, start, stop)


def _files(
    entry: Distribution, distribution: InstalledDistribution, piece: Slice, max_bytes: int
) -> Iterator[tuple[str, bytes | Damaged]]:
    """The names and contents of the files, or members of an archive, in a slice; or why one cannot be had."""
    located = located_file(distribution, piece.name.partition("/")[2])
    if entry.archive is None:
        if located.stat().st_size > max_bytes:
            yield piece.name, Damaged(f"file over max_bytes of {max_bytes}")
            return
        content = located.read_bytes()
        if hashlib.sha256(content).hexdigest() != piece.digest:
            raise SourceError(piece.name, _CHANGED)
        yield piece.name, content
        return
    if sha256_file(located) != piece.digest:
        raise SourceError(piece.name, _CHANGED)
    chosen = _chosen(entry.files, sorted(member_sizes(located, piece.name)), piece.name)[piece.start : piece.stop]
    for member, found in read_members(located, chosen, max_bytes):
        yield f"{piece.name}!{member}", found


def _paths(entry: Distribution, distribution: InstalledDistribution) -> list[str]:
    """The paths that an entry means, inside the folder that distributions are installed in."""
    prefix, there = label(distribution), listed(distribution)
    if entry.format == "description":
        return _chosen(("*.dist-info/METADATA",), there, prefix)
    if entry.format == "license_files":
        found = [path for path in there if any(_pattern(glob).fullmatch(path) for glob in _LICENSE_FILES)]
        return found or _chosen(_LICENSE_FILES, there, prefix)
    return _chosen((entry.archive,) if entry.archive else entry.files, there, prefix)


def _chosen(globs: Sequence[str], there: Sequence[str], where: str) -> list[str]:
    """The paths that match a glob, in the order given; SourceError for a glob that matches none."""
    found: set[str] = set()
    for glob in globs:
        hits = [path for path in there if _pattern(glob).fullmatch(path)]
        if not hits:
            near = difflib.get_close_matches(glob, there, n=3, cutoff=0.3)
            hint = f"; nearest there: {', '.join(near)}" if near else "" if there else "; there is no file at all"
            raise SourceError(where, f"no file matches {glob!r}{hint}")
        found.update(hits)
    return [path for path in there if path in found]


def _runs(sizes: Sequence[int], limit: int) -> Iterator[tuple[int, int, int]]:
    """Neighbours joined up to the limit: start, stop and total size."""
    start, held = 0, 0
    for at, size in enumerate(sizes):
        if at > start and held + size > limit:
            yield start, at, held
            start, held = at, 0
        held += size
    yield start, len(sizes), held


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    """A glob as a regular expression: `*` and `?` stay within a folder, `**` does not."""
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.", glob)
    return re.compile("".join(signs.get(one) or (one if len(one) > 1 else re.escape(one)) for one in tokens))


def _one_group(name: str, pattern: str) -> None:
    try:
        n_groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{name}: not a regular expression ({error})") from None
    if n_groups != 1:
        raise ValueError(f"{name}: needs one group, as in 'locale/([^/]+)/', and has {n_groups}")
