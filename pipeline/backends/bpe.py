"""Byte-level BPE, learnt from texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.backends.tokenizer import Encoder, store, threads

END = "<|endoftext|>"


def learn(texts: Iterable[str], size: int, folder: Path) -> Encoder:
    """A tokenizer of `size` tokens, split as GPT-2 does, stored in a folder; the order of texts does not matter."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer: Any = trainers.BpeTrainer
    with threads():
        tokenizer.train_from_iterator(
            texts,
            trainer(
                vocab_size=size,
                min_frequency=2,
                special_tokens=[END],
                initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                show_progress=False,
            ),
        )
    return store(folder, tokenizer.to_str(pretty=True), END)
