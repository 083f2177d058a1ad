from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.backends.tokenizer import load
from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError
from pipeline.core.packed import token_facts
from pipeline.core.schema import documents
from pipeline.core.stage import Decision, Sketches
from pipeline.tokens.pack import Pack
from pipeline.tokens.tokenizer_file import TokenizerFile, TokenizerHub

NOTHING = Sketches((), (), ())


def no_exchange(*_: object) -> list[Path]:
    raise AssertionError("a tokenizer shuffles nothing")


@pytest.fixture
def beside(tiny: Path, tmp_path: Path) -> Path:
    """A folder of a recipe with a tokenizer in it."""
    (tmp_path / "tokenizer.json").write_bytes((tiny / "tokenizer.json").read_bytes() + b"\r\n")
    return tmp_path


def decide(stage: TokenizerFile | TokenizerHub, base: Path, *, offline: bool = False) -> Path:
    out = base / "decision"
    out.mkdir(exist_ok=True)
    with Place(base=base, cache=base / "cache", offline=offline).active():
        stage.decide(NOTHING, out, no_exchange)
    return out


def test_the_file_is_copied_as_it_is(beside: Path) -> None:
    out = decide(TokenizerFile(path="tokenizer.json"), beside)
    assert (out / "tokenizer.json").read_bytes() == (beside / "tokenizer.json").read_bytes()
    assert load(out / "tokenizer.json").end == 0


def of_kind(kind: str) -> tuple[str, str]:
    """A tokenizer.json of a small Unigram or WordPiece model, and its end-of-document token."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    texts = ["the miller ground the grain and the river turned the wheel </s> [SEP]", "磨坊主磨麦子 a b c"] * 30
    if kind == "unigram":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=100, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
        )
        made.train_from_iterator(texts, trainer)
        return made.to_str(), "</s>"
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=150, special_tokens=specials, show_progress=False)
    )
    return made.to_str(), "[SEP]"


@pytest.mark.parametrize("kind", ["unigram", "wordpiece"])
def test_other_models_come_through_the_same_door(tmp_path: Path, kind: str) -> None:
    from tokenizers import Tokenizer

    content, end = of_kind(kind)
    (tmp_path / "tokenizer.json").write_text(content)
    folder = decide(TokenizerFile(path="tokenizer.json", end=end), tmp_path)
    encoder, oracle = load(folder / "tokenizer.json"), Tokenizer.from_str(content)
    texts = ["the miller ground grain", "", "磨坊主 the river", "zebra \u2603"]
    expected = [oracle.encode(text, add_special_tokens=False).ids for text in texts]
    ids, offsets = encoder.encode(texts)
    assert [ids[a:b].tolist() for a, b in pairwise(offsets)] == expected
    assert encoder.end == oracle.token_to_id(end)
    spelled = [
        f"the {end} miller{end}",
        *(f"{token.content} x" for token in oracle.get_added_tokens_decoder().values()),
    ]
    special = {encoder.end, oracle.token_to_id("<pad>"), oracle.token_to_id("[PAD]"), oracle.token_to_id("[CLS]")}
    assert not special & set(encoder.encode(spelled)[0].tolist())
    batch = documents([{"id": str(number), "text": text} for number, text in enumerate([*texts, *spelled])])
    [(_, rows)] = Pack(length=16).reshape(iter([batch]), Decision(folder))
    facts = token_facts(rows)
    assert facts["documents"] == batch.num_rows
    assert rows["input_ids"].flatten().to_pylist().count(encoder.end) == facts["documents"] + facts["padding"]


def test_its_content_is_its_identity_and_its_path_is_not(beside: Path) -> None:
    stage = TokenizerFile(path="tokenizer.json")
    with Place(base=beside).active():
        [asset] = stage.assets()
    assert asset.sha256 == hashlib.sha256((beside / "tokenizer.json").read_bytes()).hexdigest()
    assert stage.fields() == TokenizerFile(path="other.json", sha256="0" * 64).fields() == {"end": None, "pad": None}


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (TokenizerFile(path="absent.json"), "no such tokenizer file"),
        (TokenizerFile(path="tokenizer.json", sha256="0" * 64), "the recipe says 0000"),
        (TokenizerFile(path="../tokenizer.json"), "outside"),
        (TokenizerFile(path="tokenizer.json", end="<nowhere>"), "'<nowhere>'"),
        (TokenizerFile(path="broken.json"), "not a tokenizer.json"),
        (TokenizerFile(path="latin.json"), "can be read"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_what_to_do(beside: Path, stage: TokenizerFile, said: str) -> None:
    (beside / "broken.json").write_text("{}")
    (beside / "latin.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(GristmillError, match=r"tokenizer\.json|\.json") as caught:
        decide(stage, beside)
    assert said in str(caught.value)


def test_it_sketches_nothing_and_drops_nothing(tiny: Path) -> None:
    stage = TokenizerFile(path="tokenizer.json")
    assert stage.sketch(documents([{"id": "a"}]).select(["id"])).num_rows == 0
    assert stage.judge(documents([{"id": "a"}]), Decision(tiny)).kept is None


def test_the_hub_is_asked_for_one_commit(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def download(
        repo: str, name: str, *, repo_type: str, revision: str, cache_dir: Path, local_files_only: bool
    ) -> str:
        asked.update(repo=repo, name=name, kind=repo_type, revision=revision, cache_dir=cache_dir)
        asked.update(offline=local_files_only)
        return str(beside / "tokenizer.json")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    out = decide(TokenizerHub(repo="owner/model", revision="a" * 40), beside, offline=True)
    assert load(out / "tokenizer.json").size == len(json.loads((out / "tokenizer.json").read_text())["model"]["vocab"])
    assert asked == {
        "repo": "owner/model",
        "name": "tokenizer.json",
        "kind": "model",
        "revision": "a" * 40,
        "cache_dir": beside / "cache" / "hub",
        "offline": True,
    }


def test_offline_without_a_copy_says_so(beside: Path) -> None:
    with pytest.raises(GristmillError, match=r"owner/model@aaaaaaaaaaaa: no tokenizer\.json from the Hub"):
        decide(TokenizerHub(repo="owner/model", revision="a" * 40), beside, offline=True)


def test_a_branch_is_no_revision() -> None:
    with pytest.raises(ValueError, match="revision"):
        TokenizerHub(repo="owner/model", revision="main")
