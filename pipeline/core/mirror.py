"""Paths of a store such as S3: names of this machine below a mirror, where a file is brought when it is opened.

`s3://bucket/prefix/x` is `<cache>/mirror/s3/bucket/prefix/x` here. What is there and how large it is, the service says;
`os.fspath`, and so whatever opens a path, brings the file if the mirror has not just this version of it. A file is sent
when it takes its final name (`replace`), so that what `shards.whole` writes is seen by others whole or not at all.
Names with a part that starts with `.tmp-` are of this machine alone. A pickled path is found in the mirror of whoever
reads it: machines share nothing but the bucket. A mirror keeps about `$GRISTMILL_MIRROR` gigabytes, those used last;
it may be deleted whenever nothing runs.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path, PosixPath
from typing import Any

from pipeline.core import bucket
from pipeline.core.asset import default_cache
from pipeline.core.errors import StoreError
from pipeline.core.shards import TEMPORARY

MOST_GIGABYTES = 100.0
"""What a mirror keeps where `$GRISTMILL_MIRROR` says nothing."""

_IN_USE = 600.0
"""Seconds for which a file that has been opened stays, whatever the room."""

_STAMPS = 1 << 60
"""The time of change of a mirrored file is a hash of its tag, in nanoseconds, and so before the year 2007."""


def located(given: str | Path) -> Path:
    """The folder or file meant: a path of this machine, or an address in a store; StoreError for other addresses."""
    if isinstance(given, Path):
        return given
    scheme, mark, rest = given.partition("://")
    if not mark:
        return Path(given)
    parts = rest.strip("/").split("/")
    if scheme not in bucket.PACKAGES or not all(parts) or {".", ".."} & set(parts):
        known = " and ".join(f"{name}://BUCKET/PREFIX" for name in bucket.PACKAGES)
        raise StoreError(f"{given}: a corpus lies in a folder of this machine, or at {known}")
    return Remote(mirrors(), scheme, *parts)


@cache
def mirrors() -> Path:
    """The folder of all mirrors of this machine."""
    return default_cache().resolve() / "mirror"


class Remote(PosixPath):
    """A path of a store. Names are made from it as from any path; what is said here is asked of the service."""

    __slots__ = ()

    @property
    def local(self) -> Path:
        """Its place in the mirror, whatever is there."""
        return Path(super().__str__())

    @property
    def url(self) -> str:
        """Its address; '' for what only this machine knows."""
        local = super().__str__()
        base = f"{mirrors()}/"
        if not local.startswith(base) or f"/{TEMPORARY}" in local:
            return ""
        scheme, _, rest = local.removeprefix(base).partition("/")
        return f"{scheme}://{rest}"

    def __str__(self) -> str:
        return self.url or super().__str__()

    def __eq__(self, other: object) -> bool:
        """Whether both lie at one place of this machine; by itself, Python 3.12 and later would compare addresses."""
        return self.local == (other.local if isinstance(other, Remote) else other)

    def __hash__(self) -> int:
        return hash(self.local)

    def __fspath__(self) -> str:
        local, url = super().__str__(), self.url
        if url:
            _bring(url, local)
        elif Path(local).is_symlink():
            os.fspath(Remote(Path(local).readlink()))
        return local

    def __reduce__(self) -> tuple[Any, ...]:
        return (located, (self.url,)) if self.url else (Remote, (super().__str__(),))

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Size, and a time of change that stands for the version; nothing is brought."""
        url, local = self.url, self.local
        if not url:
            return super().stat()
        if known := bucket.state(url):
            stamp = _stamp(known)
            numbers = (stat.S_IFREG | 0o644, 0, 0, 1, 0, 0, known.size, *[stamp // 10**9] * 3)
            return os.stat_result(numbers, {f"st_{kind}time_ns": stamp for kind in "amc"})
        if bucket.is_folder(url):
            return os.stat_result((stat.S_IFDIR | 0o755, *[0] * 9))
        if local.is_file() and is_new(local):
            return local.stat()
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)

    def exists(self) -> bool:
        """Whether there is a file or folder."""
        return self._has(stat.S_IFMT)

    def is_file(self) -> bool:
        """Whether there is a file."""
        return self._has(stat.S_ISREG)

    def is_dir(self) -> bool:
        """Whether anything lies below it."""
        return self._has(stat.S_ISDIR)

    def _has(self, kind: Callable[[int], object]) -> bool:
        try:
            return bool(kind(self.stat().st_mode))
        except OSError:
            return False

    def iterdir(self) -> Iterator[Remote]:  # type: ignore[override]
        """What lies in the folder now."""
        return self.glob("*")

    def glob(self, pattern: str) -> Iterator[Remote]:  # type: ignore[override]
        """What matches now, from one listing."""
        if not self.url:
            yield from (Remote(path) for path in self.local.glob(pattern))
            return
        text = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        names = bucket.listing(self.url).keys()
        yield from (self / name for name in sorted({*names, *bucket.folders(names)}) if re.fullmatch(text, name))

    def rglob(self, pattern: str) -> Iterator[Remote]:  # type: ignore[override]
        """What matches now at any depth, from one listing."""
        return self.glob(f"**/{pattern}")

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """A place in the mirror; stores have no folders."""
        self.local.mkdir(mode, parents=True, exist_ok=True)

    def rmdir(self) -> None:
        """Stores have no folders."""

    def resolve(self, strict: bool = False) -> Remote:
        """Itself: an address is whole."""
        return self

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove it from the service and from the mirror."""
        if self.url:
            bucket.delete([self.url])
        self.local.unlink(missing_ok=missing_ok or bool(self.url))

    def replace(self, target: str | os.PathLike[str]) -> Remote:
        """Give a finished file its final name: it is sent, and then stands in the mirror too."""
        assert isinstance(target, Remote)
        local = self.local
        if target.url:
            sent = bucket.upload(local, target.url)
            os.utime(local, ns=(time.time_ns(), _stamp(sent)))
            _keep(sent.size)
        os.replace(local, target.local)
        return target


def bring(paths: Iterable[Path]) -> None:
    """Bring files here, many at a time; nothing is done for those that are of this machine."""
    far = [path for path in paths if isinstance(path, Remote)]
    if far:
        with ThreadPoolExecutor(bucket.AT_ONCE) as pool:
            list(pool.map(os.fspath, far))


def make_room() -> None:
    """Let go of the files of all mirrors that were opened longest ago, until the others take what they may."""
    mirrored = []
    for path in mirrors().rglob("*"):
        with suppress(FileNotFoundError):
            state = path.lstat()
            if stat.S_ISREG(state.st_mode) and state.st_mtime_ns < _STAMPS:
                mirrored.append((state.st_atime, state.st_size, path))
    mirrored.sort()
    over = sum(size for _, size, _ in mirrored) - _most_bytes()
    for used, size, path in mirrored:
        if over <= 0 or time.time() - used < _IN_USE:
            return
        path.unlink(missing_ok=True)
        over -= size


def _bring(url: str, local: str) -> None:
    """Make the mirror's file the service's; where that has none, what was written here and not yet sent stays."""
    path = Path(local)
    here = path.stat() if path.is_file() else None
    for _ in range(3):
        known = bucket.state(url)
        if known is None:
            if here and not is_new(path):
                path.unlink(missing_ok=True)
            return
        if here and (here.st_size, here.st_mtime_ns) == (known.size, _stamp(known)):
            if time.time() - here.st_atime > _IN_USE / 2:
                os.utime(path, ns=(time.time_ns(), here.st_mtime_ns))
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        arriving = path.with_name(f".get-{uuid.uuid4().hex[:12]}")
        try:
            bucket.download(url, arriving)
            if arriving.stat().st_size == known.size:
                os.utime(arriving, ns=(time.time_ns(), _stamp(known)))
                os.replace(arriving, path)
                _keep(known.size)
                return
        finally:
            arriving.unlink(missing_ok=True)
        bucket.forget(url)
    raise StoreError(f"{url}: changes while it is read; wait for what writes it, and run the same command again")


_kept: list[int] = []
"""Sizes of what has come into the mirror by this process since it last made room."""


def _keep(size: int) -> None:
    _kept.append(size)
    if sum(_kept) > _most_bytes() / 16:
        _kept.clear()
        make_room()


def _most_bytes() -> float:
    return float(os.environ.get("GRISTMILL_MIRROR") or MOST_GIGABYTES) * 1e9


def is_new(path: Path) -> bool:
    """Whether a file of the mirror was written here and has not been sent."""
    return path.stat().st_mtime_ns >= _STAMPS


def _stamp(known: bucket.State) -> int:
    return int.from_bytes(hashlib.blake2b(f"{known.size} {known.tag}".encode(), digest_size=8).digest()) % _STAMPS
