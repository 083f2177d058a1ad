"""Members of a ZIP file, read into memory within bounds; no path of an archive ever becomes a path on the disk."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from pipeline.core.errors import SourceError
from pipeline.sources.expand import RATIO, RATIO_FROM, Damaged

MAX_MEMBERS = 100_000


def member_sizes(path: Path, name: str) -> dict[str, int]:
    """The size that the archive states for each member, expanded; those with `..` or a root in their name are skipped.

    Of several members of one name the last counts. SourceError where the file is no ZIP archive, or where members
    that overlap make a bomb of it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise SourceError(name, f"not a ZIP archive that can be read ({error})") from None
    if len(listed) > MAX_MEMBERS:
        raise SourceError(name, f"{len(listed):,} members are more than is read ({MAX_MEMBERS:,})")
    if (total := sum(info.file_size for info in listed)) > max(RATIO_FROM, RATIO * path.stat().st_size):
        raise SourceError(name, f"its members expand to {total:,} bytes, more than {RATIO} times its size")
    return {info.filename: info.file_size for info in listed if not info.is_dir() and _is_inside(info.filename)}


def read_members(path: Path, names: Sequence[str], max_bytes: int) -> Iterator[tuple[str, bytes | Damaged]]:
    """The content of each member, or why it cannot be had."""
    with zipfile.ZipFile(path) as archive:
        for name in names:
            try:
                yield name, _content(archive, archive.getinfo(name), max_bytes)
            except Damaged as error:
                yield name, error


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int) -> bytes:
    """All bytes of a member; the library reads no more than the size stated, and checks the CRC."""
    if info.file_size > max_bytes:
        raise Damaged(f"member of {info.file_size} bytes over max_bytes of {max_bytes}")
    if info.file_size > RATIO * max(info.compress_size, 1):
        raise Damaged(f"expands to more than {RATIO} times its size")
    try:
        with archive.open(info) as stream:
            return stream.read(max_bytes)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise Damaged(f"member that cannot be read ({error})") from None


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name
