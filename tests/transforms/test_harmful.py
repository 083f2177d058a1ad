from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError, MissingBackend
from pipeline.core.verdict import Verdict
from pipeline.transforms.harmful import Harmful


@pytest.fixture(autouse=True)
def place(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "en").write_text("# a list\ndarn\nholy smoke\nÉclair\n***\n", encoding="utf-8")
    (tmp_path / "zh.json").write_text(json.dumps(["博彩", "发票", "a片"]), encoding="utf-8")
    with Place(base=tmp_path).active():
        yield


def judged(texts: list[str], lang: str | None = "en", **fields: Any) -> Verdict:
    lists = [{"kind": "mild", "paths": ["en"], "langs": ["en"]}, {"kind": "spam", "paths": ["zh.json"]}]
    stage = Harmful.model_validate_json(json.dumps({"lists": lists, **fields}))
    batch = {"text": pa.array(texts, pa.large_string()), "lang": pa.array([lang] * len(texts), pa.string())}
    return stage.judge(pa.record_batch(batch))


def reasons(verdict: Verdict) -> list[str | None]:
    assert verdict.reason is not None
    return verdict.reason.to_pylist()


def test_words_are_met_whole_in_any_case_and_without_boundaries_in_chinese() -> None:
    texts = ["Well, DARN!", "darning socks", "Holy... smoke", "the eclair", "请看博彩网站", "发 票", "A片儿", "smoke"]
    expected = [True, False, True, True, True, True, True, False]
    assert [reason is not None for reason in reasons(judged(texts))] == expected


def test_a_list_counts_in_its_languages() -> None:
    assert reasons(judged(["darn", "博彩"], lang="de")) == [None, "listed_words"]


def test_the_ledger_counts_and_does_not_tell() -> None:
    verdict = judged(["darn darn 发票 and more", "darn"], most=1)
    assert reasons(verdict) == ["listed_words", None] and verdict.found == {"mild/en": 3, "spam/en": 1}
    assert verdict.detail is not None and verdict.detail.to_pylist() == ["mild 2, spam 1", None]


@pytest.mark.parametrize(
    ("level", "left"), [("line", "One line.\nThe last. "), ("sentence", "One line.\nAnother here. The last. ")]
)
def test_lines_and_sentences_are_cut(level: str, left: str) -> None:
    text = "One line.\nAnother here. This is 博彩, darn. \nThe last. "
    verdict = judged([text, "darn", "fine"], level=level)
    assert reasons(verdict) == [None, "nothing_left", None]
    assert verdict.columns["text"].to_pylist() == [left.strip(), "darn", "fine"]


def test_trials_plant_the_listed_words() -> None:
    stage = Harmful.model_validate(
        {"lists": ({"kind": "mild", "paths": ("en",)}, {"kind": "spam", "paths": ("zh.json",)})}
    )
    mild, spam = stage.trials()
    assert (mild.planted, mild.found, mild.clean, mild.false_alarms) == (3, 3, 3, 0)
    assert (spam.planted, spam.found, spam.clean) == (3, 3, 0)


def test_a_list_may_lie_in_an_installed_distribution() -> None:
    # any file of lines that a distribution brings will do
    stage = Harmful.model_validate(
        {"lists": ({"kind": "names", "installed": ("idna:idna/py.typed",), "words": ("a b",)},)}
    )
    assert [asset.path.name for asset in stage.assets()] == ["py.typed"] and stage.lists[0].entries() == ("a b",)
    for named, error in (("no-such-package:x.txt", MissingBackend), ("idna:no/such.txt", GristmillError)):
        with pytest.raises(error):
            Harmful.model_validate({"lists": ({"kind": "names", "installed": (named,)},)}).assets()


def test_the_preset_has_a_list_for_each_language_that_counts_in_that_language(tmp_path: Path) -> None:
    folder = tmp_path / "node_modules" / "naughty-words"
    folder.mkdir(parents=True)
    for lang, words in (("en", ["darn"]), ("fr", ["zut"])):
        (folder / f"{lang}.json").write_text(json.dumps(words), encoding="utf-8")
    fields = {"lists": [{"kind": "ldnoobw", "preset": "ldnoobw", "langs": ["en", "fr"]}]}
    assert reasons(judged(["darn", "zut"], "en", **fields)) == ["listed_words", None]
    found = judged(["darn", "zut"], "fr", **fields)
    assert reasons(found) == [None, "listed_words"] and found.found == {"ldnoobw/fr": 1}
    stage = Harmful.model_validate_json(json.dumps(fields))
    assert [(trial.kind, trial.lang) for trial in stage.trials()] == [("ldnoobw", "en"), ("ldnoobw", "fr")]
    with pytest.raises(ValueError, match="ldnoobw has no list for xx; it has ar, cs"):
        Harmful.model_validate_json(json.dumps({"lists": [{**fields["lists"][0], "langs": ["xx"]}]}))
    with pytest.raises(GristmillError, match=r"node_modules/naughty-words/de\.json"):
        Harmful.model_validate_json(json.dumps({"lists": [{**fields["lists"][0], "langs": ["de"]}]})).assets()
