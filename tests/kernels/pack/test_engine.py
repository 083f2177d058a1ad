from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backends.tokenizer import load
from pipeline.core.errors import GristmillError
from pipeline.kernels import pack
from pipeline.kernels.pack import scalar
from pipeline.kernels.pack.check import ATOMS, Differs, check, first_difference, load_oracle, samples
from pipeline.kernels.pack.cpu import Cpu
from pipeline.kernels.pack.lanes import Engine
from pipeline.kernels.pack.plan import lay
from pipeline.kernels.pack.tables import Unsupported, read_rules
from pipeline.tokens.fit import fit
from pipeline.tokens.window import Host
from tests.kernels.pack.conftest import TEXT, WRITINGS, change
from tests.samples import ADVERSARIAL

Made = Callable[[str], Path]
OTHER_WORDS = "a gristmill, zzz zzzz" + " " * 21 + "x" + "=" * 40 + "= " + "=" * 40


def column(texts: list[str | None]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def exact(engine: Engine, path: Path, texts: list[str]) -> None:
    assert first_difference(engine, load_oracle(path), texts) is None


@pytest.mark.slow
@pytest.mark.parametrize("writing", WRITINGS)
def test_ids_are_those_of_tokenizers(tokenizers: Made, writing: str) -> None:
    path = tokenizers(writing)
    engine = pack.engine(path, "cpu")
    exact(engine, path, [TEXT, OTHER_WORDS, "", TEXT * 20, "'", "\n", " "])


@pytest.mark.slow
@pytest.mark.parametrize("writing", WRITINGS)
def test_ids_of_any_text_are_those_of_tokenizers(tokenizers: Made, writing: str) -> None:
    path = tokenizers(writing)
    engine, oracle = Engine(path, Cpu, segment=8, slots=1 << 11), load_oracle(path)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.text(max_size=60) | st.lists(st.sampled_from(ATOMS), max_size=30).map("".join), max_size=8))
    def same(texts: list[str]) -> None:
        assert first_difference(engine, oracle, texts) is None

    same()


@pytest.mark.slow
@pytest.mark.parametrize("segment", [1, 7, 256])
@pytest.mark.parametrize("writing", WRITINGS)
def test_segments_and_batches_change_nothing(tokenizers: Made, writing: str, segment: int) -> None:
    path = tokenizers(writing)
    texts = [*samples()[:300], TEXT * 4, OTHER_WORDS, "", "a" * 700]
    exact(Engine(path, Cpu, segment=segment, batch_bytes=2000, slots=1 << 11), path, texts)


def test_a_piece_too_long_for_a_thread_is_done_by_the_host(tokenizers: Made) -> None:
    path = tokenizers("gpt2")
    long = "磨坊" * scalar.LONGEST
    texts = [TEXT + long + TEXT, long, "ab" * 4000 + " " + "ab" * 4000, " " * 5000 + "x"]
    exact(Engine(path, Cpu, batch_bytes=30_000), path, texts)


def test_what_was_unknown_is_known_the_second_time_and_gives_the_same(tokenizers: Made) -> None:
    path = tokenizers("llama3")
    engine = Engine(path, Cpu)
    texts = column([" ".join(f"word{n} zqx{n * n}" for n in range(500))])
    before = len(engine.known)
    first = engine.encode(texts)
    learnt = len(engine.known)
    second = engine.encode(texts)
    assert learnt > before + 500
    assert len(engine.known) == learnt
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_empty_null_and_sliced_columns(tokenizers: Made) -> None:
    engine = Engine(tokenizers("gpt2"), Cpu)
    ids, offsets = engine.encode(column([]))
    assert len(ids) == 0 and offsets.tolist() == [0]
    ids, offsets = engine.encode(column([None, "", None]))
    assert len(ids) == 0 and offsets.tolist() == [0, 0, 0, 0]
    whole, ends = engine.encode(column(["one", TEXT, "three", None, "x"]))
    part, _ = engine.encode(column(["one", TEXT, "three", None, "x"]).slice(1, 3))
    assert part.tolist() == whole[ends[1] : ends[4]].tolist()
    assert (whole.dtype, ends.dtype) == (np.int32, np.int64)


def test_rows_are_packed_where_the_tokens_are(tokenizers: Made) -> None:
    engine = Engine(tokenizers("llama3"), Cpu)
    texts, length = column([TEXT, "", TEXT * 3, "short", "1", None]), 64
    ids, offsets = engine.encode(texts)
    blocks = engine.blocks(texts, fit, length, end=7, pad=9)
    documents = [[*ids[a:b].tolist(), 7] for a, b in itertools.pairwise(offsets)]
    pieces = [document[at : at + length] for document in documents for at in range(0, len(document), length)]
    rows: list[list[list[int]]] = [[] for _ in range(blocks.n_rows)]
    for piece, row in zip(pieces, fit([len(piece) for piece in pieces], length), strict=True):
        rows[row].append(piece)
    expected, positions, mask, boundaries = [], [], [], [0]
    for row in rows:
        padding = length - sum(map(len, row))
        expected += [token for piece in row for token in piece] + [9] * padding
        positions += [at for piece in row for at in range(len(piece))] + [0] * padding
        mask += [at + 1 < len(piece) for piece in row for at in range(len(piece))] + [False] * padding
        for size in [*map(len, row), *([padding] if padding else [])]:
            boundaries.append(boundaries[-1] + size)
    assert blocks.ids.tolist() == expected
    assert blocks.positions.tolist() == positions
    assert blocks.mask.astype(bool).tolist() == mask
    assert blocks.boundaries.tolist() == boundaries


