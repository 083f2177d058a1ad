"""What the rehearsal's hub keeps: repositories of commits, each a list of files; contents by their sha256, on disk."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pipeline.core.manifest import Record
from pipeline.core.shards import TEMPORARY, write_text

MAIN = "main"
LFS_SUFFIXES = (".parquet", ".arrow", ".bin", ".zst", ".gz")
LFS_BYTES = 10 << 20
"""Files with these endings, or of so many bytes, are large files; others are sent inside of a commit."""


class File(Record):
    """A file of a commit; `blob` is git's sha1 of it, or of its pointer where it is a large file."""

    path: str
    size: int
    sha256: str
    blob: str
    large: bool


class Commit(Record):
    """All files after a commit."""

    oid: str
    parent: str | None
    title: str
    files: tuple[File, ...]


class Repository(Record):
    """One dataset: its settings, what branches (`main`, `refs/pr/1`) and tags point to, and what `main` ever was."""

    name: str
    private: bool = False
    gated: str | None = None
    branches: dict[str, str] = {}
    tags: dict[str, str] = {}
    commits: dict[str, Commit] = {}
    history: tuple[str, ...] = ()

    def at(self, revision: str) -> Commit | None:
        """The commit that a branch, a tag or an id names."""
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        return self.commits.get(oid)


@dataclass
class Shelf:
    """All repositories below a folder; every change is on disk before it is answered."""

    folder: Path
    lock: threading.RLock = field(default_factory=threading.RLock)

    def get(self, name: str) -> Repository | None:
        """The repository `owner/name`."""
        path = self._path(name)
        return Repository.model_validate_json(path.read_bytes()) if path.exists() else None

    def put(self, repository: Repository) -> None:
        """Keep it as it is now."""
        write_text(self._path(repository.name), repository.to_json())

    def create(self, name: str, *, private: bool) -> Repository:
        """A new one, with an empty first commit."""
        first = Commit(oid=_oid(None, "initial commit", []), parent=None, title="initial commit", files=())
        return self.move(Repository(name=name, private=private, commits={first.oid: first}), MAIN, first.oid)

    def commit(self, repository: Repository, branch: str, title: str, files: dict[str, File]) -> Commit:
        """A commit of exactly these files on a branch."""
        ordered = tuple(files[path] for path in sorted(files))
        parent = repository.branches[branch]
        made = Commit(oid=_oid(parent, title, ordered), parent=parent, title=title, files=ordered)
        commits = repository.commits | {made.oid: made}
        self.move(repository.model_copy(update={"commits": commits}), branch, made.oid)
        return made

    def move(self, repository: Repository, branch: str, oid: str) -> Repository:
        """Let a branch be a commit."""
        history = repository.history + ((oid,) if branch == MAIN else ())
        branches = repository.branches | {branch: oid}
        moved = repository.model_copy(update={"branches": branches, "history": history})
        self.put(moved)
        return moved

    def content(self, sha256: str) -> Path:
        """Where the bytes with this digest are, or would be."""
        return self.folder / "contents" / sha256

    def keep(self, stream: BinaryIO, size: int) -> str:
        """Store so many bytes of a stream; their sha256."""
        incoming = self.content(f"{TEMPORARY}{uuid.uuid4().hex}")
        incoming.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with incoming.open("wb") as out:
            while size > 0 and (piece := stream.read(min(size, 1 << 20))):
                out.write(piece)
                digest.update(piece)
                size -= len(piece)
        os.replace(incoming, self.content(digest.hexdigest()))
        return digest.hexdigest()

    def keep_bytes(self, content: bytes) -> str:
        """Store a content that is in memory; its sha256."""
        return self.keep(io.BytesIO(content), len(content))

    def _path(self, name: str) -> Path:
        return self.folder / "repositories" / f"{name.replace('/', '--')}.json"


def small_file(path: str, content: bytes) -> File:
    """A file that git keeps itself."""
    return File(
        path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest(), blob=git_blob(content), large=False
    )


def large_file(path: str, sha256: str, size: int) -> File:
    """A file of which git keeps a pointer."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
    return File(path=path, size=size, sha256=sha256, blob=git_blob(pointer.encode()), large=True)


def is_large(path: str, size: int) -> bool:
    """How the hub would keep it."""
    return path.endswith(LFS_SUFFIXES) or size >= LFS_BYTES


def git_blob(content: bytes) -> str:
    """Git's name of a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _oid(parent: str | None, title: str, files: list[File] | tuple[File, ...]) -> str:
    text = json.dumps([parent, title, [file.model_dump() for file in files]])
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
