from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.again import Masking
from pipeline.core.census import Rule
from pipeline.core.manifest import read_manifest
from pipeline.report.html import page as pages
from pipeline.report.html.data import Limit, documents
from pipeline.report.html.draw import draw
from pipeline.report.html.marks import marks
from pipeline.report.html.page import MODULES, write_report
from pipeline.run.registry import stages
from pipeline.run.showing import Shown
from tests.report.html.conftest import MAIL, PHONE

HERE = Path(pages.__file__).parent


def blocks(path: Path) -> dict[str, bytes]:
    found = re.findall(r'id="data-(\w+)">([^<]*)</script>', path.read_text(encoding="utf-8"))
    return {name: gzip.decompress(base64.b64decode(text)) for name, text in found}


def facts(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(blocks(path)["facts"])
    return told


@pytest.fixture(scope="module")
def report(project: tuple[Path, Shown], tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus, showing = project
    return write_report(corpus, tmp_path_factory.mktemp("out") / "report.html", sample=1000, showing=showing)


@pytest.mark.slow
def test_nothing_of_a_document_is_markup_and_only_our_script_may_run(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy and policy[1].startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy[1]
    assert "hacked" not in text and "needle" not in text and "hostile" not in text
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
    [script] = [body for head, body in scripts if "module" in head]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy[1]
    assert len(scripts) == 1 + len(blocks(report))
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//|@import|url\(", text)


@pytest.mark.slow
def test_the_same_corpus_gives_the_same_bytes(project: tuple[Path, Shown], report: Path, tmp_path: Path) -> None:
    corpus, showing = project
    again = write_report(corpus, tmp_path / "again.html", sample=1000, showing=showing)
    assert again.read_bytes() == report.read_bytes()


@pytest.mark.slow
def test_every_document_is_there_with_its_fate(project: tuple[Path, Shown], report: Path) -> None:
    corpus, _ = project
    told = facts(report)
    manifest = read_manifest(corpus)
    dropped = {(c.stage, r): n for s in manifest.sweeps for c in s.stages for r, n in c.dropped.items()}
    columns = dict(
        zip([name for name, *_ in told["columns"]], arrays(blocks(report)["columns"], told["columns"]), strict=True)
    )
    counts = np.bincount(columns["fate"], minlength=len(told["fates"]) + 1)
    assert {tuple(pair): n for pair, n in zip(told["fates"], counts[1:].tolist(), strict=True)} == dropped
    assert counts[0] == told["funnel"]["kept"] == sum(file.rows for file in manifest.documents)
    assert told["documents"]["sampled"] == told["documents"]["n"] == told["documents"]["total"]


def arrays(data: bytes, named: list[list[Any]]) -> list[np.ndarray]:
    found, start = [], 0
    for _, kind, n in named:
        size = np.dtype(kind).itemsize
        planes = np.frombuffer(data, np.uint8, n * size, start).reshape(size, n)
        found.append(np.ascontiguousarray(planes.T).view(kind).ravel())
        start += n * size
    return found


def test_what_the_page_measures_drops_what_the_build_dropped(report: Path) -> None:
    told = facts(report)
    names = [name for name, *_ in told["columns"]]
    columns = dict(zip(names, arrays(blocks(report)["columns"], told["columns"]), strict=True))
    measures = arrays(blocks(report)["measures"], told["measures"])
    assert {one["field"] for one in told["limits"]} >= {"min_characters", "max_repeated_lines", "max_top_2_gram"}
    for one in told["limits"]:
        bounds = np.array([np.nan if limit is None else limit for limit in one["limits"]], np.float32)[columns["lang"]]
        value = measures[one["measure"]]
        beyond = value < bounds if one["least"] else value > bounds
        assert not (beyond & (columns["fate"] == 0)).any(), one
        if [one["stage"], one["reason"]] in told["fates"]:
            assert beyond[columns["fate"] == told["fates"].index([one["stage"], one["reason"]]) + 1].all()


def test_personal_data_and_listed_words_are_masked_everywhere(report: Path) -> None:
    told = {key: value for key, value in facts(report).items() if key != "sheet"}  # which quotes the recipe
    everything = json.dumps(told, ensure_ascii=False) + blocks(report)["texts"].decode()
    for secret in (MAIL, PHONE, "coundrel"):
        assert secret not in everything
    assert "<EMAIL>" in everything and "<PHONE>" in everything and "<LISTED>" in everything
    assert "\u202e" not in everything


def test_figures_only_has_no_text_id_or_url(project: tuple[Path, Shown], tmp_path: Path) -> None:
    corpus, showing = project
    for more in ({"showing": showing, "text": False}, {"showing": None}):
        path = write_report(corpus, tmp_path / "figures.html", sample=1000, **more)  # type: ignore[arg-type]
        found = blocks(path)
        assert set(found) == {"facts", "columns", "measures"}
        everything = found["facts"].decode()
        assert (
            "needle" not in everything and "twin-1" not in everything and "/a" not in json.loads(everything)["labels"]
        )
        assert bool(facts(path)["limits"]) == (more["showing"] is not None)


def test_a_sample_keeps_an_example_of_every_reason(project: tuple[Path, Shown]) -> None:
    corpus, showing = project
    manifest = read_manifest(corpus)
    found = documents(corpus, manifest, 10, showing)
    assert 0 < found.sampled.sum() < 30 < found.total and not found.sampled.all()
    assert {pair for pair in found.fates} == {
        (c.stage, r) for s in manifest.sweeps for c in s.stages for r in c.dropped
    }
    whole = documents(corpus, manifest, 1000, showing)
    assert set(np.array(found.ids)[found.sampled]) <= set(whole.ids)


def test_clusters_show_what_differs(project: tuple[Path, Shown], report: Path) -> None:
    corpus, _ = project
    assert {"twin-1", "twin-2"} >= {
        one.twin for one in draw(corpus, read_manifest(corpus), 10).clusters if "twin" in one.twin
    }
    changed = [
        text
        for one in facts(report)["clusters"]
        for pair in one["pairs"]
        for text, shared in pair["texts"][0]
        if not shared
    ]
    assert any("otherwise" in text or "changed" in text for text in changed)


@pytest.mark.parametrize(
    ("reason", "text", "marked"),
    [
        ("repeated_lines", "a b\nc\na b\n\na b", ["a b", "a b"]),
        ("repeated_paragraphs", "one\n\ntwo\n\none\n", ["one\n"]),
        ("frequent_2_gram", "so it is. and so it goes", ["so it", "so it"]),
        ("repeated_5_grams", "a b c d e f a b c d e g", ["a b c d e"]),
        ("too_many_hash_signs", "## x #", ["##", "#"]),
        ("too_many_ellipses", "so … and so... 。。。", ["…", "...", "。。。"]),
        ("too_many_bullet_lines", "- one\ntwo\n• three", ["- one", "• three"]),
        ("too_few_alphabetic_words", "one 22 three", ["22"]),
        ("too_few_stop_words", "the mill grinds", ["the"]),
        ("curly_brackets", "if { x }", ["{", "}"]),
        ("near_duplicate", "nothing to mark", []),
    ],
)
def test_marks_name_the_place(reason: str, text: str, marked: list[str]) -> None:
    assert [text[start:stop] for start, stop in marks(reason, text, "en")] == marked


@given(
    st.sampled_from(["repeated_lines", "frequent_3_gram", "repeated_6_grams", "too_many_short_lines"]),
    st.text("ab \n.", max_size=60),
)
def test_marks_are_ascending_apart_and_inside(reason: str, text: str) -> None:
    ends = [end for span in marks(reason, text, "en") for end in span]
    assert ends == sorted(set(ends)) and (not ends or (ends[0] >= 0 and ends[-1] <= len(text)))


@pytest.mark.slow
@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0, 1), st.booleans())
def test_rounded_measures_stay_on_their_side(values: list[float], limit: float, least: bool) -> None:
    one = Limit(Rule(stage="s", reason="r", field="f", least=least), np.array(values), np.full(len(values), limit))
    [[packed], _] = pages._measures([one])
    bound = np.float32(limit)
    assert ((packed < bound if least else packed > bound) == one.beyond).all()


def test_the_modules_are_all_inlined_and_their_names_are_apart() -> None:
    assert {path.stem for path in HERE.glob("*.js")} == set(MODULES)
    names = [
        name
        for module in MODULES
        for name in re.findall(
            r"^(?:export )?(?:async )?(?:function|const|class|let) (\w+)",
            (HERE / f"{module}.js").read_text(),
            re.MULTILINE,
        )
    ]
    assert len(names) == len(set(names)), [name for name in names if names.count(name) > 1]


def test_every_string_is_there_in_both_languages_and_used() -> None:
    strings = json.loads((HERE / "strings.json").read_text(encoding="utf-8"))
    sources = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("*.js"))
    used = set(re.findall(r'\bsay\("([^"]+)"', sources))
    assert used <= set(strings)
    for key, (english, chinese) in strings.items():
        assert english and chinese and re.findall(r"\{\w+\}", english).sort() == re.findall(r"\{\w+\}", chinese).sort()
        assert f'"{key}"' in sources or key.split(".")[0] in {"reason", "filter", "fact", "theme", "state"}, key


def test_stages_that_mask_are_those_that_look_for_people_and_words() -> None:
    assert {word for word, stage in stages().items() if issubclass(stage, Masking)} == {"pii", "harmful"}
    texts = pa.array(["mail me: a.b@mail-of-hers.com", "", "none"], pa.large_string())
    batch = pa.RecordBatch.from_pydict({"text": texts, "lang": pa.array([None, None, "en"], pa.string())})
    assert stages()["pii"]().masked(batch).to_pylist()[0] == "mail me: <EMAIL>"  # type: ignore[attr-defined]


def test_the_command_writes_it_beside_the_card(project: tuple[Path, Shown]) -> None:
    corpus, _ = project
    done = CliRunner().invoke(app, ["report", str(corpus), "--lang", "zh", "--json", "--base", str(corpus.parents[1])])
    assert done.exception is None, done.output
    told = json.loads(done.stdout)
    assert told["path"] == str(corpus / "report.html") and told["bytes"] == (corpus / "report.html").stat().st_size
    assert '<html lang="zh">' in (corpus / "report.html").read_text(encoding="utf-8")
