from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path

import pytest

from pipeline.core.manifest import read_manifest
from pipeline.report.rehearse.server import TOKEN, Rehearsal, serve
from pipeline.report.rehearse.steps import as_text, counts_of, rehearse


def ask(rehearsal: Rehearsal, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict, bytes]:
    connection = HTTPConnection("127.0.0.1", rehearsal.port)
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    connection.request(method, path, data, {"Authorization": f"Bearer {TOKEN}", **headers})
    answer = connection.getresponse()
    found = answer.status, dict(answer.headers), answer.read()
    connection.close()
    return found


def commit(rehearsal: Rehearsal, *lines: dict, parent: str | None = None) -> tuple[int, dict, bytes]:
    header = {"key": "header", "value": {"summary": "s", "description": "", "parentCommit": parent}}
    body = b"\n".join(json.dumps(line).encode() for line in (header, *lines))
    path = "/api/datasets/me/x/commit/main"
    return ask(rehearsal, "POST", path, body, **{"Content-Type": "application/x-ndjson"})


def test_what_is_not_right_is_refused_as_the_hub_does(tmp_path: Path) -> None:
    with serve(tmp_path) as hub:
        create = {"name": "x", "organization": "me"}
        assert ask(hub, "POST", "/api/repos/create", create)[0] == 200
        assert ask(hub, "POST", "/api/repos/create", create)[0] == 409
        assert ask(hub, "POST", "/api/repos/create", create, Authorization="Bearer hf_no")[0] == 403
        large = {"key": "lfsFile", "value": {"path": "a.parquet", "oid": "0" * 64, "size": 3}}
        assert commit(hub, large)[0] == 400
        assert commit(hub, {"key": "deletedFile", "value": {"path": "a"}})[0] == 404
        assert commit(hub, parent="0" * 40)[0] == 412
        assert ask(hub, "PUT", f"/contents/{'0' * 64}", b"abc")[0] == 400
        for path, code in (
            ("/datasets/me/y/resolve/main/a", "RepoNotFound"),
            ("/datasets/me/x/resolve/dev/a", "RevisionNotFound"),
            ("/datasets/me/x/resolve/main/a", "EntryNotFound"),
        ):
            status, headers, _ = ask(hub, "GET", path)
            assert (status, headers["X-Error-Code"]) == (404, code)
        assert ask(hub, "GET", "/api/spaces/me/x")[0] == 404
        assert ask(hub, "POST", "/api/validate-yaml", {"content": "no header"})[0] == 400
        assert ask(hub, "POST", "/api/repos/create", b"{not json")[0] == 400


def test_parts_of_a_file_are_sent_on_request(tmp_path: Path) -> None:
    with serve(tmp_path) as hub:
        ask(hub, "POST", "/api/repos/create", {"name": "x", "organization": "me"})
        content = {"path": "a/b.txt", "content": "MDEyMzQ1Njc4OQ==", "encoding": "base64"}
        assert commit(hub, {"key": "file", "value": content})[0] == 200
        place = "/datasets/me/x/resolve/main/a%2Fb.txt"
        assert ask(hub, "GET", place)[2] == b"0123456789"
        status, headers, body = ask(hub, "GET", place, Range="bytes=3-5")
        assert (status, body, headers["Content-Range"]) == (206, b"345", "bytes 3-5/10")
        assert ask(hub, "GET", place, Range="bytes=8-")[2] == b"89"
        assert ask(hub, "GET", place, Range="bytes=10-")[0] == 416
        status, headers, body = ask(hub, "HEAD", place)
        assert (status, headers["Content-Length"], body) == (200, "10", b"")


def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    with serve(tmp_path) as hub:
        ask(hub, "POST", "/api/repos/create", {"name": "x", "organization": "me"})
    with serve(tmp_path) as hub:
        assert ask(hub, "GET", "/api/datasets/me/x")[0] == 200


@pytest.mark.slow
def test_a_release_is_rehearsed_from_publishing_to_a_resumed_stream(
    releases: tuple[Path, Path], tmp_path: Path
) -> None:
    with serve(tmp_path / "hub") as hub:
        done = rehearse(releases[1], hub, tmp_path)
    assert all(step.passed for step in done), as_text(done)
    assert [step.name for step in done] == [
        "publish",
        "publish again",
        "download the tag",
        "load_dataset",
        "load_dataset, streaming",
        "streaming, stopped and resumed",
        "load_dataset of the copy",
        "audit",
    ]
    counts = counts_of(read_manifest(releases[1]))
    assert f"documents/train {counts['documents/train']:,}" in done[3].said
    assert "figures of the card re-verified" in done[-1].said


@pytest.mark.slow
def test_a_rehearsal_that_fails_stops_and_says_where(releases: tuple[Path, Path], tmp_path: Path) -> None:
    from pipeline.report.rehearse.server import Fault

    with serve(tmp_path / "hub") as hub:
        hub.faults.append(Fault("POST .*/commit/", 403, times=100))
        done = rehearse(releases[1], hub, tmp_path)
    assert [step.passed for step in done] == [False] and "the hub refuses" in as_text(done)
