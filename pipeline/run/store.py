"""Where everything lies: the content-addressed store of sweeps and decisions, and the finished corpus beside it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.core.asset import sha256_file
from pipeline.core.errors import StoreError
from pipeline.core.folders import publish, remove_tree, send
from pipeline.core.manifest import FileDigest, Receipt, read_receipt
from pipeline.core.mirror import Remote, bring
from pipeline.core.shards import TEMPORARY, read_checked, shard_name, sweep_away, write_checked, write_text
from pipeline.run import hold

ROOT = "root"
"""Beside the shards of the last sweep: the root of the tree over their documents."""

SCRATCH = ".scratch"
"""Folder of a store in a bucket for what the jobs of a cluster hand to each other."""

MADE = ".made"
"""End of the name of the object that says, beside a folder of a bucket, that all of it is there."""


@dataclass(frozen=True)
class Store:
    """The folders below a root. Jobs that run on other machines, which have no more than it in common, are `spread`."""

    root: Path
    spread: bool = False

    def folder(self, name: str, key: str) -> Path:
        """A sweep's or decision's folder; the same for the same key, whoever asks."""
        return self.root / "store" / f"{name}-{key[:16]}"

    def decision(self, label: str, key: str) -> Path:
        """The folder of a global's decision and sketches."""
        return self.folder(f"{label}.decision", key)

    def sketches(self, label: str, key: str) -> Path:
        """The folder of a global's sketches, one a shard."""
        return self.decision(label, key) / "sketch"

    def corpus(self, name: str) -> Path:
        """The finished corpus of a recipe."""
        return self.root / name

    @contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the store; a second build into the same root is refused while this one runs.

        Builds of some of the shards may `shared` hold it together; what a killed one of them left stays until a build
        has the store alone.
        """
        root = self.root.local if isinstance(self.root, Remote) else self.root
        root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stream = stack.enter_context((root / ".lock").open("w"))
            try:
                fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except OSError:
                raise StoreError(f"{self.root}: another build is running here; wait for it, or use --root") from None
            if isinstance(self.root, Remote):
                stack.enter_context(hold.held(self.root, shared=shared))
            if not shared:
                sweep_away(root)
                if isinstance(self.root, Remote):
                    remove_tree(self.root / SCRATCH)
            yield

    @contextmanager
    def deciding(self, folder: Path) -> Iterator[None]:
        """Hold one decision: who comes second waits until it has been made."""
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(folder, Remote):
            with hold.waited(folder):
                yield
            return
        with (folder / ".lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    @contextmanager
    def scratch(self, folder: Path) -> Iterator[Path]:
        """A folder for the time of a job, in `folder` or where all machines see it."""
        if self.spread and isinstance(self.root, Remote):
            shared = self.root / SCRATCH / uuid.uuid4().hex
            try:
                yield shared
            finally:
                remove_tree(shared)
            return
        beside = folder.local if isinstance(folder, Remote) else folder
        beside.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{TEMPORARY}scratch-", dir=beside) as name:
            yield Path(name)


@dataclass(frozen=True)
class SweepFolder:
    """The files of one sweep."""

    path: Path

    def shard(self, index: int, split: str = "") -> Path:
        """A shard; those of a reshape lie in a folder for each split."""
        return self.path / split / f"{shard_name(index)}.arrow"

    def ledger(self, index: int) -> Path:
        """What the sweep dropped from a shard."""
        return self.path / "ledger" / f"{shard_name(index)}.arrow"

    def receipt_path(self, index: int) -> Path:
        """Written last: the mark that the shard is done."""
        return self.path / f"{shard_name(index)}.receipt.json"

    def receipts(self, indices: Iterable[int]) -> dict[int, Receipt]:
        """The receipts of these shards as far as there are any."""
        there = {path.name for path in self.path.glob("*.receipt.json")}
        wanted = [index for index in indices if self.receipt_path(index).name in there]
        bring(map(self.receipt_path, wanted))
        return {index: receipt for index in wanted if (receipt := self.receipt(index))}

    def receipt(self, index: int) -> Receipt | None:
        """The receipt of a shard whose files are all there with their sizes; None means: to do."""
        try:
            receipt = read_receipt(self.receipt_path(index))
        except StoreError:
            return None
        if receipt and all(_size(self.path / file.path) == file.bytes for file in receipt.files):
            return receipt
        return None

    def verify(self, index: int) -> None:
        """StoreError where a file of a shard is not what its receipt says; the receipt goes: it is made again.

        What comes over a network is held to its receipt when it is read.
        """
        receipt = None if isinstance(self.path, Remote) else self.receipt(index)
        for file in receipt.files if receipt else ():
            if (found := sha256_file(self.path / file.path)) != file.sha256:
                self.receipt_path(index).unlink(missing_ok=True)
                raise StoreError(
                    f"{self.path / file.path}: sha256 is {found}, its receipt says {file.sha256}; it was damaged since "
                    "it was written, and the same command makes it again"
                )


def file_digest(path: Path, base: Path, rows: int) -> FileDigest:
    """Measure a file that has just been written."""
    return FileDigest(
        path=path.relative_to(base).as_posix(), rows=rows, bytes=path.stat().st_size, sha256=sha256_file(path)
    )


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that takes the name `path` if the block succeeds, in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}new-{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if isinstance(path, Remote) and isinstance(temporary, Remote):
            publish(temporary, path)
            return
        old = path.with_name(f"{TEMPORARY}old-{path.name}")
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def made(folder: Path) -> Iterator[Path]:
    """A folder that jobs write into, and that `is_made` when the block has succeeded."""
    if not isinstance(folder, Remote):
        with whole_folder(folder) as new:
            yield new
        return
    remove_tree(folder)
    folder.mkdir()
    yield folder
    send(folder)
    write_text(_made(folder), "")


def is_made(folder: Path) -> bool:
    """Whether `made` has finished it."""
    return _made(folder).exists() if isinstance(folder, Remote) else folder.exists()


def _made(folder: Path) -> Path:
    return folder.with_name(folder.name + MADE)


def write_digests(folder: Path) -> None:
    """Beside a folder of this machine, the digests of its files."""
    if isinstance(folder, Remote):
        return
    write_checked(folder.with_suffix(".sha256"), json.dumps(_digests(folder)))


def is_sound(folder: Path) -> bool:
    """Whether the folder is there, with exactly the files that it was made with; in a store, whether it is finished."""
    if isinstance(folder, Remote):
        return is_made(folder)
    told = read_checked(folder.with_suffix(".sha256"))
    return told is not None and folder.exists() and json.loads(told) == _digests(folder)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def link(source: Path, target: Path) -> None:
    """The same file under another name: a hard link where the disk can, else a copy; in a store, one by the service."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, Remote) and isinstance(target, Remote):
        target.local.symlink_to(source.local)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def seal(folder: Path, content: str) -> None:
    """Say that a folder is complete."""
    write_text(folder / "seal.json", content)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
