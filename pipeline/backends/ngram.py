"""Our own n-gram language model of words or bytes: trained in seconds, one Arrow file, memory-mapped by every worker.

A word is a run of letters and digits, one character of a script without spaces, or one mark (`kernels.units`), so that
one unit serves every language; white space is not modelled. Words are known by a 32-bit hash.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.core.errors import GristmillError
from pipeline.core.shards import whole
from pipeline.kernels import ngram
from pipeline.kernels.ngram import FIRST, UNKNOWN, Places, Symbols, Trie
from pipeline.kernels.units import token_hashes

Unit = Literal["word", "byte", "id"]
Method = Literal["kneser_ney", "stupid_backoff"]

N_BYTES = 256
_FORMAT = "gristmill.ngram.1"
_KEY = b"gristmill"
_TRAINED_AT_ONCE = 1 << 10
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True)
class Model:
    """A trie, and how text becomes its symbols: `names` are the sorted hashes of the words, empty for other units."""

    trie: Trie
    unit: Unit
    fold: bool
    names: npt.NDArray[np.uint32]

    def save(self, path: Path) -> None:
        """Write one Arrow file: the same bytes for the same content."""
        trie = self.trie
        about = {"format": _FORMAT, "order": trie.order, "interpolated": trie.interpolated}
        about |= {"unit": self.unit, "fold": self.fold}
        symbol = trie.symbol
        if self.unit == "word":
            # No query reads the symbols of single words, whose rows say them: their names stand there.
            symbol = symbol.copy()
            symbol[1 + FIRST : 1 + trie.vocabulary] = self.names.view(np.int32)
        arrays = {"symbol": symbol, "stop": trie.stop, "weight": trie.weight, "back": trie.back}
        table = pa.table(arrays).replace_schema_metadata({_KEY: json.dumps(about, sort_keys=True)})
        with whole(path) as temporary, pa.ipc.new_file(os.fspath(temporary), table.schema) as writer:
            writer.write_table(table)


def train(
    texts: Iterable[str],
    order: int = 5,
    unit: Literal["word", "byte"] = "word",
    *,
    method: Method = "kneser_ney",
    prune: int = 0,
    fold: bool = False,
) -> Model:
    """A model of texts, each with a begin and an end; it does not depend on their order.

    `fold` takes lower case and 0 for every digit; n-grams of three and more that occur `prune` times or less are
    left out. Takes about 60 bytes of memory a word (or byte) of text.
    """
    counts, pieces = list[npt.NDArray[np.int64]](), list[npt.NDArray[Any]]()
    held: list[str] = []
    for text in texts:
        held.append(text)
        if len(held) == _TRAINED_AT_ONCE:
            _add(held, unit, fold, counts, pieces)
            held = []
    _add(held, unit, fold, counts, pieces)
    starts, spelled = _starts(np.concatenate(counts)), np.concatenate(pieces)
    names = np.empty(0, np.uint32)
    if unit == "word":
        names, spelled = np.unique(spelled, return_inverse=True)
    vocabulary = FIRST + (N_BYTES if unit == "byte" else len(names))
    smoothed = method == "kneser_ney"
    symbols = spelled.astype(np.int32) + np.int32(FIRST)
    return Model(ngram.learn(symbols, starts, vocabulary, order, smoothed=smoothed, prune=prune), unit, fold, names)


def train_ids(
    ids: npt.NDArray[np.integer[Any]],
    starts: Places,
    vocabulary: int,
    order: int = 4,
    *,
    method: Method = "kneser_ney",
    prune: int = 0,
) -> Model:
    """A model of token ids from 0 to below `vocabulary`; sequence i is `ids[starts[i]:starts[i + 1]]`."""
    symbols = ids.astype(np.int32) + np.int32(FIRST)
    smoothed = method == "kneser_ney"
    trie = ngram.learn(symbols, starts, vocabulary + FIRST, order, smoothed=smoothed, prune=prune)
    return Model(trie, "id", False, np.empty(0, np.uint32))


def bits_of_ids(model: Model, ids: npt.NDArray[np.integer[Any]], starts: Places) -> npt.NDArray[np.float64]:
    """The bits that each sequence of token ids costs, without its end."""
    if model.unit != "id" or int(ids.max(initial=0)) + FIRST >= model.trie.vocabulary:
        raise GristmillError(f"these are not ids of this model of {model.trie.vocabulary - FIRST:,} {model.unit}s")
    bits, _ = ngram.score(model.trie, ids.astype(np.int32) + np.int32(FIRST), starts)
    return bits


def likeliest_id(model: Model, ids: Sequence[int]) -> int:
    """The token id that is likeliest after these, which begin a text; the lowest of several."""
    return int(ngram.following(model.trie, [token + FIRST for token in ids])[FIRST:].argmax())


def perplexities(model: Model, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """The perplexity of each text, a symbol, its end counted as one; NaN for a text without symbols."""
    symbols, starts = _symbols(model, texts)
    bits, ends = ngram.score(model.trie, symbols, starts)
    sizes = np.diff(starts)
    return np.where(sizes > 0, 2.0 ** ((bits + ends) / (sizes + 1)), np.nan)


def bits_per_byte(model: Model, texts: Sequence[str]) -> float:
    """Bits for each byte (UTF-8) of all texts together, their ends not counted; the model must be one of bytes."""
    if model.unit != "byte":
        raise GristmillError(f"a model of {model.unit}s does not spell all of a text: train one with unit byte")
    symbols, starts = _symbols(model, texts)
    bits, _ = ngram.score(model.trie, symbols, starts)
    return float(bits.sum() / max(1, len(symbols)))


@cache
def load(path: Path) -> Model:
    """A model from its file, memory-mapped; GristmillError where it is none."""
    try:
        with pa.memory_map(os.fspath(path)) as stream:
            rows = pa.ipc.open_file(stream).get_batch(0)
        about = json.loads((rows.schema.metadata or {})[_KEY])
        arrays = {name: rows[name].to_numpy() for name in rows.schema.names}
        if about["format"] != _FORMAT:
            raise KeyError(about["format"])
        trie = Trie(about["order"], about["interpolated"], **arrays)
        _check(trie)
    except (pa.ArrowInvalid, OSError, KeyError, TypeError, ValueError) as error:
        raise GristmillError(
            f"{path}: not an n-gram model of this version ({error}); `gristmill train-ngram` makes one"
        ) from error
    word = about["unit"] == "word"
    names = trie.symbol[1 + FIRST : 1 + trie.vocabulary].view(np.uint32) if word else np.empty(0, np.uint32)
    return Model(trie, about["unit"], about["fold"], names)


def _check(trie: Trie) -> None:
    """Refuse a damaged file: the loop that reads the arrays does not look where it goes."""
    n = len(trie.symbol)
    stop = trie.stop
    if not (n == len(stop) == len(trie.weight) == len(trie.back) and n > FIRST and 1 <= trie.order <= n):
        raise ValueError("columns of different length")
    if stop[0] <= FIRST or stop[-1] != n or (np.diff(stop) < 0).any():
        raise ValueError("rows out of place")


def _add(
    texts: list[str], unit: Unit, fold: bool, counts: list[npt.NDArray[np.int64]], pieces: list[npt.NDArray[Any]]
) -> None:
    count, spelled = _spelled(texts, unit, fold)
    counts.append(count)
    pieces.append(spelled)


def _symbols(model: Model, texts: Sequence[str]) -> tuple[Symbols, Places]:
    counts, spelled = _spelled(texts, model.unit, model.fold)
    if model.unit == "word":
        at = np.minimum(np.searchsorted(model.names, spelled), max(0, len(model.names) - 1))
        known = model.names[at] == spelled if len(model.names) else np.zeros(len(spelled), bool)
        return np.where(known, at + FIRST, UNKNOWN).astype(np.int32), _starts(counts)
    return spelled.astype(np.int32) + np.int32(FIRST), _starts(counts)


def _spelled(texts: Sequence[str], unit: Unit, fold: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """How many symbols each text has, and all of them: hashes of words, or bytes."""
    if fold:
        texts = [_DIGIT.sub("0", text.lower()) for text in texts]
    if unit == "word":
        return token_hashes(texts)
    if unit == "id":
        raise GristmillError("a model of ids reads no text")
    spelled = [text.encode("utf-8", "surrogatepass") for text in texts]
    return np.array([len(text) for text in spelled], np.int64), np.frombuffer(b"".join(spelled), np.uint8)


def _starts(counts: npt.NDArray[np.int64]) -> Places:
    return np.append(0, np.cumsum(counts)).astype(np.int64)
