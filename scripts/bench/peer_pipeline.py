"""One run of datatrove, for scripts/bench/pipeline.py: FineWeb's recipe on JSON lines, to tokens. Runs in bench-env/.

`python peer_pipeline.py TEXTS TOKENIZER MODEL OUT WORKERS`: TEXTS is a folder of JSON lines, MODEL the fastText model
of languages that both sides use. Steps and limits are those of datatrove's own examples/fineweb.py after extraction.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer, DocumentTokenizerMerger
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.lid import FastTextLID


class LocalModel(FastTextLID):
    """The language model from a file instead of an address."""

    def __init__(self, path: str) -> None:
        super().__init__(["en"])
        self.path = path

    @property
    def model(self):
        """Loaded once a process."""
        if self._model is None:
            from fasttext.FastText import _FastText

            self._model = _FastText(self.path)
        return self._model


def main(texts: Path, tokenizer: Path, model: Path, out: Path, workers: int) -> dict[str, float]:
    """Run all steps; seconds of each."""
    tasks, buckets = len(list(texts.iterdir())), MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    languages = LanguageFilter(["en"], language_threshold=0.65)
    languages.model = LocalModel(str(model))
    limits = [
        languages,
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]
    kept, signatures = str(out / "filtered"), str(out / "signatures")
    steps: dict[str, tuple[list[PipelineStep], int]] = {
        "filters": ([JsonlReader(str(texts)), *limits, JsonlWriter(kept)], tasks),
        "signatures": ([JsonlReader(kept), MinhashDedupSignature(signatures, config=buckets)], tasks),
        "buckets": ([MinhashDedupBuckets(signatures, str(out / "buckets"), config=buckets)], 14),
        "cluster": ([MinhashDedupCluster(str(out / "buckets"), str(out / "removed"), config=buckets)], 1),
        "last": (
            [
                JsonlReader(kept),
                MinhashDedupFilter(str(out / "removed")),
                PIIFormatter(),
                JsonlWriter(str(out / "documents")),
                DocumentTokenizer(str(out / "tokenized"), str(tokenizer), eos_token="<|endoftext|>", seed=1),
            ],
            tasks,
        ),
        "merge": ([DocumentTokenizerMerger(str(out / "tokenized"), str(out / "merged"), "merged", seed=1)], 1),
    }
    seconds: dict[str, float] = {}
    for name, (pipeline, n_tasks) in steps.items():
        started = time.perf_counter()
        LocalPipelineExecutor(
            pipeline=pipeline, tasks=n_tasks, workers=min(workers, n_tasks), logging_dir=str(out / f"logs-{name}")
        ).run()
        seconds[name] = round(time.perf_counter() - started, 2)
    return seconds


if __name__ == "__main__":
    texts, tokenizer, model, out, workers = sys.argv[1:]
    print(json.dumps(main(Path(texts), Path(tokenizer), Path(model), Path(out), int(workers))))
