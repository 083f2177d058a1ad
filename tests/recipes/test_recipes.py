"""Every recipe that is shipped loads, plans and builds, on pages made here or on real ones."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import UUID

import pytest

from pipeline.backends import classifier
from pipeline.backends.classifier import FastText
from pipeline.core.asset import Place
from pipeline.report.funnel import check_books
from pipeline.run import engine
from pipeline.run.checking import load_recipe
from pipeline.run.options import Options
from pipeline.run.plan import make_plan
from pipeline.run.progress import Quiet
from pipeline.run.recipe import Recipe
from tests import projects, samples

FOLDER = Path(__file__).parent.parent.parent / "recipes"
CRAWLED = sorted(path.stem for path in FOLDER.glob("*.yaml") if 'paths: ["crawl/' in path.read_text(encoding="utf-8"))
DATA = os.environ.get("GRISTMILL_DATA")

ENGLISH = (
    "The old mill stands at the bend of the river, and people have known it for as long as they can remember. In "
    "spring the wheel turns with water that comes down from the hills, and in autumn it rests.",
    "Nobody could say who built it, but everybody had a story to tell about the miller and his seven daughters. The "
    "eldest kept the accounts, the youngest kept bees, and of the others it was said that they could talk to rain.",
    "When a north wind blows at night you can hear the wood creak, as though somebody were still at work inside. "
    "Children say that this is the mill, dreaming of the grain that was brought to it before there was a railway.",
    "A book lies open on the table, with every sack that came and every sack that went. What was thrown away is in "
    "the book as well, and the sums at the foot of each page have always been the same on both sides.",
)
GERMAN = samples.GERMAN + (
    " Wer heute dorthin wandert, findet eine Wirtschaft mit Garten, in der es am Sonntag Kuchen gibt. Die Kinder der "
    "Nachbarn sitzen auf der Mauer und zählen die Wagen, die auf der Straße ins nächste Dorf fahren."
)
MORE_CHINESE = (
    "没有人知道是谁建造了这座房子，但是每个老人都能讲出一段关于磨坊主和七个女儿的故事。大女儿管账，小女儿养蜂，"
    "其他几个据说能和雨说话。夜里如果风从北方吹来，还可以听见木头轻轻响动，好像有人在里面工作。\n"
    "桌上摊着一本旧账簿，记着收进来的每一袋麦子和送出去的每一袋面粉，连扔掉的糠也写得清清楚楚。"
    "每页末尾两边的数字从来都是一样的。镇上的学校每年春天带学生来看水车怎样转动，回去以后让他们写一篇作文。"
)
MORE_JAPANESE = (
    "誰がこの小屋を建てたのかを知る人はいませんが、年寄りはみな粉屋と七人の娘の話をしてくれます。"
    "長女は帳簿をつけ、末の娘は蜂を飼い、ほかの娘たちは雨と話ができたそうです。\n"
    "北風の吹く夜には、まだ誰かが中で働いているかのように、木のきしむ音が聞こえます。"
    "子どもたちは、それは水車が鉄道のなかった時代に運ばれてきた麦の夢を見ているのだと言います。"
)
PAGES = {
    "http://example.com/mill": "\n".join(ENGLISH),
    "http://example.com/mill?again": "\n".join(ENGLISH),
    "http://example.com/menu": "Home\nAbout us\nContact\n" * 9,
    "http://example.de/muehle": GERMAN,
    "http://example.cn/mofang": f"{samples.CHINESE}\n{MORE_CHINESE}",
    "http://example.jp/suisha": f"{samples.JAPANESE}\n{MORE_JAPANESE}",
}


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with pages in WARC and their text in WET."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "crawl").mkdir()
    write(folder / "crawl" / "pages.warc.gz", "response", _html)
    write(folder / "crawl" / "pages.warc.wet.gz", "conversion", str.encode)
    # For recipes that train a classifier: more pages, and texts of the wanted kind.
    (folder / "more").mkdir()
    write(
        folder / "more" / "pages.warc.gz", "response", _html, {f"http://example.com/{n}": made_up(n) for n in range(9)}
    )
    write_examples(folder)
    return folder


def write_examples(folder: Path) -> None:
    (folder / "examples").mkdir()
    rows = [json.dumps({"text": made_up(n)}) + "\n" for n in range(100, 109)]
    (folder / "examples" / "educational.jsonl").write_text("".join(rows))


def made_up(seed: int) -> str:
    """Ten lines of frequent English words in any order, like nothing else that is made so."""
    chance = random.Random(seed)
    lines = [" ".join(chance.choices(projects.WORDS, k=14)).capitalize() + "." for _ in range(10)]
    return "\n".join(lines)


def write(path: Path, kind: str, body_of: Callable[[str], bytes], pages: Mapping[str, str] = PAGES) -> None:
    from fastwarc.warc import WarcRecord, WarcRecordType

    with gzip.open(path, "wb") as stream:
        for number, (url, text) in enumerate(pages.items()):
            record = WarcRecord()
            record.init_headers(getattr(WarcRecordType, kind), f"uuid:{UUID(int=number)}".encode())
            record.headers["WARC-Target-URI"] = url
            record.headers["WARC-Date"] = "2026-11-01T00:00:00Z"
            if kind == "response":
                record.headers["Content-Type"] = "application/http; msgtype=response"
            record.set_bytes_content(body_of(text))
            plain = io.BytesIO()
            record.write(plain)
            stream.write(plain.getvalue())


def _html(text: str) -> bytes:
    paragraphs = "".join(f"<p>{line}</p>" for line in text.split("\n"))
    body = f"<html><head><title>The mill</title></head><body><article>{paragraphs}</article></body></html>".encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def load(name: str, project: Path, *overrides: str) -> Recipe:
    """The shipped recipe, in a project that has the crawl."""
    path = project / "recipes" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    shutil.copy(FOLDER / path.name, path)
    with Place(base=project).active():
        return load_recipe(path, overrides)


SMALLER = {
    "commoncrawl": ("tokenizer.train_bpe.vocab=300",),
    "fineweb-edu": (
        "sources.crawl.paths=[crawl/pages.warc.gz, more/pages.warc.gz]",
        "stages.train_classifier.fasttext.buckets=100",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CRAWLED)
def test_a_recipe_builds_and_keeps_a_page(name: str, crawl: Path, tmp_path: Path) -> None:
    place = Place(base=crawl, cache=tmp_path / "cache", offline=True)
    recipe = load(name, crawl, *SMALLER.get(name, ()))
    with place.active():
        plan = make_plan(recipe)
    built = engine.build(plan, Options(tmp_path, workers=1, place=place), Quiet())
    check_books(built.manifest)
    read = {count.stage: count.read.documents for count in built.manifest.sweeps[0].stages}
    assert read["read:crawl"] == len(PAGES) + (9 if name == "fineweb-edu" else 0)
    assert sum(file.rows for file in built.manifest.documents) >= 1
    dropped = {reason for sweep in built.manifest.sweeps for count in sweep.stages for reason in count.dropped}
    assert dropped, "the menu, the copy, or the other languages must go"


@pytest.mark.skipif(not DATA, reason="GRISTMILL_DATA names no folder with real archives")
@pytest.mark.parametrize("name", CRAWLED)
def test_a_recipe_builds_on_real_pages(name: str, tmp_path: Path) -> None:
    folder = Path(str(DATA)) / "warc"
    warc, wet = "dolma/sample-0001.warc.gz", "whirl/whirlwind.warc.wet.gz"
    kind = "wet" if "- wet:" in (FOLDER / f"{name}.yaml").read_text(encoding="utf-8") else "warc"
    overrides = [f"sources.crawl.paths=[{wet if kind == 'wet' else warc}]", "limit=20"]
    if name == "fineweb-edu":
        write_examples(tmp_path)
        overrides.append(f"sources.educational.paths=[{tmp_path / 'examples' / 'educational.jsonl'}]")
    recipe = load(name, tmp_path, *overrides)
    place = Place(base=folder, cache=tmp_path / "cache", data=(tmp_path,), offline=True)
    with place.active():
        plan = make_plan(recipe)
    check_books(engine.build(plan, Options(tmp_path, workers=1, place=place), Quiet()).manifest)


@pytest.mark.slow
def test_the_learned_steps_that_are_commented_out_are_steps(crawl: Path, tmp_path: Path) -> None:
    """Each recipe that waits for a model, with the signs taken away and a model put there."""
    folder = crawl / "learned" / "recipes"
    folder.mkdir(parents=True)
    shutil.copytree(crawl / "crawl", crawl / "learned" / "crawl")
    place = Place(base=crawl / "learned", cache=tmp_path / "cache", offline=True)
    for name, label in (("dclm-baseline", "hq"), ("chinesewebtext", "positive"), ("redpajama-v2", "")):
        text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
        learned = re.sub(
            r"^  # (- (?:classifier|threshold: \{column: quality|train_ngram|quantile))", r"  \1", text, flags=re.M
        )
        assert learned != text
        path = folder / f"{name}.yaml"
        path.write_text(learned, encoding="utf-8")
        if model := re.search(r"model: ([\w./-]+)", learned):
            found = crawl / "learned" / model.group(1)
            found.parent.mkdir(parents=True, exist_ok=True)
            classifier.train(["good"] * 9 + ["bad"] * 9, [True] * 9 + [False] * 9, FastText(buckets=10), found)
        overrides = [f"stages.classifier.label={classifier.POSITIVE}"] if label == "hq" else []
        with place.active():
            plan = make_plan(load_recipe(path, overrides))
        built = engine.build(plan, Options(tmp_path, workers=1, place=place), Quiet())
        stages = {count.stage for sweep in built.manifest.sweeps for count in sweep.stages}
        assert stages >= ({"classifier", "threshold"} if model else {"train_ngram", "quantile"})


def test_paths_are_given_on_the_command_line(crawl: Path) -> None:
    recipe = load("gopher", crawl, "sources.crawl.paths=[crawl/pages.warc.gz, 'other/*.warc.gz']")
    assert recipe.sources[0].model_dump()["paths"] == ("crawl/pages.warc.gz", "other/*.warc.gz")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_recipe_is_called_as_its_file_and_says_where_its_numbers_are_from(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert f"\nrecipe: {path.stem}\n" in text
    assert text.startswith("# ") and "\ndescription: " in text and "\ncard: " in text


@pytest.mark.parametrize("name", [name for name in CRAWLED if "approximation" in name])
def test_an_approximation_is_labelled_as_one(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# AN APPROXIMATION.") and 'description: "An approximation of' in text
