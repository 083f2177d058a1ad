"""Text statistics: all that the families of rules ask of a text, from the Arrow buffers in one compiled pass.

Tokens are made in one of three ways, by the document's language and scripts. Words between white space with the marks
around and inside them cut off as spaCy does it (datatrove's words for most languages); Chinese (`zh`) by jieba's word
list and hidden Markov model, re-implemented here; and in every other document with a script that is written without
spaces, these runs are cut at the word boundaries of ICU, and Korean particles from their nouns, by `core.text`.

Where it differs from datatrove, and the share of verdicts that changes by it: `docs/rules.md`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.core import text as core
from pipeline.kernels import characters
from pipeline.kernels.characters import CHINESE, ELIDING, HANGUL, MARKED
from pipeline.kernels.columns import COLUMNS

Columns = dict[str, npt.NDArray[np.int64]]
Texts: TypeAlias = pa.LargeStringArray
Tokens = Sequence[Sequence[tuple[int, int]]]
"""For each text the places of its tokens, in characters."""

CHUNK = 1 << 20
"""Bytes of text worked on at once: each kernel's tables are brought to the cache once for them, which counts for more
than that the characters stay there."""


def statistics(texts: Texts, langs: Sequence[str | None], tokens: Tokens | None = None) -> Columns:
    """One value a text for each of `COLUMNS`; an absent text is an empty one. With `tokens`, these are counted."""
    if find_spec("numba") is None:
        from pipeline.kernels import textstats_twin

        return textstats_twin.statistics(texts, langs, tokens)
    table = np.empty((len(texts), len(COLUMNS)), np.int64)
    data, offsets = buffers(texts)
    cuts = [0]
    while cuts[-1] < len(texts):
        cuts.append(max(int(np.searchsorted(offsets, offsets[cuts[-1]] + CHUNK, "right")) - 1, cuts[-1] + 1))
    room = _room(offsets, cuts)
    for start, stop in pairwise(cuts):
        given = None if tokens is None else tokens[start:stop]
        _chunk(data, offsets[start : stop + 1], langs[start:stop], given, room, table[start:stop])
    return {name: np.ascontiguousarray(table[:, place]) for place, name in enumerate(COLUMNS)}


def recent(texts: Texts, langs: Sequence[str | None]) -> Columns:
    """As `statistics`; not computed again for texts that are, in this order, among those last asked for.

    So the families of rules in one sweep share one pass, although each sees what the one before has left. What is
    remembered is a batch for each thread; texts are compared byte by byte.
    """
    if find_spec("numba") is None:
        return statistics(texts, langs)
    last = _last()
    if last.texts is not None:
        rows = np.empty(len(texts), np.int64)
        (data, offsets), (known, known_offsets) = buffers(texts), buffers(last.texts)
        same = data.ctypes.data == known.ctypes.data
        found = _compiled().words.find(data, offsets, known, known_offsets, same, rows)
        if found and len(texts) == len(last.texts) and last.langs == langs:
            return last.columns
        if found and [last.langs[row] for row in rows.tolist()] == langs:
            return {name: column[rows] for name, column in last.columns.items()}
    last.columns = statistics(texts, langs)
    last.texts, last.langs = texts, langs
    return last.columns


def buffers(texts: Texts) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of an array of texts and the n + 1 places at which they begin and end, without a copy of the bytes."""
    _, where, data = texts.buffers()
    offsets = np.zeros(1, np.int64) if where is None else np.frombuffer(where, np.int64)
    offsets = offsets[texts.offset : texts.offset + len(texts) + 1]
    if texts.null_count:
        # A null may lie over bytes that nobody reads: give it none.
        sizes = np.where(texts.is_valid().to_numpy(zero_copy_only=False), np.diff(offsets), 0)
        if (sizes != np.diff(offsets)).any():
            return buffers(texts.fill_null(""))
    return np.frombuffer(data or b"", np.uint8), np.ascontiguousarray(offsets)


def mode(lang: str | None) -> int:
    """How a text of this language is cut: bits of `characters`."""
    return CHINESE if lang == "zh" else ELIDING if lang in core.ELIDING else 0


class _Room(NamedTuple):
    """What the largest chunk needs, so that the memory of one is used again for the next."""

    points: npt.NDArray[np.uint32]
    token_starts: npt.NDArray[np.int32]
    token_ends: npt.NDArray[np.int32]
    line_ends: npt.NDArray[np.int32]
    of_char: npt.NDArray[np.int32]