def test_what_waits_on_the_device_is_what_waits_on_the_host(tokenizers: Made) -> None:
    path, length, chance = tokenizers("gpt2"), 32, random.Random(4)
    on_device, on_host = Engine(path, Cpu, batch_bytes=500).window(), Host(load(path))
    sizes: list[int] = []
    for _ in range(12):
        texts = column([TEXT[: chance.randint(0, 90)] * chance.randint(0, 4) for _ in range(chance.randint(0, 5))])
        found = [tokens.add(texts).tolist() for tokens in (on_device, on_host)]
        assert found[0] == found[1]
        sizes += found[0]
        plan = lay(np.array(sizes[: len(sizes) // 2], dtype=np.int64), fit, length)
        filled = [tokens.fill(plan, length, end=7, pad=9)() for tokens in (on_device, on_host)]
        assert np.array_equal(filled[0], filled[1]) and len(filled[0]) == plan.n_rows * length
        for tokens in (on_device, on_host):
            tokens.forget(sum(sizes[: len(sizes) // 2]))
        sizes = sizes[len(sizes) // 2 :]


REFUSED: dict[str, Callable[[dict], object]] = {
    "normalizer NFC": lambda c: c.update(normalizer={"type": "NFC"}),
    "type WordPiece": lambda c: c["model"].update(type="WordPiece"),
    "dropout": lambda c: c["model"].update(dropout=0.1),
    "byte fallback": lambda c: c["model"].update(byte_fallback=True),
    "suffix of words": lambda c: c["model"].update(end_of_word_suffix="</w>"),
    "not special": lambda c: c["added_tokens"][0].update(special=False),
    "pre-tokenizer Whitespace": lambda c: c.update(pre_tokenizer={"type": "Whitespace"}),
    "pre-tokenizer Split": lambda c: c["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": r"\w+|\W"}),
    "0x61": lambda c: c["model"]["vocab"].pop("a"),
}


@pytest.mark.parametrize("named", REFUSED)
def test_what_the_kernels_cannot_do_is_refused_by_name(tokenizers: Made, tmp_path: Path, named: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizers("llama3").read_bytes())
    change(path, REFUSED[named])
    with pytest.raises(Unsupported, match=named):
        read_rules(path)


class Wrong(Engine):
    def encode(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        ids, offsets = super().encode(texts)
        ids[-1] += 1
        return ids, offsets


def test_an_engine_that_gives_one_other_id_is_found_out(tokenizers: Made) -> None:
    with pytest.raises(Differs, match="gets other ids"):
        check(Wrong(tokenizers("gpt2"), Cpu), tokenizers("gpt2"))


def test_a_run_falls_back_to_the_library_and_says_so(
    tokenizers: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizers("llama3").read_bytes())
    assert pack.on_device(path, "cpu") is None
    monkeypatch.setattr(pack, "has_cuda", lambda: False)
    assert pack.on_device(path, "auto") is None
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(pack, "has_cuda", lambda: True)
    monkeypatch.setattr(pack, "find", lambda name: Cpu)
    found = pack.on_device(path, "auto")
    assert found is not None and found is pack.on_device(path, "auto")
    change(path, REFUSED["normalizer NFC"])
    assert pack.on_device(path, "auto") is None
    assert "the normalizer NFC is nothing that the kernels can do; the library" in capsys.readouterr().err


def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "has_cuda", lambda: False)
    with pytest.raises(GristmillError, match="cuda"):
        pack.find("cuda")


def random_texts(n: int) -> list[str]:
    """Half any code points, half strung from what tells splitters apart."""
    chance = random.Random(3)
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    common = points[:0x3000]
    texts = []
    for index in range(n):
        if index % 2:
            texts.append("".join(chance.choices(ATOMS, k=chance.randint(0, 20))))
        else:
            texts.append("".join(map(chr, chance.choices(common if index % 4 else points, k=chance.randint(0, 25)))))
    return texts


@pytest.mark.slow
@pytest.mark.parametrize("text", ADVERSARIAL, ids=lambda text: ascii(text[:8]))
@pytest.mark.parametrize("writing", WRITINGS[:2])
def test_adversarial_text_has_the_ids_of_tokenizers(tokenizers: Made, writing: str, text: str) -> None:
    path = tokenizers(writing)
    exact(Engine(path, Cpu), path, [text, "", text[: len(text) // 2], f" {text}"])


@pytest.mark.slow
@pytest.mark.parametrize("writing", WRITINGS)
def test_fuzz(tokenizers: Made, writing: str) -> None:
    path = tokenizers(writing)
    long = [
        "'s" * 5000,
        "a" * 20_000,
        "1" * 9000,
        " " * 9000,
        "\r\n" * 3000,
        "e\u0301" * 3000,
        "磨" * 5000,
        " a" * 9000,
    ]
    for segment in (1, 7, 256):
        engine = Engine(path, Cpu, segment=segment, batch_bytes=1 << 18)
        texts = [*long, *random_texts(100_000 // 3)]
        exact(engine, path, texts)


@pytest.mark.slow
@pytest.mark.parametrize("writing", WRITINGS[:2])
def test_every_assigned_code_point_in_contexts(tokenizers: Made, writing: str) -> None:
    path = tokenizers(writing)
    engine = Engine(path, Cpu)
    beyond = range(0x40000, 0x110000, 61)  # nothing is assigned there but what lies between E0000 and E01F0
    assigned = (*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE0200))
    points = [chr(point) for point in (*assigned, *beyond)]
    for start in range(0, len(points), 1 << 16):
        exact(engine, path, [f"{c} {c}{c}a{c}1\n{c}\r{c}'{c}s '{c}" for c in points[start : start + (1 << 16)]])
