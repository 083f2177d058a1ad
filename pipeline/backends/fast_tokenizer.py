"""fastokens, a tokenizer some seventy times as fast as Hugging Face's, used only where it gives the same ids.

Hugging Face's `tokenizers` is the oracle: at every load both encode the same fixed sample of text that is known to
separate tokenizers, and one id that differs sends everything back to the oracle.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FOLDED = ("\u017f", "\u212a")
"""Long s and the Kelvin sign: the only letters beyond ASCII that fold to one of it. In a pattern with `(?i` the oracle
takes them for s and k, fastokens 0.3.5 does not."""

ATOMS = (
    *(["'s", "'S", "'T", "'t", "'re", "'VE", "'ll", "'d", "'", "’s", "''s", "\"'m", "n't", "it's", "I'LL"]),
    *(" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2003"),
    *("\u2028", "\u2029", "\u3000", "\u200b", "\u180e", "\ufeff", "\x00", "\x7f", "\u00ad", "\ufffd", "\ud7ff"),
    *("a", "A", "the", "Miller", "ground", "naïve", "ſ", "\u212a", "İ", "ı", "ß", "ẞ", "ﬁ", "ﬀ", "ŉ", "Ǆ", "ª"),
    *(
        "e\u0301",
        "a\u0328\u0301",
        "\u0301",
        "\u0300" * 9,
        "ä\u0308",
        "क्ष",
        "நி",
        "กำ",
        "ม้า",
        "각",
        "\u1112\u1161\u11ab",
    ),
    *("磨坊", "世界", "の", "カ\u3099", "한국어", "中文。", "「", "𠀀", "㍿", "שלום", "مرحبا", "\u202e", "\u2066"),
    *("1", "12", "123", "1234567890", "٣٤", "१२३", "Ⅻ", "½", "²", "①", "𝟘", "1,000.50", "3e-7", "0x1F"),
    *("🙂", "👍🏽", "👩\u200d👩\u200d👧\u200d👦", "🇧🇪", "❤\ufe0f", "1\ufe0f\u20e3", "🏴\U000e0067\U000e007f", "☃"),
    *(".", "...", "!?", "--", "—", "#", "://", "</div>", "{\n", "\\ud83d\\ude42", "\\n", "$", "€", "_", "__init__"),
    *("<|endoftext|>", "<s>", "<|", "|>", "[PAD]", "▁", "Ġ", "ĠĠ", "Ċ", "\U0010ffff", "\ue000", "\U0001f8b2"),
)
"""What random texts of the sample are strung from: contractions, every sort of white space, signs of several code
points, digits of several scripts, letters with odd case folds, and names of special tokens."""

LONG = ("a" * 3000, "ab" * 1500, " " * 3000, "\n" * 1000, "1" * 3000, "磨" * 1000, "e" + "\u0301" * 500, "'s" * 500)

PROBES = 400
"""Random texts of the sample. More find no more: what is left are single code points, seen by the tests alone."""


@dataclass(frozen=True)
class Fast:
    """A tokenizer of fastokens that passed the self-check; texts with `guarded` letters are not for it."""

    tokenizer: Any
    guarded: tuple[str, ...] = ()

    def refused(self, texts: Sequence[str]) -> list[int]:
        """The numbers of the texts of which its ids are not known to be the oracle's."""
        return sorted({number for letter in self.guarded for number, text in enumerate(texts) if letter in text})

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all texts (int32, read-only) and where each begins (int64); special tokens are text like any other."""
        ids, offsets = self.tokenizer.encode_batch_flat(list(texts), split_special_tokens=True)
        return np.frombuffer(ids, dtype="<i4"), np.frombuffer(offsets, dtype="<i8")


def fast(oracle: Tokenizer) -> tuple[Fast | None, str]:
    """The fast twin of a tokenizer and how the pair is called; None, and why, where there is none to be trusted."""
    slow = f"tokenizers {version('tokenizers')}"
    content = oracle.to_str()
    try:
        twin = Fast(_load(content), FOLDED if "(?i" in content else ())
    except Exception as error:  # whatever it cannot parse is the oracle's
        return None, f"{slow} (not fastokens: {' '.join(str(error).split())})"
    if (text := _differs(oracle, twin)) is not None:
        return None, f"{slow} (not fastokens: other ids for {text[:40]!r})"
    return twin, f"fastokens {version('fastokens')}, checked against {slow}"


@functools.cache
def sample() -> tuple[str, ...]:
    """The texts of the self-check: the same on every machine."""
    chance = random.Random(5)
    strung = ("".join(chance.choices(ATOMS, k=chance.randint(1, 12))) for _ in range(PROBES))
    return ("", *ATOMS, *LONG, *(f" {atom}x {atom}" for atom in ATOMS), *strung)


def _load(content: str) -> Any:
    if multiprocessing.parent_process() is not None:
        os.environ.setdefault("FASTOKENS_BPE_THREADS", "1")
        os.environ.setdefault("RAYON_NUM_THREADS", "1")
    from fastokens import Tokenizer

    return Tokenizer.from_json_str(content)


def _differs(oracle: Tokenizer, twin: Fast) -> str | None:
    """The first text that the two encode differently, the names of all added tokens included."""
    added = [token.content for token in oracle.get_added_tokens_decoder().values()]
    own = [text for name in added[:64] for text in (name, f"a {name} b", f"a{name}b")]
    texts = [*sample(), *own]
    for number in reversed(twin.refused(texts)):
        del texts[number]
    ids, offsets = twin.encode(texts)
    for text, expected, start, stop in zip(
        texts, oracle.encode_batch_fast(texts, add_special_tokens=False), offsets, offsets[1:], strict=False
    ):
        if ids[start:stop].tolist() != expected.ids:
            return text
    return None
