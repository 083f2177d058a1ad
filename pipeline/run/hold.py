"""Who builds in a store that is no folder: objects that are made only if they are not there, in place of file locks."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pipeline.core import bucket
from pipeline.core.errors import StoreError
from pipeline.core.mirror import Remote, mirrors
from pipeline.core.shards import write_text

LOCK, SHARING = ".lock", ".sharing"
"""The object of a build that has the store alone; the folder with one object for each that shares it."""

WAIT = 3.0
"""Seconds between two looks at a lock that is waited for."""


@contextmanager
def held(root: Remote, *, shared: bool) -> Iterator[None]:
    """Hold a store; the caller has the mirror's own lock, so that what this machine left there is of a dead build.

    Each first says that it is here and then looks for others: of two who come at once, at least one gives way.
    """
    mine = f"{root.url}/{SHARING}/{uuid.uuid4().hex}" if shared else f"{root.url}/{LOCK}"
    if not shared:
        _clear_own(root)
    if not bucket.create(mine, _who(root)):
        raise _refused(root, mine)
    try:
        others = [f"{root.url}/{LOCK}"] if shared else [f"{root.url}/{SHARING}/{n}" for n in _sharing(root)]
        for other in others:
            if bucket.read(other):
                raise _refused(root, other)
        yield
    finally:
        bucket.delete([mine])


@contextmanager
def waited(folder: Remote) -> Iterator[None]:
    """Hold one folder; who comes second waits."""
    mine = f"{folder.url}/{LOCK}"
    while not bucket.create(mine, _who(folder)):
        time.sleep(WAIT)
    try:
        yield
    finally:
        bucket.delete([mine])


def unlock(root: Remote) -> tuple[str, ...]:
    """Remove all locks of a store, for whoever knows that no build is running; their names."""
    names = tuple(name for name in bucket.listing(root.url) if {LOCK, SHARING} & set(name.split("/")))
    bucket.delete(f"{root.url}/{name}" for name in names)
    return names


def _clear_own(root: Remote) -> None:
    """Remove the lock that a killed build of this very mirror has left."""
    there = bucket.read(f"{root.url}/{LOCK}")
    if there and json.loads(there).get("mirror") == _mirror(root):
        bucket.delete([f"{root.url}/{LOCK}"])


def _sharing(root: Remote) -> list[str]:
    return list(bucket.listing(f"{root.url}/{SHARING}"))


def _refused(root: Remote, lock: str) -> StoreError:
    try:
        who = json.loads(bucket.read(lock))
        told = f"a build on {who['machine']} holds it since {who['since']}"
    except (ValueError, KeyError):
        told = "a build holds it"
    return StoreError(f"{root}: {told}; wait for it, or if it has died: gristmill gc --root {root} --unlock")


def _who(folder: Remote) -> str:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"machine": socket.gethostname(), "since": now, "mirror": _mirror(folder)})


def _mirror(folder: Remote) -> str:
    """A word that stands for this machine's mirror, made once."""
    path = mirrors() / "id"
    if not path.exists():
        write_text(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")
