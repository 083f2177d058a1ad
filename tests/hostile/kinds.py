"""The kinds of hostile input: how each is made, how it is read, and what must become of it.

A kind is a function that writes its files into a folder and returns how they are read. It is listed with one line that
says what it is; what happens is not written here but found, and stands in `docs/hostile.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Make = Callable[[Path], "Read"]


@dataclass(frozen=True)
class Read:
    """How the files of a kind are read: by a source and its fields, the stages after it, or by a function instead."""

    source: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[Any, ...] = ()
    call: Callable[[], object] | None = None


@dataclass(frozen=True)
class Kind:
    """A hostile input; `big` ones take seconds or much memory and run apart."""

    name: str
    room: str
    what: str
    make: Make
    big: bool = False


KINDS: dict[str, Kind] = {}


def kind(room: str, what: str, *, big: bool = False) -> Callable[[Make], Make]:
    """List a function as a kind under its own name."""

    def listed(make: Make) -> Make:
        name = make.__name__
        assert name not in KINDS, name
        KINDS[name] = Kind(name, room, what, make, big)
        return make

    return listed


def pages(name: str, *, stages: tuple[Any, ...] = (), **fields: Any) -> Read:
    """Read a WARC file, and extract."""
    return Read("warc", {"name": "hostile", "paths": [name], **fields}, ("extract", *stages))


def files(name: str, *, stages: tuple[Any, ...] = (), **fields: Any) -> Read:
    """Read a file by the source `files`; HTML is extracted."""
    stages = ("extract", *stages) if name.endswith(".html") else stages
    return Read("files", {"name": "hostile", "paths": [name], **fields}, stages)


def fate(outcome: list[str]) -> str:
    """What became of a kind, in words that no version of a library changes."""
    if outcome[0] != "read":
        return "refused"
    kept = "read" if len(outcome) == 1 or outcome[1] != "kept: 0" else ""
    ledger = "ledger" if any(text.startswith("ledger") for text in outcome) else ""
    return ", ".join(filter(None, (kept, ledger))) or "nothing to read"
