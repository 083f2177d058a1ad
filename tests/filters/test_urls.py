import gzip
import random

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.core.asset import Place, current, sha256_file
from pipeline.core.errors import GristmillError
from pipeline.filters.urls import Urls


@pytest.fixture
def lists(tmp_path):
    def write(name, *lines):
        data = "".join(f"{line}\n" for line in lines).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return name

    with Place(base=tmp_path, cache=tmp_path / "cache").active():
        yield write


def judged(stage, *urls):
    verdict = stage.judge(pa.record_batch({"url": pa.array(urls, pa.string())}))
    return list(zip(verdict.reason.to_pylist(), verdict.detail.to_pylist(), strict=True))


def test_a_domain_blocks_what_is_below_it_and_nothing_above(lists):
    stage = Urls(
        domains=(lists("d.gz", "# a list", "", "bad.example.com", "Worse.ORG", "*.star.net", "0.0.0.0 hosts.net"),)
    )
    blocked = ("blocked_domain", "bad.example.com")
    assert judged(stage, "http://bad.example.com/", "https://a.b.BAD.example.com.:80/x") == [blocked, blocked]
    assert judged(stage, "http://example.com/", "http://notbad.example.com/", None, "") == [(None, None)] * 4
    assert [detail for _, detail in judged(stage, "http://worse.org", "http://w.star.net", "http://www.hosts.net")] == [
        "worse.org",
        "star.net",
        "hosts.net",
    ]


def test_a_public_suffix_on_a_list_blocks_no_one_else(lists):
    stage = Urls(domains=(lists("d", "co.uk", "com"),))
    assert judged(stage, "http://example.co.uk/", "http://co.uk/") == [(None, None), ("blocked_domain", "co.uk")]


def test_international_names_meet_in_any_spelling(lists):
    stage = Urls(domains=(lists("d", "bücher.example", "xn--fiq228c.cn"),))
    found = judged(stage, "http://www.xn--bcher-kva.example/", "http://BÜCHER.example/", "http://中文.cn/")
    assert [reason for reason, _ in found] == ["blocked_domain"] * 3


def test_a_page_is_the_same_by_any_scheme(lists):
    stage = Urls(urls=(lists("u", "http://Example.org/Bad/", "example.org/q?a=1"),))
    same = ["https://example.org/Bad", "http://u@example.org:8080/Bad/#x", "http://example.org/q?a=1"]
    assert [reason for reason, _ in judged(stage, *same)] == ["blocked_url"] * 3
    assert (
        judged(stage, "http://example.org/bad", "http://example.org/Bad/2", "http://example.org/q")
        == [(None, None)] * 3
    )


def test_one_strict_entry_one_hard_word_or_two_soft_words(lists):
    stage = Urls(
        strict=(lists("strict", "sub-word"),),
        hard=(lists("hard", "hardword"),),
        soft=(lists("soft", "casino", "poker"),),
    )
    assert judged(
        stage,
        "http://foobann.edsub-wo.rd/x",
        "http://example.com/HardWord.html",
        "http://example.com/hardwords",
        "http://example.com/casino/casino",
        "http://poker.example.com/my%20casino",
    ) == [
        ("blocked_word_in_url", "subword"),
        ("blocked_word_in_url", "hardword"),
        (None, None),
        (None, None),
        ("blocked_word_in_url", "casino poker"),
    ]


@pytest.mark.slow
def test_ten_thousand_domains_are_found_as_a_set_finds_them(lists):
    chance = random.Random(1)
    names = [f"{chance.randrange(10**6)}.com" for _ in range(20_000)]
    listed, stage = set(names[:10_000]), Urls(domains=(lists("d.gz", *names[:10_000]), lists("empty")))
    found = judged(stage, *(f"http://www.{name}/" for name in names))
    assert [detail for _, detail in found] == [name if name in listed else None for name in names]


def test_a_list_is_hashed_once_for_its_content(lists):
    stage = Urls(domains=(lists("d", "bad.com", "bad.com", "worse.com"),))
    assert judged(stage, "http://bad.com/") == [("blocked_domain", "bad.com")]
    [made] = (current().cache / "lists").glob("*.npy")
    assert len(np.load(made)) == 2
    again = Urls(domains=(lists("renamed", "bad.com", "bad.com", "worse.com"),))
    assert again.assets()[0].sha256 == stage.assets()[0].sha256
    assert judged(again, "http://bad.com/") == [("blocked_domain", "bad.com")]
    assert [made] == list((current().cache / "lists").glob("*.npy"))


def test_a_list_that_is_missing_or_another_is_told(lists):
    path = lists("d", "bad.com")
    digest = sha256_file(current().resolve(path))
    assert Urls(domains=(path,), sha256={path: digest}).assets()[0].sha256 == digest
    with pytest.raises(GristmillError, match=r"the recipe wants 0000.*get the file again"):
        Urls(domains=(path,), sha256={path: "0" * 64}).assets()
    with pytest.raises(GristmillError, match=r"no such list.*'nowhere'"):
        Urls(domains=("nowhere",)).assets()
    with pytest.raises(GristmillError, match="outside of"):
        Urls(domains=("../d",)).assets()


def test_a_damaged_list_is_told_with_its_line(lists, tmp_path):
    (tmp_path / "latin").write_bytes("fine.com\nbücher.de\n".encode("latin-1"))
    with pytest.raises(GristmillError, match="latin: line 2 is not UTF-8"):
        judged(Urls(domains=("latin",)), "http://a.com")
    whole = gzip.compress(b"".join(b"%d.com\n" % i for i in range(9999)))
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GristmillError, match="gzip data is damaged"):
        judged(Urls(domains=("cut.gz",)), "http://a.com")


def test_what_blocks_nothing_is_refused():
    with pytest.raises(ValidationError, match="give at least one of block, domains"):
        Urls()
    with pytest.raises(ValidationError, match="'other' is none of the files"):
        Urls(domains=("d",), sha256={"other": "0" * 64})
