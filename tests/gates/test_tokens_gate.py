"""Ids of real text in all languages at hand are those of `tokenizers`: on the CPU path, and the GPU path on a CPU."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest

from pipeline.backends.tokenizer import FILE, load
from pipeline.core.schema import documents
from pipeline.kernels.pack.cpu import Cpu
from pipeline.kernels.pack.lanes import Engine
from pipeline.tokens.train_bpe import TrainBpe
from tests.tokens.conftest import train

ENGLISH = 3
"""Of the English text, which is more than all the rest, one document in so many."""


@pytest.mark.slow
@pytest.mark.parametrize("splitter", ["gpt2", "llama3"])
def test_ids_of_the_prose_of_all_languages(tmp_path: Path, splitter: Literal["gpt2", "llama3"]) -> None:
    data = os.environ.get("GRISTMILL_DATA")
    if not data or not (Path(data) / "prose").is_dir():
        pytest.skip("GRISTMILL_DATA names no folder with prose/*.jsonl.gz")
    shelves = {
        path.name.split(".")[0]: [json.loads(line)["text"] for line in gzip.decompress(path.read_bytes()).splitlines()]
        for path in sorted((Path(data) / "prose").glob("*.jsonl.gz"))
    }
    some = [text for texts in shelves.values() for text in texts[::40]]
    sample = documents([{"id": str(number), "text": text} for number, text in enumerate(some)])
    folder = train(TrainBpe(vocab=8000, splitter=splitter), [sample], tmp_path, tmp_path / "out")
    encoder, kernels = load(folder / FILE), Engine(folder / FILE, Cpu)
    assert encoder.fast is not None
    for lang, texts in shelves.items():
        texts = texts[::ENGLISH] if lang == "en" else texts
        expected, at = encoder.encode_slowly(texts)
        for ids, offsets in (encoder.encode(texts), kernels.encode(pa.array(texts, pa.large_string()))):
            assert np.array_equal(offsets, at), lang
            assert np.array_equal(ids, expected), lang
