"""Installed distributions as folders of files: what they declare, what they list, and where that lies."""

from __future__ import annotations

import csv
import re
from importlib.metadata import Distribution, PackageMetadata, PackageNotFoundError, distribution
from pathlib import Path, PurePath, PurePosixPath

from pipeline.backends.spdx import by_classifier
from pipeline.core.errors import MissingBackend, SourceError

_LEFT_OUT = re.compile(r"\.py[co]?$|\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json)$")
_SHORT = 60
"""Longest `License` field taken for a name: some distributions put the whole licence there."""


def installed(name: str) -> Distribution:
    """The metadata of a distribution; MissingBackend says how to get it."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise MissingBackend(name, "this recipe", "pip install 'gristmill[quickstart]'") from None


def declared_license(metadata: PackageMetadata) -> str | None:
    """What a distribution says of its licence: an SPDX expression, else classifiers, else a short `License` field."""
    if expression := _field(metadata, "License-Expression"):
        return expression
    classifiers = [str(line) for line in metadata.get_all("Classifier") or []]
    said = [line.split(" :: ")[-1] for line in classifiers if line.startswith("License :: ")]
    said = [by_classifier(name) or name.removesuffix(" License") for name in said if name != "OSI Approved"]
    if said:
        return ", ".join(said)
    free = _field(metadata, "License")
    return free if 0 < len(free) <= _SHORT and "\n" not in free and free.upper() != "UNKNOWN" else None


def listed(package: Distribution) -> list[str]:
    """The paths of its files, sorted, without code, what an installer writes, and what lies elsewhere.

    Read from RECORD itself: `Distribution.files` leaves out, from Python 3.12 on, what is listed and missing.
    """
    record = package.read_text("RECORD")
    if record is None:
        raise SourceError(label(package), "keeps no list of its files (RECORD): install it again with pip")
    paths = [PurePosixPath(row[0]) for row in csv.reader(record.splitlines()) if row]
    return sorted(path.as_posix() for path in paths if not _is_left_out(path))


def located_file(package: Distribution, path: str) -> Path:
    """The file on this machine; SourceError where it is missing or lies outside of the folder of distributions."""
    root = Path(str(package.locate_file(""))).resolve()
    located = (root / path).resolve()
    if not located.is_relative_to(root):
        raise SourceError(f"{label(package)}/{path}", "leads out of the folder of installed distributions")
    if not located.is_file():
        raise SourceError(f"{label(package)}/{path}", "is listed but missing: install the distribution again")
    return located


def label(package: Distribution) -> str:
    """Name and version, as in `Trac==1.6`."""
    return f"{package.metadata['Name']}=={package.version}"


def _field(metadata: PackageMetadata, name: str) -> str:
    """A field of the metadata, empty where there is none."""
    return str((metadata.get_all(name) or [""])[0]).strip()


def _is_left_out(path: PurePath) -> bool:
    """Whether a listed file is code, differs from machine to machine, or lies outside of the folder."""
    return ".." in path.parts or path.is_absolute() or bool(_LEFT_OUT.search(path.as_posix()))
