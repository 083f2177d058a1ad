"""Objects of a store such as S3 through fsspec: what is there, and how one is brought here, up, away, or made once.

What a process has learnt of an object is remembered; a listing is always asked for anew. That an object is *not* there
is believed for `ABSENT` seconds only, because another machine may be making it. Credentials and the address of the
service are those of the environment, as s3fs and gcsfs read them (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pipeline.core.errors import GristmillError, MissingBackend, StoreError

PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}
"""Schemes of stores that a corpus may lie in, and the package that speaks to them."""

EXTRAS = {"s3fs": "gristmill[s3]", "gcsfs": "gristmill[gcs]"}
"""What installs the package."""

PART_BYTES = 50 << 20
"""A file of twice this size or more is sent in parts of this size."""

AT_ONCE = 16
"""Objects that one process has under way at a time."""

PAUSES = (2.0, 8.0, 30.0)
"""Seconds before another round, at most, when a service that s3fs has asked many times still says no."""

ABSENT = 10.0

_MOST_REMEMBERED = 1 << 20
_TAGS = ("ETag", "etag", "md5Hash", "crc32c", "generation")

T = TypeVar("T")


class State(NamedTuple):
    """An object: its bytes, and a tag that changes with its content."""

    size: int
    tag: str


_known: dict[str, State] = {}
_absent: dict[str, tuple[float, bool]] = {}


def state(url: str) -> State | None:
    """What is known of an object; None where there is none."""
    if known := _known.get(url):
        return known
    if url in _absent and time.monotonic() - _absent[url][0] < ABSENT:
        return None
    return _asked(url)


def is_folder(url: str) -> bool:
    """Whether there is no object of this name, but there are some below it."""
    return state(url) is None and _absent[url][1]


def listing(url: str) -> dict[str, State]:
    """All objects below a folder by their names there, as the service lists them now."""
    system = _system(url)
    found = _patiently(url, "listed", lambda: system.find(url, detail=True))
    start = len(url.partition("://")[2]) + 1
    states = {path[start:]: _state(info) for path, info in sorted(found.items()) if len(path) > start}
    if len(_known) + len(states) > _MOST_REMEMBERED:
        forget()
    _known.update({f"{url}/{name}": one for name, one in states.items()})
    _absent.update({f"{url}/{name}": (time.monotonic(), True) for name in folders(states)})
    return states


def folders(names: Iterable[str]) -> set[str]:
    """The folders that these names lie in."""
    return {name.rsplit("/", depth)[0] for name in names for depth in range(1, name.count("/") + 1)}


def download(url: str, path: Path) -> None:
    """Bring an object into a file."""
    _patiently(url, "read", lambda: _system(url).get_file(url, str(path)))


def upload(path: Path, url: str) -> State:
    """Send a file, in parts if it is large; StoreError if the service then has another size."""
    _patiently(url, "written", lambda: _system(url).put_file(str(path), url, chunksize=PART_BYTES))
    sent = _asked(url)
    if sent is None or sent.size != path.stat().st_size:
        there = "nothing" if sent is None else f"{sent.size:,} bytes"
        raise StoreError(f"{url}: {path.stat().st_size:,} bytes were sent and {there} is there; run it again")
    return sent


def copy(source: str, target: str) -> None:
    """A copy of an object, made by the service."""
    _patiently(target, "copied", lambda: _system(source).cp_file(source, target))
    forget(target)


def create(url: str, content: str) -> bool:
    """Make a small object unless there is one: of any number who try at once, one is told True."""
    forget(url)

    def attempt() -> bool:
        try:
            _system(url).pipe_file(url, content.encode(), mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if getattr(error.__cause__, "response", {}).get("Error", {}).get("Code") == "PreconditionFailed":
                return False
            raise
        return True

    return _patiently(url, "made", attempt)


def read(url: str) -> bytes:
    """The content of a small object as it is now; nothing where there is none."""

    def attempt() -> bytes:
        try:
            return bytes(_system(url).cat_file(url))
        except FileNotFoundError:
            return b""

    return _patiently(url, "read", attempt)


def delete(urls: Iterable[str]) -> None:
    """Remove objects, many with one request; those that are not there are no error."""
    for url in (listed := list(urls)):
        forget(url)
    if listed:
        _patiently(listed[0], "deleted", lambda: _deleted(listed))


def forget(url: str | None = None) -> None:
    """Ask the service again about an object, or about all."""
    if url is None:
        _known.clear()
        _absent.clear()
    else:
        _known.pop(url, None)
        _absent.pop(url, None)


def _asked(url: str) -> State | None:
    forget(url)

    def attempt() -> dict[str, Any]:
        try:
            found: dict[str, Any] = _system(url).info(url)
        except FileNotFoundError:
            return {}
        return found

    info = _patiently(url, "looked up", attempt)
    if info.get("type") == "file":
        _known[url] = _state(info)
        return _known[url]
    _absent[url] = (time.monotonic(), bool(info))
    return None


def _deleted(urls: list[str]) -> None:
    try:
        _system(urls[0]).rm(urls)
    except FileNotFoundError:
        return


def _state(info: dict[str, Any]) -> State:
    tag = next((str(info[name]) for name in _TAGS if info.get(name)), "")
    return State(int(info.get("size") or 0), tag.strip('"'))


def _system(url: str) -> Any:
    return _opened(url.partition("://")[0])


@cache
def _opened(scheme: str) -> Any:
    import fsspec

    try:
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError:
        package = PACKAGES[scheme]
        raise MissingBackend(package, f"{scheme}://", f"pip install '{EXTRAS[package]}'") from None


def _patiently(url: str, done: str, attempt: Callable[[], T]) -> T:
    """The result of an attempt; what may pass (throttling, a server's error, the network) is tried again."""
    for pause in (*PAUSES, None):
        try:
            return attempt()
        except GristmillError:
            raise
        except Exception as error:  # each package has its own kinds
            if pause is None or not _may_pass(error):
                told = f"{type(error).__name__}: {' '.join(str(error).split())}"
                refused = isinstance(error, PermissionError) or "Credential" in type(error).__name__
                hint = "are the credentials of the store set?" if refused else "the same command goes on from here"
                raise StoreError(f"{url}: cannot be {done} ({told}); {hint}") from None
            time.sleep(random.uniform(pause / 2, pause))
    raise AssertionError


def _may_pass(error: Exception) -> bool:
    """Everything but a plain no: a missing bucket, a refusal, a request that is wrong."""
    plain = isinstance(error, FileNotFoundError | PermissionError | FileExistsError | ValueError | TypeError)
    if plain or "Credential" in type(error).__name__:
        return False
    status = getattr(error.__cause__, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 503)
    return status >= 500 or status in (408, 429)
