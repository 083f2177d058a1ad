r"""One program's whole near-deduplication of a file of texts: text in, keep list out. Run by `dedup.py`, not by hand.

Every peer gets the same shingles (5 words, `\w+` of the lower-cased text, as near as its own tokenizer comes), bands
and rows, one core, and its texts in memory in the form that it likes best. Nothing of Gristmill is imported here
except by `gristmill`, so that this file runs in the peers' environment.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "DAFT_NUM_THREADS"):
    os.environ[threads] = "1"

BANDS, ROWS, WIDTH = 14, 8, 5
SEED = int(os.environ.get("BENCH_SEED", "1"))
"""Of the permutations; gaoya has none to choose."""
Keep = Iterable[int]


def shingled(text: str) -> set[str]:
    """The word 5-grams of a text, the way they are cut in Python."""
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[i : i + WIDTH]) for i in range(max(len(words) - WIDTH + 1, 1))} if words else set()


def datasketch(texts: list[str]) -> Keep:
    """MinHash and MinHashLSH with their defaults; a document is kept if its query finds nothing before it."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    first = MinHash(BANDS * ROWS, seed=SEED)
    for n, text in enumerate(texts):
        sketch = MinHash(BANDS * ROWS, seed=SEED, permutations=first.permutations, scheme=first.scheme)
        sketch.update_batch([shingle.encode() for shingle in shingled(text)])
        if not index.query(sketch):
            yield n
            index.insert(n, sketch, check_duplication=False)


def rensa(texts: list[str]) -> Keep:
    """Sketches as one matrix and flags for all rows; then those that share a band one by one, in order."""
    from rensa import RMinHash, RMinHashLSH

    sets = [list(shingled(text)) for text in texts]
    matrix = RMinHash.digest_matrix_from_token_sets(sets, BANDS * ROWS, SEED)
    index = RMinHashLSH(0.0, BANDS * ROWS, BANDS)
    flags = index.query_duplicate_flags_matrix_one_shot(matrix)
    flagged = [n for n, flag in enumerate(flags) if flag]
    for n, sketch in zip(
        flagged, RMinHash.from_token_sets([sets[n] for n in flagged], BANDS * ROWS, SEED), strict=True
    ):
        if index.query(sketch):
            flags[n] = None
        else:
            index.insert(n, sketch)
    return [n for n, flag in enumerate(flags) if flag is not None]


def gaoya(texts: list[str]) -> Keep:
    """The index of strings, all in Rust; a document is kept if its query finds nothing before it."""
    from gaoya.minhash import MinHashStringIndex

    index = MinHashStringIndex(32, 0.0, BANDS, ROWS, BANDS * ROWS, "word", True, (WIDTH, WIDTH), "smallvec")
    for n, text in enumerate(texts):
        if not index.query(text):
            yield n
            index.insert_document(n, text)


def daft(texts: list[str]) -> Keep:
    """Its `normalize` and `minhash`; Daft has no banding: here with NumPy, and the smallest row of each group kept."""
    import daft as engine
    import numpy as np
    from daft.functions import minhash, normalize

    frame = engine.from_pydict({"text": texts})
    clean = normalize(engine.col("text"), remove_punct=True, lowercase=True, white_space=True)
    made = frame.select(
        minhash(clean, num_hashes=BANDS * ROWS, ngram_size=WIDTH, seed=SEED, hash_function="xxhash").alias("signature")
    )
    column = made.to_arrow()["signature"].combine_chunks()
    signature = column.flatten().to_numpy().reshape(len(texts), BANDS * ROWS)
    first = np.arange(len(texts))
    for band in range(BANDS):
        rows = np.ascontiguousarray(signature[:, band * ROWS : (band + 1) * ROWS]).view(f"V{4 * ROWS}").ravel()
        _, start, group = np.unique(rows, return_index=True, return_inverse=True)
        first = np.minimum(first, first[start[group]])
    return np.flatnonzero(first == np.arange(len(texts))).tolist()


