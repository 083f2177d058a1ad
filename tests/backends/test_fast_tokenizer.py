from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.backends import fast_tokenizer
from pipeline.backends.fast_tokenizer import ATOMS, FOLDED, fast, sample
from pipeline.backends.tokenizer import Encoder, load, store
from tests.samples import ADVERSARIAL

CONTRACTION = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def trained(folder: Path, pattern: str | None, texts: Sequence[str]) -> Encoder:
    """A byte-level BPE with the words of GPT-2 (no pattern) or of Llama 3."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if pattern:
        split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        made.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_only])
    trainer: Any = trainers.BpeTrainer
    made.train_from_iterator(
        texts,
        trainer(
            vocab_size=4000,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    return store(folder, made.to_str())


@pytest.fixture(scope="module", params=[None, CONTRACTION], ids=["gpt2", "llama3"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return trained(tmp_path_factory.mktemp("trained"), request.param, [" ".join(sample())] * 3)


def same(encoder: Encoder, texts: Sequence[str]) -> None:
    """Both engines give these texts the same ids; fails with the first text that they do not."""
    assert encoder.fast is not None
    ids, offsets = encoder.encode(texts)
    expected, at = encoder.encode_slowly(texts)
    if np.array_equal(ids, expected) and np.array_equal(offsets, at):
        assert (ids.dtype, offsets.dtype) == (expected.dtype, at.dtype)
        return
    for index, text in enumerate(texts):
        mine, its = ids[offsets[index] : offsets[index + 1]], expected[at[index] : at[index + 1]]
        assert mine.tolist() == its.tolist(), repr(text[:200])


@pytest.mark.slow
def test_the_fast_engine_is_used_and_named(encoder: Encoder) -> None:
    assert encoder.fast is not None and encoder.engine.startswith("fastokens 0.3.")


@pytest.mark.slow
@pytest.mark.parametrize("text", ADVERSARIAL, ids=lambda text: ascii(text[:8]))
def test_adversarial_text_has_the_ids_of_the_oracle(encoder: Encoder, text: str) -> None:
    same(encoder, [text, "", text[: len(text) // 2], f" {text}"])
    assert encoder.end not in encoder.encode([text])[0]


@pytest.mark.slow
def test_texts_with_letters_that_fold_to_ascii_keep_their_place(encoder: Encoder) -> None:
    texts = ["a", "it'ſ", "", "b", "'\u212a", "'ſ", "c"]
    ids, offsets = encoder.encode(texts)
    same(encoder, texts)
    assert len(offsets) == 8 and offsets[-1] == len(ids)
    same(encoder, ["ſ"])
    same(encoder, [])


@pytest.mark.slow
def test_one_id_that_differs_sends_all_back_to_the_oracle(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Wrong:
        def encode_batch_flat(self, texts: list[str], split_special_tokens: bool) -> tuple[bytes, bytes]:
            ids, offsets = encoder.encode_slowly(texts)
            at = next((int(offsets[i + 1]) - 1 for i, text in enumerate(texts) if "½" in text), 0)
            changed = ids.copy()
            changed[at] += 1
            return changed.tobytes(), offsets.tobytes()

    monkeypatch.setattr(fast_tokenizer, "_load", lambda content: Wrong())
    written = store(tmp_path, encoder.tokenizer.to_str())
    assert written.fast is None and "other ids for" in written.engine
    assert written.encode(["ab ½"])[0].tolist() == encoder.encode_slowly(["ab ½"])[0].tolist()
    assert load(tmp_path / "tokenizer.json") is written
    said = capsys.readouterr().err
    assert said.count("note: ") == 1 and "is encoded by tokenizers" in said


def test_what_fastokens_cannot_do_is_left_to_the_oracle() -> None:
    from tokenizers import Tokenizer, models

    found, engine = fast(Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>")))
    assert found is None and "unsupported model type" in engine


def test_without_the_package_the_oracle_encodes(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastokens", None)
    found, engine = fast(encoder.tokenizer)
    assert found is None and engine.startswith("tokenizers ")
    assert replace(encoder, fast=None).encode(["a b"])[0].tolist() == encoder.encode(["a b"])[0].tolist()


def test_the_sample_is_the_same_everywhere() -> None:
    assert len(sample()) == 1 + 2 * len(ATOMS) + len(fast_tokenizer.LONG) + fast_tokenizer.PROBES
    assert sample() is sample() and all(letter in "".join(ATOMS) for letter in FOLDED)


@pytest.mark.slow
def test_100_000_random_strings_of_any_characters(encoder: Encoder) -> None:
    chance = random.Random(11)
    ranges = [(0, 0x80), (0, 0x250), (0x300, 0x370), (0x590, 0x700), (0x900, 0xE80), (0x1100, 0x1200), (0x2000, 0x2100)]
    ranges += [(0x3000, 0x3100), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xE000, 0xFFFF), (0x1F000, 0x1FB00)]
    ranges += [(0, 0xD800), (0xE000, 0x110000)]

    def one() -> str:
        if chance.random() < 0.4:
            return "".join(chance.choices(ATOMS, k=chance.randint(1, 10)))
        low, high = chance.choice(ranges)
        letters = [chr(chance.randrange(low, high)) for _ in range(chance.randint(1, 24))]
        return "".join(" " if chance.random() < 0.15 else letter for letter in letters)

    for _ in range(10):
        same(encoder, [one() for _ in range(10_000)])


@pytest.mark.slow
def test_every_code_point_in_seven_contexts(encoder: Encoder) -> None:
    """Of the planes without any letters, every 64th."""
    planes = (range(0xD800), range(0xE000, 0x34000), range(0x34000, 0x110000, 64))
    letters = [chr(code) for plane in planes for code in plane]
    texts = [f"{x}a{x} {x}\n'{x} 1{x} {x}{x}\n{x}" for x in letters]
    for start in range(0, len(texts), 20_000):
        same(encoder, texts[start : start + 20_000])
