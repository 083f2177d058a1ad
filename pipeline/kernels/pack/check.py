"""The self-check of an engine when it is loaded: `tokenizers` is the oracle, on texts that tell splitters apart."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from pipeline.core.errors import GristmillError
from pipeline.kernels.pack import pieces
from pipeline.kernels.pack.lanes import Engine
from pipeline.kernels.pack.tables import classes

N_STRUNG = 600
"""Texts strung together from `ATOMS`, besides the edges of classes and the long ones."""

ATOMS = (
    *("'", "'s", "'S", "'t", "'re", "'RE", "'vE", "'m", "'ll", "'lL", "'d", "'ſ", "'K", "’s", "''", "'x", "'r", "'l"),
    *(" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2003", "\u2028"),
    *("\u3000", "\u200b", "\ufeff", "\x00", "\x7f", "a", "Z", "the", "grain", "ſ", "ß", "é", "e\u0301", "Ж", "ж"),
    *(
        "磨坊",
        "世界",
        "の",
        "カ",
        "한국어",
        "、",
        "。",
        "「",
        "𠀀",
        "שלום",
        "مرحبا",
        "क्ष",
        "ก็",
        "1",
        "12",
        "123",
        "1234",
    ),
    *("٣", "१२", "Ⅻ", "½", "²", "𝟘", "🙂", "👩\u200d👧", "🇧🇪", "\ue000", "\U0010ffff", ".", "...", "!?", "--", "—"),
    *("#", "://", "</p>", "{", "}", "\\n", "_", "$", "<|endoftext|>", "<|", "|>", "[PAD]", "Ġ"),
)


class Differs(GristmillError):
    """An engine that gives other ids than `tokenizers`."""


def check(engine: Engine, path: Path) -> None:
    """Differs, naming a text, unless all `samples` and the names of added tokens get the ids of `tokenizers`."""
    oracle = load_oracle(path)
    names = [token.content for token in oracle.get_added_tokens_decoder().values()]
    found = first_difference(engine, oracle, [*samples(), *(f"a{name} {name}" for name in names)])
    if found is not None:
        raise Differs(f"{path}: on {engine.device}, {found[:60]!r} gets other ids than from tokenizers")


def load_oracle(path: Path) -> Tokenizer:
    """The library's tokenizer, deaf to special tokens in a text."""
    oracle = Tokenizer.from_file(os.fspath(path))
    oracle.encode_special_tokens = True
    oracle.no_truncation()
    oracle.no_padding()
    return oracle


def first_difference(engine: Engine, oracle: Tokenizer, texts: Sequence[str]) -> str | None:
    """The first text that the two encode differently."""
    ids, offsets = engine.encode(pa.array(texts, pa.large_string()))
    expected = oracle.encode_batch_fast(list(texts), add_special_tokens=False)
    for text, encoding, start, stop in zip(texts, expected, offsets[:-1], offsets[1:], strict=True):
        if ids[start:stop].tolist() != encoding.ids:
            return text
    return None


def samples() -> list[str]:
    """Texts that tell splitters and merges apart, the same on every machine."""
    chance = random.Random(11)
    strung = ["".join(chance.choices(ATOMS, k=chance.randint(1, 14))) for _ in range(N_STRUNG)]
    kinds = classes()[pieces.N_BLOCKS :].reshape(-1, pieces.BLOCK)[classes()[: pieces.N_BLOCKS]].reshape(-1)[:0x110000]
    edges = np.flatnonzero(np.diff(kinds))
    points = [point for edge in edges.tolist() for point in (edge, edge + 1) if not 0xD800 <= point < 0xE000]
    around = ["a{0}b {0}1{0} {0}\n{0}'{0}s".format(chr(point)) for point in points]
    long = [sign * n for sign in ("a", "ab", " ", "\n", " \n", "1", "磨", "e\u0301", "'s", "=") for n in (40, 300)]
    return ["", *strung, *around, *long, " ".join(strung), "".join(around)]
