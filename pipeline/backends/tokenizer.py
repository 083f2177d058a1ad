"""Tokenizers in Hugging Face's `tokenizer.json`: loaded once, deaf to special tokens in text, ids as flat arrays."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.backends.deaf_tokenizer import deaf
from pipeline.backends.fast_tokenizer import Fast, fast
from pipeline.core.errors import GristmillError
from pipeline.core.shards import write_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"
CONFIG = "tokenizer_config.json"
"""Beside `tokenizer.json`, in the form that transformers reads: which token ends a document, which one pads."""

USUAL_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<｜end▁of▁sentence｜>")
"""Tried in this order where no token is named: GPT-2, Llama 3, Llama 2 and T5, Gemma, DeepSeek."""

GROUP_CHARACTERS = 1 << 20
"""Texts are handed over in groups of about this much: an encoding holds well over a hundred bytes a token."""

THREADS = "TOKENIZERS_PARALLELISM"


@dataclass(frozen=True)
class Encoder:
    """A tokenizer and its bookkeeping tokens: `end` follows every document, `pad` fills rows, `size` bounds the ids.

    `engine` says which library encodes: the ids are the same.
    """

    tokenizer: Tokenizer
    end: int
    pad: int
    size: int
    fast: Fast | None = None
    engine: str = "tokenizers"

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all texts (int32) and where each begins (int64, one more than texts); no token is added."""
        if self.fast is None:
            return self.encode_slowly(texts)
        odd = self.fast.refused(texts)
        if not odd:
            return self.fast.encode(texts)
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        start = 0
        for index in odd:
            parts += [self.fast.encode(texts[start:index]), self.encode_slowly([texts[index]])]
            start = index + 1
        parts.append(self.fast.encode(texts[start:]))
        sizes = np.concatenate([np.diff(offsets) for _, offsets in parts])
        return np.concatenate([ids for ids, _ in parts]), np.concatenate([[0], np.cumsum(sizes)])

    def encode_slowly(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The same by `tokenizers`, the oracle."""
        arrays: list[np.ndarray] = []
        with threads():
            for group in _groups(texts):
                encodings = self.tokenizer.encode_batch_fast(group, add_special_tokens=False)
                arrays.extend(np.array(encoding.ids, dtype=np.int32) for encoding in encodings)
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(array) for array in arrays], out=offsets[1:])
        return np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int32), offsets


def load(path: Path) -> Encoder:
    """The tokenizer in a file, read again only if the file changed; GristmillError where it cannot be trusted.

    Trusted means: no text turns into a special token, and the same text always into the same ids.
    """
    config = path.with_name(CONFIG)
    try:
        return _load(path, _stamp(path), _stamp(config) if config.exists() else None)
    except OSError as error:
        raise GristmillError(f"{path}: no tokenizer can be read here ({error.strerror})") from error


def store(folder: Path, content: str, end: str | None = None, pad: str | None = None) -> Encoder:
    """Write a tokenizer into a folder, its text as it is and the choice of tokens beside it; loaded, hence checked.

    `end` and `pad` None: the usual end of a document is looked for, and pads too.
    """
    write_text(folder / FILE, content)
    chosen = end or _usual_end(folder / FILE, _parse(folder / FILE))
    config = {"eos_token": chosen, "pad_token": pad or chosen, "tokenizer_class": "PreTrainedTokenizerFast"}
    write_text(folder / CONFIG, json.dumps(config, ensure_ascii=False, indent=2) + "\n")
    return load(folder / FILE)


@contextmanager
def threads() -> Iterator[None]:
    """All cores in a main process, one in a worker, whose siblings have the others; the user's variable goes first.

    `TOKENIZERS_PARALLELISM` is unset again afterwards, as worker processes would inherit it.
    """
    if THREADS in os.environ:
        yield
        return
    os.environ[THREADS] = "true" if multiprocessing.parent_process() is None else "false"
    try:
        yield
    finally:
        os.environ.pop(THREADS, None)


@functools.lru_cache(maxsize=2)  # one takes up to 100 MB
def _load(path: Path, stamp: tuple[int, int], config_stamp: tuple[int, int] | None) -> Encoder:
    tokenizer = _parse(path)
    config: dict[str, Any] = json.loads(path.with_name(CONFIG).read_bytes()) if config_stamp else {}
    end = config.get("eos_token") or _usual_end(path, tokenizer)
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if getattr(tokenizer.model, "dropout", None):
        tokenizer.model.dropout = None
    encoder = Encoder(
        tokenizer=tokenizer,
        end=_id(path, tokenizer, end),
        pad=_id(path, tokenizer, config.get("pad_token") or end),
        size=tokenizer.get_vocab_size(with_added_tokens=True),
    )
    control = _control_tokens(tokenizer) | {encoder.end: end}
    encoder = _quickened(encoder)
    if spelled := _spelled(encoder, control):
        encoder = _deafened(path, encoder, spelled)
        if still := _spelled(encoder, control):
            raise _injected(path, still[0])
    if encoder.fast is None and multiprocessing.parent_process() is None:
        print(f"note: {path} is encoded by {encoder.engine}", file=sys.stderr)
    return encoder


def _parse(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError:
        raise
    except Exception as error:  # the library raises bare Exception for whatever serde did not like
        raise GristmillError(f"{path}: not a tokenizer.json of Hugging Face tokenizers ({error})") from error


def _usual_end(path: Path, tokenizer: Tokenizer) -> str:
    for name in USUAL_ENDS:
        if tokenizer.token_to_id(name) is not None:
            return name
    raise GristmillError(f"{path}: none of {', '.join(USUAL_ENDS)} is in it; name its end-of-document token with `end`")


def _id(path: Path, tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise GristmillError(f"{path}: there is no token {token!r} in it; name one with `end` or `pad`")
    return int(found)


def _quickened(encoder: Encoder) -> Encoder:
    twin, engine = fast(encoder.tokenizer)
    return replace(encoder, fast=twin, engine=engine)


def _deafened(path: Path, encoder: Encoder, names: list[str]) -> Encoder:
    try:
        return _quickened(replace(encoder, tokenizer=deaf(encoder.tokenizer, names)))
    except Exception as error:  # as in `_parse`: here a merge that makes the name of a control token
        raise _injected(path, names[0]) from error


def _injected(path: Path, name: str) -> GristmillError:
    return GristmillError(f"{path}: a text that contains {name!r} would get the token {name!r}; mark it special")


def _control_tokens(tokenizer: Tokenizer) -> dict[int, str]:
    """The special tokens by id, but for the one that stands for what is unknown, which any text may get."""
    names = {i: token.content for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    if hasattr(tokenizer.model, "unk_token"):
        return {index: name for index, name in names.items() if name != tokenizer.model.unk_token}
    names.pop(json.loads(tokenizer.to_str())["model"].get("unk_id"), None)
    return names


def _spelled(encoder: Encoder, control: dict[int, str]) -> list[str]:
    """The control tokens that a page could get by spelling them out."""
    found = []
    for index, name in control.items():
        ids, _ = encoder.encode([name, f"a {name} b", f"a{name}b"])
        if index in ids:
            found.append(name)
    return found


def _groups(texts: Sequence[str]) -> Iterator[list[str]]:
    group: list[str] = []
    held = 0
    for text in texts:
        if group and held + len(text) > GROUP_CHARACTERS:
            yield group
            group, held = [], 0
        group.append(text)
        held += len(text)
    if group:
        yield group


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size
