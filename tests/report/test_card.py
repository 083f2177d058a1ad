from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from pipeline.core.errors import GristmillError, RecipeError
from pipeline.core.manifest import LongDocument, TokenGroup, read_manifest
from pipeline.core.shards import write_table
from pipeline.report.answers import Answers
from pipeline.report.card import render_card, write_card
from pipeline.report.datasheet import datasheet
from pipeline.report.front_matter import size_category
from pipeline.report.licences import hub_license

EVIL = 'x | y\n---\nlicense: mit\n```\n# H <img src=x> [a](javascript:b) "q": {z} \x1b[2J 汉字'


def header(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


def tables(card: str) -> dict[str, list[dict[str, str]]]:
    """The card's tables by the heading of their first column, read back as a reader would."""
    found: dict[str, list[dict[str, str]]] = {}
    for block in re.findall(r"(?:^\|.*\|\n)+", card, re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block.splitlines()]
        assert all(len(row) == len(head) for row in rows)
        found.setdefault(head[0], []).extend(dict(zip(head, row, strict=True)) for row in rows)
    return found


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


def test_published_rates_stand_beside_ours(corpus: Path) -> None:
    plain = write_card(corpus, corpus.parent).read_text(encoding="utf-8")
    assert "Published elsewhere" not in plain
    manifest = read_manifest(corpus)
    said = {"gopher": {"share": 0.152, "source": "Somebody | table 3"}}
    sheet = render_card(manifest.model_copy(update={"recipe": {**manifest.recipe, "published": said}}))
    by_stage = {row["Stage"]: row for row in tables(sheet)["Stage"] if "Published elsewhere" in row}
    assert by_stage["`gopher`"]["Published elsewhere"] == r"15.20% (Somebody \| table 3)"
    assert by_stage["`gopher`"]["Share dropped"] == "33.33%" and not by_stage["`minhash`"]["Published elsewhere"]


def test_tokens_are_told_by_language_and_source(corpus: Path) -> None:
    counted = [
        ("train", "crawl", "en", 3, 900, 200),
        ("holdout", "crawl", "en", 1, 100, 50),
        ("train", None, "zh", 2, 300, 150),
    ]
    groups = [
        TokenGroup(split=split, source=source, lang=lang, documents=documents, bytes=size, tokens=tokens)
        for split, source, lang, documents, size, tokens in counted
    ]
    facts = {"vocabulary": 500, "vocabulary_used": 125, "train_tokens": 990, "train_padding": 10}
    facts |= {"train_documents": 40, "train_cut_documents": 1}
    longest = (LongDocument(id="a|b", split="train", tokens=77),)
    told = read_manifest(corpus).model_copy(update={"token_groups": tuple(groups), "facts": facts, "longest": longest})
    card = render_card(told)
    read = tables(card)
    assert [tuple(row.values()) for row in read["Tokens of language"]] == [
        ("`en`", "4", "250", "62.50%", "4.000"),
        ("`zh`", "2", "150", "37.50%", "2.000"),
    ]
    assert [row["Tokens of source"] for row in read["Tokens of source"]] == ["`crawl`", "(not stated)"]
    assert [(row["Padding"], row["Documents cut"]) for row in read["Split"]] == [
        ("1.000%", "2.50%"),
        ("0.000%", "0.00%"),
    ]
    assert "Of 500 tokens of the vocabulary 125 occur (25.00%)." in card
    assert [row["Tokens"] for row in read["Longest documents"]] == ["77"]


def test_every_table_says_what_the_manifest_says(corpus: Path) -> None:
    manifest = read_manifest(corpus)
    read = tables(write_card(corpus, corpus.parent).read_text(encoding="utf-8"))
    stages = [count for sweep in manifest.sweeps for count in sweep.stages]
    for row, count in zip(read["Stage"], stages, strict=False):
        assert row["Stage"] == f"`{count.stage}`"
        assert number(row["Read"]) == count.read.documents
        assert number(row["Kept"]) == count.kept.documents
        assert number(row["Characters kept"]) == count.kept.characters
        named = re.findall(r"`(\w+)` ([\d,]+)", row["Reasons"])
        assert {reason: number(n) for reason, n in named} == count.dropped
    for title in ("Language", "Source", "Licence"):
        assert sum(number(row["Bytes"]) for row in read[title]) == sum(g.size.bytes for g in manifest.composition)
    assert {row["Language"]: number(row["Documents"]) for row in read["Language"]} == {"`en`": 2, "`de`": 1, "`zh`": 1}
    assert [number(row["Rows"]) for row in read["Split"]] == [90, 3]
    assert {row["Count"]: number(row["Value"]) for row in read["Count"]} == {
        "`train_tokens`": 184320,
        "`train_padding`": 1234,
    }
    files = {row["File"]: (number(row["Rows"]), row["sha256"].strip("`")) for row in read["File"]}
    assert files["documents/shard-00000.arrow"] == (2, "c" * 64)
    assert len(files) == 5
    values = {row["What"]: row["Value"] for row in read["What"]}
    assert values["Manifest digest"] == f"`{manifest.digest}`"


def test_the_hub_client_reads_the_front_matter(corpus: Path) -> None:
    from huggingface_hub import DatasetCard

    card = DatasetCard(render_card(read_manifest(corpus), Answers(title="Tiny: a corpus")))
    data = card.data.to_dict()
    assert data["pretty_name"] == "Tiny: a corpus"
    assert data["license"] == "odc-by"
    assert data["language"] == ["de", "en", "zh"]
    assert data["size_categories"] == ["n<1K"]
    assert data["task_categories"] == ["text-generation"]
    assert data["configs"] == [
        {
            "config_name": "documents",
            "default": True,
            "data_files": [{"split": "train", "path": "documents/*.arrow"}],
        },
        {
            "config_name": "tokens",
            "data_files": [
                {"split": "train", "path": "tokens/train/*.arrow"},
                {"split": "holdout", "path": "tokens/holdout/*.arrow"},
            ],
        },
    ]
    rows = {
        info["config_name"]: {s["name"]: s["num_examples"] for s in info["splits"]} for info in data["dataset_info"]
    }
    assert rows["documents"] == {"train": 4} and set(rows["tokens"]) == {"train", "holdout"}


def test_every_number_says_how_it_was_made_and_what_verifies_it(corpus: Path) -> None:
    card = render_card(read_manifest(corpus))
    for section in re.split(r"^## ", card, flags=re.MULTILINE)[1:]:
        for block in section.split("\n\n")[1:]:
            if re.fullmatch(r"\*(From the run|Measured): .{20,}; (verified by .+|no check verifies it: .+)\.\*", block):
                break
            assert not block.startswith("|"), f"a table without a word on how it was made: {section[:80]}"
    fields = list(datasheet(read_manifest(corpus)).fields())
    assert len({field.name for field in fields}) == len(fields)


def test_the_same_manifest_gives_the_same_bytes(corpus: Path) -> None:
    first = write_card(corpus, corpus.parent).read_bytes()
    assert write_card(corpus, corpus.parent).read_bytes() == first


def test_answers_are_found_below_the_project_and_nowhere_else(build_corpus, tmp_path: Path) -> None:
    recipe = {"recipe": "tiny", "version": "1", "card": {"license": "mit", "answers": "cards/answers.yaml"}}
    corpus = build_corpus([{"id": "a", "text": "t"}], recipe)
    with pytest.raises(RecipeError, match="there is no file"):
        write_card(corpus, tmp_path)
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "answers.yaml").write_text("title: Named by a person", encoding="utf-8")
    assert "# Named by a person" in write_card(corpus, tmp_path).read_text(encoding="utf-8")
    with pytest.raises(GristmillError, match="outside"):
        write_card(build_corpus([], {**recipe, "card": {"answers": "../../secret.yaml"}}), tmp_path)


