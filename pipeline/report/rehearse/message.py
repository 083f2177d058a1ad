"""What goes back to a client: an answer, or a refusal that its exceptions understand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Refused(Exception):
    """An answer that is an error; `code` is what the client's exceptions go by."""

    def __init__(self, status: int, message: str, *, code: str = "", **headers: str) -> None:
        self.status, self.message, self.headers = status, message, headers
        self.code = {"X-Error-Code": code, "X-Error-Message": message} if code else {}
        super().__init__(message)


@dataclass(frozen=True)
class Answer:
    """A status, headers, and a body in memory or in a file."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    file: Path | None = None

    @classmethod
    def of(cls, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
        """JSON."""
        return cls(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())

    @property
    def size(self) -> int:
        """Bytes of the whole body."""
        return self.file.stat().st_size if self.file else len(self.body)

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The body from byte `start` to `stop`."""
        if self.file is None:
            yield self.body[start:stop]
            return
        with self.file.open("rb") as stream:
            stream.seek(start)
            while start < stop and (piece := stream.read(min(1 << 20, stop - start))):
                start += len(piece)
                yield piece
