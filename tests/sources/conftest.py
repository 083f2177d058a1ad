from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.core.asset import Place
from pipeline.core.stage import Source


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "base").mkdir()
    where = Place(base=tmp_path / "base", cache=tmp_path / "cache", allow=("127.0.0.1",))
    with where.active():
        yield where


@pytest.fixture
def rows() -> Callable[[Source], list[dict]]:
    def read(source: Source) -> list[dict]:
        return [row for part in source.parts() for batch in source.read(part) for row in batch.to_pylist()]

    return read


@dataclass
class Served:
    """A loopback server: `content` by path, `script` of answers that come before the content does."""

    url: str = ""
    content: dict[str, bytes] = field(default_factory=dict)
    etag: dict[str, str] = field(default_factory=dict)
    heads: bool = True
    script: list[Callable[[BaseHTTPRequestHandler], bool]] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def gets(self) -> list[dict[str, str]]:
        return [headers for method, _, headers in self.seen if method == "GET"]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = Served()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer("HEAD")

        def do_GET(self) -> None:
            self.answer("GET")

        def answer(self, method: str) -> None:
            self.close_connection = True
            state.seen.append((method, self.path, {name.lower(): value for name, value in self.headers.items()}))
            if method == "GET" and state.script and state.script.pop(0)(self):
                return
            if method == "HEAD" and not state.heads:
                self.send_error(405)
                return
            path = self.path.split("?")[0]
            if path not in state.content:
                self.send_error(404)
                return
            body, etag = state.content[path], state.etag.get(path, '"v1"')
            start = 0
            if (wanted := self.headers.get("Range")) and self.headers.get("If-Range") == etag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body) - start))
            if etag:
                self.send_header("ETag", etag)
            self.end_headers()
            if method == "GET":
                self.wfile.write(body[start:])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()
