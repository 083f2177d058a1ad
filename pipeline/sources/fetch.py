"""The download behind all sources: one file by URI or path, in a cache, verified, recorded, whole or not there.

A remote file lies in the cache below a key of its address (without credentials) under its sha256, beside a record of
where it came from. Any number of processes may ask for the same file at once: one of them fetches it.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.core.asset import current, sha256_file
from pipeline.core.errors import SourceError
from pipeline.core.manifest import Record
from pipeline.core.shards import write_text
from pipeline.sources import transfer
from pipeline.sources.address import is_remote, redact
from pipeline.sources.attempts import Stated

AT_ONCE = 8
"""Transfers from one host at a time, over all processes that share a cache."""

_SETTLED = 2_000_000_000
"""Nanoseconds after which a file's time stamp is trusted to tell it from a later version."""


class Download(Record):
    """What is kept beside a downloaded file; `uri` without credentials and signatures."""

    uri: str
    sha256: str
    bytes: int
    etag: str


class Known(Record):
    """The sha256 of a local file while its size and time stamp stay as they were."""

    path: str
    bytes: int
    mtime_ns: int
    sha256: str


def fetch(uri: str, sha256: str | None = None, *, tag: str | None = None) -> Path:
    """The local file with the content of `uri`: a path inside the roots, or http(s), s3, gs or hf.

    With `sha256` or `tag` (an ETag that `stat` gave before) the content is exactly that, from the cache without a
    request where it is there; without either, the server is asked whether the cached file is still the same.
    SourceError names the address, what was expected and what was found. Credentials come from the environment of
    s3fs, gcsfs and huggingface_hub, or `user:password@` in an http address; they are never shown or recorded.
    """
    if not is_remote(uri):
        return _local(uri, sha256)
    folder = _folder(uri)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        known = _record(folder)
        if known and _is_wanted(known, uri, sha256, tag) and digest_of(folder / known.sha256) == known.sha256:
            return folder / known.sha256
        if current().offline:
            raise SourceError(redact(uri), "not in the cache and this run is offline: run once without --offline")
        part = folder / "content.part"
        with _slot(urlsplit(uri).hostname or "store"):
            stated = transfer.download(uri, part)
        return _keep(uri, folder, part, stated, sha256, tag)


def stat(uri: str) -> Stated:
    """Size and a tag that changes with the content, without a download: ETag of a server, sha256 of a local file.

    Offline, what the cache recorded. The tag is '' where a server states neither ETag nor time.
    """
    if not is_remote(uri):
        path = _local(uri, None)
        return Stated(path.stat().st_size, digest_of(path))
    if current().offline:
        if known := _record(_folder(uri)):
            return Stated(known.bytes, known.etag)
        raise SourceError(redact(uri), "not in the cache and this run is offline: run once without --offline")
    return transfer.state(uri)


def recorded(uri: str) -> Download | None:
    """What is known of a downloaded file; None before the download."""
    return _record(_folder(uri))


def digest_of(path: Path) -> str:
    """sha256 of a local file, remembered in the cache as long as its size and time stamp do not change."""
    found = path.stat()
    kept = current().cache / "digests" / f"{_key(str(path.resolve()))}.json"
    try:
        known = Known.model_validate_json(kept.read_bytes())
        if (known.bytes, known.mtime_ns) == (found.st_size, found.st_mtime_ns):
            return known.sha256
    except (FileNotFoundError, ValueError):
        pass
    sha256 = sha256_file(path)
    if time.time_ns() - found.st_mtime_ns > _SETTLED:
        known = Known(path=str(path), bytes=found.st_size, mtime_ns=found.st_mtime_ns, sha256=sha256)
        write_text(kept, known.to_json())
    return sha256


def is_sha256(text: str) -> bool:
    """Whether this is a sha256 in lower-case hex."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _local(path: str, sha256: str | None) -> Path:
    found = current().resolve(path)
    if not found.is_file():
        raise SourceError(path, f"is a folder: write {path.rstrip('/')}/*" if found.is_dir() else "no such file")
    if sha256 is not None and (actual := digest_of(found)) != sha256:
        raise SourceError(path, f"has sha256 {actual}, expected {sha256}")
    return found


def _is_wanted(known: Download, uri: str, sha256: str | None, tag: str | None) -> bool:
    if sha256 is not None:
        return known.sha256 == sha256
    if tag is None and current().offline:
        return True
    tag = transfer.state(uri).tag if tag is None else tag
    return bool(tag) and known.etag == tag


def _keep(uri: str, folder: Path, part: Path, stated: Stated, sha256: str | None, tag: str | None) -> Path:
    found = sha256_file(part)
    changed = bool(tag) and stated.tag != tag
    if changed or (sha256 is not None and found != sha256):
        part.unlink()
    if sha256 is not None and found != sha256:
        raise SourceError(redact(uri), f"has sha256 {found}, expected {sha256}; the download was removed")
    if changed:
        raise SourceError(
            redact(uri), f"changed since it was planned (tag {stated.tag!r}, expected {tag!r}): plan again"
        )
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(part, folder / found)
    record = Download(uri=redact(uri), sha256=found, bytes=(folder / found).stat().st_size, etag=stated.tag)
    write_text(folder / "record.json", record.to_json())
    return folder / found


def _record(folder: Path) -> Download | None:
    """The record of a file that is still there with its size."""
    try:
        known = Download.model_validate_json((folder / "record.json").read_bytes())
        return known if (folder / known.sha256).stat().st_size == known.bytes else None
    except (FileNotFoundError, ValueError):
        return None


def _folder(uri: str) -> Path:
    return current().cache / "downloads" / _key(redact(uri))


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock

    with FileLock(path):
        yield


@contextmanager
def _slot(host: str) -> Iterator[None]:
    """One of `AT_ONCE` places at a host: lock files, so that all processes of a machine count together."""
    from filelock import FileLock, Timeout

    folder = current().cache / "hosts"
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for number in range(AT_ONCE):
            try:
                with FileLock(folder / f"{_key(host)}-{number}", timeout=0):
                    yield
                    return
            except Timeout:
                continue
        time.sleep(random.uniform(0.05, 0.2))
