"""What a stage is: its own typed configuration, and one method that looks at Arrow batches.

Four kinds (`Source`, `Local`, `Global`, `Reshape`) and two conveniences over `Local` (`Rule`, `Score`). A stage never
drops anything itself, never opens a shard, and never knows about workers, folders or batch sizes.
"""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from pipeline.core.asset import Asset
from pipeline.core.errors import GristmillError
from pipeline.core.manifest import Older, Trial
from pipeline.core.packed import Tally
from pipeline.core.schema import VERDICT
from pipeline.core.shards import whole, write_text
from pipeline.core.verdict import Reason, Verdict

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Stage(BaseModel, ABC):
    """Frozen fields are the recipe keys; strict, and no others are accepted.

    `word` is the name in a recipe (the class name in snake case), `version` is bumped by hand when output changes.
    `reads` must have been written before; `optional` is used where it is there; `writes` is added or replaced.
    `example` holds the fields that have no default, for the laws and the reference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    word: ClassVar[str] = ""
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("text",)
    optional: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[Mapping[str, pa.DataType]] = {}
    reasons: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "word" not in cls.__dict__:
            cls.word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def columns_read(self) -> tuple[str, ...]:
        """`reads`, or what follows from the fields (a threshold reads the column that it names)."""
        return self.reads

    def columns_written(self) -> Mapping[str, pa.DataType]:
        """`writes`, or what follows from the fields."""
        return self.writes

    def assets(self) -> tuple[Asset, ...]:
        """The files that the outcome depends on, besides the documents."""
        return ()

    def note(self) -> str:
        """What the fields amount to, for the plan; empty where they say it themselves."""
        return ""

    def trials(self) -> tuple[Trial, ...]:
        """How a detector does on positives that are planted in memory, by kind and language; deterministic, in seconds.

        A build asks once, and the card shows it beside what was found. Empty for what detects nothing.
        """
        return ()

    def fields(self) -> dict[str, Any]:
        """The fields as plain JSON values: the part of the identity that the recipe holds."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class Slice:
    """A piece of an input file: bytes or rows `start` to `stop` (None: to the end).

    `name` is the same on every machine (relative to a root, or the URL); `digest` the sha256 of the whole file, or
    what stands for it before a download: the size and ETag that the server states.
    """

    uri: str
    name: str
    digest: str
    size: int
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True)
class Part:
    """What becomes one shard: a deterministic list of slices."""

    slices: tuple[Slice, ...]

    @property
    def size(self) -> int:
        """Bytes to read, for progress."""
        return sum(piece.size for piece in self.slices)


class Source(Stage):
    """Where documents come from. Writes some of `schema.SOURCE`; a record that cannot be read has `unreadable` set."""

    reads: ClassVar[tuple[str, ...]] = ()
    located: ClassVar[tuple[str, ...]] = ("paths",)
    """Fields that only say where the bytes are: the digests of the parts stand for them in the identity."""

    name: str = Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9_.-]*$", description="name carried by every document")
    license: str = Field("unknown", description="licence of documents that declare none themselves")
    terms: str | None = Field(None, description="terms of use, as a URL or a sentence")

    @abstractmethod
    def parts(self) -> list[Part]:
        """The input cut into parts: the same list for the same files, whatever the machine."""

    @abstractmethod
    def read(self, part: Part) -> Iterator[pa.RecordBatch]:
        """The documents of one part, in file order."""

    def digests(self, part: Part) -> dict[str, str]:
        """sha256 by file name, known at the latest once the part has been read."""
        return {piece.name: piece.digest for piece in part.slices}

    def fields(self) -> dict[str, Any]:
        """The identity without what only locates the bytes."""
        return self.model_dump(mode="json", exclude=set(self.located))


class Evidence(NamedTuple):
    """What a stage finds in documents before it judges: `columns` that it writes, `measures` that its rules rest on."""

    columns: Mapping[str, pa.Array]
    measures: Mapping[str, pa.Array]