def _room(offsets: npt.NDArray[np.int64], cuts: Sequence[int]) -> _Room:
    n_points = int(np.diff(offsets[cuts]).max(initial=0)) + 16
    places = np.empty((3, n_points + int(np.diff(cuts).max(initial=0))), np.int32)
    return _Room(np.empty(n_points, np.uint32), *places, np.full(_compiled().repeats.FEW, -1, np.int32))


def _chunk(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    langs: Sequence[str | None],
    tokens: Tokens | None,
    room: _Room,
    table: npt.NDArray[np.int64],
) -> None:
    compiled, flags = _compiled(), characters.flags()
    points, token_starts, token_ends, line_ends, of_char = room
    starts = np.empty(len(offsets), np.int64)
    compiled.words.decode(data, offsets, points, starts)
    counts = np.zeros(len(langs), np.int64)
    if tokens is None:
        _cut(points, starts, offsets, langs, flags, token_starts, token_ends, counts)
    else:
        for row, given in enumerate(tokens):
            counts[row] = len(given)
            for at, (start, end) in enumerate(given, int(starts[row])):
                token_starts[at], token_ends[at] = starts[row] + start, starts[row] + end
    listed = tuple(sorted(lang for lang in set(langs) if lang and core.stop_words(lang)))
    stops, slots = characters.listed_stop_words(listed)
    place = dict(zip(listed, range(len(listed)), strict=True))
    places = np.array([place.get(lang or "", -1) for lang in langs], np.int32)
    compiled.lines.count(points, starts, token_starts, token_ends, counts, flags, line_ends, table)
    compiled.repeats.count(
        points, starts, token_starts, token_ends, counts, line_ends, flags, characters.lower(), stops, slots, places,
        of_char, table,
    )  # fmt: skip


def _cut(
    points: npt.NDArray[np.uint32],
    starts: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    langs: Sequence[str | None],
    flags: npt.NDArray[np.uint32],
    token_starts: npt.NDArray[np.int32],
    token_ends: npt.NDArray[np.int32],
    counts: npt.NDArray[np.int64],
) -> None:
    compiled = _compiled()
    of_lang = {lang: mode(lang) for lang in set(langs)}
    modes = np.array([of_lang[lang] for lang in langs], np.uint8)
    scripts = np.zeros(len(langs), np.uint32)
    spaced = (modes & CHINESE) == 0
    if spaced.any():
        compiled.words.scripts(points, starts, offsets, flags, scripts)
    marked = spaced & ((scripts & MARKED) > 0)
    marked |= spaced & ((scripts & HANGUL) > 0) & np.array([lang == "ko" for lang in langs])
    marks = np.zeros(starts[-1] if marked.any() else 0, np.uint8)
    for row in np.flatnonzero(marked).tolist():
        text = points[starts[row] : starts[row + 1]].tobytes().decode("utf-32-le")
        marks[starts[row] + np.array(core.boundaries(text, korean=langs[row] == "ko"), np.int64)] = 1
    if spaced.any():
        kept, units = characters.packed(characters.ABBREVIATIONS), characters.packed(characters.UNITS)
        compiled.words.cut(points, starts, modes, marks, flags, kept, units, token_starts, token_ends, counts)
    if not spaced.all():
        trie, chinese = _trie(), characters.chinese()
        compiled.chinese.cut(
            points, starts, modes, flags, *trie, chinese.rare, chinese.start, chinese.moves, token_starts, token_ends,
            counts,
        )  # fmt: skip


class _Last(threading.local):
    texts: Texts | None = None
    langs: Sequence[str | None] = ()
    columns: Columns


@cache
def _last() -> _Last:
    return _Last()


@cache
def _trie() -> tuple[npt.NDArray[Any], ...]:
    """The Chinese word list, made for looking up."""
    made: tuple[npt.NDArray[Any], ...] = _compiled().chinese.trie(characters.chinese())
    return made


class _Compiled(NamedTuple):
    words: Any
    chinese: Any
    lines: Any
    repeats: Any


@cache
def _compiled() -> _Compiled:
    """The compiled modules, at the first text: half a second from numba's cache, a minute without.

    Numba keeps its cache beside the code, or where that is read-only in the user's cache folder, or in
    `NUMBA_CACHE_DIR`.
    """
    from pipeline.kernels import textstats_chinese, textstats_lines, textstats_repeats, textstats_words

    return _Compiled(textstats_words, textstats_chinese, textstats_lines, textstats_repeats)
