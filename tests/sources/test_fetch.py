from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError, MissingBackend, SourceError
from pipeline.sources import address, attempts, fetch
from tests.sources.conftest import Served

CONTENT = random.Random(0).randbytes(300_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(attempts.time, "sleep", taken.append)
    return taken


def cut_after(n_bytes: int) -> Callable[[BaseHTTPRequestHandler], bool]:
    def answer(handler: BaseHTTPRequestHandler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.send_header("ETag", '"v1"')
        handler.end_headers()
        handler.wfile.write(CONTENT[:n_bytes])
        return True

    return answer


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], bool]:
    def answer(handler: BaseHTTPRequestHandler) -> bool:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return answer


def test_a_file_is_fetched_once_and_recorded(place: Place, served: Served) -> None:
    served.content["/a.bin"] = CONTENT
    path = fetch.fetch(f"{served.url}/a.bin", SHA)
    assert path.read_bytes() == CONTENT
    assert path == fetch.fetch(f"{served.url}/a.bin", SHA)
    assert len(served.gets()) == 1
    assert fetch.recorded(f"{served.url}/a.bin") == fetch.Download(
        uri=f"{served.url}/a.bin", sha256=SHA, bytes=len(CONTENT), etag='"v1"'
    )


def test_a_cut_connection_is_resumed_where_it_ended(place: Place, served: Served, naps: list[float]) -> None:
    served.content["/a.bin"] = CONTENT
    served.script = [cut_after(100_000)]
    assert fetch.fetch(f"{served.url}/a.bin").read_bytes() == CONTENT
    assert served.gets()[1]["range"] == "bytes=100000-"
    assert served.gets()[1]["if-range"] == '"v1"'
    assert len(naps) == 1


def test_a_file_that_changed_meanwhile_starts_again(place: Place, served: Served, naps: list[float]) -> None:
    served.content["/a.bin"] = new = CONTENT[::-1]
    served.etag["/a.bin"] = '"v2"'
    served.script = [cut_after(100_000)]
    assert fetch.fetch(f"{served.url}/a.bin").read_bytes() == new


def test_a_server_that_resumes_another_version_is_not_believed(place: Place, served: Served, naps: list[float]) -> None:
    def wrong(handler: BaseHTTPRequestHandler) -> bool:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 100000-{len(CONTENT) - 1}/{len(CONTENT)}")
        handler.send_header("Content-Length", "3")
        handler.send_header("ETag", '"v9"')
        handler.end_headers()
        handler.wfile.write(b"bad")
        return True

    served.content["/a.bin"] = CONTENT
    served.script = [cut_after(100_000), wrong]
    assert fetch.fetch(f"{served.url}/a.bin").read_bytes() == CONTENT
    assert "range" not in served.gets()[2]


def test_a_busy_server_is_asked_again(place: Place, served: Served, naps: list[float]) -> None:
    served.content["/a.bin"] = CONTENT
    served.script = [status(503), status(500)]
    assert fetch.fetch(f"{served.url}/a.bin").read_bytes() == CONTENT
    assert len(naps) == 2
    assert 0 <= naps[0] <= 1 and 0 <= naps[1] <= 2


def test_retry_after_is_honoured_in_seconds_and_as_a_date(place: Place, served: Served, naps: list[float]) -> None:
    served.content["/a.bin"] = CONTENT
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    served.script = [status(429, Retry_After="7"), status(503, Retry_After=later)]
    fetch.fetch(f"{served.url}/a.bin")
    assert naps[0] == 7
    assert 60 < naps[1] <= 90


def test_a_retry_after_of_an_hour_is_reported(place: Place, served: Served, naps: list[float]) -> None:
    served.script = [status(429, Retry_After="3600")]
    with pytest.raises(SourceError, match="come back in 3600 s"):
        fetch.fetch(f"{served.url}/a.bin")


def test_a_server_that_stays_down_is_given_up(place: Place, served: Served, naps: list[float]) -> None:
    served.script = [status(503)] * 20
    with pytest.raises(SourceError, match=r"503.*6 times in a row"):
        fetch.fetch(f"{served.url}/a.bin")
    with pytest.raises(SourceError, match=r"ConnectError.*6 times in a row"):
        fetch.fetch("http://127.0.0.1:9/a.bin")


