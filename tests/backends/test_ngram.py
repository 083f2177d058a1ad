from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.backends import ngram
from pipeline.core.errors import GristmillError
from tests import samples

CORPUS = [samples.ENGLISH, samples.GERMAN, "the mill the mill the mill", "a a a b", ""]


def spelled(text: str, unit: str) -> list[object]:
    """Words of a text with nothing but letters, spaces and commas in it; or its bytes."""
    return list(text.encode()) if unit == "byte" else list(text.replace(",", " ,").split())


class Reference:
    """Interpolated modified Kneser-Ney, written down from Chen and Goodman (1998) with dictionaries."""

    def __init__(self, texts: list[list[object]], order: int, vocabulary: int) -> None:
        self.order, self.vocabulary = order, vocabulary
        padded = [["<s>", *text, "</s>"] for text in texts]
        raw = [Counter(tuple(t[i : i + n]) for t in padded for i in range(len(t) - n + 1)) for n in range(1, order + 1)]
        self.counts: list[Counter[tuple[object, ...]]] = []
        for n, counted in enumerate(raw, 1):
            before = Counter(gram[1:] for gram in raw[n]) if n < order else counted
            self.counts.append(Counter({g: c if g[0] == "<s>" else before[g] for g, c in counted.items()}))
        del self.counts[0]["<s>",]

    def discount(self, n: int, count: int) -> float:
        n1, n2, n3, n4 = (sum(c == k for c in self.counts[n - 1].values()) for k in (1, 2, 3, 4))
        if not n1 * n2 * n3:
            return (0.5, 1, 1.5)[min(count, 3) - 1]
        y = n1 / (n1 + 2 * n2)
        all_three = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
        if any(not 0 < d <= k for k, d in enumerate(all_three, 1)):
            all_three = [0.5, 1, 1.5]
        return all_three[min(count, 3) - 1]

    def probability(self, gram: tuple[object, ...]) -> float:
        if not gram:
            return 1 / self.vocabulary
        going_on = {g: c for g, c in self.counts[len(gram) - 1].items() if g[:-1] == gram[:-1]}
        total = sum(going_on.values())
        if not total:
            return self.probability(gram[1:])
        off = {g: self.discount(len(gram), c) for g, c in going_on.items()}
        share = (going_on[gram] - off[gram]) / total if gram in going_on else 0
        return share + sum(off.values()) / total * self.probability(gram[1:])

    def perplexity(self, text: list[object]) -> float:
        padded = ["<s>", *text, "</s>"]
        grams = [tuple(padded[max(0, i - self.order + 1) : i + 1]) for i in range(1, len(padded))]
        return math.prod(self.probability(gram) for gram in grams) ** (-1 / len(grams))


@pytest.mark.slow
def test_a_model_of_two_words_by_hand() -> None:
    model = ngram.train(["a b"], order=2)
    # All counts are one, so half is discounted. Alone: 0.5 / 3, and 1.5 / 3 shared by a, b, end and unknown. After the
    # word before: 0.5, and half of that.
    after = 0.5 + 0.5 * (0.5 / 3 + 1.5 / 3 / 4)
    assert ngram.perplexities(model, ["a b"])[0] == pytest.approx(1 / after, rel=1e-6)


@pytest.mark.parametrize("unit", ["word", "byte"])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_perplexities_are_those_of_the_definition(unit: ngram.Unit, order: int) -> None:
    corpus = ["the old mill, the river", "the old mill stands", "a river", "the old river, the mill", "old old old"] * 2
    known = {symbol for text in corpus for symbol in spelled(text, unit)}
    n_symbols = 2 + (256 if unit == "byte" else len(known))
    reference = Reference([spelled(text, unit) for text in corpus], order, n_symbols)
    model = ngram.train(corpus, order, unit)  # type: ignore[arg-type]
    asked = [*corpus, "the river stands, the river", "unknown mill", "river"]
    found = ngram.perplexities(model, asked)
    expected = [reference.perplexity(spelled(text, unit)) for text in asked]
    assert found == pytest.approx(expected, rel=1e-5)


