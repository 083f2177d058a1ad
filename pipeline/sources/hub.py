"""The source `hub`: a dataset of the Hugging Face hub, pinned to a commit."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from pipeline.core.asset import current
from pipeline.core.errors import SourceError
from pipeline.core.manifest import digest
from pipeline.core.schema import DOCUMENT, UNREADABLE
from pipeline.core.shards import write_text
from pipeline.core.stage import Part, Slice, Source
from pipeline.sources import transfer
from pipeline.sources.address import redact, scrub
from pipeline.sources.columns import Columns, absent
from pipeline.sources.fetch import recorded
from pipeline.sources.lines import object_row
from pipeline.sources.listing import opened, stated_digest
from pipeline.sources.records import Origin, Row, batches
from pipeline.sources.tables import table_batches

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Hub(Source):
    """One split of one configuration, every file a part.

    Parquet files are read as they lie in the repository, downloaded to the cache or, with `streaming`, from the hub
    directly; other formats are streamed through `datasets`. `revision` must be written down: a commit is taken as it
    is, a branch or tag is resolved when the plan is made, and the commit stands in the name of every file. The token
    is the one of `hf auth login` or `HF_TOKEN`.
    """

    example: ClassVar[Mapping[str, Any]] = {"name": "papers", "dataset": "someone/papers", "revision": "0" * 40}
    located: ClassVar[tuple[str, ...]] = ("streaming",)

    dataset: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$", description="name on the hub, as `owner/name`")
    revision: str | None = Field(None, description="commit (40 hex digits), or a tag or branch to be resolved")
    config: str | None = Field(None, description="configuration; needed where the dataset has several")
    split: str = Field("train", description="split to read")
    columns: Columns = Field(default_factory=Columns, description="where text, id, url, date, language and license are")
    streaming: bool = Field(False, description="read Parquet from the hub without a copy in the cache")

    def columns_written(self) -> Mapping[str, pa.DataType]:
        """A document; `lang` if it is mapped."""
        return {
            **{name: dtype for name, dtype in DOCUMENT.items() if name != "lang" or self.columns.language},
            **UNREADABLE,
        }

    def parts(self) -> list[Part]:
        """A part a file, in the order of the configuration; listed once for a commit, then remembered in the cache."""
        commit = self._commit()
        label = f"{self.dataset}@{commit}/{self.config or 'default'}/{self.split}"
        kept = current().cache / "hub" / f"{digest([self.dataset, commit, self.config, self.split])}.json"
        if not kept.exists():
            self._online(label)
            write_text(kept, json.dumps(self._files(commit, label)))
        files: list[tuple[str, str, str, int, int, int | None]] = json.loads(kept.read_text(encoding="utf-8"))
        return [Part((Slice(*file),)) for file in files]

    def read(self, part: Part) -> Iterator[pa.RecordBatch]:
        """The documents of one part; `offset` is the row in the file, or in the shard of a stream."""
        for piece in part.slices:
            origin = Origin(self.name, self.license, self.terms, piece.name)
            if piece.stop is not None:
                yield from batches(self._streamed(piece, origin))
            elif self.streaming:
                self._online(piece.name)
                with transfer.open_file(piece.uri) as stream:
                    yield from table_batches(stream, "parquet", origin, self.columns)
            else:
                yield from table_batches(opened(piece), "parquet", origin, self.columns)

    def digests(self, part: Part) -> dict[str, str]:
        """sha256 of the files that the hub knows it of; else what names their content: blob or commit."""
        found = {}
        for piece in part.slices:
            known = recorded(piece.uri) if piece.stop is None else None
            found[piece.name] = known.sha256 if known else piece.digest
        return found

    def _commit(self) -> str:
        if self.revision is not None and _COMMIT.fullmatch(self.revision):
            return self.revision
        if current().offline:
            raise SourceError(self.dataset, "this run is offline: `revision` must be a commit of 40 hex digits")
        commit = resolve_commit(self.dataset, self.revision or "main")
        if self.revision is None:
            raise SourceError(self.dataset, f"`revision` is not given, and `main` moves: write revision: {commit}")
        return commit

    def _files(self, commit: str, label: str) -> list[tuple[str, str, str, int, int, int | None]]:
        """The slices as plain values."""
        splits = data_files(self.dataset, self.config, commit)
        if self.split not in splits:
            near = difflib.get_close_matches(self.split, splits, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SourceError(label, f"no split {self.split!r}{hint} It has {', '.join(sorted(splits))}")
        uris = splits[self.split]
        if uris and all(uri.endswith(".parquet") for uri in uris):
            stated = [transfer.state(uri) for uri in uris]
            names = [uri if commit in uri else f"{uri}@{commit}" for uri in uris]
            known = zip(uris, names, stated, strict=True)
            return [(uri, name, stated_digest(one), one.size or 0, 0, None) for uri, name, one in known]
        n_shards = streamed(self.dataset, self.config, commit, self.split).num_shards
        shards = range(n_shards)
        return [(self.dataset, f"{label}#{at}-of-{n_shards}", f"commit:{commit}", 0, at, at + 1) for at in shards]

    def _streamed(self, piece: Slice, origin: Origin) -> Iterator[Row]:
        self._online(piece.name)
        mapped = self.columns.mapped()
        commit = piece.digest.removeprefix("commit:")
        stream = streamed(self.dataset, self.config, commit, self.split)
        examples = stream.shard(num_shards=stream.num_shards, index=piece.start)
        try:
            for row, value in enumerate(examples):
                for column in mapped.values():
                    if column not in value:
                        raise absent(piece.name, column, value)
                yield object_row(value, row, origin, mapped)
        except (OSError, ValueError) as error:
            raise SourceError(piece.name, f"the stream broke off ({scrub(str(error))}); run the same again") from None

    def _online(self, name: str) -> None:
        if current().offline:
            raise SourceError(name, "not in the cache and this run is offline: run once without --offline")


def resolve_commit(dataset: str, revision: str) -> str:
    """The commit that a branch or tag stands for now."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        commit = HfApi().dataset_info(dataset, revision=revision).sha
    except (HfHubHTTPError, OSError) as error:
        raise SourceError(dataset, f"revision {revision!r} cannot be resolved ({scrub(str(error))})") from None
    assert commit is not None
    return commit


def data_files(dataset: str, config: str | None, commit: str) -> dict[str, list[str]]:
    """The addresses of the files of a configuration, by split; SourceError for one that is not in the dataset.

    A dataset's own metadata says where its files are, and may say another server, or a path on this machine.
    """
    from datasets import load_dataset_builder

    try:
        builder = load_dataset_builder(dataset, config, revision=commit)
    except (ValueError, OSError) as error:
        raise SourceError(f"{dataset}@{commit}", scrub(str(error))) from None
    found = {str(split): [str(uri) for uri in uris] for split, uris in (builder.config.data_files or {}).items()}
    for uri in (uri for uris in found.values() for uri in uris):
        if not re.match(rf"hf://datasets/[\w.-]+(/[\w.-]+)?@{re.escape(commit)}/", uri) or "/../" in uri:
            raise SourceError(f"{dataset}@{commit}", f"names a file that is not its own: {redact(uri)}")
    return found


def streamed(dataset: str, config: str | None, commit: str, split: str) -> Any:  # datasets.IterableDataset
    """The split as a stream of examples."""
    from datasets import load_dataset

    try:
        return load_dataset(dataset, config, split=split, revision=commit, streaming=True)
    except (ValueError, OSError) as error:
        raise SourceError(f"{dataset}@{commit}", scrub(str(error))) from None
