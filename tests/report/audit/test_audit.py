from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError, StoreError
from pipeline.core.manifest import Record
from pipeline.core.shards import read_table
from pipeline.report import audit as audits
from pipeline.report.audit import CHECKS, EARLIER, attest, audit, count_figures, fetch
from pipeline.report.audit.books import removed
from pipeline.report.audit.evidence import Evidence
from pipeline.report.audit.origin import rebuild
from pipeline.report.audit.outcome import Outcome
from pipeline.report.card import answers_beside, render_again, render_card
from pipeline.report.datasheet import datasheet
from pipeline.report.findings import FILE, read_audit
from pipeline.report.release import export
from pipeline.run.remove import remove
from tests.report.audit.conftest import Saboteur


def outcomes(found: Record) -> dict[str, str]:
    return {finding.check: finding.status for finding in found.findings}  # type: ignore[attr-defined]


def test_an_honest_corpus_passes_and_every_figure_is_accounted_for(saboteur: Saboteur) -> None:
    asked = saboteur.evidence(rebuild=True)
    found = audit(asked)
    assert not found.failed, audits.as_text(found)
    unknown = {name for name, status in outcomes(found).items() if status == "CANNOT VERIFY"}
    assert unknown == {"attested"}, audits.as_text(found)
    sheet = datasheet(saboteur.manifest, answers_beside(saboteur.folder))
    total = sum(field.value.n_figures for field in sheet.fields())
    figures = found.figures
    assert figures.verified + figures.wrong + figures.unverifiable == total > 150
    assert figures.wrong == 0 and figures.verified > 0.6 * total


def test_every_check_that_a_field_names_exists_and_says_what_it_claims(saboteur: Saboteur) -> None:
    sheet = datasheet(saboteur.manifest)
    assert {check for field in sheet.fields() for check in field.checks} <= {*CHECKS, EARLIER}
    assert all(check.__doc__ and check.__doc__.split("\n")[0].endswith(".") for check in CHECKS.values())


@pytest.mark.slow
def test_the_files_alone_are_enough(saboteur: Saboteur, tmp_path: Path) -> None:
    shutil.copytree(saboteur.folder, tmp_path / "elsewhere")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "audit", str(tmp_path / "elsewhere"), "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert "bench.jsonl" in said["contamination"]["said"] and said["contamination"]["status"] == "CANNOT VERIFY"
    assert said["ledger"]["status"] == "CANNOT VERIFY" and "builder's store" in said["ledger"]["said"]
    assert said["tokenizer"]["status"] == said["rules"]["status"] == said["language"]["status"] == "PASS"


def rebuilt(saboteur: Saboteur, folder: Path | None = None, **more: Any) -> Outcome:
    evidence = saboteur.evidence(rebuild=True)
    again = replace(evidence.again, **more) if more else evidence.again
    return rebuild(replace(evidence, again=again, folder=folder or saboteur.folder))


@pytest.mark.slow
def test_a_shard_is_made_again_from_the_inputs(saboteur: Saboteur, tmp_path: Path) -> None:
    held = rebuilt(saboteur)
    assert held.status == "PASS" and "equal byte for byte; decisions: the store's" in held.said
    again = rebuilt(saboteur, root=tmp_path / "nowhere")
    assert again.status == "PASS" and "byte for byte; decisions: made again" in again.said
    elsewhere = rebuilt(saboteur, place=Place(base=tmp_path, offline=True))
    assert elsewhere.status == "CANNOT VERIFY" and "data/good" in elsewhere.said


def test_a_shard_of_a_release_is_made_again_without_what_was_removed(saboteur: Saboteur, tmp_path: Path) -> None:
    for file in saboteur.manifest.documents:
        remove(saboteur.folder, [str(read_table(saboteur.folder / file.path)["id"][0])], "asked", "2026-11-24")
    export(saboteur.folder, tmp_path / "release")
    held = rebuilt(saboteur, tmp_path / "release")
    assert held.status == "PASS" and "equal in every column" in held.said
    assert removed(replace(saboteur.evidence(), folder=tmp_path / "release")).status == "PASS"


@pytest.mark.slow
def test_a_card_shows_its_audit_and_a_second_auditor_finds_it_again(saboteur: Saboteur) -> None:
    runner = CliRunner()
    asked = ["audit", str(saboteur.folder), "--base", str(saboteur.project)]
    first = runner.invoke(app, [*asked, "--write"])
    assert first.exit_code == 0, first.output
    card = (saboteur.folder / "README.md").read_text(encoding="utf-8")
    assert "| `composition` | PASS | every document |" in card and "Labelled" in card
    second = runner.invoke(app, [*asked, "--seed", "mine", "--out", str(saboteur.folder.parent / "second.json")])
    assert second.exit_code == 0, second.output
    assert "findings found again" in second.output and "Figures of the card:" in second.output
    again = json.loads((saboteur.folder.parent / "second.json").read_text(encoding="utf-8"))
    sheet = datasheet(saboteur.manifest, audit=read_audit(saboteur.folder))
    assert sum(again["figures"].values()) == sum(field.value.n_figures for field in sheet.fields())
    stated = read_audit(saboteur.folder)
    assert stated and again["figures"] == stated.figures.model_dump(), "as many as the card says"


