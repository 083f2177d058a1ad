"""Every stage there is, by the word that recipes use: found by looking into the rooms, registered by nobody."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType

from pipeline.core.stage import Checkpoint, Stage

ROOMS = ("sources", "transforms", "filters", "scores", "dedup", "tokens")


@cache
def stages() -> MappingProxyType[str, type[Stage]]:
    """Word to class, in order of rooms and words; the checkpoint, which is of no room, is the first."""
    found: dict[str, type[Stage]] = {Checkpoint.word: Checkpoint}
    for room in ROOMS:
        package = importlib.import_module(f"pipeline.{room}")
        for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
            for stage in _stages_of(f"pipeline.{room}.{module}"):
                assert stage.word not in found, f"two stages are called {stage.word!r}: {stage}, {found[stage.word]}"
                found[stage.word] = stage
    return MappingProxyType(found)


def room_of(stage: type[Stage]) -> str:
    """The room that a stage lives in; `core` for the checkpoint."""
    return stage.__module__.split(".")[1]


def suggestion(word: str, known: list[str]) -> str:
    """`; did you mean 'gopher'?` or the list of what is known where nothing is near."""
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else ""


def _stages_of(module_name: str) -> list[type[Stage]]:
    module = importlib.import_module(module_name)
    own = (member for _, member in sorted(vars(module).items()) if getattr(member, "__module__", "") == module_name)
    return [
        member
        for member in own
        if isinstance(member, type) and issubclass(member, Stage) and not inspect.isabstract(member)
    ]