class Judgement(NamedTuple):
    """One rule by itself, whatever the rules before it say: the rows that it drops, and what that rests on.

    `value` and `limit` are float64, null where there is none. `field` names the limit in the recipe, and is None where
    a rule has no number to move; `least`: values below the limit are dropped, else those above.
    """

    reason: str
    dropped: pa.BooleanArray
    value: pa.Array
    limit: pa.Array
    field: str | None = None
    least: bool = False


class Local(Stage):
    """Looks at each document alone: `judge(a + b) == judge(a) + judge(b)`."""

    @abstractmethod
    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """Keep, or drop because; `batch` has the columns of `reads` and of `optional` (null where absent)."""

    def measuring(self) -> dict[str, Any]:
        """What the measures of `evidence` depend on: all fields; a stage of limits leaves its limits out."""
        return self.fields()

    def evidence(self, batch: pa.RecordBatch) -> Evidence:
        """The expensive half of judging, kept by a census; by default the verdict itself."""
        verdict = self.judge(batch)
        found = {name: getattr(verdict, name) for name in ("reason", "value", "limit")}
        nulls = {name: pa.nulls(batch.num_rows, VERDICT[name]) for name, array in found.items() if array is None}
        return Evidence(verdict.columns, found | nulls)

    def rules(self, measures: Mapping[str, pa.Array]) -> tuple[Judgement, ...]:
        """The cheap half: every rule on its own, by the present limits; by default the reasons of the verdict."""
        given, value, limit = (measures[name] for name in ("reason", "value", "limit"))
        found = []
        for reason in self.reasons:
            dropped = pc.fill_null(pc.equal(given, reason), False)
            found.append(Judgement(reason, dropped, *(pc.if_else(dropped, array, None) for array in (value, limit))))
        return tuple(found)


class Rule(Local):
    """The shortest filter: one method that gives a reason to drop this text, or None."""

    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """Ask `reason` of every text."""
        return Verdict.of([self.reason(text or "") for text in batch.column("text").to_pylist()])

    @abstractmethod
    def reason(self, text: str) -> Reason | str | None:
        """Why this text is dropped; None keeps it."""


