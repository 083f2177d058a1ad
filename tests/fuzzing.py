"""What is given bytes that anyone may have written: a target takes them and raises only errors meant for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from hypothesis import strategies as st

from pipeline.core.document import parse_yaml
from pipeline.core.errors import GristmillError
from pipeline.kernels import textstats, textstats_twin
from pipeline.run.checking import check_recipe
from pipeline.sources.archive import entries
from pipeline.sources.body import decode
from pipeline.sources.expand import Damaged
from tests.hostile.archives import GOOD

RECIPE = b"""recipe: a
version: "1"
limit: 7
sources:
  - files: {name: a, paths: ["data/*.jsonl"], columns: {id: id}, sha256: {}}
stages:
  - normalize
  - gopher: {min_words: 20, by_language: {zh: {min_words: 5}}}
  - threshold: {column: n_words, max: 400}
  - minhash: {bands: 20, rows: 6}
tokenizer: {train_bpe: {vocab: 300}}
pack: {length: 64}
card: {license: cc0-1.0}
expect: {gopher: [0.05, 0.3]}
"""


def recipe(data: bytes) -> None:
    """Load a recipe; all that is wrong with it is said in a RecipeError."""
    try:
        check_recipe(parse_yaml(data), "fuzzed", Path())
    except GristmillError as error:
        assert str(error)


def warc(data: bytes) -> None:
    """Read a web archive: every entry is a record or says what is wrong; bodies are decoded, or damaged."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.warc"
        path.write_bytes(data)
        for entry in entries(path, 1 << 16):
            assert (entry.record is None) == bool(entry.problem)
            for encoding in ("gzip", "deflate", "br", "zstd"):
                try:
                    decode(entry.body or b"", "chunked", encoding, 1 << 16)
                except Damaged as error:
                    assert str(error)


def kernels(data: bytes) -> None:
    """Any text, however broken its bytes were: the compiled statistics are those of the plain twin."""
    texts = [piece.decode("utf-8", "replace") for piece in data.split(b"\0")][:8]
    langs = [("en", "zh", "th", None)[number % 4] for number in range(len(texts))]
    given = pa.array(texts, pa.large_string())
    found, told = textstats.statistics(given, langs), textstats_twin.statistics(given, langs)
    for name in told:
        assert found[name].tolist() == told[name].tolist(), name


TARGETS: dict[str, tuple[Callable[[bytes], None], bytes]] = {
    "recipe": (recipe, RECIPE),
    "warc": (warc, GOOD * 2),
    "kernels": (kernels, "Die Mühle am Bach. \0 磨坊在河边。\0 โรงสี 🌾 a\u0301\u202e".encode()),
}
"""Each target and a good input, which is changed at random."""


@st.composite
def changed(draw: st.DrawFn, seed: bytes) -> bytes:
    """A good input with some of it lost, doubled, or replaced by anything."""
    data = seed
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 40)))
        what = draw(st.sampled_from(("replace", "insert", "lose", "double")))
        piece = draw(st.binary(max_size=20)) if what in ("replace", "insert") else data[start:stop] * 2
        data = data[:start] + (b"" if what == "lose" else piece) + data[start if what == "insert" else stop :]
    return data
