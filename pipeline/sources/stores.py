"""Files of object stores and of the hub, through fsspec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from pipeline.core.bucket import EXTRAS
from pipeline.core.errors import GristmillError, MissingBackend, SourceError
from pipeline.sources.address import PACKAGES, redact, scheme_of, scrub
from pipeline.sources.attempts import Again, PartFile, Stated

_BLOCK = 8 << 20
_TAGS = ("ETag", "etag", "sha256", "blob_id", "md5Hash", "crc32c", "generation", "LastModified", "created")


def state(uri: str) -> Stated:
    """Size, and the best that the store has to tell one version from another."""
    with _errors(uri):
        system, path = _file_system(uri)
        info = system.info(path)
        lfs = info.get("lfs") or {}
        tag = lfs.get("sha256") or next((str(info[key]) for key in _TAGS if info.get(key)), "")
        return Stated(info.get("size"), str(tag))


def download(uri: str, part: PartFile) -> Stated:
    """Complete the part file; Again if the connection broke, with what was received kept."""
    stated = state(uri)
    if not stated.tag or part.tag != stated.tag or part.size > (stated.size or 0):
        part.begin(stated.tag)
    with _errors(uri), open_file(uri) as stream, part.path.open("ab") as sink:
        stream.seek(part.size)
        while chunk := stream.read(_BLOCK):
            sink.write(chunk)
    if stated.size is not None and part.size != stated.size:
        raise Again(f"the transfer ended after {part.size} of {stated.size} bytes")
    return Stated(part.size, stated.tag)


def matches(uri: str) -> list[str]:
    """The addresses that a glob matches, sorted."""
    with _errors(uri):
        system, path = _file_system(uri)
        return [f"{scheme_of(uri)}://{hit.removeprefix('/')}" for hit in sorted(system.glob(path))]


def open_file(uri: str) -> BinaryIO:
    """The file as a stream that can seek, without a copy; Again if that may work later."""
    with _errors(uri):
        system, path = _file_system(uri)
        stream: BinaryIO = system.open(path, "rb")
        return stream


def _file_system(uri: str) -> tuple[Any, str]:
    """The fsspec file system of an s3, gs or hf address and the path in it."""
    import fsspec

    scheme = scheme_of(uri)
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(uri)
    except ImportError:
        package = PACKAGES[scheme]
        wanted = f"pip install '{EXTRAS.get(package, package)}'"
        raise MissingBackend(package, f"{scheme}:// ({redact(uri)})", wanted) from None
    return found


@contextmanager
def _errors(uri: str) -> Iterator[None]:
    try:
        yield
    except (GristmillError, Again):
        raise
    except FileNotFoundError:
        raise SourceError(redact(uri), "there is no such file") from None
    except Exception as error:  # each store has its own kinds
        message = f"{type(error).__name__}: {scrub(str(error))}"
        status = getattr(getattr(error, "response", None), "status_code", 0)
        refused = isinstance(error, PermissionError) or (400 <= status < 500 and status not in (408, 429))
        if isinstance(error, OSError) and not refused:
            raise Again(message) from None
        raise SourceError(redact(uri), f"{message}; are the store's credentials set?") from None
