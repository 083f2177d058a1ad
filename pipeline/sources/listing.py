"""Where the files of a source are: paths, globs, addresses and lists of them, as one deterministic list of parts."""

from __future__ import annotations

import difflib
import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.core.asset import current
from pipeline.core.errors import SourceError
from pipeline.core.stage import Part, Slice, Source
from pipeline.sources.address import is_remote, is_web, redact
from pipeline.sources.attempts import Stated
from pipeline.sources.expand import chunks, compression
from pipeline.sources.fetch import AT_ONCE, digest_of, fetch, is_sha256, recorded, stat
from pipeline.sources.lines import decoded, split
from pipeline.sources.records import Origin, lone_surrogate
from pipeline.sources.transfer import matches

Parts = list[Part]
"""Said so because `Listed` has a field named `list`."""


class Listed(Source):
    """A source whose files are named by paths, globs or addresses, or in a list of such lines.

    Paths are relative to the recipe's folder and may not leave the roots. Globs (`*`, `?`, `[...]`, `**`) work for
    paths and for s3, gs and hf addresses. Files are taken in the order of their names; small neighbours share a part.
    """

    located: ClassVar[tuple[str, ...]] = ("paths", "list", "prefix", "first", "sample", "seed", "sha256")

    paths: tuple[str, ...] = Field((), description="paths, globs and http(s), s3, gs or hf addresses")
    list: str | None = Field(None, description="a file or address with one path a line, plain or compressed")
    prefix: str = Field("", description="put before every line of `list`")
    first: int | None = Field(None, ge=1, description="take the first lines of `list` only")
    sample: int | None = Field(None, ge=1, description="take as many lines of `list`, chosen by hash of seed and line")
    seed: int = Field(0, description="another seed, another sample")
    sha256: dict[str, str] = Field({}, description="expected sha256 by path or address, as written above")
    part_bytes: int = Field(16 << 20, ge=1, description="bytes of files, as stored, that become one shard")

    @model_validator(mode="after")
    def _consistent(self) -> Listed:
        if not self.paths and self.list is None:
            raise ValueError("name files in `paths`, or a file of paths in `list`")
        if self.first is not None and self.sample is not None:
            raise ValueError("`first` and `sample` exclude each other")
        for uri, digest in self.sha256.items():
            if not is_sha256(digest):
                raise ValueError(f"sha256 of {redact(uri)} must be 64 lower-case hex digits")
        return self

    def parts(self) -> Parts:
        """The files sorted by name, cut where large, neighbours joined up to `part_bytes`."""
        context = copy_context()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            wholes = list(threads.map(lambda uri: context.copy().run(self._whole, uri), self._uris()))
        pieces = [piece for whole in _distinct(wholes) for piece in self.cut(whole)]
        return grouped(pieces, self.part_bytes)

    def cut(self, whole: Slice) -> Iterable[Slice]:
        """The slices that a file may be read by; by default it is read whole."""
        return (whole,)

    @abstractmethod
    def read(self, part: Part) -> Iterator[pa.RecordBatch]:
        """The documents of one part, in file order."""

    def digests(self, part: Part) -> dict[str, str]:
        """sha256 by file name; of an address what the server stated, until it has been downloaded."""
        return {piece.name: _known_digest(piece) for piece in part.slices}

    def origin(self, piece: Slice) -> Origin:
        """What the documents of a slice have in common."""
        return Origin(self.name, self.license, self.terms, piece.name)

    def _whole(self, uri: str) -> Slice:
        sha256 = self.sha256.get(uri)
        if not is_remote(uri):
            path = fetch(uri, sha256)
            name = current().relative(path)
            if lone_surrogate(name):
                raise SourceError(ascii(name), "the name of this file is not UTF-8: rename it")
            return Slice(uri, name, digest_of(path), path.stat().st_size)
        stated = stat(uri)
        if sha256 is None and not stated.tag:
            if not current().offline:
                fetch(uri, tag="")
            known = recorded(uri)
            assert known is not None
            return Slice(uri, redact(uri), known.sha256, known.bytes)
        return Slice(uri, redact(uri), sha256 or stated_digest(stated), stated.size or 0)

    def _uris(self) -> tuple[str, ...]:
        named = [*self.paths, *self._listed()]
        return tuple(dict.fromkeys(uri for name in named for uri in _expanded(name)))

    def _listed(self) -> tuple[str, ...]:
        if self.list is None:
            return ()
        path = fetch(self.list, self.sha256.get(self.list))
        with path.open("rb") as stream:
            kind = compression(stream.read(4))
            stream.seek(0)
            names = []
            for line in split(chunks(stream, kind, 1 << 30), 1 << 16):
                name = decoded(line.data)
                if line.problem or not isinstance(name, str):
                    raise SourceError(redact(self.list), line.problem or "a line is not UTF-8", offset=line.offset)
                names += [name.strip()] if name.strip() else []
        if self.sample is not None:
            names = sorted(sorted(names, key=self._draw)[: self.sample])
        return tuple(self.prefix + name for name in names[: self.first])

    def _draw(self, name: str) -> bytes:
        return hashlib.blake2b(f"{self.seed}\0{name}".encode(), digest_size=16).digest()


