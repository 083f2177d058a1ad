"""Files that a recipe names, found inside its roots and identified by their content.

A `Place` says where a run may look; the engine activates it around every job, so that a stage carries names only and
the machine never enters its identity.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pipeline.core.errors import GristmillError


def default_cache() -> Path:
    """`$GRISTMILL_CACHE`, else `$XDG_CACHE_HOME/gristmill`, else `~/.cache/gristmill`."""
    if named := os.environ.get("GRISTMILL_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gristmill"


@dataclass(frozen=True)
class Place:
    """Where a run looks: relative paths under `base`, absolute ones only inside a root, downloads in `cache`.

    `device` is where kernels run that have a choice: `cpu`, `cuda`, or `auto` for a GPU if there is one. `allow` are
    hosts, addresses or networks (`10.1.0.0/16`) that web addresses may reach although they are not public.
    """

    base: Path = field(default_factory=Path.cwd)
    cache: Path = field(default_factory=default_cache)
    data: tuple[Path, ...] = ()
    offline: bool = False
    device: str = "auto"
    allow: tuple[str, ...] = ()

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders that the paths of a recipe may lie in."""
        return (self.base.resolve(), *(root.resolve() for root in self.data))

    def resolve(self, path: str) -> Path:
        """The file meant by a path in a recipe; GristmillError where it leaves the roots, links followed."""
        try:
            found = (self.base / path).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a NUL, a name that is too long
            raise GristmillError(f"{path!r} is no path that can be followed ({error}): correct it") from None
        if not any(found.is_relative_to(root) for root in self.roots):
            roots = ", ".join(str(root) for root in self.roots)
            raise GristmillError(
                f"{path!r} is outside of {roots}: move the file there, or allow its folder with --data DIR"
            )
        return found

    def relative(self, path: Path) -> str:
        """The path's name below its root: the same on every machine."""
        for root in self.roots:
            if path.resolve().is_relative_to(root):
                return path.resolve().relative_to(root).as_posix()
        return path.name

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make this the place that `current()` returns."""
        token = _PLACE.set(self)
        try:
            yield
        finally:
            _PLACE.reset(token)


def current() -> Place:
    """The place of the running job; the working folder and the default cache outside of one."""
    return _PLACE.get() or Place()


@dataclass(frozen=True)
class Asset:
    """A file that a stage needs: where it is and the sha256 of its bytes, which alone enters the stage's identity."""

    path: Path
    sha256: str


def find_asset(path: str, sha256: str | None = None, *, what: str) -> Asset:
    """The file at a recipe's path; GristmillError where there is none, or another than `sha256`; `what` is its name."""
    found = current().resolve(path)
    if not found.is_file():
        raise GristmillError(f"{found}: no such {what}; put the file there, or correct the path {path!r} in the recipe")
    digest = known_digest(found)
    if sha256 not in (None, digest):
        raise GristmillError(f"{found}: sha256 is {digest}, the recipe wants {sha256}; get the file again")
    return Asset(found, digest)


def known_digest(path: Path) -> str:
    """sha256 of a file, computed once for as long as its size and time of change stay the same."""
    state = path.stat()
    return _digest(path, state.st_size, state.st_mtime_ns)


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def _digest(path: Path, size: int, changed: int) -> str:
    return sha256_file(path)


_PLACE: ContextVar[Place | None] = ContextVar("place", default=None)
