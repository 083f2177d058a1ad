"""Faults at random over builds of a small corpus: each must end with the bytes of the undisturbed build.

    python scripts/chaos.py --runs 200 --seed 1 --json chaos.json

A run builds a recipe with every kind of stage (pages from a web server, lines, a filter, exact and near duplicates, a
tokenizer, packing) under one fault. It ends whole, or with an error that names what to do; then the same command is
given again until it ends. Compared are documents, tokens, tokenizer, ledgers and the manifest's digest, by their bytes
on disk. The builds are forked from this process, which has imported everything and runs no thread. Linux; as root, the
disk that is full is a mounted one, else a limit on the size of files.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fastokens  # noqa: F401 (what is imported here is paid for once; threads begin with its first use, in a build)
import pandas  # noqa: F401
import polars  # noqa: F401
import pyarrow as pa
import tokenizers  # noqa: F401

from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError
from pipeline.core.manifest import read_manifest
from pipeline.core.schema import documents
from pipeline.dedup.minhash import Minhash
from pipeline.run import engine, worker  # noqa: F401 (every stage)
from pipeline.run.checking import load_recipe
from pipeline.run.options import Options
from pipeline.run.plan import make_plan
from pipeline.run.progress import Quiet
from pipeline.run.store import Store
from pipeline.sources import attempts

ROWS, PAGES = 40, 20
WORDS = ("grain", "mill", "river", "stone", "wheel", "flour", "water", "sack", "miller", "sieve", "oats", "rye", "bran")
DAY = 86_400


def warm() -> None:
    """Load what is compiled, so that no build has to."""
    batch = documents([{"id": "a", "text": "grain " * 30, "lang": "en"}])
    Minhash(bands=10, rows=4).sketch(batch.append_column("row", pa.array([0])))


def write_project(folder: Path, url: str) -> Path:
    """Lines with duplicates, a web archive on a server, and the recipe."""
    rng = random.Random(5)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(30, 90))) + f" {n}." for n in range(ROWS)]
    texts += [*texts[:6], *(f"{text} And more." for text in texts[6:12]), "short", "short too"]
    rng.shuffle(texts)
    (folder / "data").mkdir(parents=True)
    for number in range(3):
        rows = [json.dumps({"text": text}) for text in texts[number::3]]
        (folder / "data" / f"{number}.jsonl").write_text("\n".join(rows))
    pages = [" ".join(rng.choices(WORDS, k=80)) for _ in range(PAGES)]
    (folder / "served").mkdir()
    (folder / "served" / "pages.warc").write_bytes(b"".join(_record(n, text) for n, text in enumerate(pages)))
    path = folder / "recipes" / "chaos.yaml"
    path.parent.mkdir()
    path.write_text(_RECIPE.format(url=url))
    return path


_RECIPE = """recipe: chaos
version: "1"
sources:
  - files: {{name: lines, paths: ["data/*.jsonl"], part_bytes: 6000}}
  - warc: {{name: pages, paths: ["{url}/pages.warc"]}}
stages:
  - extract: {{mode: fast}}
  - length: {{min_characters: 50}}
  - exact
  - minhash: {{bands: 10, rows: 4}}