def test_an_export_names_its_own_files(corpus: Path) -> None:
    card = render_card(read_manifest(corpus), suffix="parquet")
    assert header(card)["configs"][0]["data_files"][0]["path"] == "documents/*.parquet"


def test_a_shard_without_rows_is_not_offered(build_corpus) -> None:
    corpus = build_corpus([{"id": "a", "text": "only in the first shard"}])
    found = header(render_card(read_manifest(corpus)))["configs"][0]["data_files"]
    assert found == [{"split": "train", "path": ["documents/shard-00000.arrow"]}]


def test_questions_without_answers_are_said_and_counted(corpus: Path) -> None:
    card = render_card(read_manifest(corpus), Answers(contact="data@example.org", intended_uses=["tests", "talks"]))
    n = len(Answers.model_fields)
    assert f"{n - 2} of {n} questions have no answer." in card
    assert card.count("Not stated.") == n - 3, "all but the title, which falls back to the recipe's name"
    assert "- tests\n- talks" in card


def test_nothing_said_breaks_the_card(build_corpus) -> None:
    corpus = build_corpus(
        [{"id": "a", "text": "t", "license": EVIL, "source": "s|t", "lang": "no"}],
        {"recipe": "evil", "version": EVIL, "stages": [], "note": "a ```` fence\n---\n", "card": {"license": EVIL}},
    )
    answers = Answers(**{question: EVIL for question in Answers.model_fields})
    card = render_card(read_manifest(corpus), answers)
    made = header(card)
    assert made["pretty_name"].startswith("x | y --- license: mit")
    assert made["license"] == "other"
    assert re.fullmatch(r"[a-z0-9.-]+", made["license_name"])
    assert made["language"] == ["no"], "Norwegian is not the boolean"
    assert "\x1b" not in card
    body = card.split("---\n", 2)[2]
    outside = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", body)
    assert "<img" not in outside
    assert not re.search(r"(?<!\\)\[a\]", outside)
    titles = [line for line in outside.splitlines() if line.startswith("# ")]
    assert len(titles) == 1
    assert titles[0].startswith("# x \\| y")
    assert tables(card)["Source"][0]["Source"] == "s\\|t"


