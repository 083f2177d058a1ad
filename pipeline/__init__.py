"""Gristmill: open text corpora from one recipe file, with every document accounted for.

`from pipeline import Recipe, build, audit` is the way in for programs; nothing is imported before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.library import Corpus, Recipe, audit, build, census, diff

__version__ = "2026.11.0"
__all__ = ["Corpus", "Recipe", "audit", "build", "census", "diff"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from pipeline import library

        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
