"""Use a tokenizer that exists: from a file, or from the Hugging Face Hub."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from pipeline.backends import hub
from pipeline.backends.tokenizer import FILE, store
from pipeline.core.asset import Asset, current, sha256_file
from pipeline.core.errors import GristmillError
from pipeline.core.stage import Decision, Exchange, Global, Sketches
from pipeline.core.verdict import Verdict


class Given(Global):
    """A tokenizer that no document has a say in: nothing to sketch, nothing to drop, one file to copy."""

    reads: ClassVar[tuple[str, ...]] = ("id",)

    end: str | None = Field(
        None, min_length=1, description="token after every document; none: the usual ones are looked for"
    )
    pad: str | None = Field(None, min_length=1, description="token that fills rows; none: the end token does")

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Nothing."""
        return pa.record_batch({"row": pa.array([], pa.int64())})

    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        """Copy the file, and refuse one that cannot be trusted."""
        path = self.found()
        try:
            content = path.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise GristmillError(f"{path}: no tokenizer.json can be read here ({error})") from error
        store(out, content, self.end, self.pad)

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """Keep every document."""
        return Verdict()

    @abstractmethod
    def found(self) -> Path:
        """The file, its content as the recipe says."""


class TokenizerFile(Given):
    """A `tokenizer.json` beside the recipe."""

    example: ClassVar[dict[str, Any]] = {"path": FILE}

    path: str = Field(min_length=1, description="the tokenizer.json, relative to the recipe's folder")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="what the file must be; none: any")

    def assets(self) -> tuple[Asset, ...]:
        """The file; its digest stands for path and sha256 in the identity."""
        path = self.found()
        return (Asset(path, sha256_file(path)),)

    def fields(self) -> dict[str, Any]:
        """The choice of tokens only."""
        return self.model_dump(mode="json", exclude={"path", "sha256"})

    def found(self) -> Path:
        """The file; GristmillError where it is absent or another one."""
        path = current().resolve(self.path)
        if not path.is_file():
            raise GristmillError(f"{path}: no such tokenizer file; `path` is relative to the recipe's folder")
        if self.sha256 and (is_now := sha256_file(path)) != self.sha256:
            raise GristmillError(f"{path}: sha256 is {is_now}, the recipe says {self.sha256}; mend one of them")
        return path


class TokenizerHub(Given):
    """The `tokenizer.json` of a model repository on the Hugging Face Hub, at a fixed commit."""

    example: ClassVar[dict[str, Any]] = {"repo": "owner/model", "revision": "0" * 40}

    repo: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$", description="repository, as owner/name")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="commit; a branch moves, so only a full hash will do")

    def found(self) -> Path:
        """The file in the cache, downloaded if need be; GristmillError where the Hub does not give it."""
        return hub.find(self.repo, self.revision, FILE)