def test_chinese_stands_as_it_is(corpus: Path) -> None:
    card = render_card(read_manifest(corpus), Answers(title="小磨坊语料", motivation="教学。"))
    assert header(card)["pretty_name"] == "小磨坊语料"
    assert "# 小磨坊语料" in card
    assert "教学。" in card


def test_long_lists_are_cut_and_still_add_up(build_corpus) -> None:
    corpus = build_corpus([{"id": f"d{i}", "text": "t", "source": f"s{i}"} for i in range(80)])
    rows = tables(render_card(read_manifest(corpus)))["Source"]
    assert len(rows) == 51
    assert rows[-1]["Source"] == "(30 more)"
    assert sum(number(row["Documents"]) for row in rows) == 80


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ODC-By-1.0", {"license": "odc-by"}),
        ("odc-by", {"license": "odc-by"}),
        ("CC-BY-SA-4.0", {"license": "cc-by-sa-4.0"}),
        ("GPL-3.0-or-later", {"license": "gpl-3.0"}),
        ("GFDL-1.3-only", {"license": "gfdl"}),
        ("MIT AND CC-BY-4.0", {"license": "other", "license_name": "mit-and-cc-by-4.0"}),
        ("cc", {"license": "cc"}),
        ("by", {"license": "other", "license_name": "by"}),
        ("!!!", {"license": "other", "license_name": "unnamed"}),
        (None, {"license": "unknown"}),
    ],
)
def test_licences_get_the_words_of_the_hub(name: str | None, expected: dict[str, str]) -> None:
    assert hub_license(name) == expected


@pytest.mark.parametrize(
    ("documents", "word"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**12 - 1, "100B<n<1T"), (10**12, "n>1T")],
)
def test_size_categories_are_the_exact_words(documents: int, word: str) -> None:
    assert size_category(documents) == word


@pytest.mark.slow
def test_datasets_loads_both_configs_offline(corpus: Path, tmp_path: Path) -> None:
    write_card(corpus, corpus.parent)
    for file in read_manifest(corpus).tokens:
        if file.rows:
            write_table(corpus / file.path, pa.table({"tokens": [[1, 2]] * file.rows}))
    script = (
        "import sys; from datasets import load_dataset as load\n"
        "print(len(load(sys.argv[1])['train']), sorted(load(sys.argv[1], 'tokens')),"
        " sum(1 for _ in load(sys.argv[1], 'documents', split='train', streaming=True)))"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    ran = subprocess.run(
        [sys.executable, "-c", script, str(corpus)], env=env, capture_output=True, text=True, check=False
    )
    assert ran.stdout.split("\n")[-2] == "4 ['holdout', 'train'] 4", ran.stderr
