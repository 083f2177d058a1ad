"""What `minhash` costs as documents grow: synthetic sketches of 1e5 to 1e7 documents, decided within a memory limit.

Documents are drawn as band keys, not as text: one in ten shares about half of its bands with an earlier one. Reported
for each size: CPU seconds of `decide` a million documents; the bytes a document that it writes, and that its jobs take
up from mapped files; and the peak of memory that is not a mapped file, sampled every 20 ms: a run that passes the limit
is ended. The drop lists of every size are compared with what was planted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.core.shards import ShardWriter
from pipeline.core.stage import Sketches
from pipeline.dedup.minhash import Minhash
from pipeline.kernels.minhash import mix64
from pipeline.run import exchange as shuffle
from pipeline.run.exchange import FileExchange
from pipeline.run.executors import Serial
from pipeline.run.options import Options

BANDS, ROWS = 14, 8
SHARD = 100_000
ONE_IN = 10


def main() -> None:
    """Every size in a process of its own; a table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--limit-mib", type=int, default=1024, help="memory for `decide`")
    parser.add_argument(
        "--folder", type=Path, help="where to put sketches and the shuffle (200 to 600 bytes a document)"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one, options)))
        return
    print("documents    CPU s  CPU s/million  sketch B/doc  written B/doc  read B/doc  peak MiB  dropped  as planted")
    found = []
    for count in options.documents:
        command = [sys.executable, __file__, "--one", str(count), "--limit-mib", str(options.limit_mib)]
        command += ["--folder", str(options.folder)] if options.folder else []
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{count:10,}  failed within {options.limit_mib} MiB: {done.stderr.strip().splitlines()[-1:]}")
            continue
        row = json.loads(done.stdout.splitlines()[-1])
        found.append(row)
        print(
            f"{count:10,} {row['cpu']:8.1f} {row['cpu_per_million']:13.2f} {row['sketch_bytes']:13.0f}"
            f" {row['written_bytes']:14.0f} {row['read_bytes']:11.0f} {row['peak_mib']:9,.0f} {row['dropped']:8,}"
            f"  {row['as_planted']}"
        )
    if options.json:
        first = found[0]["cpu_per_million"]
        ratios = {f"{row['documents']:,} documents, a document": row["cpu_per_million"] / first for row in found}
        print(json.dumps({"ratios": {name: round(ratio, 3) for name, ratio in ratios.items()}, "figures": found}))


def measured(count: int, options: argparse.Namespace) -> dict[str, float | bool]:
    """Write the sketches of so many documents, then decide, watched."""
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        sketches, planted = write_sketches(count, folder)
        size = sum(file.stat().st_size for file in sketches.files)
        out = folder / "decision"
        out.mkdir()
        stage = Minhash(bands=BANDS, rows=ROWS, verify=False)
        before, cpu, wall = moved(), time.process_time(), time.perf_counter()
        bounded = Options(workers=1, memory=min(options.limit_mib, 512)).partition_bytes
        with Watched(options.limit_mib) as watched, Counted() as counted:
            exchange = FileExchange(Serial(), folder / "work", partition_bytes=bounded)
            stage.decide(sketches, out, exchange)
        cpu, wall, after = time.process_time() - cpu, time.perf_counter() - wall, moved()
        dropped = 0
        for file in out.iterdir():
            with pa.memory_map(str(file)) as stream:
                dropped += pa.ipc.open_file(stream).read_all().num_rows
    return {
        "documents": count,
        "cpu": round(cpu, 2),
        "wall": round(wall, 2),
        "cpu_per_million": round(cpu / count * 1e6, 3),
        "sketch_bytes": round(size / count, 1),
        "read_bytes": round((after["rchar"] - before["rchar"] + counted.bytes) / count, 1),
        "written_bytes": round((after["wchar"] - before["wchar"]) / count, 1),
        "peak_mib": round(watched.peak / 1024, 1),
        "limit_mib": options.limit_mib,
        "dropped": dropped,
        "as_planted": dropped == planted,
    }


def write_sketches(count: int, folder: Path) -> tuple[Sketches, int]:
    """The sketch files, and how many documents repeat an earlier one."""
    files, rows = [], []
    planted = 0
    for start in range(0, count, SHARD):
        n = np.arange(start, min(start + SHARD, count), dtype=np.uint64)
        repeats = (n % np.uint64(ONE_IN) == ONE_IN - 1) & (n > ONE_IN)
        planted += int(repeats.sum())
        origin = np.where(repeats, mix64(n) % np.maximum(n // np.uint64(ONE_IN), 1) * np.uint64(ONE_IN), n)
        band = np.arange(BANDS, dtype=np.uint64)
        own, shared = (mix64(mix64(one)[:, None] + band) for one in (n, origin))
        from_origin = repeats[:, None] & ((band[None, :] + n[:, None]) % np.uint64(2) == 0)
        keys = np.where(from_origin, shared, own)
        columns = {
            "row": pa.array(n.astype(np.int64) - start),
            "id": pa.array([f"{one:016x}" for one in n.tolist()]),
            "source": pa.repeat("synthetic", len(n)),
            "place": pa.array(mix64(n)),
            "bands": pa.FixedSizeListArray.from_arrays(pa.array(keys.ravel()), BANDS),
            "signature": pa.FixedSizeListArray.from_arrays(
                pa.array(keys.view(np.uint8)[:, : BANDS * ROWS].ravel()), 112
            ),
        }
        files.append(folder / f"sketch-{start:09d}.arrow")
        batch = pa.RecordBatch.from_pydict(columns)
        with ShardWriter(files[-1], batch.schema, level=None) as writer:
            writer.write(batch)
        rows.append(len(n))
    return Sketches(tuple(files), tuple(rows), ("synthetic",)), planted


class Watched:
    """Samples the memory of this process that is not a mapped file, and ends it above the limit; `peak` in KiB."""

    def __init__(self, limit_mib: int) -> None:
        self.limit = limit_mib * 1024

    def __enter__(self) -> Watched:
        self.peak, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
            self.peak = max(self.peak, int(found[1]) if found else 0)
            if self.peak > self.limit:
                print(f"{self.peak / 1024:,.0f} MiB in use", file=sys.stderr, flush=True)
                os._exit(3)


class Counted:
    """Adds up the rows that the jobs of a shuffle take up."""

    def __enter__(self) -> Counted:
        self.bytes, self._real = 0, shuffle._sorted
        shuffle._sorted = self._sorted
        return self

    def __exit__(self, *_: object) -> None:
        shuffle._sorted = self._real

    def _sorted(self, table: pa.Table) -> pa.Table:
        self.bytes += table.nbytes
        return self._real(table)


def moved() -> dict[str, int]:
    """Bytes that this process has read and written through system calls."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


if __name__ == "__main__":
    main()
