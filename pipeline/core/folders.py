"""What is done with many files at once, in folders of this machine or of a store."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.core import bucket
from pipeline.core.mirror import Remote, is_new

LAST = "manifest.json"
"""The file of a folder that says what the others are: gone before they change, there after they have."""


def discard(paths: Iterable[Path]) -> None:
    """Remove files, those of a store with few requests."""
    listed = list(paths)
    bucket.delete(path.url for path in listed if isinstance(path, Remote) and path.url)
    for path in listed:
        (path.local if isinstance(path, Remote) else path).unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder and all that is in it."""
    if isinstance(folder, Remote):
        if folder.url:
            bucket.delete(f"{folder.url}/{name}" for name in bucket.listing(folder.url))
        shutil.rmtree(folder.local, ignore_errors=True)
    else:
        shutil.rmtree(folder)


def send(folder: Remote) -> None:
    """Send what was written in place below a folder and has not been sent."""
    written = [path for path in folder.local.rglob("*") if path.is_file() and is_new(path)]
    for path in written:
        Remote(path).replace(Remote(path))


def publish(made: Remote, folder: Remote) -> None:
    """Put a finished folder of this machine in place of another of the store, `LAST` last; links become copies."""
    files = {path.relative_to(made.local).as_posix(): path for path in made.local.rglob("*") if not path.is_dir()}
    before = bucket.listing(folder.url)
    bucket.delete([f"{folder.url}/{LAST}"] if LAST in before else [])
    with ThreadPoolExecutor(bucket.AT_ONCE) as pool:
        list(pool.map(lambda name: _publish(files[name], folder / name), files.keys() - {LAST}))
    bucket.delete(f"{folder.url}/{name}" for name in before.keys() - files.keys())
    if LAST in files:
        _publish(files[LAST], folder / LAST)


def _publish(path: Path, target: Remote) -> None:
    target.parent.mkdir(parents=True)
    if not path.is_symlink():
        Remote(path).replace(target)
        return
    source = Remote(path.readlink())
    if source.url != target.url:
        bucket.copy(source.url, target.url)