def test_a_wrong_sha256_names_both_and_removes_the_file(place: Place, served: Served) -> None:
    served.content["/a.bin"] = CONTENT
    with pytest.raises(SourceError, match=f"/a.bin: has sha256 {SHA}, expected {'0' * 64}"):
        fetch.fetch(f"{served.url}/a.bin", "0" * 64)
    assert not [path for path in place.cache.rglob("*") if path.is_file() and path.stat().st_size > 1000]


def test_a_new_version_is_noticed(place: Place, served: Served) -> None:
    served.content["/a.bin"] = CONTENT
    uri = f"{served.url}/a.bin"
    old, planned = fetch.fetch(uri), fetch.stat(uri)
    assert planned == (len(CONTENT), '"v1"')
    served.content["/a.bin"], served.etag["/a.bin"] = b"new", '"v2"'
    assert fetch.fetch(uri, tag=planned.tag) == old
    assert fetch.fetch(uri).read_bytes() == b"new"
    with pytest.raises(SourceError, match="changed since it was planned"):
        fetch.fetch(uri, tag=planned.tag)


def test_a_server_without_head_states_its_files_all_the_same(place: Place, served: Served) -> None:
    served.content["/a.bin"], served.heads = CONTENT, False
    assert fetch.stat(f"{served.url}/a.bin") == (len(CONTENT), '"v1"')


def test_redirects_are_followed_to_http_only(place: Place, served: Served) -> None:
    served.content["/a.bin"] = CONTENT
    served.script = [status(302, Location="/a.bin")]
    assert fetch.fetch(f"{served.url}/moved").read_bytes() == CONTENT
    served.script = [status(302, Location="file:///etc/hostname")]
    with pytest.raises(SourceError, match="redirects to file:///etc/hostname: only http and https"):
        fetch.fetch(f"{served.url}/trap")
    served.script = [status(302, Location="/again")] * 10
    with pytest.raises(SourceError, match="redirects more than 5 times"):
        fetch.fetch(f"{served.url}/again")


def test_offline_serves_the_cache_and_refuses_the_rest(place: Place, served: Served) -> None:
    served.content["/a.bin"] = CONTENT
    uri = f"{served.url}/a.bin"
    fetch.fetch(uri)
    stated = fetch.stat(uri)
    requests = len(served.seen)
    with Place(base=place.base, cache=place.cache, offline=True).active():
        assert fetch.fetch(uri).read_bytes() == CONTENT
        assert fetch.stat(uri) == stated
        for refused in (fetch.fetch, fetch.stat):
            with pytest.raises(SourceError, match="not in the cache and this run is offline"):
                refused(f"{served.url}/b.bin")
    assert len(served.seen) == requests


def test_secrets_reach_no_message_and_no_record(place: Place, served: Served) -> None:
    served.content["/a.bin"] = CONTENT
    host = served.url.removeprefix("http://")
    uri = f"http://me:hunter2@{host}/a.bin?id=5&X-Amz-Signature=hunter2&token=hunter2#hunter2"
    fetch.fetch(uri)
    assert served.gets()[0]["authorization"].startswith("Basic ")
    for path in place.cache.rglob("*.json"):
        assert "hunter2" not in path.read_text()
    with pytest.raises(SourceError) as caught:
        fetch.fetch(uri.replace("a.bin", "b.bin"))
    assert "hunter2" not in str(caught.value) and "id=5" in str(caught.value)
    assert "404" in str(caught.value)
    assert caught.value.__cause__ is None


def test_credentials_do_not_follow_a_redirect_to_another_host(place: Place, served: Served) -> None:
    served.content["/a.bin"] = CONTENT
    port = served.url.rpartition(":")[2]
    served.script = [status(302, Location=f"http://localhost:{port}/a.bin")]
    fetch.fetch(f"http://me:hunter2@127.0.0.1:{port}/moved")
    assert ["authorization" in headers for headers in served.gets()] == [True, False]


def _fetch_in(place: Place, uri: str) -> str:
    with place.active():
        return hashlib.sha256(fetch.fetch(uri, SHA).read_bytes()).hexdigest()


