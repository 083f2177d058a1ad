"""One datasheet in many forms: Chinese, Croissant, the questions of Gebru et al., the worksheet of Article 53, JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.asset import sha256_file
from pipeline.core.errors import GristmillError
from pipeline.core.manifest import FileDigest, Manifest, StageCount, Trial, Warned, read_manifest
from pipeline.core.shards import read_table
from pipeline.report import article53, card, gebru
from pipeline.report.answers import Answers
from pipeline.report.article53 import article53 as worksheet
from pipeline.report.card import FORMATS, printed
from pipeline.report.croissant import croissant
from pipeline.report.datasheet import datasheet
from pipeline.report.fields import Datasheet
from pipeline.report.gebru import gebru as questions
from pipeline.report.licences import conflicts, spdx
from pipeline.report.words import translations, words
from tests.report.conftest import DOCS, RECIPE, build

ANSWERS = Answers(title="Tiny", motivation="Teaching.", citation="Tiny, 2026", creators="Us", url="https://e.org")


@pytest.fixture
def told(corpus: Path) -> Manifest:
    """A manifest in which every kind of field occurs."""
    manifest = read_manifest(corpus)
    [first, *more] = manifest.sweeps
    found = StageCount(**{**first.stages[0].model_dump(), "found": {f"email/l{n}": n + 1 for n in range(12)}})
    return manifest.model_copy(
        update={
            "sweeps": (first.model_copy(update={"stages": (found, *first.stages[1:])}), *more),
            "decided": {"minhash": {"n": 7, "by": {"en": {"cut": 0.5}}}},
            "trials": {"gopher": (Trial(kind="email", lang="en", planted=9, found=8, clean=5, false_alarms=1),)},
            "warnings": (Warned(stage="gopher", message="removed 99.9% of its documents"),),
            "recipe": {**manifest.recipe, "published": {"gopher": {"share": 0.1, "source": "Somebody"}}},
        }
    )


def test_translations_keep_the_places_of_values() -> None:
    for english, chinese in translations("zh").items():
        assert sorted(re.findall(r"{[^}]*}", english)) == sorted(re.findall(r"{[^}]*}", chinese)), english


def test_numbers_are_the_same_in_chinese(told: Manifest) -> None:
    english, chinese = (card._hub_card(datasheet(told, ANSWERS), told, None, words(lang)) for lang in ("en", "zh"))
    assert "## 漏斗" in chinese and "## Funnel" not in chinese

    def tables(card: str) -> list[list[str]]:
        lines = [line for line in card.splitlines() if re.match(r"\|.*\d.*\|$", line)]
        return [re.findall(r"\d[\d,.]*%?", line) for line in lines]

    assert tables(english) == tables(chinese)
    assert english.split("---\n")[1] == chinese.split("---\n")[1], "the Hub reads the same"
    with pytest.raises(GristmillError, match="choose one of en, zh"):
        words("tlh")


def published(corpus: Path) -> Manifest:
    """The same corpus in Parquet, as a release has it."""
    manifest = read_manifest(corpus)
    files = []
    for file in manifest.documents:
        path = (corpus / file.path).with_suffix(".parquet")
        table = read_table(corpus / file.path)
        pq.write_table(table.set_column(1, "text", table["text"].cast(pa.string())), path)
        name = path.relative_to(corpus).as_posix()
        files.append(FileDigest(path=name, rows=file.rows, bytes=path.stat().st_size, sha256=sha256_file(path)))
    return manifest.model_copy(update={"documents": tuple(files), "tokens": ()})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of mlcroissant's own dependencies
def test_croissant_is_valid_and_its_records_are_read(tmp_path: Path) -> None:
    import mlcroissant as mlc

    corpus = build(tmp_path, DOCS, {key: value for key, value in RECIPE.items() if key != "pack"})
    release = published(corpus)
    path = corpus / "croissant.json"
    path.write_text(croissant(datasheet(release, ANSWERS), release, ANSWERS), encoding="utf-8")
    dataset = mlc.Dataset(jsonld=path)
    assert not dataset.metadata.ctx.issues.errors
    records = list(dataset.records("documents"))
    assert len(records) == sum(file.rows for file in release.documents) == 4
    ids = {record["documents/id"] for record in records}
    assert ids == {b"kept-1", b"kept-2", b"kept-3", b"kept-4"} or ids == {"kept-1", "kept-2", "kept-3", "kept-4"}
    local = published(corpus).model_copy(update={"documents": read_manifest(corpus).documents})
    path.write_text(croissant(datasheet(local), local, Answers()), encoding="utf-8")
    assert not mlc.Dataset(jsonld=path).metadata.ctx.issues.errors, "a local build is described as well"


def test_croissant_tells_origin_and_states_nothing_that_nobody_said(corpus: Path) -> None:
    manifest = read_manifest(corpus)
    made = json.loads(croissant(datasheet(manifest, ANSWERS), manifest, ANSWERS))
    assert made["prov:wasDerivedFrom"][0]["sha256"] == "a" * 64 and made["license"] == "ODC-By-1.0"
    assert made["creator"]["name"] == "Us" and made["rai:dataPreprocessingProtocol"][1] == (
        "gopher: 3 of 9 documents dropped"
    )
    silent = json.loads(croissant(datasheet(manifest), manifest, Answers()))
    assert not {"creator", "url", "citeAs", "rai:dataCollection", "datePublished"} & set(silent)


def sheet_of(corpus: Path) -> Datasheet:
    return datasheet(read_manifest(corpus), ANSWERS)


def test_gebrus_questions_are_all_there_and_none_is_filled_up(corpus: Path) -> None:
    text = questions(sheet_of(corpus), ANSWERS)
    asked = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert len(asked) == len(set(asked)) == sum(len(listed) for listed in gebru._QUESTIONS.values()) > 40
    blocks = dict(re.findall(r"^### (.*)\n\n((?:(?!^#).*\n?)*)", text, re.MULTILINE))
    assert blocks["For what purpose was it made?"].strip() == "Teaching."
    assert blocks["Do export controls apply?"].strip() == "Not stated."
    assert blocks["How many are there, and of which kinds?"].strip() == (
        "The numbers are in the card, under: Identity, Composition."
    )


def test_the_worksheet_has_three_parts_and_claims_nothing(corpus: Path) -> None:
    text = worksheet(sheet_of(corpus), read_manifest(corpus), ANSWERS)
    assert [line[:5] for line in text.splitlines() if line.startswith("## ")] == ["## 1.", "## 2.", "## 3."]
    assert "no statement of compliance" in text and "less than 1 billion tokens" in text
    assert [article53._band(n) for n in (1, 10**9, 10**13)] == [
        "less than 1 billion tokens",
        "1 billion to 10 trillion tokens",
        "more than 10 trillion tokens",
    ]


def test_each_format_is_printed(corpus: Path) -> None:
    for form in FORMATS:
        done = CliRunner().invoke(app, ["card", str(corpus), "--format", form, "--lang", "zh"])
        assert done.exit_code == 0 and done.stdout, form
    assert Datasheet.model_validate_json(printed(corpus, corpus, "json", "en")) == datasheet(read_manifest(corpus))
    with pytest.raises(GristmillError, match="choose one of hub, json"):
        printed(corpus, corpus, "pdf", "en")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mit", "MIT"),
        ("odc-by", "ODC-By-1.0"),
        ("MIT AND cc-by-4.0", "MIT AND CC-BY-4.0"),
        ("LicenseRef-mine", "LicenseRef-mine"),
        ("BSD License", None),
        ("unknown", None),
        ("((", None),
        (None, None),
    ],
)
def test_licences_are_spdx_or_are_not(name: str | None, expected: str | None) -> None:
    assert spdx(name) == expected


@pytest.mark.parametrize(
    ("documents", "whole", "asks"),
    [
        ("CC-BY-NC-4.0", "odc-by", "non-commercial use only"),
        ("CC-BY-ND-4.0", "cc-by-4.0", "no derivatives"),
        ("CC-BY-SA-4.0", "cc-by-sa-4.0", None),
        ("GPL-3.0-only", "mit", "the same licence for what is made of it"),
        ("MIT", "odc-by", None),
        (None, None, None),
    ],
)
def test_what_a_licence_asks_and_the_whole_does_not(documents: str | None, whole: str | None, asks: str | None) -> None:
    assert conflicts(documents, whole) == asks
