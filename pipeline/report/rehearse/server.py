"""A hub on this machine: as much of the Hugging Face protocol as publishing and loading a dataset needs.

The real clients (`huggingface_hub`, `datasets`) talk to it when `HF_ENDPOINT` names it; Xet must be off
(`HF_HUB_DISABLE_XET=1`), so that contents come over HTTP. It listens on the loopback only and knows one token.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pipeline.report.rehearse.answers import Answers
from pipeline.report.rehearse.message import Answer, Refused

TOKEN = "hf_rehearsal"
"""Who sends this may write, and read what is private."""

MAX_BODY = 64 << 20
"""Bytes of a request that is no upload of a content."""


@dataclass
class Fault:
    """What goes wrong, `times` times, with requests whose `METHOD /path` matches.

    They are answered with `status`; without one they are done, and the connection is cut instead of an answer.
    `then` is called first: a test kills the client in it.
    """

    request: str
    status: int | None = 503
    times: int = 1
    then: Callable[[], None] | None = None


@dataclass
class Rehearsal:
    """A running hub: where it is, what it was asked, and what is still to go wrong."""

    answers: Answers
    port: int = 0
    requests: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        """For `HF_ENDPOINT`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs in its environment, before `huggingface_hub` is imported."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def struck(self, request: str) -> Fault | None:
        """Note a request; the fault that it meets."""
        with self.lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.times and re.search(fault.request, request):
                    fault.times -= 1
                    return fault
        return None


@contextmanager
def serve(folder: Path, port: int = 0) -> Iterator[Rehearsal]:
    """A hub that keeps what it is given in `folder`, for as long as the block lasts."""
    rehearsal = Rehearsal(Answers(folder))
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, rehearsal))
    rehearsal.port = rehearsal.answers.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield rehearsal
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, rehearsal: Rehearsal, *more: Any) -> None:
        self.rehearsal = rehearsal
        super().__init__(*more)

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        self.unread = int(self.headers.get("Content-Length") or 0)
        url = urlsplit(self.path)
        path, query = url.path, {name: values[-1] for name, values in parse_qs(url.query).items()}
        fault = self.rehearsal.struck(f"{self.command} {unquote(path)}")
        if fault and fault.then:
            fault.then()
        try:
            if fault and fault.status:
                raise Refused(fault.status, "this was to go wrong")
            answer = self._route(path, query)
        except Refused as refused:
            while self.unread and (piece := self.rfile.read(min(self.unread, 1 << 20))):
                self.unread -= len(piece)
            answer = Answer.of({"error": refused.message}, refused.status, refused.headers | refused.code)
        if fault and not fault.status:
            self.close_connection = True
            return
        self._send(answer)

    def _route(self, path: str, query: dict[str, str]) -> Answer:
        answers = self.rehearsal.answers
        method = "GET" if self.command == "HEAD" else self.command
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        for verb, pattern, answer in answers.routes:
            if verb == method and (found := re.fullmatch(pattern, path)):
                names = {name: unquote(value) for name, value in found.groupdict(default="").items()}
                if verb == "PUT" and "sha256" in names:
                    size, self.unread = self.unread, 0
                    return answers.receive(names["sha256"], self.rfile, size)
                if verb != "GET" and not known:
                    raise Refused(403, "this token may not write here")
                return answer(names, query, self._body(), known)
        raise Refused(404, f"{method} {path} is not part of a rehearsal", code="EntryNotFound")

    def _body(self) -> Any:
        """Parsed JSON, lines of it, or a form; None for none."""
        if self.unread > MAX_BODY:
            raise Refused(413, f"more than {MAX_BODY:,} bytes")
        raw, self.unread = self.rfile.read(self.unread), 0
        kind = self.headers.get("Content-Type") or ""
        try:
            if "ndjson" in kind:
                return [json.loads(line) for line in raw.splitlines() if line.strip()]
            if "form-urlencoded" in kind:
                return parse_qs(raw.decode())
            return json.loads(raw) if raw else None
        except ValueError as error:
            raise Refused(400, f"not readable: {error}") from None

    def _send(self, answer: Answer) -> None:
        start, stop, status = 0, answer.size, answer.status
        headers = dict(answer.headers)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted and answer.file:
            start, last = int(wanted[1]), min(int(wanted[2] or answer.size), answer.size - 1)
            if start > last:
                start, stop, status = 0, 0, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            else:
                stop, status = last + 1, HTTPStatus.PARTIAL_CONTENT
                headers["Content-Range"] = f"bytes {start}-{last}/{answer.size}"
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(stop - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            for piece in answer.pieces(start, stop):
                self.wfile.write(piece)

    def log_message(self, *_: Any) -> None:
        """Say nothing: `requests` has it."""
