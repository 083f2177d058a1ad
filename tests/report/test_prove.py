from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import GristmillError, StoreError
from pipeline.core.manifest import read_manifest
from pipeline.core.merkle import root_of
from pipeline.report.prove import prove, read_proof, verify
from tests.report.conftest import DOCS


@pytest.fixture
def rooted(corpus: Path) -> Path:
    """The corpus with the root that a build writes."""
    manifest = read_manifest(corpus)
    root = root_of(corpus / file.path for file in manifest.documents)
    (corpus / "manifest.json").write_text(manifest.model_copy(update={"root": root}).to_json())
    return corpus


@pytest.mark.parametrize(
    ("value", "kind"), [("kept-1", "id"), ("https://example.org/kept-2", "url"), ("Ein Satz über Mehl.", "text")]
)
def test_what_is_there_is_proved_by_id_url_or_text(rooted: Path, tmp_path: Path, value: str, kind: str) -> None:
    proof = prove(rooted, value)
    assert [(claim.kind, claim.present) for claim in proof.claims] == [(kind, True)]
    (tmp_path / "proof.json").write_text(proof.to_json())
    assert all(doc.text not in proof.to_json() for doc in DOCS)
    said = verify(read_proof(tmp_path / "proof.json"), root=read_manifest(rooted).root, of=value)
    assert f"there is a document with the {kind}" in said
    with pytest.raises(GristmillError, match="about something else"):
        verify(proof, of="another")


def test_what_was_dropped_is_proved_absent_in_every_spelling(rooted: Path) -> None:
    proof = prove(rooted, "http://example.org/drop-1/")
    assert not any(claim.present for claim in proof.claims)
    said = verify(proof, root=read_manifest(rooted).root, of="https://example.org/drop-1")
    assert said.count("no document with the url") == 4 and "with the id" not in said
    assert "Compare the root" in verify(proof)


def test_another_spelling_of_a_url_is_found(rooted: Path) -> None:
    assert prove(rooted, "http://example.org/kept-1/").claims[0].present
    assert not prove(rooted, "kept-1", by="text").claims[0].present


def test_a_corpus_that_is_not_what_its_manifest_says_proves_nothing(corpus: Path) -> None:
    with pytest.raises(StoreError, match="the manifest says none"):
        prove(corpus, "kept-1")


@pytest.mark.parametrize("content", ["", "{}", '{"root": "x"}', "x" * (2 << 20)])
def test_what_is_no_proof_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(GristmillError, match=r"p\.json: (not a proof|more than)"):
        read_proof(tmp_path / "p.json")