tokenizer: {{train_bpe: {{vocab: 300}}}}
pack: {{length: 64, holdout: 0.1}}
card: {{license: cc0-1.0}}
"""


def _record(number: int, text: str) -> bytes:
    body = f"<html><body><main><p>{text}</p></main></body></html>"
    http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{body}".encode()
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://example.org/{number}\r\n"
    head += f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
    return head.encode() + http + b"\r\n\r\n"


_SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
folder, cuts = Path(sys.argv[1]), []
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        cuts[:] = [float(share) for share in self.path[1:].split(",") if share]
        self.send_response(204); self.end_headers()
    def do_HEAD(self): self.answer()
    def do_GET(self): self.answer()
    def answer(self):
        self.close_connection = True
        body = (folder / self.path[1:]).read_bytes()
        wanted = self.headers.get("Range", "bytes=0-")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if self.headers.get("If-Range") == '"1"' else 0
        self.send_response(206 if start else 200)
        if start: self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start)); self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command == "GET":
            stop = start + int((len(body) - start) * cuts.pop(0)) if cuts else len(body)
            self.wfile.write(body[start:stop])
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server in a process of its own: this one must stay without threads."""
    server = subprocess.Popen([sys.executable, "-c", _SERVER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@dataclass
class Trial:
    """One run: where it builds, and what has happened in it."""

    recipe: Path
    url: str
    folder: Path
    rng: random.Random
    seconds: float
    said: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The folder that is built into."""
        return self.folder / "build"

    def start(self, *, workers: int = 1, shim: Callable[[], None] | None = None, **more: Any) -> int:
        """Begin a build in a process and session of its own; its id."""
        (self.folder / "said").unlink(missing_ok=True)
        pid = os.fork()
        if not pid:
            os.setsid()
            os._exit(self._build(workers, shim, more))
        return pid

    def end(self, pid: int) -> str:
        """How a build ended: whole, killed, an error meant for people, or a defect."""
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(status)
        told = (self.folder / "said").read_text() if (self.folder / "said").exists() else ""
        outcome = {0: "whole", 1: f"error: {told}", 2: f"DEFECT: {told}"}.get(code, f"killed ({code})")
        self.said.append(outcome)
        return outcome

    def build(self, **more: Any) -> str:
        """A build from beginning to end."""
        return self.end(self.start(**more))

    def build_killed(self, kill: Callable[[int], None], **more: Any) -> str:
        """A build in the course of which, at a random moment, something is killed."""
        pid = self.start(**more)
        deadline = time.monotonic() + self.rng.uniform(0, 1.1) * self.seconds
        while time.monotonic() < deadline and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.002)
        with contextlib.suppress(ProcessLookupError):
            kill(pid)
        return self.end(pid)

    def _build(self, workers: int, shim: Callable[[], None] | None, more: dict[str, Any]) -> int:
        try:
            if shim:
                shim()
            place = Place(self.recipe.parent.parent, self.folder / "cache", allow=("127.0.0.1",))
            with place.active():
                plan = make_plan(load_recipe(self.recipe))
            engine.build(plan, Options(self.root, workers, 16, place, **more), Quiet())
        except (GristmillError, OSError) as error:
            with contextlib.suppress(OSError):
                (self.folder / "said").write_text(str(error))
            return 1
        except BaseException:
            (self.folder / "said").write_text(traceback.format_exc())
            return 2
        return 0


def kill_worker(trial: Trial) -> None:
    """Kill -9 of a process other than the build itself, up to four times."""

    def kill(pid: int) -> None:
        others = [other for other in _session(pid) if other != pid]
        if others:
            os.kill(trial.rng.choice(others), signal.SIGKILL)

    trial.build_killed(kill, workers=2)


def kill_parent(trial: Trial) -> None:
    """Kill -9 of the build; its workers have to end by themselves."""
    for _ in range(trial.rng.randint(1, 3)):
        trial.build_killed(lambda pid: os.kill(pid, signal.SIGKILL), workers=trial.rng.choice((1, 1, 1, 2)))


def kill_all(trial: Trial) -> None:
    """Kill -9 of everything at once."""
    for _ in range(trial.rng.randint(1, 3)):
        trial.build_killed(lambda pid: os.killpg(pid, signal.SIGKILL), workers=trial.rng.choice((1, 1, 1, 2)))


def disk_full(trial: Trial) -> None:
    """No room, from some moment on."""
    size = trial.rng.randint(8, 400) << 10
    trial.root.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", trial.root], capture_output=True)
    if mounted.returncode:
        limit = trial.rng.randint(100, 20_000)
        trial.build(shim=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        return
    trial.build()
    subprocess.run(["mount", "-o", "remount,size=64m", trial.root], check=True)


def denied(trial: Trial) -> None:
    """A folder or file that may not be written."""
    trial.build_killed(lambda pid: os.killpg(pid, signal.SIGKILL))
    trial.root.mkdir(exist_ok=True)
    closed = trial.rng.choice([trial.root, *sorted(trial.root.rglob("*"))])
    if subprocess.run(["chattr", "+i", closed], capture_output=True).returncode:
        trial.said.append("not tried: chattr is not possible here")
        return
    trial.build()
    subprocess.run(["chattr", "-i", closed], check=True)


def clock_back(trial: Trial) -> None:
    """What lies there is from tomorrow, and the clock goes backwards."""
    trial.build_killed(lambda pid: os.killpg(pid, signal.SIGKILL))
    for path in (*trial.folder.rglob("*"), *trial.recipe.parent.parent.rglob("*")):
        if path.is_file():
            os.utime(path, (time.time() + DAY, time.time() + DAY))
    now, real = trial.rng.uniform(0, 1e9), (time.time, time.time_ns)

    def shim() -> None:
        began = real[0]()
        time.time = lambda: now - (real[0]() - began)
        time.time_ns = lambda: int(time.time() * 1e9)

    trial.build(shim=shim)


def two_builds(trial: Trial) -> None:
    """A second build into the same root, begun at a random moment."""
    first = trial.start()
    time.sleep(trial.rng.uniform(0, trial.seconds))
    second = trial.start()
    trial.end(first)
    trial.end(second)


def network_lost(trial: Trial) -> None:
    """The connection ends in the middle of a download, up to nine times."""
    shares = [trial.rng.uniform(0, 1) for _ in range(trial.rng.randint(1, 9))]
    subprocess.run([sys.executable, "-S", "-c", _POST, trial.url, ",".join(map(str, shares))], check=True)
    trial.build()
    subprocess.run([sys.executable, "-S", "-c", _POST, trial.url, ""], check=True)


_POST = """
import sys, http.client
connection = http.client.HTTPConnection(sys.argv[1].removeprefix("http://"))
connection.request("POST", "/" + sys.argv[2]); connection.getresponse()
"""


def corrupted(trial: Trial) -> None:
    """Of a whole build, or of a part of one, a stored file is changed, cut, emptied or lost."""
    if trial.rng.random() < 0.5:
        trial.build()
    else:
        trial.build_killed(lambda pid: os.killpg(pid, signal.SIGKILL))
    folders = (trial.root / "store", trial.folder / "cache" / "downloads", trial.root / "chaos" / "documents")
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    for path in trial.rng.sample(files, min(len(files), trial.rng.randint(1, 3))):
        content = bytearray(path.read_bytes())
        match trial.rng.randrange(4):
            case 0 | 1:
                content[trial.rng.randrange(len(content))] ^= 1 << trial.rng.randrange(8)
                path.write_bytes(content)
            case 2:
                path.write_bytes(content[: trial.rng.randrange(len(content))])
            case 3:
                path.unlink()
    trial.build(recheck=True)


FAULTS = (kill_worker, kill_parent, kill_all, disk_full, denied, clock_back, two_builds, network_lost, corrupted)
AGAIN = 4
"""How often the same command is given until it ends whole."""


def digests(root: Path, recipe: Path, folder: Path) -> dict[str, str]:
    """sha256 of every file of the corpus and of its ledgers, and the manifest's own digest."""
    corpus = root / "chaos"
    files = {path.relative_to(root).as_posix(): path for path in corpus.rglob("*") if path.is_file()}
    for sweep in read_manifest(corpus).sweeps:
        ledger = Store(root).folder(sweep.name, sweep.key) / "ledger"
        files |= {path.relative_to(root).as_posix(): path for path in ledger.glob("shard-*")}
    told = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    return told | {"chaos/manifest.json": read_manifest(corpus).digest}


def run_one(number: int, seed: int, recipe: Path, url: str, calm: dict[str, str], seconds: float) -> dict[str, Any]:
    """One run: its fault, how its builds ended, and whether it came to the same bytes."""
    fault = FAULTS[number % len(FAULTS)]
    with TemporaryDirectory() as folder:
        trial = Trial(recipe, url, Path(folder), random.Random(f"{seed}-{number}"), seconds)
        try:
            fault(trial)
            ended = trial.said[-1] if trial.said else "nothing"
            for _ in range(AGAIN):
                if trial.build(recheck=fault is corrupted) == "whole":
                    break
            same = trial.said[-1] == "whole" and digests(trial.root, recipe, trial.folder) == calm
        finally:
            subprocess.run(["umount", trial.root], capture_output=True)
    defects = [said for said in trial.said if said.startswith("DEFECT")]
    return {
        "run": number,
        "fault": fault.__name__,
        "ended": ended,
        "said": trial.said,
        "same": same,
        "defects": defects,
    }


def _session(session: int) -> list[int]:
    """The processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                found.append(int(path.parent.name))
    return sorted(found)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By fault: runs, how they ended, and how many came to other bytes."""
    table: dict[str, Counter[str]] = {}
    for row in rows:
        count = table.setdefault(row["fault"], Counter())
        resumed = not row["ended"].startswith("whole")
        count.update(runs=1, whole=not resumed, resumed=resumed and row["same"], lost=not row["same"])
        count["defects"] += len(row["defects"])
    return {name: dict(count) for name, count in table.items()}


def main() -> None:
    """Run the campaign; the exit status is 1 where a run did not come to the same bytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first run, to repeat one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where every run is written down")
    asked = parser.parse_args()
    attempts.BACKOFF = 0.01
    warm()
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        served = Path(name) / "project" / "served"
        url = stack.enter_context(serving(served))
        recipe = write_project(Path(name) / "project", url)
        trial = Trial(recipe, url, Path(name) / "calm", random.Random(0), 0.0)
        trial.folder.mkdir()
        started = time.monotonic()
        if trial.build() != "whole":
            sys.exit(trial.said[-1])
        seconds, calm = time.monotonic() - started, digests(trial.root, recipe, trial.folder)
        for number in range(asked.first, asked.first + asked.runs):
            rows.append(run_one(number, asked.seed, recipe, url, calm, seconds))
            if not rows[-1]["same"] or rows[-1]["defects"]:
                print(json.dumps(rows[-1], indent=1), file=sys.stderr)
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = {"runs": len(rows), "seed": asked.seed, "faults": summary(rows), "silent_losses": _lost(rows)}
    told["cpu_seconds_a_run"] = round((spent.ru_utime + spent.ru_stime) / max(1, len(rows)), 2)
    if asked.json:
        asked.json.write_text(json.dumps({**told, "each": rows}, indent=1) + "\n")
    print(json.dumps(told))
    sys.exit(any(not row["same"] or row["defects"] for row in rows))


def _lost(rows: list[dict[str, Any]]) -> int:
    """Runs that said they were whole and had other bytes."""
    return sum(row["said"][-1] == "whole" and not row["same"] for row in rows)


if __name__ == "__main__":
    main()
