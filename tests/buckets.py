"""An S3 server (moto's, a process of its own) on this machine, and before it a proxy that counts and refuses."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
import pytest

from pipeline.core import bucket, mirror

BUCKET = "shelf"
SLOW = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
KEYS = {
    "AWS_ACCESS_KEY_ID": "a-key",
    "AWS_SECRET_ACCESS_KEY": "not-to-be-shown",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@dataclass
class Service:
    """Where it listens; `refuse` says of a request (method, path) whether it is answered by 503."""

    port: int
    behind: int
    refuse: Callable[[str, str], bool] = lambda method, path: False
    seen: Counter[str] = field(default_factory=Counter)
    requests: list[tuple[str, str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    @cached_property
    def client(self) -> Any:
        """A client of the server itself, neither counted nor refused."""
        import boto3

        return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.behind}")

    def names(self) -> list[str]:
        """The names in the bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def content(self, key: str) -> bytes:
        """What is under a name."""
        found: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return found

    def put(self, key: str, content: bytes) -> None:
        """Put something else there."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def clear(self) -> None:
        """Remove everything."""
        if keys := self.names():
            self.client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})


@contextmanager
def serve() -> Iterator[Service]:
    """The server, with one empty bucket, behind the proxy."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, **KEYS}, **quiet) as process:  # type: ignore[call-overload]
        try:
            _await(port)
            with _proxied(port) as service:
                yield service
        finally:
            process.terminate()


@contextmanager
def _proxied(behind: int) -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            service.requests.append((self.command, self.path))
            service.seen[_kind(self.command, self.path)] += 1
            if service.refuse(self.command, self.path):
                self.answer(503, {"Content-Type": "application/xml"}, SLOW)
                return
            connection = http.client.HTTPConnection("127.0.0.1", behind)
            connection.request(self.command, self.path, body, dict(self.headers))
            given = connection.getresponse()
            content = given.read()
            headers = {k: v for k, v in given.getheaders() if k.lower() not in ("connection", "transfer-encoding")}
            connection.close()
            self.answer(given.status, headers, content)

        def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            if self.command != "HEAD":
                headers = {k: v for k, v in headers.items() if k.lower() != "content-length"}
                headers["Content-Length"] = str(len(content))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service = Service(server.server_address[1], behind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def empty(service: Service, cache: Path) -> Iterator[Service]:
    """The service with nothing in its bucket, and a mirror below `cache`, for this process and those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in service.environment.items():
            patch.setenv(name, value)
        patch.setenv("GRISTMILL_CACHE", str(cache))
        afresh()
        if not service.client.list_buckets()["Buckets"]:
            service.client.create_bucket(Bucket=BUCKET)
        service.clear()
        service.refuse = lambda method, path: False
        service.seen.clear()
        service.requests.clear()
        yield service
    afresh()


def afresh() -> None:
    """Forget what this process knows of buckets, by which server it asks for them, and where its mirror is."""
    mirror.mirrors.cache_clear()
    bucket.forget()
    bucket._opened.cache_clear()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def _kind(method: str, path: str) -> str:
    query = urlsplit(path).query
    if method == "GET" and "list-type" in query:
        return "LIST"
    return method


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("moto's server does not start")
