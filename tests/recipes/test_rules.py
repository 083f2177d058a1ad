"""Every reason of every filter and transform, on a document that must meet it and on one that must not.

A rule that can never fire is found here: a stage that declares a reason without such a pair fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.core.asset import Place
from pipeline.core.schema import SOURCE
from pipeline.core.stage import Local
from pipeline.run.judging import visible
from pipeline.run.registry import room_of, stages
from tests.samples import CHINESE, ENGLISH, GERMAN


@dataclass(frozen=True)
class Pair:
    """`drops` must be dropped for this reason and `keeps` kept, by a stage with these fields."""

    drops: Any
    keeps: Any
    fields: Mapping[str, Any] = field(default_factory=dict)


PROSE = (
    "The old mill stands at the bend of the river, and people have known it for as long as they can remember. In "
    "spring the wheel turns with water that comes down from the hills; in autumn it rests. Nobody could say who built "
    "it, but everybody had a story to tell about the miller and his seven daughters. When a north wind blows at night "
    "you hear wood creak, as though somebody were still at work inside."
)
LINES = "\n".join(f"{sentence}." for sentence in PROSE.removesuffix(".").split(". "))
FOUR = ["Read more news", "We walked along the quiet shore", "Nobody was there", "Birds sang above tall trees"]
AGAIN = " ".join([FOUR[3], FOUR[1], FOUR[0], FOUR[2], FOUR[3], FOUR[1], FOUR[0], FOUR[2]])
OFTEN = " ".join([FOUR[0], FOUR[1], FOUR[0], FOUR[2], FOUR[0], FOUR[3], FOUR[0]])
WIDE = {"by_language": {}, "published": None}
MENU = "Home About News Contact Login Search " * 3 + "."


def only_repetition(limit: str) -> dict[str, Any]:
    fields = stages()["repetition"].model_fields
    return {name: None for name in fields if name.startswith("max_") and name != limit} | WIDE


REPEATS = {"max_repeated_characters": None}

PAIRS: dict[str, dict[str, Pair]] = {
    "extract": {
        "not_extracted": Pair({"html": b""}, {"html": f"<p>{PROSE}</p>".encode()}),
        "over_page_bytes": Pair(
            {"html": b"<p>x</p>" * 99}, {"html": f"<p>{PROSE}</p>".encode()}, {"max_page_bytes": 700}
        ),
        "too_deeply_nested": Pair(
            {"html": b"<div>" * 60 + b"x"}, {"html": f"<p>{PROSE}</p>".encode()}, {"max_depth": 50}
        ),
        "too_many_attributes": Pair(
            {"html": b"<p " + b" ".join(b"a%d=1" % i for i in range(60)) + b">x</p>"},
            {"html": f"<p>{PROSE}</p>".encode()},
            {"max_attributes": 50},
        ),
        "extraction_timed_out": Pair(
            {"html": b"<div>" * 100_000 + b"x"},
            {"html": f"<p>{PROSE}</p>".encode()},
            {"mode": "fast", "max_depth": None, "seconds": 0.3},
        ),
    },
    "normalize": {"empty": Pair("\u200b \ufeff", "x")},
    "c4": {
        "filler_text": Pair(f"{PROSE}\nLorem ipsum dolor sit amet.", f"{PROSE}\n{PROSE}"),
        "curly_brackets": Pair(f"{PROSE}\nThe page says {{name}} where a name was.", f"{PROSE}\n{PROSE}"),
        "too_few_sentences": Pair("One sentence is all there is here.\nAnd one more makes two.", f"{PROSE}\n{PROSE}"),
    },
    "fineweb": {
        "no_lines": Pair(" \n ", PROSE),
        "too_few_sentence_ends": Pair("\n".join([PROSE.rstrip(".")] * 9), PROSE),
        "too_many_short_lines": Pair("A short line.\nAnother one.\nThe third.\n" + PROSE, PROSE),
        "repeated_line_characters": Pair(f"{PROSE}\n{PROSE}", PROSE),
        "too_many_line_breaks": Pair(
            ("\n" * 9).join(["The mill stands at the end of the valley."] * 4), PROSE, REPEATS
        ),
    },
    "c4_lines": {
        "lorem_ipsum": Pair(f"{PROSE}\nLorem ipsum dolor sit amet.", PROSE),
        "curly_bracket": Pair(f"{PROSE}\nThe page says {{name}} where a name was.", f"{PROSE}\n}} {{"),
        "too_few_sentences": Pair("One sentence is all there is here.\nAnd one more makes two of them.", PROSE),
        "nothing_left": Pair("home | about | contact", PROSE, {"min_sentences": 0}),
    },
    "refinedweb_lines": {
        "too_much_removed": Pair(f"{PROSE}\n{'ALL IN CAPITALS ' * 5}", f"{PROSE}\n12 likes"),
        "nothing_left": Pair(" \n ", PROSE),
    },
    "pii": {
        "too_much_personal_data": Pair(f"{PROSE} kim@mail.com, 81.2.69.142", f"{PROSE} kim@mail.com", {"max_found": 1})
    },
    "harmful": {
        "listed_words": Pair(f"{PROSE} Casino!", PROSE, {"lists": [{"kind": "games", "paths": ["words"]}]}),
        "nothing_left": Pair(
            "a casino", f"a casino\n{PROSE}", {"lists": [{"kind": "games", "paths": ["words"]}], "level": "line"}
        ),
    },
    "licenses": {
        "license_denied": Pair({"license": "CC-BY-NC-4.0"}, {"license": "cc-by-4.0"}, {"deny": ["cc-by-nc*"]}),
        "license_not_allowed": Pair({"license": "cc-by-nc-4.0"}, {"license": "cc-by-4.0"}, {"allow": ["cc-by-[0-9]*"]}),
        "license_unknown": Pair({"license": "unknown"}, {"license": "cc0-1.0"}, {"allow": ["cc*"]}),
        "license_disputed": Pair(
            {"license": "cc0-1.0", "license_conflict": True},
            {"license": "cc0-1.0", "license_conflict": False},
            {"allow": ["cc*"]},
        ),
    },
    "opt_out": {
        "opted_out": Pair({"opt_out": "noai meta"}, {"opt_out": "noimageai meta"}, {"signals": ["noai"]}),
    },
    "drop_lines": {"nothing_left": Pair("| |\n||", "| a |", {"symbols": "|"})},
    "gopher": {
        "too_few_words": Pair("The mill stands at the bend of the river.", PROSE),
        "too_many_words": Pair(f"{PROSE} {PROSE}", PROSE, {"max_words": 100}),
        "mean_word_too_short": Pair("a b of to it is c d e f " * 10, PROSE),
        "mean_word_too_long": Pair("the and " + "incomprehensibilities " * 60, PROSE),
        "too_many_hash_signs": Pair(PROSE + " #" * 10, PROSE + " #"),
        "too_many_ellipses": Pair(PROSE + " so..." * 30 + " it ends.", f"So... {PROSE}"),
        "too_many_bullet_lines": Pair("\n".join(f"- {word}" for word in PROSE.split()), LINES),
        "too_many_ellipsis_lines": Pair("\n".join([*LINES.split("\n"), "so...", "and...", "on..."]), LINES + "\nso..."),
        "too_few_alphabetic_words": Pair(PROSE + " 1024 2048 512" * 10, PROSE + " 1024"),
        "too_few_stop_words": Pair("mill river wheel water stone miller bread " * 10, PROSE),
    },
    "repetition": {
        "repeated_lines": Pair(
            "\n".join([*FOUR, FOUR[0], FOUR[0]]), "\n".join(FOUR), only_repetition("max_repeated_lines")
        ),
        "repeated_paragraphs": Pair(
            "\n\n".join([*FOUR, FOUR[0], FOUR[0]]), "\n\n".join(FOUR), only_repetition("max_repeated_paragraphs")
        ),
        "repeated_line_characters": Pair(
            "\n".join([*FOUR, FOUR[1]]), "\n".join(FOUR), only_repetition("max_repeated_line_characters")
        ),
        "repeated_paragraph_characters": Pair(
            "\n\n".join([*FOUR, FOUR[1]]), "\n\n".join(FOUR), only_repetition("max_repeated_paragraph_characters")
        ),
        "frequent_2_gram": Pair(OFTEN, PROSE, only_repetition("max_top_2_gram")),
        "frequent_3_gram": Pair(OFTEN, PROSE, only_repetition("max_top_3_gram")),
        "frequent_4_gram": Pair(AGAIN, PROSE, only_repetition("max_top_4_gram")),
        **{
            f"repeated_{n}_grams": Pair(AGAIN, PROSE, only_repetition(f"max_repeated_{n}_grams"))
            for n in (5, 6, 7, 8, 9, 10)
        },
    },
    "length": {
        "too_few_characters": Pair("short", PROSE, {"min_characters": 100}),
        "too_many_characters": Pair(PROSE, "short", {"max_characters": 100}),
        "too_few_words": Pair("two words", PROSE, {"min_words": 3}),
        "too_many_words": Pair(PROSE, "two words", {"max_words": 2}),
        "too_few_bytes": Pair("字", "字字", {"min_bytes": 6}),
        "too_many_bytes": Pair("字字", "字", {"max_bytes": 3}),
    },
    "threshold": {
        "not_measured": Pair({"offset": None}, {"offset": 5}, {"column": "offset", "min": 1}),
        "below_minimum": Pair({"offset": 0}, {"offset": 5}, {"column": "offset", "min": 1}),
        "above_maximum": Pair({"offset": 9}, {"offset": 5}, {"column": "offset", "max": 5}),
    },
    "sample": {"not_sampled": Pair({"id": "e"}, {"id": "g"}, {"share": 0.5})},
    "language": {
        "no_language": Pair("1 2 3", PROSE, {"keep": ["en"]}),
        "language_not_kept": Pair(GERMAN, PROSE, {"keep": ["en"]}),
        "language_unsure": Pair(
            "mini bar hotel 2 taxi", PROSE, {"keep": {"en": 0.9, "fr": 1, "it": 1, "tr": 1, "de": 1}}
        ),
        "language_disputed": Pair("Hotel taxi bar", PROSE, {"keep": {"en": 0.0}, "second": "langdetect"}),
    },
    "urls": {
        "blocked_domain": Pair(
            {"url": "http://www.Bücher.example:80/a"}, {"url": "http://example/"}, {"domains": ["domains"]}
        ),
        "blocked_url": Pair(
            {"url": "https://example.org/bad/#top"}, {"url": "https://example.org/bad/2"}, {"urls": ["pages"]}
        ),
        "blocked_word_in_url": Pair(
            {"url": "http://a.org/free-casino/poker"}, {"url": "http://a.org/free/pokerface"}, {"soft": ["words"]}
        ),
    },
    "madlad": {
        "too_few_sentences": Pair("One here. Two here.", "One here. Two here. Three. Four. Five."),
        "too_many_questionable_sentences": Pair(f"{PROSE} {MENU}", f"{PROSE} {PROSE} {MENU}"),
    },
    "chinese": {
        "too_few_characters": Pair("短文。", CHINESE, {"min_characters": 100}),
        "too_many_characters": Pair(CHINESE, "短文。", {"max_characters": 100}),
        "mean_line_too_short": Pair("首页\n新闻\n体育", CHINESE, {"min_mean_line": 10}),
        "too_few_chinese_characters": Pair(ENGLISH, CHINESE, {"min_chinese": 0.3}),
        "too_many_traditional_characters": Pair("這座磨坊在山谷的盡頭。", CHINESE, {"max_traditional": 0.01}),
        "too_many_sensitive_words": Pair("博彩和发票", CHINESE, {"sensitive": "words", "max_sensitive": 0.5}),
        "repeated_13_grams": Pair("点击查看更多精彩内容请关注" * 4, CHINESE, {"max_repeated_13_grams": 0.5}),
        "too_few_sentences": Pair("只有一句话。", CHINESE, {"min_sentences": 2}),
        "too_many_brackets": Pair("【新闻】【体育】", CHINESE, {"max_brackets": 0.1}),
        "mean_word_too_short": Pair("的 了 在 是", CHINESE, {"min_mean_word": 1.3}),
        "mean_word_too_long": Pair("incomprehensibilities", CHINESE, {"max_mean_word": 10}),
        "too_few_unique_words": Pair("北京 " * 20, CHINESE, {"min_unique_words": 0.1}),
        "too_little_entropy": Pair("北京 上海 北京", CHINESE, {"min_entropy": 3}),
        "too_many_digit_words": Pair("1 2 3 北京", CHINESE, {"max_digit_words": 0.3}),
        "too_many_read_more_lines": Pair("新闻 展开\n体育 更多", CHINESE, {"max_read_more_lines": 0.3}),
    },
}

NOT_SHOWN = {
    (
        "extract",
        "parser_crashed",
    ): "a page that ends the parser's process; tests/backends/test_pages.py ends it by hand",
}

LISTS = {
    "domains": "# blocked\n*.xn--bcher-kva.example\n",
    "pages": "http://example.org/bad\n",
    "words": "casino\npoker\n博彩\n发票\n",
}

JUDGED = {word: cls for word, cls in stages().items() if issubclass(cls, Local) and cls.reasons}
SHOWN = [(word, reason) for word, pairs in PAIRS.items() for reason in pairs]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[None]:
    for name, text in LISTS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with Place(base=tmp_path, cache=tmp_path / "cache").active():
        yield


@pytest.mark.parametrize("word", JUDGED)
def test_every_reason_is_shown_to_be_given(word: str) -> None:
    shown = {*PAIRS.get(word, {}), *(reason for stage, reason in NOT_SHOWN if stage == word)}
    assert shown == set(JUDGED[word].reasons), f"tests/recipes/test_rules.py: give each reason of {word} a pair"
    assert room_of(JUDGED[word]) in ("filters", "transforms")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("word", "reason"), SHOWN, ids=[f"{word}-{reason}" for word, reason in SHOWN])
def test_a_rule_drops_what_it_is_for_and_keeps_what_it_is_not(word: str, reason: str) -> None:
    pair = PAIRS[word][reason]
    stage = JUDGED[word].model_validate_json(json.dumps(pair.fields))
    assert isinstance(stage, Local)
    columns = {name: dtype for name, dtype in SOURCE.items() if name != "unreadable"}
    written = [row for row in (pair.drops, pair.keeps) if isinstance(row, dict)]
    columns |= {name: pa.scalar(value).type for row in written for name, value in row.items() if name not in columns}
    rows = [
        {"lang": _lang(word), **(row if isinstance(row, dict) else {"text": row})} for row in (pair.drops, pair.keeps)
    ]
    batch = pa.RecordBatch.from_pylist(
        [{name: row.get(name) for name in columns} for row in rows], pa.schema(list(columns.items()))
    )
    verdict = stage.judge(visible(stage, batch))
    assert verdict.reason is not None
    assert verdict.reason.to_pylist() == [reason, None]


def _lang(word: str) -> str | None:
    return "zh" if word == "chinese" else "en"
