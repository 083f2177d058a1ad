"""Tries kinds of hostile input, one after the other, in this process: `python -m tests.hostile [NAME...]`.

One JSON object a line. With `--table` the lines become `docs/hostile.md`; with `--big` the big kinds are tried too.
"""

from __future__ import annotations

import faulthandler
import gc
import html
import json
import os
import re
import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.core.asset import Place
from pipeline.core.errors import BuildFailed, GristmillError, StageError
from pipeline.core.manifest import Manifest
from pipeline.core.shards import read_table
from pipeline.run import engine
from pipeline.run.options import Options
from pipeline.run.plan import make_plan
from pipeline.run.progress import Quiet
from pipeline.run.store import Store
from pipeline.sources import attempts, guard
from tests.hostile import archives, lines, places, tables  # noqa: F401 (they list their kinds)
from tests.hostile.kinds import KINDS, Kind, Read, fate
from tests.projects import write_recipe

SECONDS = 120
"""After so long by the clock without an outcome the process ends, and shows where it stood."""


def main(arguments: list[str]) -> None:
    names = [name for name in arguments if not name.startswith("--")]
    guard.WINDOW, guard.LARGEST = 0.5, 8 << 20
    attempts.BACKOFF = 0.01
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if "--table" in arguments:
        print(_HEAD)
    with TemporaryDirectory() as folder:
        warm(Path(folder))
    for one in KINDS.values():
        if one.name in names or (not names and (not one.big or "--big" in arguments)):
            with TemporaryDirectory() as folder:
                row = {"name": one.name, **tried(one, Path(folder))}
            print(_line(one, row) if "--table" in arguments else json.dumps(row, ensure_ascii=False), flush=True)


_HEAD = """# Hostile input

Made and tried by `python -m tests.hostile`, which writes this page with `--big --table`; a test holds it to it, and
every kind to 20 s of processor time and 420 MiB. *read*: documents were kept; *ledger*: some have an entry with a
reason; *refused*: an error names the file and says what is wrong. The last column is how that was put, cut short.

| kind | what it is | outcome | in words |
| --- | --- | --- | --- |"""


def _line(one: Kind, row: dict[str, Any]) -> str:
    words = [re.sub(r"^(refused|ledger): ", "", text) for text in row["outcome"] if not re.match("read|kept: ", text)]
    told = "; ".join(words).replace("|", "\\|").replace("\0", "")
    cut = re.sub(r"(127\.0\.0\.[12]|localhost|0\.0\.0\.0|2130706433|\]):\d+", r"\1", told)[:140]
    return f"| `{one.name}` | {one.what} | {fate(row['outcome'])} | {html.escape(cut, quote=False)} |"


def warm(folder: Path) -> None:
    """Load and compile what the kinds use."""
    read = archives.warc(folder, archives.GOOD)
    stages = ("extract", "rights", *lines.JUDGES, {"minhash": {"bands": 4, "rows": 4}}, "pii", "c4", "fineweb")
    place = Place(base=folder)
    with place.active():
        outcome = _outcome(Read(read.source, read.fields, stages), folder, folder / "build", place)
    assert outcome[0] == "read", outcome


def tried(one: Kind, folder: Path) -> dict[str, Any]:
    """What became of a kind, the seconds of processor
    time, and the MiB that this process grew by and that a child of it took."""
    project = folder / one.name
    project.mkdir()
    place = Place(base=project, cache=folder / "cache", allow=("127.0.0.2",))
    with place.active():
        read = one.make(project)
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        before, started = _memory("VmRSS"), _processor()
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        outcome = _outcome(read, project, folder / "build", place)
        faulthandler.cancel_dump_traceback_later()
    seconds, peak = _processor() - started, _memory("VmHWM") - before
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    return {"outcome": outcome, "seconds": round(seconds, 2), "peak": peak, "child": child}


def _outcome(read: Read, project: Path, root: Path, place: Place) -> list[str]:
    try:
        if read.call:
            read.call()
            return ["read"]
        recipe = {"recipe": "a", "version": "1", "sources": [{read.source: dict(read.fields)}]}
        options = Options(root, 1, 256, place)
        plan = make_plan(_loaded(project, {**recipe, "stages": list(read.stages)}))
        manifest = engine.build(plan, options, Quiet()).manifest
        return ["read", *_kept(manifest, Store(root))]
    except BuildFailed as error:
        return sorted({_refused(one, project) for one in error.failures.values()})
    except Exception as error:
        return [_refused(error, project)]


def _loaded(project: Path, recipe: dict[str, Any]) -> Any:
    """The recipe, written down and loaded."""
    from pipeline.run.checking import load_recipe

    return load_recipe(write_recipe(project, recipe))


def _kept(manifest: Manifest, store: Store) -> list[str]:
    """How many documents were kept, and the entries of the ledger; all that were read are among them."""
    told = []
    dropped = 0
    for sweep in manifest.sweeps:
        for file in sorted((store.folder(sweep.name, sweep.key) / "ledger").glob("*.arrow")):
            for entry in read_table(file).select(["stage", "reason", "detail"]).to_pylist():
                dropped += 1
                told.append(f"ledger: {entry['reason']}" + (f" ({entry['detail']})" if entry["detail"] else ""))
    kept = sum(file.rows for file in manifest.documents)
    read = manifest.sweeps[0].rows_in
    assert read == kept + dropped, f"{read} read, {kept} kept, {dropped} in the ledger"
    return [f"kept: {kept}", *dict.fromkeys(told)]


def _refused(error: Exception, project: Path) -> str:
    """A refusal by name; CRASHED for what is no error meant for a user."""
    named = isinstance(error, GristmillError) and not isinstance(error, StageError)
    text = re.sub(r"\s+", " ", str(error)).replace(str(project), ".")
    return f"{'refused' if named else 'CRASHED'}: {type(error).__name__}: {text}"


def _processor() -> float:
    """Seconds of processor time of this process and of its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _memory(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) >> 10


if __name__ == "__main__":
    main(sys.argv[1:])
