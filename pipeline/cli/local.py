"""Paths that are of this machine alone: an address in their place is refused by name, before anything is done."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+):/(?P<rest>.*)")


class Command(TyperCommand):
    """A command whose plain paths are files and folders here; `options.folder` reads those that may be in a bucket."""

    def invoke(self, ctx: Any) -> Any:
        """UsageError names an option that was given an address and is no place for one."""
        for parameter in self.params:
            for path in _paths(ctx.params.get(parameter.name or "")):
                found = _ADDRESS.fullmatch(str(path)) if type(path) is type(Path()) else None
                if found:
                    from pipeline.core.errors import UsageError

                    name = max(parameter.opts, key=len) if parameter.param_type_name == "option" else parameter.metavar
                    raise UsageError(
                        f"{name} {found['scheme']}://{found['rest']}: this has to be a path of this machine, not an "
                        "address. Write it here and copy it there, or copy it here first"
                    )
        return super().invoke(ctx)


def _paths(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else (value,)
