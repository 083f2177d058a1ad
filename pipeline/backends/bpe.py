"""Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019), learnt from texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.backends.tokenizer import Encoder, store, threads

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Splitter = Literal["gpt2", "llama3"]
END = "<|endoftext|>"

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def learn(
    texts: Iterable[str | list[str]],
    size: int,
    folder: Path,
    *,
    splitter: Splitter = "gpt2",
    min_frequency: int = 2,
    specials: Sequence[str] = (END,),
    pad: str | None = None,
) -> Encoder:
    """A tokenizer of at most `size` tokens, stored in a folder.

    The first of `specials` ends documents and is id 0. The trainer counts words: the order of texts does not matter.
    """
    from tokenizers import pre_tokenizers, trainers

    tokenizer = _untrained(splitter)
    trainer: Any = trainers.BpeTrainer
    with threads():
        tokenizer.train_from_iterator(
            texts,
            trainer(
                vocab_size=size,
                min_frequency=min_frequency,
                special_tokens=list(specials),
                initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                show_progress=False,
            ),
        )
    return store(folder, tokenizer.to_str(pretty=True), specials[0], pad)


def _untrained(splitter: Splitter) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    if splitter == "gpt2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(LLAMA3_PATTERN), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