def test_stupid_backoff_by_hand() -> None:
    model = ngram.train(["a b", "a c"], order=2, method="stupid_backoff")
    # Six symbols after the begins: a twice, two ends. p(a|begin) = 1, p(c|a) = 1/2, p(end|c) = 1.
    assert ngram.perplexities(model, ["a c"])[0] == pytest.approx(0.5 ** (-1 / 3), rel=1e-6)
    # c does not follow the begin: 0.4 * 1/6; the end follows c.
    assert ngram.perplexities(model, ["c"])[0] == pytest.approx((0.4 / 6) ** (-1 / 2), rel=1e-6)


def test_chinese_is_a_model_of_characters() -> None:
    model = ngram.train([samples.CHINESE] * 3, order=3)
    usual, mixed = ngram.perplexities(model, ["农民们一直把粮食送到这里", "里这到送食粮把直一们民农"])
    assert usual < mixed / 5


def test_bits_per_byte_are_those_of_the_symbols() -> None:
    model = ngram.train(CORPUS, order=4, unit="byte")
    untrained = ngram.train([], order=4, unit="byte")
    assert ngram.bits_per_byte(untrained, CORPUS) == pytest.approx(math.log2(258), rel=1e-6)
    assert ngram.bits_per_byte(model, CORPUS) < 2 < ngram.bits_per_byte(model, [samples.ARABIC])
    with pytest.raises(GristmillError, match="unit byte"):
        ngram.bits_per_byte(ngram.train(CORPUS), CORPUS)


def test_token_ids_are_bytes_by_another_name() -> None:
    spelled = [list(text.encode()) for text in CORPUS]
    ids = np.array([byte for text in spelled for byte in text], np.uint16)
    starts = np.cumsum([0, *map(len, spelled)])
    model = ngram.train_ids(ids, starts, 256, order=4)
    total = ngram.bits_of_ids(model, ids, starts).sum() / len(ids)
    assert total == ngram.bits_per_byte(ngram.train(CORPUS, 4, "byte"), CORPUS)


def test_folded_text_has_neither_case_nor_digits() -> None:
    model = ngram.train(["In 1984 THE mill stood"] * 2, fold=True)
    one, other = ngram.perplexities(model, ["in 2026 the Mill stood", "IN 1111 THE MILL STOOD"])
    assert one == other
    plain = ngram.train(["In 1984 THE mill stood"] * 2)
    assert ngram.perplexities(plain, ["in 2026 the Mill stood"])[0] > one


def test_a_text_without_symbols_has_no_perplexity() -> None:
    assert np.isnan(ngram.perplexities(ngram.train(CORPUS), ["", " \n"])).all()


@pytest.mark.parametrize("unit", ["word", "byte"])
def test_a_model_is_one_file_with_the_same_bytes_whatever_the_order(unit: ngram.Unit, tmp_path: Path) -> None:
    one, other = tmp_path / "one.arrow", tmp_path / "other.arrow"
    model = ngram.train(CORPUS, 3, unit, prune=1)  # type: ignore[arg-type]
    model.save(one)
    ngram.train(CORPUS[::-1], 3, unit, prune=1).save(other)  # type: ignore[arg-type]
    assert one.read_bytes() == other.read_bytes()
    again = ngram.load(one)
    assert ngram.perplexities(again, CORPUS[:4]).tolist() == ngram.perplexities(model, CORPUS[:4]).tolist()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.arrow"
    ngram.train(CORPUS, 2).save(path)
    whole = path.read_bytes()
    for content in (b"", b"no model", whole[: len(whole) // 2]):
        other = tmp_path / f"{len(content)}.arrow"
        other.write_bytes(content)
        with pytest.raises(GristmillError, match="not an n-gram model"):
            ngram.load(other)
