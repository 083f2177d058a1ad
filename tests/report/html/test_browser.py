"""The report in a real browser: it works by mouse and keyboard, and no document can make it do anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.manifest import read_manifest
from pipeline.report.html.data import documents
from pipeline.report.html.page import content, page, write_report
from pipeline.run.showing import Shown
from tests import browser, projects
from tests.browser import Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (browser.CHROMIUM and browser.DRIVER), reason=browser.MISSING),
]

READY = "document.documentElement.dataset.ready === 'all'"
FOUND = "document.getElementById('found').textContent"
DARK = "getComputedStyle(document.body).backgroundColor === 'rgb(20, 23, 22)'"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser.browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(project: tuple[Path, Shown], tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus, showing = project
    return write_report(corpus, tmp_path_factory.mktemp("page") / "report.html", sample=1000, showing=showing)


@pytest.fixture
def shown(window: Browser, report: Path) -> Iterator[Browser]:
    """The report, freshly opened; afterwards it has asked for nothing, complained of nothing and run nothing else."""
    window.size(1280, 900)
    window.media(prefers_color_scheme="light")
    window.run("location.replace('about:blank')")
    window.complaints(), window.requests()
    window.open(report)
    window.until(READY)
    yield window
    assert window.complaints() == []
    assert {url for url in window.requests() if not url.startswith("chrome")} <= {report.as_uri(), "about:blank"}
    assert window.run("return window.hacked === undefined && document.images.length === 0")


def documents_found(window: Browser) -> int:
    return int("".join(filter(str.isdigit, window.run(f"return {FOUND}"))))


def test_search_finds_texts_urls_and_ids_and_shows_hostile_ones_as_text(shown: Browser) -> None:
    for words, least in (("needle-in-hay", 2), ("kept.example.co.uk", 1), ("twin-2", 1), ("nowhere at all", 0)):
        shown.run("document.getElementById('search').value = ''")
        shown.type("#search", words)
        shown.until(f"parseInt({FOUND}) === {least}")
    shown.run("document.getElementById('search').value = ''")
    shown.type("#search", "needle-in-hay")
    shown.until(f"parseInt({FOUND}) === 2")
    for place in (0, 1):
        shown.click(f"#option-{place}")
        text = shown.run("return document.querySelector('.document .text').textContent")
        assert "<img src=x onerror=" in text and "\u202e" not in text
    assert "javascript:" in shown.run(
        "return document.querySelector('.document').textContent + document.querySelector('.list').textContent"
    )
    assert not shown.run(
        "return [...document.links].filter((link) => !link.getAttribute('href').startsWith('#')).length"
    )


def test_a_stream_of_the_funnel_leads_to_its_documents(shown: Browser) -> None:
    label = shown.run("return document.querySelector('.flow.drop').getAttribute('aria-label')")
    n = int(label.split(", ")[1].split(" ")[0])
    shown.run("document.querySelector('.flow.drop').focus()")
    shown.press("{Enter}")
    assert documents_found(shown) == n
    assert shown.run("return document.activeElement.getAttribute('role')") == "listbox"
    shown.run("document.querySelector('.flow.kept').dispatchEvent(new MouseEvent('click'))")
    assert documents_found(shown) > n


def test_a_rule_opens_with_marked_examples_and_survivors(shown: Browser) -> None:
    shown.click("[data-rule='repetition.repeated_lines'] summary")
    shown.until("document.querySelectorAll('[data-rule=\"repetition.repeated_lines\"] .example').length > 0")
    marks = (
        "[...document.querySelectorAll('[data-rule=\"repetition.repeated_lines\"] mark')].map((one) => one.textContent)"
    )
    assert "One line, said again." in shown.run(f"return {marks}")
    assert ">" in shown.run(
        "return document.querySelector('[data-rule=\"repetition.repeated_lines\"] .values').textContent"
    )


def test_a_slider_shows_what_another_limit_would_keep(shown: Browser) -> None:
    kept = "document.querySelector('.sums b').textContent"
    before = shown.run(f"return {kept}")
    row = "[data-limit='repetition.max_top_2_gram']"
    shown.run(f'document.querySelector("{row} input").focus()')
    for _ in range(40):
        shown.run(
            "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'PageDown', cancelable: true}))"
        )
    assert shown.run(f"return {kept}") != before
    assert int("".join(filter(str.isdigit, shown.run("return document.querySelector('.gone').textContent")))) > 0
    assert "--set stages.repetition." in shown.run("return document.querySelector('.recipe').textContent")
    shown.press("{Right}{Right}")
    shown.click(".trial-bar button:not([disabled])")
    gone = shown.run("return document.querySelector('.gone').textContent + document.querySelector('.back').textContent")
    assert documents_found(shown) == sum(int(part) for part in re.findall(r"\d+", gone))
    shown.click(".trial-bar button:last-of-type")
    assert shown.run(f"return {kept}") == before


def test_bars_filter_and_near_duplicates_show_what_differs(shown: Browser) -> None:
    bars = "[...document.querySelectorAll('#content [data-fill] button')]"
    labels = shown.run(f"return {bars}.map((one) => one.firstChild.textContent)")
    assert {"example.co.uk", "2019"} <= set(labels)
    shown.run(f"{bars}.find((one) => one.textContent.startsWith('example.co.uk')).click()")
    assert documents_found(shown) == 3
    shown.click("button.chip")
    assert documents_found(shown) > 3
    shown.click("#twins summary")
    assert shown.run("return document.querySelector('#twins del, #twins ins').textContent.trim().length") > 0
    shown.click("#twins .pair button.link")
    assert shown.run("return document.querySelector('.document .badge').textContent") == "near duplicate"


def test_the_keyboard_alone_searches_reads_and_goes_back(shown: Browser) -> None:
    shown.press("/")
    assert shown.run("return document.activeElement.id") == "search"
    shown.press("a{Down}")
    shown.press("{Down}{Down}{Enter}")
    assert shown.run("return document.activeElement.className") == "document"
    assert shown.run("return document.querySelector('.document .text') !== null")
    shown.press("{Escape}")
    assert shown.run("return document.activeElement.getAttribute('role')") == "listbox"
    assert shown.run("return document.querySelector('[aria-selected=true]').id") == "option-2"
    shown.press("{End}")
    last = documents_found(shown) - 1
    assert shown.run("return document.querySelector('[aria-selected=true]').id") == f"option-{last}"
    assert shown.run("return document.querySelectorAll('.option').length") < 60


def test_dark_follows_the_system_and_the_button(shown: Browser) -> None:
    assert not shown.run(f"return {DARK}")
    shown.media(prefers_color_scheme="dark")
    assert shown.run(f"return {DARK}")
    shown.click("#theme")
    assert not shown.run(f"return {DARK}") and "light" in shown.run(
        "return document.getElementById('theme').textContent"
    )
    shown.click("#theme")
    shown.media(prefers_color_scheme="light")
    assert shown.run(f"return {DARK}")


def test_chinese_is_whole_and_nothing_is_wider_than_a_phone(shown: Browser) -> None:
    shown.run(
        "const one = document.getElementById('language'); one.value = 'zh'; one.dispatchEvent(new Event('change'))"
    )
    assert shown.run("return document.querySelector('#funnel h2').textContent") == "漏斗"
    assert shown.run("return document.documentElement.lang") == "zh"
    shown.size(360, 740)
    assert shown.run("return document.documentElement.scrollWidth") <= 360
    assert shown.run("return document.querySelector('#documents .option') !== null")
    shown.size(1280, 900)


def test_contrast_is_that_of_wcag_aa(shown: Browser) -> None:
    for theme in ("light", "dark"):
        shown.run("document.documentElement.dataset.theme = arguments[0]", theme)
        colours = shown.run(
            "const style = getComputedStyle(document.documentElement);"
            "return Object.fromEntries(['paper', 'card', 'ink', 'quiet', 'keep', 'drop', 'mark', 'keep-soft',"
            " 'drop-soft'].map((name) => [name, style.getPropertyValue('--' + name).trim()]))"
        )
        pairs = [(text, under) for text in ("ink", "quiet", "keep", "drop") for under in ("paper", "card")]
        for text, under in [
            *pairs,
            ("ink", "mark"),
            ("ink", "keep-soft"),
            ("ink", "drop-soft"),
            ("quiet", "keep-soft"),
        ]:
            assert contrast(colours[text], colours[under]) >= 4.5, (theme, text, under)


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_figures_only_opens_too(window: Browser, project: tuple[Path, Shown], tmp_path: Path) -> None:
    corpus, showing = project
    window.open(write_report(corpus, tmp_path / "figures.html", sample=1000, showing=showing, text=False))
    window.until(READY)
    assert window.run(
        "return document.querySelector('.sliders') !== null && document.getElementById('search') === null"
    )
    assert window.complaints() == []


def test_a_hundred_thousand_documents_open(window: Browser, project: tuple[Path, Shown], tmp_path: Path) -> None:
    corpus, showing = project
    manifest = read_manifest(corpus)
    few = documents(corpus, manifest, 1000, showing)
    rows = np.arange(100_000) % few.n
    words = np.random.default_rng(5).choice([f"{word}{n}" for word in projects.WORDS for n in range(50)], (100_000, 22))
    many = replace(
        few,
        cut=160,
        **{name: getattr(few, name)[rows] for name in ("sampled", "fate", "value", "limit", "characters", "year")},
        ids=[f"{number:032x}" for number in rows.cumsum()],
        urls=[f"https://example.org/{number}/{words[number, 0]}" for number in range(len(rows))],
        **{name: [getattr(few, name)[row] for row in rows] for name in ("twins", "raw")},
        labels={name: [values[row] for row in rows] for name, values in few.labels.items()},
        texts=[" ".join(listed)[:160] for listed in words.tolist()],
        limits=tuple(
            replace(one, value=one.value[rows] * (1 + rows * 1e-3), limit=one.limit[rows]) for one in few.limits
        ),
    )
    path = tmp_path / "many.html"
    path.write_text(page(content(corpus, manifest, many, showing, text=True)), encoding="utf-8")
    window.meter()
    window.open(path)
    window.until(READY, 60)
    marks = window.run(
        "return performance.getEntriesByType('mark').map((mark) => [mark.name, Math.round(mark.startTime)])"
    )
    print(f"{path.stat().st_size / 1e6:.1f} MB", dict(marks), f"{window.metered():.2f} s of CPU")
    assert documents_found(window) == 100_000
    window.type("#search", "example.org/99999/")
    window.until(f"parseInt({FOUND}) === 1")
    assert window.complaints() == []