@pytest.mark.slow
def test_processes_that_want_the_same_file_fetch_it_once(place: Place, served: Served) -> None:
    served.content["/a.bin"] = CONTENT
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(_fetch_in, [(place, f"{served.url}/a.bin")] * 4)
    assert found == [SHA] * 4
    assert len(served.gets()) == 1


def test_local_files_stay_inside_the_roots(place: Place) -> None:
    (place.base / "a.txt").write_bytes(CONTENT)
    assert fetch.fetch("a.txt", SHA) == place.base / "a.txt"
    with pytest.raises(SourceError, match="expected 000"):
        fetch.fetch("a.txt", "0" * 64)
    with pytest.raises(SourceError, match="no such file"):
        fetch.fetch("b.txt")
    with pytest.raises(GristmillError, match="outside of"):
        fetch.fetch("../a.txt")
    with pytest.raises(SourceError, match="scheme 'file' is not read"):
        fetch.fetch("file:///etc/hostname")


def test_the_digest_of_a_local_file_is_remembered(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.base / "a.txt"
    path.write_bytes(b"one")
    os.utime(path, (1, 1))
    first = fetch.digest_of(path)
    monkeypatch.setattr(fetch, "sha256_file", lambda path: "read again")
    assert fetch.digest_of(path) == first
    path.write_bytes(b"two")
    assert fetch.digest_of(path) == "read again"


class FakeStore(MemoryFileSystem):
    store: dict = {}
    pseudo_dirs = [""]
    cachable = False

    def info(self, path: str, **options: object) -> dict:
        return {**super().info(path), "ETag": '"s"'}


def test_object_stores_are_read_through_fsspec(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda uri: (FakeStore(), uri.removeprefix("s3:/")))
    FakeStore().pipe("/bucket/a.bin", CONTENT)
    assert fetch.stat("s3://bucket/a.bin") == (len(CONTENT), '"s"')
    assert fetch.fetch("s3://bucket/a.bin").read_bytes() == CONTENT
    with pytest.raises(SourceError, match="no such file"):
        fetch.fetch("s3://bucket/b.bin")


def test_a_store_that_refuses_is_not_asked_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, naps: list[float]
) -> None:
    class Refused(OSError):
        response = SimpleNamespace(status_code=403)

    for error, message in ((Refused("gated"), "gated; are the"), (RuntimeError("no keys"), "RuntimeError: no keys")):
        monkeypatch.setattr(FakeStore, "info", Mock(side_effect=error))
        monkeypatch.setattr(fsspec.core, "url_to_fs", lambda uri: (FakeStore(), uri))
        with pytest.raises(SourceError, match=message):
            fetch.stat("s3://bucket/a.bin")
    assert not naps
    monkeypatch.setattr(FakeStore, "info", Mock(side_effect=[TimeoutError(), {"size": 1, "etag": "e"}]))
    assert fetch.stat("s3://bucket/a.bin") == (1, "e")
    assert len(naps) == 1


def test_a_missing_store_package_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(uri: str) -> None:
        raise ImportError

    monkeypatch.setattr(fsspec.core, "url_to_fs", fails)
    with pytest.raises(MissingBackend, match=r"pip install 'gristmill\[gcs\]'"):
        fetch.fetch("gs://bucket/a.bin")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://u:p@h/x?sig=1&page=2", "https://h/x?sig=***&page=2"),
        ("https://h/x?X-Goog-Credential=1", "https://h/x?X-Goog-Credential=***"),
        ("https://h/x?author=me#part", "https://h/x?author=me"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("a/path.txt", "a/path.txt"),
    ],
)
def test_what_is_shown_of_an_address(uri: str, shown: str) -> None:
    assert address.redact(uri) == shown


def test_whole_or_not_there(place: Place, served: Served, naps: list[float]) -> None:
    served.script = [cut_after(1000)] * 20
    uri = f"{served.url}/a.bin"
    with pytest.raises(SourceError, match="times in a row"):
        fetch.fetch(uri)
    assert fetch.recorded(uri) is None
    served.script, served.content["/a.bin"] = [], CONTENT
    path: Path = fetch.fetch(uri)
    assert path.read_bytes() == CONTENT
