from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup.exact import Exact, canonical_url, normalized
from tests.dedup.building import Drop, cut, document, dropped


def test_the_first_source_is_kept_then_the_smallest_id(tmp_path: Path) -> None:
    rows = [
        document("b", "same", source="second"),
        document("a", "same", source="second"),
        document("z", "same", source="first"),
        document("y", "same", source="unheard of"),
        document("c", "other"),
    ]
    twin = Drop("exact_duplicate", "z", 4.0, 1.0)
    assert dropped(Exact(), [rows[:1], rows[1:]], tmp_path) == {"a": twin, "b": twin, "y": twin}


def test_of_equal_ids_the_same_is_kept_wherever_the_shards_are_cut(tmp_path: Path) -> None:
    rows = [document("a", "same", file="f", offset=offset) for offset in (30, 10, 20)]
    whole, backwards, apart = (
        dropped(Exact(), shards, tmp_path, name="offset") for shards in ([rows], [rows[::-1]], [[row] for row in rows])
    )
    assert len(whole) == 2 and whole == backwards == apart


@pytest.mark.slow
def test_documents_without_text_are_never_duplicates(tmp_path: Path) -> None:
    rows = [document(str(i), text) for i, text in enumerate(["", "", None, None, " \n", " \n", "...", "..."])]
    assert set(dropped(Exact(), [rows], tmp_path)) == {"7"}
    assert dropped(Exact(by="normalized"), [rows], tmp_path) == {}
    assert dropped(Exact(by="url"), [rows], tmp_path) == {}


def test_typography_is_no_difference_to_normalized_text(tmp_path: Path) -> None:
    rows = [document("a", "The Mill's “end”."), document("b", "THE  MILL’S 'end'!\n"), document("c", "The mill ends")]
    assert dropped(Exact(), [rows], tmp_path) == {}
    assert set(dropped(Exact(by="normalized"), [rows], tmp_path)) == {"b"}
    assert normalized("Ｆｕｌｌ　Straße") == normalized("full STRASSE")
    assert normalized("磨坊，在 山谷。") == normalized("磨坊在\n山谷"), "a line break in Chinese is no difference"
    assert normalized("कि") != normalized("की"), "vowel signs are no punctuation"


def test_one_page_under_two_addresses(tmp_path: Path) -> None:
    rows = [
        document("a", "x", url="https://Example.org:443/mill/?b=2&utm_source=mail&a=1#top"),
        document("b", "y", url="https://example.org/mill?a=1&b=2"),
        document("c", "z", url="https://example.org/mill?a=1&b=3"),
    ]
    assert dropped(Exact(by="url"), [rows[:1], rows[1:]], tmp_path) == {"b": Drop("exact_duplicate", "a", 2.0, 1.0)}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://WWW.Example.org:80", "http://www.example.org"),
        ("http://example.org:8080/A/", "http://example.org:8080/A"),
        ("https://[2001:DB8::1]/x", "https://[2001:db8::1]/x"),
        ("https://example.org/?utm_medium=a&UTM_campaign&fbclid=1", "https://example.org"),
        ("https://example.org/?utmost=1", "https://example.org?utmost=1"),
        (" mailto:a@example.org ", "mailto:a@example.org"),
        ("https://example.org:port/", "https://example.org:port/"),
        ("https://[broken/", "https://[broken/"),
        ("https://xn--mhle-0ra.example/", "https://mühle.example"),
        ("https://MÜHLE.example.", "https://mühle.example"),
        ("https://xn--fa-hia.example", "https://faß.example"),
        ("https://xn--/a", "https://xn--/a"),
        ("http://例え。jp:080/", "http://例え.jp"),
        ("https://example.org:/a", "https://example.org/a"),
        ("https://example.org:99999/a", "https://example.org:99999/a"),
        ("https://example.org/%7emill/%e6%b0%b4", "https://example.org/~mill/%E6%B0%B4"),
        ("https://example.org/~mill/水 車", "https://example.org/~mill/%E6%B0%B4%20%E8%BB%8A"),
        ("https://example.org/%2525%zz", "https://example.org/%2525%zz"),
        ("https://example.org/a/./b/../../c/..", "https://example.org"),
        ("https://example.org/a//b/", "https://example.org/a//b"),
        ("https://example.org/a;jsessionid=12F?b=2&b=1&a&PHPSESSID=9&_gl=1*x", "https://example.org/a?a&b=2&b=1"),
        ("https://example.org/?gclidx=1&igsh=2&mc_cid=3", "https://example.org?gclidx=1"),
        ("https://example.org/#!/page", "https://example.org#!/page"),
        ("https://user:word@example.org/?q=a%2fb", "https://example.org?q=a%2Fb"),
    ],
)
def test_canonical_url(url: str, expected: str) -> None:
    assert canonical_url(url) == expected
    assert canonical_url(expected) == expected


texts = st.sampled_from(["a", "b", "A", "", None])
corpora = st.lists(st.tuples(texts, st.sampled_from(["first", "second"])), min_size=1, max_size=12)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    corpus=corpora, shuffle=st.randoms(), ends=st.lists(st.integers(0, 99), max_size=3), partitions=st.integers(1, 5)
)
def test_the_decision_depends_on_the_documents_alone(
    tmp_path_factory: pytest.TempPathFactory, corpus: list[tuple[str | None, str]], shuffle, ends, partitions: int
) -> None:
    folder = tmp_path_factory.mktemp("exact")
    rows = [document(f"{i:02d}", text, source=source) for i, (text, source) in enumerate(corpus)]
    found = dropped(Exact(), [rows], folder)
    expected = {}
    for text in {text for text, _ in corpus if text}:
        kept, *others = sorted((row["source"], row["id"]) for row in rows if row["text"] == text)
        expected |= {id: Drop("exact_duplicate", str(kept[1]), 1.0 + len(others), 1.0) for _, id in others}
    assert found == expected
    shuffle.shuffle(rows)
    assert dropped(Exact(), cut(rows, ends), folder, partitions=partitions, batch_rows=2) == found
