"""Every error that a user can meet, each ending the search: what, where, and what to type.

GristmillError
├─ UsageError       a command is called wrongly  the option, and what it may be
├─ RecipeError      the recipe is wrong          all problems, with paths, and a suggestion
├─ SourceError      an input cannot be read      uri, offset, what was expected
├─ StageError       a stage failed on data       stage, shard, document id
├─ WorkerDied       a process that did a job   how often; out of memory, or a crash
├─ BuildFailed      some shards failed           each of them with its error; the others are done
├─ StoreError       a stored thing is not whole  file, expected and found, the command that rebuilds it
├─ MissingBackend   a package is not installed   the pip line
└─ DriftError       recipe@version exists with another key
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


class GristmillError(Exception):
    """Base of all errors meant for the user: its text is complete, a traceback adds nothing.

    `exit_code` is what the command line ends with: 1, or 2 where what was asked for is wrong in itself.
    """

    exit_code: ClassVar[int] = 1


class UsageError(GristmillError):
    """A command or function is called with what it cannot take."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One mistake in a recipe: `path` as in `stages[2].gopher.words`, and what to do about it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class RecipeError(GristmillError):
    """The recipe is wrong; carries every problem found, not the first."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem], recipe: str = "recipe") -> None:
        self.problems = tuple(problems)
        self.recipe = recipe
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{recipe}: {len(self.problems)} {noun}\n{lines}")

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.problems, self.recipe))


class SourceError(GristmillError):
    """An input cannot be read at all; a bad document inside a good input goes to the ledger."""

    def __init__(self, uri: str, message: str, *, offset: int | None = None) -> None:
        self.uri, self.message, self.offset = uri, message, offset
        place = uri if offset is None else f"{uri} at byte {offset}"
        super().__init__(f"{place}: {message}")

    def __reduce__(self) -> tuple[object, ...]:
        return (_source_error, (self.uri, self.message, self.offset))


def _source_error(uri: str, message: str, offset: int | None) -> SourceError:
    return SourceError(uri, message, offset=offset)


class StageError(GristmillError):
    """A stage raised on data: a defect of the stage, never of the document."""

    def __init__(self, stage: str, shard: str, document: str, message: str) -> None:
        self.stage, self.shard, self.document, self.message = stage, shard, document, message
        super().__init__(f"stage {stage!r} failed on document {document!r} of {shard}: {message}")

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.stage, self.shard, self.document, self.message))


class WorkerDied(GristmillError):
    """The process that did a job died of it, every time: out of memory, or a crash in native code."""


class BuildFailed(GristmillError):
    """Some shards failed; the others are done, and the same command goes on from there."""

    def __init__(self, failures: Mapping[str, Exception]) -> None:
        self.failures = dict(failures)
        noun = "shard" if len(failures) == 1 else "shards"
        lines = "\n".join(f"  - {shard}: {error}" for shard, error in sorted(failures.items()))
        super().__init__(f"{len(failures)} {noun} failed; mend the cause and run the same command again\n{lines}")

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.failures,))


class StoreError(GristmillError):
    """A stored file is not what its receipt says."""


class MissingBackend(GristmillError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, needed_for: str, install: str) -> None:
        self.package, self.needed_for, self.install = package, needed_for, install
        super().__init__(f"{needed_for} needs the package {package!r}: {install}")

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.package, self.needed_for, self.install))


class DriftError(GristmillError):
    """The same recipe@version already stands for other content."""