_TAGGED = "stated:"


def stated_digest(stated: Stated) -> str:
    """What stands for a file before its download, where that is not a sha256."""
    return stated.tag if is_sha256(stated.tag) else f"{_TAGGED}{stated.size}:{stated.tag}"


def opened(piece: Slice) -> Path:
    """The local file of a slice, downloaded if need be, with exactly the content that was planned."""
    if not is_remote(piece.uri):
        path = fetch(piece.uri)
        if digest_of(path) != piece.digest:
            raise SourceError(piece.name, "changed since it was planned: plan again")
        return path
    if is_sha256(piece.digest):
        return fetch(piece.uri, piece.digest)
    return fetch(piece.uri, tag=piece.digest.removeprefix(_TAGGED).partition(":")[2])


def _known_digest(piece: Slice) -> str:
    known = None if is_sha256(piece.digest) or not is_remote(piece.uri) else recorded(piece.uri)
    return known.sha256 if known else piece.digest


def _expanded(name: str) -> list[str]:
    """The files meant by a path, an address or a glob; SourceError names what is there instead."""
    globbed = any(sign in name for sign in "*[?")
    if is_remote(name):
        if not globbed or is_web(name):
            if "*" in name:
                raise SourceError(redact(name), "http has no globs: name every file, or give a file of paths in `list`")
            return [name]
        found = matches(name)
        if not found:
            raise SourceError(redact(name), "no file matches")
        return found
    base = current().base
    if not globbed or (base / name).is_file():
        if not current().resolve(name).exists():
            raise _nothing(name)
        return [name]
    fixed = Path(*_before_glob(name))
    current().resolve(str(fixed))
    rest = Path(name).relative_to(fixed) if fixed.parts else Path(name)
    hits = sorted(hit for hit in (base / fixed).glob(str(rest)) if hit.is_file())
    if not hits:
        raise _nothing(name)
    return [str(hit.relative_to(base)) if hit.is_relative_to(base) else str(hit) for hit in hits]


def _before_glob(name: str) -> list[str]:
    parts = Path(name).parts
    first = next(index for index, part in enumerate(parts) if any(sign in part for sign in "*[?"))
    return list(parts[:first])


def _nothing(name: str) -> SourceError:
    """No such file: which folder was looked in, and what it holds that is nearest."""
    folder = (current().base / name).parent
    while not folder.is_dir() or any(sign in str(folder) for sign in "*[?"):
        folder = folder.parent
    there = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir() if entry.name[0] != ".")
    near = difflib.get_close_matches(Path(name).name, there, n=3, cutoff=0.4) or there[:3]
    holds = f"nearest there: {', '.join(near)}" if near else "the folder is empty"
    return SourceError(name, f"no file matches in {folder}; {holds}")


def _distinct(wholes: Iterable[Slice]) -> list[Slice]:
    """Sorted by name, the same file once; SourceError for two different ones of one name."""
    found: dict[str, Slice] = {}
    for whole in sorted(wholes, key=lambda whole: whole.name):
        if found.setdefault(whole.name, whole).digest != whole.digest:
            raise SourceError(whole.name, "two different files have this name: rename one, or make them two sources")
    return list(found.values())


def grouped(pieces: Iterable[Slice], part_bytes: int) -> Parts:
    """Neighbours joined into parts of up to `part_bytes`."""
    parts: Parts = []
    held: list[Slice] = []
    for piece in pieces:
        if held and sum(one.size for one in held) + piece.size > part_bytes:
            parts.append(Part(tuple(held)))
            held = []
        held.append(piece)
    return [*parts, Part(tuple(held))] if held else parts