@pytest.mark.slow
def test_a_polished_audit_is_caught(saboteur: Saboteur) -> None:
    found = audit(saboteur.evidence(), beside=True)
    domains = next(finding for finding in found.findings if finding.check == "domains")
    assert domains.grid
    rows = ((domains.grid.rows[0][0], 1, 0.0, 1, 0.0), *domains.grid.rows[1:])
    polished = domains.model_copy(update={"grid": domains.grid.model_copy(update={"rows": rows})})
    findings = tuple(polished if finding.check == "domains" else finding for finding in found.findings)
    (saboteur.folder / FILE).write_text(found.model_copy(update={"findings": findings}).to_json(), encoding="utf-8")
    render_again(saboteur.folder)
    assert {f.check: f.said for f in audit(saboteur.evidence()).failed} == {"audit": "domains has another table now"}


@pytest.mark.slow
def test_an_audit_of_another_state_is_not_shown(saboteur: Saboteur) -> None:
    found = audit(saboteur.evidence()).model_copy(update={"corpus": "0" * 64})
    card = render_card(saboteur.manifest, audit=found)
    assert "Nobody has audited this state" in card and "| `composition` | PASS" not in card


@pytest.mark.slow
def test_figures_are_wrong_where_a_check_of_theirs_fails(saboteur: Saboteur) -> None:
    found = audit(saboteur.evidence())
    failed = found.model_copy(
        update={
            "findings": tuple(
                f.model_copy(update={"status": "FAIL"}) if f.check == "composition" else f for f in found.findings
            )
        }
    )
    sheet = datasheet(saboteur.manifest)
    languages = sheet.field("by_language")
    assert languages and count_figures(sheet, failed).wrong >= languages.value.n_figures > 0


@pytest.mark.slow
def test_a_signature_holds_until_a_letter_changes(saboteur: Saboteur, tmp_path: Path) -> None:
    keys = {}
    for name in ("mine", "other"):
        key = Ed25519PrivateKey.generate()
        keys[name] = (tmp_path / f"{name}.pem", tmp_path / f"{name}.pub")
        keys[name][0].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        keys[name][1].write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    asked = ["audit", str(saboteur.folder), "--base", str(saboteur.project)]
    assert CliRunner().invoke(app, [*asked, "--sign", str(keys["mine"][0])]).exit_code == 0
    assert saboteur.caught_by("attested").status == "CANNOT VERIFY"
    held = saboteur.caught_by("attested", key=keys["mine"][1])
    assert held.status == "PASS" and "PASSED" in held.said
    assert saboteur.caught_by("attested", key=keys["other"][1]).status == "FAIL"
    saboteur.rewrite("documents", lambda rows: rows[1:])
    saboteur.cover()
    assert saboteur.caught_by("attested", key=keys["mine"][1]).said == "manifest.json is not what was signed"
    (saboteur.folder / attest.FILE).unlink()
    assert saboteur.caught_by("attested", key=keys["mine"][1]).status == "FAIL"
    with pytest.raises(GristmillError, match="not a public key in PEM"):
        attest._load(keys["mine"][0], private=False)


def test_the_card_check_names_the_figure_that_differs(saboteur: Saboteur) -> None:
    path = saboteur.folder / "README.md"
    text = path.read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| `de` |"))
    cells = row.split("|")
    path.write_text(text.replace(row, "|".join([*cells[:2], " 4,321 ", *cells[3:]]), 1), encoding="utf-8")
    said = saboteur.caught_by("card").said
    assert said == f"Composition, `de`, Documents: README.md says 4,321, it should be {cells[2].strip()}"


@pytest.mark.slow
def test_an_audit_that_fails_exits_with_one(saboteur: Saboteur) -> None:
    saboteur.claim(root="0" * 64)
    result = CliRunner().invoke(app, ["audit", str(saboteur.folder), "--base", str(saboteur.project)])
    assert result.exit_code == 3 and "FAIL" in result.output


@pytest.mark.parametrize("name", ["/nowhere", "hf://", "hf://../x", "hf://a/b/c/d"])
def test_what_is_no_corpus_is_said(name: str) -> None:
    with pytest.raises(StoreError, match=r"no such folder|not hf://"):
        fetch.folder(name)


@pytest.mark.slow
def test_hostile_files_fail_a_check_and_stop_none(saboteur: Saboteur) -> None:
    path = saboteur.folder / saboteur.manifest.documents[0].path
    path.unlink()
    path.write_bytes(b"ARROW1\0\0" + b"\xff" * 2000 + b"ARROW1")
    found = audit(saboteur.evidence())
    assert {"files", "rows", "composition"} <= {finding.check for finding in found.failed}
    assert len(found.findings) == len(CHECKS) + 1


def test_a_sample_is_drawn_by_the_seed_and_keeps_its_size(saboteur: Saboteur) -> None:
    small = Evidence(saboteur.folder, seed="a", n_sampled=40)
    other = Evidence(saboteur.folder, seed="b", n_sampled=40)
    assert 20 <= small.sample.num_rows <= 60
    ids = [set(one.sample["id"].to_pylist()) for one in (small, other, Evidence(saboteur.folder, "a", 40))]
    assert ids[0] == ids[2] != ids[1]
