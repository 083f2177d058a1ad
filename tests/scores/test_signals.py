"""The signals of RedPajama-v2 that are stages of their own: sizes, lists, signatures, importance."""

import gzip
from math import log

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError
from pipeline.core.shards import write_table
from pipeline.core.stage import Decision, Sketches
from pipeline.kernels.minhash import signatures
from pipeline.scores.ccnet_size import CcnetSize
from pipeline.scores.importance import BUCKETS, Importance
from pipeline.scores.listed import Listed
from pipeline.scores.minhash_signatures import BANDS, MinhashSignatures


def batch(texts, **columns):
    found = {"text": pa.array(texts, pa.large_string())}
    return pa.RecordBatch.from_pydict(found | {name: pa.array(values, pa.string()) for name, values in columns.items()})


def test_sizes_are_of_characters_and_lines():
    scored = CcnetSize().score(batch(["磨坊\n二", "", None, "a\n"]))
    assert scored["ccnet_length"].to_pylist() == [4, 0, 0, 2]
    assert scored["ccnet_nlines"].to_pylist() == [2, 0, 0, 2]
    assert set(CcnetSize(original=True).columns_written()) == {"ccnet_original_length", "ccnet_original_nlines"}


@pytest.fixture
def lists(tmp_path):
    (tmp_path / "en.txt").write_text("sack\nold mill\n", encoding="utf-8")
    (tmp_path / "zh.txt").write_text("磨坊\n", encoding="utf-8")
    with gzip.open(tmp_path / "games.gz", "wt") as stream:
        stream.write("example.org\n")
    (tmp_path / "news").write_text("news.example.org\nexample.com\n", encoding="utf-8")
    with Place(base=tmp_path, cache=tmp_path / "cache").active():
        yield


def test_words_are_counted_whole_and_where_a_script_has_no_spaces_anywhere(lists):
    stage = Listed(words={"en": "en.txt", "zh": "zh.txt"})
    texts = ["A Sack by the OLD mill, old millers, sacks: sack!", "这座磨坊和磨坊主", "sack"]
    scored = stage.score(batch(texts, lang=["en", "zh", "de"], url=[None] * 3))
    assert scored["rps_doc_ldnoobw_words"].to_pylist() == [3, 2, None]
    assert scored["rps_doc_ut1_blacklist"].null_count == 3


def test_categories_are_those_of_the_domain_and_of_those_it_lies_in(lists):
    stage = Listed(domains={"games": "games.gz", "news": "news"})
    urls = ["https://a.news.example.org/x", "http://example.com", "http://other.net", None]
    scored = stage.score(batch(["x"] * 4, lang=[None] * 4, url=urls))
    assert scored["rps_doc_ut1_blacklist"].to_pylist() == [["games", "news"], ["news"], [], None]
    assert len(stage.assets()) == 2


def test_a_digest_of_no_list_is_a_mistake():
    with pytest.raises(ValueError, match="none of the files"):
        Listed(words={"en": "en.txt"}, sha256={"fr.txt": "0" * 64})


def test_bands_are_pieces_of_one_signature_of_datasketchs_kind():
    from pipeline.kernels.minhash import shingles

    text = " ".join(f"word{n}" for n in range(40))
    scored = MinhashSignatures().score(batch([text, "", text + " more"]))
    expected = signatures(shingles([text], 13), 128, 42)[0]
    for name, (bands, rows) in BANDS.items():
        found = scored[f"minhash_signature_{name}"].to_pylist()
        assert found[1] is None and [len(band) for band in found[0]] == [4 * rows] * bands
        assert np.array_equal(np.frombuffer(b"".join(found[0]), "<u4"), expected[: bands * rows])
    assert scored["minhash_signature_0.9"][0] != scored["minhash_signature_1.0"][0]


def learnt(stage, documents, folder):
    sketch = stage.sketch(documents)
    write_table(folder / "sketch.arrow", pa.Table.from_batches([sketch]))
    out = folder / "out"
    out.mkdir()
    stage.decide(Sketches((folder / "sketch.arrow",), (documents.num_rows,), ("books", "web")), out, None)
    return Decision(out)


def test_what_is_like_the_target_has_more_weight(tmp_path):
    texts = ["the old mill by the river", "the miller and his book", "buy cheap watches now", "cheap now buy"]
    documents = batch(texts, id=list("abcd"), source=["books", "books", "web", "web"], lang=["en"] * 4)
    stage = Importance(target="books", share=1.0, column="weight")
    decision = learnt(stage, documents, tmp_path)
    asked = batch(["a mill and a book", "watches", "", "the"], id=list("efgh"), source=["web"] * 4, lang=["en"] * 4)
    weights = stage.judge(asked, decision).columns["weight"].to_pylist()
    assert weights[0] > 0 > weights[1] and weights[2] is None
    # `the` three times among 9 + 11 - 2 grams of books, never among 4 + 3 + 3 + 2 of the web.
    assert weights[3] == pytest.approx(log(4 / (BUCKETS + 20)) - log(1 / (BUCKETS + 12)))


def test_a_target_without_documents_is_an_error(tmp_path):
    documents = batch(["a text"], id=["a"], source=["web"], lang=[None])
    with pytest.raises(GristmillError, match=r"'books'.*others.*books, web"):
        learnt(Importance(target="books", share=1.0), documents, tmp_path)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_importance_is_a_sum_over_words_alone(texts):
    stage = Importance(target="books")
    n = len(texts)
    documents = batch(texts, id=[str(i) for i in range(n)], source=["books"] * n, lang=[None] * n)
    whole = stage.sketch(documents).to_pylist()
    assert whole == [row for i in range(n) for row in stage.sketch(documents.slice(i, 1)).to_pylist()]