class Score(Local):
    """A measure without a verdict: later limits judge the columns that it writes."""

    def judge(self, batch: pa.RecordBatch) -> Verdict:
        """Keep every row, with the new columns."""
        return Verdict(columns=self.score(batch))

    @abstractmethod
    def score(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """The columns named in `writes`, one value a row."""


@dataclass(frozen=True)
class Sketches:
    """What `decide` works on: the sketch file of every shard, in shard order.

    `rows[i]` is the number of documents in shard i, so `base(i) + row` is a dense address; `sources` is the recipe's
    order, which ranks documents where one of several must be chosen.
    """

    files: tuple[Path, ...]
    rows: tuple[int, ...]
    sources: tuple[str, ...]

    def base(self, shard: int) -> int:
        """Address of the first document of a shard."""
        return sum(self.rows[:shard])

    def check_sources(self, names: Iterable[str]) -> None:
        """GristmillError where one of these names is no source of the recipe."""
        for name in names:
            if name not in self.sources:
                raise GristmillError(f"no source is called {name!r}; there are {', '.join(self.sources)}")


@dataclass(frozen=True)
class Decision:
    """What was decided, as seen by one batch: where it lies, the shard, and the batch's first row."""

    folder: Path
    shard: int = 0
    start: int = 0


class Exchange(Protocol):
    """The one shuffle: rows of all files, grouped by a 64-bit key, every group seen whole by one `reduce` call.

    `key` gets the table of one file, with a column `shard` (int32, the position of the file in `files`) where it has
    none, and adds a uint64 column `key`, evenly spread; `reduce` gets the rows of a range of keys sorted by key and
    returns a table, also for no rows. Both are picklable. Returns one Arrow file a partition, in order of keys; the
    rows of a partition do not depend on the order of the files beyond ties, so a reduce that cares sorts by its own
    columns.
    """

    @property
    def memory(self) -> int:
        """Bytes that one job may take, and the caller while no job runs."""

    def __call__(
        self,
        files: Iterable[Path],
        key: Callable[[pa.Table], pa.Table],
        reduce: Callable[[pa.Table], pa.Table],
    ) -> list[Path]:
        """Run the shuffle."""


class Global(Stage):
    """Needs all documents: sketches ride on the sweep before, verdicts on the sweep after."""

    def older(self) -> tuple[Older, ...]:
        """The finished builds whose documents it compares the new ones with."""
        return ()

    @abstractmethod
    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What `decide` must know. `batch` has `reads`, `optional`, and `row`: the row in the shard."""

    @abstractmethod
    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        """Write the decision into `out`; it may not depend on shard cut, file order or workers."""

    def judge(self, batch: pa.RecordBatch, decision: Decision) -> Verdict:
        """Apply the decision; by default the drop list that `write_drops` wrote."""
        return dropped(batch.num_rows, decision)


DROPS: dict[str, pa.DataType] = {"row": pa.int64(), **{name: VERDICT[name] for name in VERDICT if name != "stage"}}
"""A drop list: for one shard, the rows to drop and why, sorted by row."""


def write_drops(drops: pa.Table, shard: int, out: Path) -> None:
    """Write the drop list (columns of `DROPS`) of one shard into a decision folder."""
    table = drops.select(list(DROPS)).cast(pa.schema(list(DROPS.items()))).sort_by("row").combine_chunks()
    with whole(_drops_file(out, shard), sync=False) as path, pa.ipc.new_file(os.fspath(path), table.schema) as writer:
        writer.write_table(table)


def dropped(n_rows: int, decision: Decision) -> Verdict:
    """The verdict on rows `start` to `start + n_rows` of a shard by its drop list; a missing list drops nothing."""
    path = _drops_file(decision.folder, decision.shard)
    if not path.exists():
        return Verdict()
    with pa.memory_map(os.fspath(path)) as stream:
        table = pa.ipc.open_file(stream).read_all()
    rows = pc.subtract(table["row"], decision.start)
    inside = table.set_column(0, "row", rows).filter(pc.and_(pc.greater_equal(rows, 0), pc.less(rows, n_rows)))
    at = pc.index_in(pa.array(np.arange(n_rows)), value_set=inside["row"].combine_chunks())
    arrays = {name: inside[name].combine_chunks().take(at) for name in DROPS if name != "row"}
    return Verdict(**arrays)


def _drops_file(folder: Path, shard: int) -> Path:
    return folder / f"drops-{shard:05d}.arrow"


FACTS = "facts.json"


def write_facts(facts: Mapping[str, Any], out: Path) -> None:
    """Write what a decision should tell of itself (plain JSON) into its folder: it comes into manifest and card."""
    write_text(out / FACTS, json.dumps(facts, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_facts(folder: Path) -> dict[str, Any]:
    """What a decision tells of itself; nothing where it is silent."""
    path = folder / FACTS
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return facts


class Checkpoint(Stage):
    """Keeps what the stages before it made: a later change after this place leaves them cached.

    Row-local stages are otherwise fused, and changing the last one does the first again. Costs one more writing and
    reading of the documents at this place; pages as received are not kept, so it comes after `extract`.
    """


class Reshape(Stage):
    """Rows out are not rows in; ends a plan. Each document that goes in is named by the rows that hold it."""

    splits: ClassVar[tuple[str, ...]] = ("train",)

    @abstractmethod
    def row_schema(self, decision: Decision) -> pa.Schema:
        """The columns of the rows that come out."""

    @abstractmethod
    def reshape(
        self, batches: Iterator[pa.RecordBatch], decision: Decision, tally: Tally | None = None
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Pairs of split and rows; must not depend on how the documents are cut into batches.

        What the rows do not tell of the documents is counted in `tally`.
        """

    def facts(self, rows: pa.RecordBatch) -> dict[str, int]:
        """Counts of what came out, for the receipts; they are added up over batches and shards."""
        return {}