def datatrove(texts: list[str]) -> Keep:
    """Its four blocks, one after the other, in one process."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import minhash as blocks
    from datatrove.utils.hashing import HashConfig

    config = blocks.MinhashConfig(
        n_grams=WIDTH,
        num_buckets=BANDS,
        hashes_per_bucket=ROWS,
        seed=SEED,
        hash_config=HashConfig(precision=64, hash_fc="xxhash"),
    )
    with tempfile.TemporaryDirectory() as folder:
        one, two, three = (f"{folder}/{name}" for name in ("signatures", "buckets", "remove"))
        documents = [Document(text=text, id=str(n)) for n, text in enumerate(texts)]
        blocks.MinhashDedupSignature(output_folder=one, config=config).run(iter(documents), 0, 1)
        for bucket in range(BANDS):
            blocks.MinhashDedupBuckets(one, two, config=config).run(None, bucket, BANDS)
        blocks.MinhashDedupCluster(two, three, config=config).run(None, 0, 1)
        kept = blocks.MinhashDedupFilter(three).run(iter(documents), 0, 1)
        return [int(document.id) for document in kept]


def gristmill(texts: list[str]) -> Keep:
    """The stage `minhash`, preset `fineweb`, with its files: sketches, shuffle and drop lists."""
    return _gristmill(texts, preset="fineweb", seed=SEED)


def gristmill_verified(texts: list[str]) -> Keep:
    """The same, with the true Jaccard similarity of every candidate pair at 0.8, and 20 bands of 6 rows."""
    return _gristmill(texts, bands=20, rows=6, threshold=0.8, seed=SEED)


def _gristmill(texts: list[str], **fields: object) -> Keep:
    import numpy as np
    import pyarrow as pa

    from pipeline.core.shards import ShardWriter
    from pipeline.core.stage import Decision, Sketches
    from pipeline.dedup.minhash import Minhash
    from pipeline.run.exchange import FileExchange
    from pipeline.run.executors import Serial

    stage = Minhash(**fields)
    per_shard, per_batch = 20_000, 1024
    kept: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files, sizes = [], []
        for start in range(0, len(texts), per_shard):
            shard = texts[start : start + per_shard]
            files.append(folder / f"sketch-{start}.arrow")
            sizes.append(len(shard))
            writer = None
            for at in range(0, len(shard), per_batch):
                text = shard[at : at + per_batch]
                rows = np.arange(at, at + len(text))
                columns = {
                    "row": pa.array(rows),
                    "id": pa.array(rows + start).cast(pa.string()),
                    "source": pa.repeat("bench", len(text)),
                    "file": pa.repeat("bench", len(text)),
                    "offset": pa.array(rows + start),
                    "text": text,
                }
                sketch = stage.sketch(pa.RecordBatch.from_pydict(columns))
                writer = writer or ShardWriter(files[-1], sketch.schema, level=None).__enter__()
                writer.write(sketch)
            if writer:
                writer.__exit__(None, None, None)
        out = folder / "decision"
        out.mkdir()
        stage.decide(Sketches(tuple(files), tuple(sizes), ("bench",)), out, FileExchange(Serial(), folder / "work"))
        for shard_index, size in enumerate(sizes):
            kept_rows = stage.judge(
                pa.RecordBatch.from_pydict({"row": pa.array(range(size))}), Decision(out, shard_index)
            )
            mask = kept_rows.kept
            rows = np.arange(size) if mask is None else np.flatnonzero(mask.to_numpy(zero_copy_only=False))
            kept += (rows + shard_index * per_shard).tolist()
    return kept


PROGRAMS: dict[str, Callable[..., Keep]] = {
    program.__name__: program for program in (gristmill, gristmill_verified, datasketch, rensa, gaoya, daft, datatrove)
}


def main() -> None:
    """Arguments: program, file of texts (Arrow IPC), how many, file for the keep list. Prints one JSON object."""
    name, file, count, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    import pyarrow as pa

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[int(os.environ.get("BENCH_CORE", "0"))]})
    with pa.memory_map(file) as stream:
        column = pa.ipc.open_file(stream).read_all()["text"].slice(0, count)
    column = pa.concat_arrays(column.chunks).take(pa.array(range(count)))
    program = PROGRAMS[name]
    texts = column if name.startswith("gristmill") else column.to_pylist()
    del column
    list(program(texts[:64]))
    pa.default_memory_pool().release_unused()
    gc.collect()
    before = reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    kept = list(program(texts))
    figures = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    peak = peak_kib()
    Path(out).write_text(json.dumps(kept))
    print(json.dumps({**figures, "documents": count, "peak_mib": peak / 1024, "added_mib": (peak - before) / 1024}))


def reset_peak() -> int:
    """Forget the peak of memory so far, where the system can; KiB in use."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_kib()


def peak_kib() -> int:
    """The most memory in use since `reset_peak`."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
        return int(found[1]) if found else 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
