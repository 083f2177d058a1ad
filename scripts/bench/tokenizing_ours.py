"""One run of ours, for scripts/bench/tokenizing.py: the packing sweep of a build, receipts, digests and all."""

import sys
from pathlib import Path


def main(shards: Path, tokenizer: Path, out: Path, workers: int, length: int) -> None:
    """As `gristmill build` begins: the workers' server first, then what this process needs."""
    from pipeline.run.executors import Processes, start_server

    if workers > 1:
        start_server()
    from pipeline.core.asset import Place
    from pipeline.run.plan import PlannedSweep
    from pipeline.run.recipe import Named
    from pipeline.run.store import SweepFolder
    from pipeline.run.sweep import ShardJob, run_shard
    from pipeline.tokens.pack import Pack

    sweep = PlannedSweep("pack", "", None, (Named("pack", Pack(length=length)),), None, "", {})
    folder, files = SweepFolder(out), sorted(shards.glob("*.arrow"))
    jobs = [ShardJob(i, sweep, folder, Place(), 256, shard=file, decision=tokenizer) for i, file in enumerate(files)]
    with Processes(workers) as executor:
        for _, receipt in executor.map(run_shard, jobs):
            assert receipt.rows_out


if __name__ == "__main__":
    shards, tokenizer, out, workers, length = sys.argv[1:]
    main(Path(shards), Path(tokenizer), Path(out), int(workers), int(length))
