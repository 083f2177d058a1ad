"""Read a published dataset as its users do; run as a process of its own, in the environment of a rehearsal."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any


def read(name: str, tag: str, copy: Path, splits: list[str]) -> dict[str, Any]:
    """Download a tag into `copy`, and count the rows of each `config/split` in every way that `datasets` reads them."""
    from datasets import disable_progress_bars, load_dataset
    from huggingface_hub import snapshot_download

    disable_progress_bars()
    snapshot_download(name, repo_type="dataset", revision=tag, local_dir=copy)
    ways: dict[str, dict[str, int]] = {}
    for split in splits:
        config, part = split.split("/")

        def loaded(place: str, streaming: bool, config: str = config, part: str = part, **more: Any) -> Any:
            return load_dataset(place, config, split=part, streaming=streaming, **more)

        counts = {
            "load_dataset": len(loaded(name, False, revision=tag)),
            "load_dataset, streaming": _count(loaded(name, True, revision=tag)),
            "streaming, stopped and resumed": _resumed(*(loaded(name, True, revision=tag) for _ in range(2))),
            "load_dataset of the copy": len(loaded(str(copy), False)),
        }
        for way, count in counts.items():
            ways.setdefault(way, {})[split] = count
    return {"files": sum(path.is_file() for path in copy.rglob("*") if ".cache" not in path.parts), **ways}


def _resumed(stopped: Any, resumed: Any) -> int:
    """Rows of a stream that is stopped after a few, and of another that goes on from its state."""
    some = _count(itertools.islice(stopped, 3))
    resumed.load_state_dict(stopped.state_dict())
    return some + _count(resumed)


def _count(rows: Any) -> int:
    return sum(1 for _ in rows)


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(read(asked["name"], asked["tag"], Path(asked["copy"]), asked["splits"])))
