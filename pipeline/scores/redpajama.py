"""The quality signals of RedPajama-v2 that need no model and no list, under their published names.

The definitions are those of its code (Weber et al. 2024), with two differences that the names hide: words are
`core.text.words` for every language, where RedPajama splits at white space, and normalised text is those words in lower
case with a space between, accents kept. Shares are not rounded. The other 19 of its 46 signals are stages of their own:
`ccnet_size`, `language`, `perplexity` and `quantile` have CCNet's seven, `listed` the two that need lists, `importance`
and `classifier` the three of each, `minhash_signatures` the four signatures.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from pipeline.core.stage import Score
from pipeline.core.text import entropy, folded, stop_words, words

_LINES = pa.list_(pa.float32())
_TOP = (2, 3, 4)
_DUPLICATE = (5, 6, 7, 8, 9, 10)
_SENTENCE = re.compile(r"\b[^.!?]+[.!?]*")
_BULLETS = tuple("\u2022\u2023\u25b6\u25c0\u25e6\u25a0\u25a1\u25aa\u25ab\u2013")


class Redpajama(Score):
    """Writes 27 signals. `rps_doc_…` is one number, null where there is nothing to divide by; `rps_lines_…` one a line.

    Lines are those of the text, blank ones included. `curly_bracket` and `lorem_ipsum` are occurrences per character,
    `frac_unique_words` distinct words per word, `unigram_entropy` in nats; `frac_chars_top_n` is 0 where no n-gram
    occurs twice, and `frac_chars_dupe_n` counts all characters of n-grams that do, each once.
    """

    version: ClassVar[int] = 2
    optional: ClassVar[tuple[str, ...]] = ("lang",)
    writes: ClassVar[Mapping[str, pa.DataType]] = {
        "rps_doc_curly_bracket": pa.float64(),
        "rps_doc_frac_all_caps_words": pa.float64(),
        "rps_doc_frac_lines_end_with_ellipsis": pa.float64(),
        "rps_doc_frac_no_alph_words": pa.float64(),
        "rps_doc_lorem_ipsum": pa.float64(),
        "rps_doc_mean_word_length": pa.float64(),
        "rps_doc_stop_word_fraction": pa.float64(),
        "rps_doc_symbol_to_word_ratio": pa.float64(),
        "rps_doc_frac_unique_words": pa.float64(),
        "rps_doc_unigram_entropy": pa.float64(),
        "rps_doc_word_count": pa.float64(),
        "rps_doc_num_sentences": pa.float64(),
        **{f"rps_doc_frac_chars_top_{n}gram": pa.float64() for n in _TOP},
        **{f"rps_doc_frac_chars_dupe_{n}grams": pa.float64() for n in _DUPLICATE},
        "rps_lines_ending_with_terminal_punctution_mark": _LINES,
        "rps_lines_javascript_counts": _LINES,
        "rps_lines_num_words": _LINES,
        "rps_lines_numerical_chars_fraction": _LINES,
        "rps_lines_start_with_bulletpoint": _LINES,
        "rps_lines_uppercase_letter_fraction": _LINES,
    }

    def score(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """All signals of each text."""
        texts, langs = batch.column("text").to_pylist(), batch.column("lang").to_pylist()
        rows = [_signals(text or "", lang) for text, lang in zip(texts, langs, strict=True)]
        return {name: pa.array([row[name] for row in rows], dtype) for name, dtype in self.writes.items()}


def _signals(text: str, lang: str | None) -> dict[str, float | list[float] | None]:
    lines = text.splitlines()
    split = [words(line, lang) for line in lines]
    return {**_of_words(text, [word for line in split for word in line], lang), **_of_lines(lines, split)}


def _of_words(text: str, raw: Sequence[str], lang: str | None) -> dict[str, float | None]:
    tokens = [folded(word) for word in raw]
    n_words = len(tokens)
    listed = stop_words(lang)
    counts = Counter(tokens)
    normalised = " ".join(tokens)
    symbols = text.count("#") + text.count("...") + text.count("…")
    return {
        "rps_doc_curly_bracket": _ratio(text.count("{") + text.count("}"), len(text)),
        "rps_doc_frac_all_caps_words": _ratio(sum(map(str.isupper, raw)), n_words),
        "rps_doc_frac_no_alph_words": _ratio(sum(not any(map(str.isalpha, word)) for word in raw), n_words),
        "rps_doc_lorem_ipsum": _ratio(normalised.count("lorem ipsum"), len(normalised)),
        "rps_doc_mean_word_length": _ratio(sum(map(len, tokens)), n_words),
        "rps_doc_stop_word_fraction": _ratio(sum(word in listed for word in tokens), n_words) if listed else None,
        "rps_doc_symbol_to_word_ratio": _ratio(symbols, n_words),
        "rps_doc_frac_unique_words": _ratio(len(counts), n_words),
        "rps_doc_unigram_entropy": entropy(counts.values()) if counts else None,
        "rps_doc_word_count": float(n_words),
        "rps_doc_num_sentences": float(sum(1 for _ in _SENTENCE.finditer(text))),
        **_of_grams(tokens),
    }


def _of_grams(tokens: Sequence[str]) -> dict[str, float | None]:
    lengths = np.array([len(token) for token in tokens], dtype=np.int64)
    total = int(lengths.sum())
    number: dict[str, int] = {}
    ids = np.array([number.setdefault(token, len(number)) for token in tokens], dtype=np.int64)
    grams, signals = ids, dict[str, float | None]()
    for n in range(2, _DUPLICATE[-1] + 1):
        keys = grams[: max(0, len(ids) - n + 1)] * max(1, len(number)) + ids[n - 1 :]
        _, first, grams, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        if n in _TOP:
            most = int(counts.max(initial=0))
            at = int(first[counts == most].min()) if most > 1 else 0
            signals[f"rps_doc_frac_chars_top_{n}gram"] = (
                most * int(lengths[at : at + n].sum()) / total if most > 1 else 0.0
            )
        if n in _DUPLICATE:
            covered = np.zeros(len(ids) + 1, dtype=np.int64)
            starts = np.flatnonzero(counts[grams] > 1) if len(grams) else np.empty(0, dtype=np.int64)
            np.add.at(covered, starts, 1)
            np.add.at(covered, starts + n, -1)
            inside = np.cumsum(covered)[:-1] > 0
            signals[f"rps_doc_frac_chars_dupe_{n}grams"] = int(lengths[inside].sum()) / total if total else 0.0
    return signals


def _of_lines(lines: Sequence[str], split: Sequence[Sequence[str]]) -> dict[str, float | list[float] | None]:
    bare = [line.strip() for line in lines]
    tokens = [[folded(word) for word in found] for found in split]
    normalised = [" ".join(found) for found in tokens]
    return {
        "rps_doc_frac_lines_end_with_ellipsis": _ratio(sum(line.endswith(("...", "…")) for line in bare), len(lines)),
        "rps_lines_ending_with_terminal_punctution_mark": [float(line.endswith((".", "!", "?", "”"))) for line in bare],
        "rps_lines_javascript_counts": [float(found.count("javascript")) for found in tokens],
        "rps_lines_num_words": [float(len(found)) for found in tokens],
        "rps_lines_numerical_chars_fraction": [sum(map(str.isnumeric, s)) / (len(s) or 1) for s in normalised],
        "rps_lines_start_with_bulletpoint": [float(line.startswith(_BULLETS)) for line in bare],
        "rps_lines_uppercase_letter_fraction": [sum(map(str.isupper, s)) / (len(s) or 1) for s in lines],
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
