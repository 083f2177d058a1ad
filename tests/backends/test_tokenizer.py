from __future__ import annotations

import gc
import json
import multiprocessing
import os
import weakref
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.backends import tokenizer as backend
from pipeline.backends.tokenizer import Encoder, load, store
from pipeline.core.errors import GristmillError


def small(vocab: dict[str, int], **settings: object) -> str:
    """A tokenizer.json of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<unk>", "<|endoftext|>"])
    return json.dumps({**json.loads(made.to_str()), **settings})


def byte_level(*, special: bool = True, **model: object) -> str:
    """A tokenizer.json of 256 bytes."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {letter: index + 1 for index, letter in enumerate(alphabet)}
    vocab["aa"] = len(vocab) + 1
    made = Tokenizer(models.BPE({"<|endoftext|>": 0, **vocab}, [("a", "a")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_tokens([AddedToken("<|endoftext|>", special=special)])
    data = json.loads(made.to_str())
    data["model"].update(model)
    return json.dumps(data)


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    return store(tmp_path, byte_level())


def in_a_worker(path: str) -> tuple[list[int], str | None]:
    ids, _ = load(Path(path)).encode(["a" * 9, "b"])
    return ids.tolist(), os.environ.get("TOKENIZERS_PARALLELISM")


def test_ids_are_flat_with_offsets(encoder: Encoder) -> None:
    ids, offsets = encoder.encode(["ab", "", "aaa"])
    assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
    assert offsets.tolist() == [0, 2, 2, 4]
    empty, none = encoder.encode([])
    assert len(empty) == 0 and none.tolist() == [0]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=30), max_size=8), limit=st.integers(1, 40))
def test_groups_do_not_change_the_ids(encoder: Encoder, texts: list[str], limit: int) -> None:
    ids, offsets = encoder.encode(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "GROUP_CHARACTERS", limit)
        again, at = encoder.encode(texts)
    assert ids.tolist() == again.tolist() and offsets.tolist() == at.tolist()
    for text, start, stop in zip(texts, offsets, offsets[1:], strict=False):
        assert ids[start:stop].tolist() == encoder.tokenizer.encode(text, add_special_tokens=False).ids


@pytest.mark.slow
def test_text_cannot_spell_a_special_token(encoder: Encoder) -> None:
    ids, _ = encoder.encode(["<|endoftext|>", " x<|endoftext|>y", "<|endoftext|>" * 3])
    assert encoder.end not in ids


@pytest.mark.parametrize(
    "content",
    [byte_level(special=False), small({"<unk>": 0, "<|endoftext|>": 1, "a": 2})],
    ids=["not marked special", "a word like any other"],
)
def test_a_tokenizer_whose_model_finds_its_end_in_a_text_is_made_deaf_to_it(tmp_path: Path, content: str) -> None:
    encoder = store(tmp_path, content)
    ids, _ = encoder.encode(["a <|endoftext|> a", "<|endoftext|>", "a"])
    assert encoder.end not in ids and len(ids) >= 4
    assert (tmp_path / "tokenizer.json").read_text() == content


def test_a_tokenizer_that_merges_text_into_its_end_is_refused(tmp_path: Path) -> None:
    data = json.loads(byte_level())
    with pytest.raises(GristmillError, match="would get the token 'aa'; mark it special"):
        store(tmp_path, json.dumps(data), end="aa")


def test_settings_made_for_inference_do_not_reach_the_corpus(tmp_path: Path) -> None:
    data = json.loads(byte_level(dropout=0.9))
    data["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    data["padding"] = {
        "strategy": {"Fixed": 64},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }
    encoder = store(tmp_path, json.dumps(data))
    ids, _ = encoder.encode(["a" * 100])
    assert len(ids) == 50


def test_the_end_is_looked_for_unless_named(tmp_path: Path) -> None:
    assert store(tmp_path / "a", byte_level()).end == 0
    with pytest.raises(GristmillError, match="name its end-of-document token"):
        store(tmp_path / "b", byte_level().replace("<|endoftext|>", "<finis>"))
    named = store(tmp_path / "c", byte_level().replace("<|endoftext|>", "<finis>"), end="<finis>")
    assert named.end == named.pad == 0
    config = json.loads((tmp_path / "c" / "tokenizer_config.json").read_text())
    assert config["eos_token"] == config["pad_token"] == "<finis>"
    with pytest.raises(GristmillError, match="no token '<filler>'"):
        store(tmp_path / "d", byte_level(), pad="<filler>")


def test_a_file_without_a_config_is_enough(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(byte_level())
    assert load(tmp_path / "tokenizer.json").end == 0


def test_it_is_loaded_once_and_again_when_the_file_changes(tmp_path: Path) -> None:
    first = store(tmp_path, byte_level())
    assert load(tmp_path / "tokenizer.json") is first
    assert store(tmp_path, byte_level() + "\n") is not first


@pytest.mark.slow
def test_a_process_that_has_seen_many_does_not_keep_them(tmp_path: Path) -> None:
    first, *_ = [weakref.ref(store(tmp_path / str(n), byte_level())) for n in range(4)]
    gc.collect()
    assert first() is None


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"model": {"type": "Alien"}}'])
def test_what_is_no_tokenizer_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(GristmillError, match=r"tokenizer\.json: not a tokenizer"):
        load(tmp_path / "tokenizer.json")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match=r"nowhere\.json: no tokenizer can be read"):
        load(tmp_path / "nowhere.json")


def test_threads_are_left_as_they_were(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    with backend.threads():
        assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
    assert "TOKENIZERS_PARALLELISM" not in os.environ
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    with backend.threads():
        assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


@pytest.mark.slow
def test_workers_encode_quietly(encoder: Encoder, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    expected = encoder.encode(["a" * 9, "b"])[0].tolist()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(in_a_worker, [str(tmp_path / "tokenizer.json")] * 4))
    assert found == [(expected, None)] * 4
    assert capfd.readouterr() == ("", "")
