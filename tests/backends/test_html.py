from __future__ import annotations

import pytest

from pipeline.backends.html import How, about, attributes, license_id, main_text, nesting, read
from tests import samples

ARTICLE = (
    "<html lang='de-AT'><head><title>Die   M&uuml;hle</title></head><body>"
    "<nav><a href='/'>Startseite</a> <a href='/a'>Archiv</a></nav>"
    f"<article><h1>Die Mühle</h1><p>{samples.GERMAN}</p><p>{samples.GERMAN}</p>"
    "<table><tr><td>Roggen</td><td>40 Sack</td></tr><tr><td>Weizen</td><td>30 Sack</td></tr></table></article>"
    "<footer>Impressum</footer></body></html>"
)


@pytest.mark.parametrize("mode", ["precise", "fast", "auto"])
def test_the_article_stays_and_the_navigation_goes(mode: str) -> None:
    page = read(ARTICLE.encode(), None, How(mode=mode))
    assert samples.GERMAN in page.text and "40 Sack" in page.text
    assert "Startseite" not in page.text and "Impressum" not in page.text
    assert (page.title, page.lang, page.reason) == ("Die Mühle", "de-at", None)


@pytest.mark.parametrize("mode", ["precise", "fast", "auto"])
def test_the_same_page_gives_the_same_text_in_any_order(mode: str) -> None:
    pages = [ARTICLE, ARTICLE.replace("Mühle", "Schmiede"), f"<p>{samples.ENGLISH}</p>" * 3, "<p>short</p>"]
    how = How(mode=mode)
    once = [main_text(page, how) for page in pages]
    assert [main_text(page, how) for page in reversed(pages)] == once[::-1]
    assert [main_text(page, how) for page in pages] == once


def test_auto_asks_trafilatura_only_where_resiliparse_found_little() -> None:
    fast, precise = main_text(ARTICLE, How("fast")), main_text(ARTICLE, How("precise"))
    assert fast != precise
    assert main_text(ARTICLE, How("auto", retry_below=100)) == fast
    assert main_text(ARTICLE, How("auto", retry_below=100_000)) == precise


def test_a_page_without_text_was_not_extracted() -> None:
    for body in (b"", b"<html></html>", b"<script>var x = 1</script>", b"\x00\x00"):
        for mode in ("precise", "fast", "auto"):
            assert read(body, None, How(mode=mode)).reason == "not_extracted"


def test_guards_measure_what_they_refuse() -> None:
    deep, wide = "<div>" * 3000 + "x", "<p " + " ".join(f"a{i}='b c'" for i in range(3000)) + ">x"
    assert nesting(deep) == 3000 and attributes(wide, 2000) == 3000
    refused = read(deep.encode())
    assert (refused.reason, refused.value, refused.limit) == ("too_deeply_nested", 3000, 2000)
    assert read(wide.encode()).reason == "too_many_attributes"
    assert read(deep.encode(), None, How("fast", max_depth=None)).text == "x"


def test_ordinary_pages_pass_the_guards() -> None:
    rows = "<tr><td><p>one<p>two<li>three<br>" * 5000
    data = f'<img src="data:image/png;base64,{"a b=c " * 5000}">'
    siblings = "<div><span>x</span></div>" * 5000
    assert nesting(rows) <= 1 and nesting(siblings) == 2 and nesting("</div>" * 9000 + "<div>") == 1
    assert attributes(data, 2000) == 0


def test_the_day_of_publication_is_the_first_that_is_stated_well() -> None:
    assert about('<meta property="article:published_time" content="2024-02-29T23:10:00+08:00">').date == "2024-02-29"
    assert about('<script>{"datePublished": "2023-05-06T01:02:03Z"}</script>').date == "2023-05-06"
    assert about("<time itemprop=datePublished datetime=2020-01-02>2 January</time>").date == "2020-01-02"
    assert (
        about('<meta name="date" content="2024-02-30"><meta name="DC.date" content="2024-02-28">').date == "2024-02-28"
    )
    assert about('<meta name="date" content="yesterday"><time datetime="2020-01-02">').date is None


def test_the_title_and_the_language() -> None:
    said = about(
        '<title>a site</title><meta property="og:title" content="A &amp; B"><meta property="og:locale" content="pt_BR">'
    )
    assert (said.title, said.lang) == ("A & B", "pt-br")
    assert about('<meta http-equiv="Content-Language" content="zh-CN, en">').lang == "zh-cn"
    assert about("<html lang='the best'>").lang is None
    assert about("<title> </title>").title is None


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://creativecommons.org/licenses/by-sa/4.0/", "cc-by-sa-4.0"),
        ("//creativecommons.org/licenses/by/3.0/de/deed.en", "cc-by-3.0-de"),
        ("http://www.opensource.org/licenses/mit-license.php", "mit"),
        ("//www.gnu.org/licenses/gpl-3.0.html", "gpl-3.0-only"),
        ("http://CreativeCommons.org/licenses/by-nc-nd/4.0/deed.fr", "cc-by-nc-nd-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("https://example.org/our-licence", "https://example.org/our-licence"),
        ("/terms", None),
        ("javascript:alert(1)", None),
    ],
)
def test_licence_links(link: str, expected: str | None) -> None:
    assert license_id(link) == expected
    assert about(f'<a class="x" rel="nofollow license" href="{link}">terms</a>').license == expected


def test_a_licence_is_taken_only_where_the_page_states_one_and_one_alone() -> None:
    by = '<a href="https://creativecommons.org/licenses/by/4.0/" rel="license">photo</a>'
    other = '<link rel=license href="https://creativecommons.org/licenses/by-nc/4.0/">'
    assert about(by + by).license == "cc-by-4.0"
    assert about(by + other).license is None
    assert about('<a href="https://creativecommons.org/licenses/by/4.0/">about licenses</a>').license is None
