from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import merkle
from pipeline.core.errors import GristmillError
from pipeline.core.merkle import leaves_of, root_of
from pipeline.core.proof import KINDS, Claim, Kind, Proof, check
from pipeline.core.schema import DOCUMENT
from pipeline.core.shards import write_table

Row = tuple[str, str | None, str]
ROWS: list[Row] = [("a", "https://a.org", "first"), ("b", None, "second"), ("c", "https://a.org", "first")]


def sha256(data: bytes | str) -> bytes:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).digest()


def write(path: Path, rows: list[Row]) -> Path:
    names = ("id", "url", "text")
    table = pa.table({name: pa.array([row[at] for row in rows], DOCUMENT[name]) for at, name in enumerate(names)})
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        write_table(path, table)
    return path


def plain_root(rows: list[Row]) -> str:
    """The definition, as RFC 6962 writes it."""
    entries: list[bytes] = []
    for name, url, text in rows:
        document = sha256(b"\2" + sha256(name) + (sha256(url) if url is not None else bytes(32)) + sha256(text))
        entries += [b"\1" + sha256(name) + document, b"\3" + sha256(text) + document]
        entries += [b"\2" + sha256(url) + document] if url is not None else []
    return sha256(b"\3" + len(entries).to_bytes(8, "big") + plain_tree(sorted(entries))).hex()


def plain_tree(entries: list[bytes]) -> bytes:
    if not entries:
        return sha256(b"")
    if len(entries) == 1:
        return sha256(b"\0" + entries[0])
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return sha256(b"\1" + plain_tree(entries[:k]) + plain_tree(entries[k:]))


documents = st.tuples(st.text(max_size=3), st.none() | st.text(max_size=3), st.text(max_size=3))


@pytest.mark.slow
@given(rows=st.lists(documents, max_size=30), cut=st.integers(0, 30), chunk=st.sampled_from([1, 2, 4, 1 << 16]))
def test_the_root_is_that_of_the_definition_in_any_shards(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], cut: int, chunk: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merkle, "_CHUNK", chunk)
        patch.setattr(merkle, "_CHUNKS_A_JOB", 3)
        expected = plain_root(rows)
        assert root_of([write(folder / "all.arrow", rows)], scratch=folder) == expected
        parts = [write(folder / "0.arrow", rows[cut:]), write(folder / "1.parquet", rows[:cut])]
        assert root_of(parts, scratch=folder) == expected
        assert sorted(path.name for path in folder.iterdir()) == ["0.arrow", "1.parquet", "all.arrow"]


@pytest.mark.slow
@given(
    rows=st.lists(documents, max_size=30),
    asked=st.sampled_from(KINDS),
    value=st.text(max_size=3),
    chunk=st.sampled_from([1, 4, 1 << 16]),
)
def test_whatever_is_asked_is_proved_either_way(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], asked: Kind, value: str, chunk: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merkle, "_CHUNK", chunk)
        with leaves_of([write(folder / "all.arrow", rows)]) as leaves:
            at = ("id", "url", "text").index(asked)
            wanted = [(asked, sha256(value)), *((asked, sha256(row[at])) for row in rows[:1] if row[at] is not None)]
            proved = leaves.prove(wanted)
    assert [claim.present for claim in proved.claims] == [
        any(row[at] is not None and sha256(row[at] or "") == digest for row in rows) for _, digest in wanted
    ]
    check(Proof.model_validate_json(proved.to_json()), plain_root(rows))


def test_a_swapped_text_a_moved_url_or_a_second_copy_change_the_root(tmp_path: Path) -> None:
    swapped = [("a", "https://a.org", "second"), ("b", None, "first"), ROWS[2]]
    moved = [("a", None, "first"), ("b", "https://a.org", "second"), ROWS[2]]
    roots = {
        root_of([write(tmp_path / "0.arrow", rows)]) for rows in (ROWS, swapped, moved, [*ROWS, ROWS[0]], ROWS[:2])
    }
    assert len(roots) == 5
    assert root_of([write(tmp_path / "0.arrow", ROWS[::-1])]) in roots


def prove(tmp_path: Path, kind: Kind, value: str) -> Proof:
    with leaves_of([write(tmp_path / "all.arrow", ROWS)]) as leaves:
        return leaves.prove([(kind, sha256(value))])


@pytest.mark.parametrize(
    ("kind", "value", "lie"),
    [
        ("id", "a", {"present": False}),
        ("id", "a", {"sha256": sha256("z").hex()}),
        ("text", "first", {"kind": "url"}),
        ("text", "nowhere", {"present": True}),
        ("text", "nowhere", {"leaves": ()}),
        ("url", "https://b.org", {"sha256": sha256("https://a.org").hex()}),
    ],
)
def test_a_proof_that_lies_is_refused(tmp_path: Path, kind: Kind, value: str, lie: dict) -> None:
    proof = prove(tmp_path, kind, value)
    check(proof)
    told = proof.claims[0].model_copy(update=lie)
    with pytest.raises(GristmillError):
        check(proof.model_copy(update={"claims": (told,)}))


def test_leaves_that_are_no_neighbours_prove_no_absence(tmp_path: Path) -> None:
    with leaves_of([write(tmp_path / "all.arrow", ROWS)]) as leaves:
        entries = leaves.read(0, leaves.count)
        assert np.array_equal(entries, entries[np.lexsort(entries.T[::-1])])
        honest = leaves.prove([("id", sha256("b"))])
        tops = leaves._tops(map)
        around = tuple(leaves._leaf(at, tops) for at in (honest.claims[0].leaves[0].index - 1, honest.leaves - 1))
    claim = Claim(kind="id", sha256=sha256("b").hex(), present=False, leaves=around)
    with pytest.raises(GristmillError, match="two neighbours"):
        check(honest.model_copy(update={"claims": (claim,)}))


@pytest.mark.parametrize("part", ["index", "path", "document", "leaves"])
def test_a_proof_that_was_edited_does_not_lead_to_the_root(tmp_path: Path, part: str) -> None:
    proof = prove(tmp_path, "text", "second")
    leaf = proof.claims[0].leaves[0]
    edits = {"index": leaf.index - 1, "path": leaf.path[:-1], "document": "00" * 32}
    if part == "leaves":
        proof = proof.model_copy(update={"leaves": proof.leaves + 1})
    else:
        edited = leaf.model_copy(update={part: edits[part]})
        proof = proof.model_copy(update={"claims": (proof.claims[0].model_copy(update={"leaves": (edited,)}),)})
    with pytest.raises(GristmillError, match="does not lead to the root"):
        check(proof)
    with pytest.raises(GristmillError, match="about a corpus with the root"):
        check(proof, "ab" * 32)
