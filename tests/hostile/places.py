"""Packages, servers and recipes that mean no good."""

from __future__ import annotations

import base64
import contextlib
import io
import struct
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.hostile.kinds import Read, kind


def package(folder: Path, name: str, content: bytes, **how: Any) -> Read:
    """Install a distribution with one file, and read it."""
    site, word = folder / "site", f"hostile-{folder.name.replace('_', '-')}"
    info = site / f"{word.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {word}\nVersion: 1.0\nLicense: MIT\n")
    (info / "RECORD").write_text(how.pop("record", f"{name},,\n"))
    (site / name).parent.mkdir(parents=True, exist_ok=True)
    if not (site / name).is_symlink():
        (site / name).write_bytes(content)
    sys.path.append(str(site))
    entry = {"distribution": word, "format": "text", "files": [name], **how}
    return Read("packages", {"name": "hostile", "distributions": [entry]}, ("extract",))


def archive(names: dict[str, bytes]) -> bytes:
    """A ZIP file."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in names.items():
            written.writestr(name, content)
    return sink.getvalue()


@kind("packages", "an archive with names that climb out, roots, drives and backslashes")
def zip_slip(folder: Path) -> Read:
    names = [
        "../../../../tmp/evil.txt",
        "/etc/evil.txt",
        "..\\evil.txt",
        "C:\\evil.txt",
        "a/../../evil.txt",
        "good.txt",
    ]
    return package(folder, "a.zip", archive({name: b"grain" for name in names}), archive="a.zip", files=["**"])


@kind("packages", "an archive with a symbolic link to /etc/passwd")
def zip_link(folder: Path) -> Read:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as written:
        link = zipfile.ZipInfo("a.txt")
        link.external_attr = 0o120777 << 16
        written.writestr(link, "/etc/passwd")
    return package(folder, "a.zip", sink.getvalue(), archive="a.zip", files=["**"])


@kind("packages", "a ZIP bomb: 256 MiB in 0.25 MB")
def zip_bomb(folder: Path) -> Read:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as written, written.open("a.txt", "w") as stream:
        for _ in range(256):
            stream.write(b" " * (1 << 20))
    return package(folder, "a.zip", sink.getvalue(), archive="a.zip", files=["**"])


@kind("packages", "a ZIP bomb that states a size of 9 bytes")
def zip_bomb_lies(folder: Path) -> Read:
    content = bytearray(archive({"a.txt": b" " * (200 << 20)}))
    for at in (content.find(b"PK\x03\x04") + 22, content.rfind(b"PK\x01\x02") + 24):
        content[at : at + 4] = struct.pack("<I", 9)
    return package(folder, "a.zip", bytes(content), archive="a.zip", files=["**"])


@kind("packages", "a ZIP file whose 2,000 entries overlap")
def zip_overlaps(folder: Path) -> Read:
    content = archive({"a.txt": b"grain " * 100_000})
    start, end = content.rfind(b"PK\x01\x02"), content.rfind(b"PK\x05\x06")
    entries = [content[start:end].replace(b"a.txt", f"{n:05d}".encode()) for n in range(2000)]
    tail = bytearray(content[end:])
    struct.pack_into("<HHI", tail, 8, 2000, 2000, sum(map(len, entries)))
    return package(folder, "a.zip", content[:start] + b"".join(entries) + bytes(tail), archive="a.zip", files=["**"])


@kind("packages", "a ZIP file, cut")
def zip_cut(folder: Path) -> Read:
    return package(folder, "a.zip", archive({"a.txt": b"grain " * 1000})[:-40], archive="a.zip", files=["**"])


@kind("packages", "a list of files that names others outside of the package")
def package_record(folder: Path) -> Read:
    record = "../../../../etc/passwd,,\n/etc/passwd,,\na.txt,,\n"
    return package(folder, "a.txt", b"grain", record=record, files=["**"])


@kind("packages", "a file that is a link out of the folder of packages")
def package_link(folder: Path) -> Read:
    (folder / "site").mkdir()
    (folder / "site" / "a.txt").symlink_to("/etc/passwd")
    return package(folder, "a.txt", b"")


@kind("packages", "a message catalogue whose tables lead out of the file")
def package_catalogue(folder: Path) -> Read:
    content = struct.pack("<7I", 0x950412DE, 0, 4_000_000_000, 28, 4_294_967_290, 0, 0) + b"\xff" * 64
    return package(folder, "a.mo", content, format="mo")


@kind("packages", "YAML of aliases that expand to 10^9 words")
def package_yaml_aliases(folder: Path) -> Read:
    lines = ["a0: &a0 [grain]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))]
    return package(folder, "a.yaml", "\n".join(lines).encode(), format="yaml")


@kind("packages", "YAML that wants to run a command")
def package_yaml_tags(folder: Path) -> Read:
    return package(folder, "a.yaml", b"a: !!python/object/apply:os.system ['touch /tmp/gristmill-evil']", format="yaml")


@kind("packages", "YAML of 30,000 brackets")
def package_yaml_nested(folder: Path) -> Read:
    return package(folder, "a.yaml", b"[" * 30_000, format="yaml")


@kind("packages", "JSON of 100,000 brackets")
def package_json_nested(folder: Path) -> Read:
    return package(folder, "a.json", b"[" * 100_000 + b"]" * 100_000, format="json")


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server on this machine that answers every request in this way."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                answer(self)

        do_HEAD = do_GET

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    server = Server(("0.0.0.0", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.2:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def server(what: str, *, address: str = "{url}/a.jsonl") -> Callable[[Answer], object]:
    """List what a server answers; of all addresses of this machine, 127.0.0.2 may be reached."""

    def listed(answer: Answer) -> object:
        def make(folder: Path) -> Read:
            def call() -> object:
                from pipeline.sources.fetch import fetch

                with serving(answer) as url:
                    port = url.rpartition(":")[2]
                    return fetch(address.format(url=url, port=port))

            return Read(call=call)

        make.__name__ = answer.__name__
        return kind("servers", what)(make)

    return listed


def redirect(to: str) -> Answer:
    """Say that the file is elsewhere."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", to.format(port=handler.server.server_address[1]))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def head(handler: BaseHTTPRequestHandler, **headers: str) -> None:
    """The start of an answer."""
    handler.send_response(200)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


@server("a redirect to file:///etc/passwd")
def http_to_a_file(handler: BaseHTTPRequestHandler) -> None:
    redirect("file:///etc/passwd")(handler)


@server("a redirect to gopher")
def http_to_gopher(handler: BaseHTTPRequestHandler) -> None:
    redirect("gopher://127.0.0.1:6379/_FLUSHALL")(handler)


@server("a redirect to the address of a cloud's metadata")
def http_to_metadata(handler: BaseHTTPRequestHandler) -> None:
    redirect("http://169.254.169.254/latest/meta-data/")(handler)


@server("a redirect to a private network")
def http_to_a_network(handler: BaseHTTPRequestHandler) -> None:
    redirect("http://10.0.0.1/admin")(handler)


@server("a redirect to a name that is this machine")
def http_to_localhost(handler: BaseHTTPRequestHandler) -> None:
    redirect("http://localhost:{port}/")(handler)


@server("a redirect to this machine, in IPv6 clothes")
def http_to_mapped(handler: BaseHTTPRequestHandler) -> None:
    redirect("http://[::ffff:127.0.0.1]:{port}/")(handler)


@server("redirects in a circle")
def http_circle(handler: BaseHTTPRequestHandler) -> None:
    redirect("http://127.0.0.2:{port}/a.jsonl")(handler)


@server("an address that is a number: 2130706433", address="http://2130706433:{port}/")
def http_number(handler: BaseHTTPRequestHandler) -> None:
    head(handler, Content_Length="0")


@server("the name of this machine", address="http://localhost:{port}/")
def http_localhost(handler: BaseHTTPRequestHandler) -> None:
    head(handler, Content_Length="0")


@server("any address: 0.0.0.0", address="http://0.0.0.0:{port}/")
def http_any(handler: BaseHTTPRequestHandler) -> None:
    head(handler, Content_Length="0")


@server("a header that comes letter by letter")
def http_slow_header(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


@server("a file that comes letter by letter")
def http_slow_body(handler: BaseHTTPRequestHandler) -> None:
    head(handler, Content_Length="1000000")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


@server("a file that comes letter by letter, of a length that is not said")
def http_slow_chunks(handler: BaseHTTPRequestHandler) -> None:
    head(handler, Transfer_Encoding="chunked")
    while True:
        handler.wfile.write(b"1\r\nx\r\n")
        time.sleep(0.05)


@server("silence")
def http_silence(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(30)


@server("a file without end")
def http_endless(handler: BaseHTTPRequestHandler) -> None:
    head(handler, Transfer_Encoding="chunked")
    while True:
        handler.wfile.write(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")


@server("a header without end")
def http_endless_header(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        handler.wfile.write(b"x" * (1 << 16))


@server("fewer bytes than were said")
def http_short(handler: BaseHTTPRequestHandler) -> None:
    head(handler, Content_Length="1000")
    handler.wfile.write(b"x")


@server("an answer that is no HTTP")
def http_noise(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\xff" * 500)


@server("busy, and to come back in a year")
def http_busy(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(503)
    handler.send_header("Retry-After", "31536000")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@server("a chunk whose length is no number")
def http_chunks(handler: BaseHTTPRequestHandler) -> None:
    head(handler, Transfer_Encoding="chunked")
    handler.wfile.write(b"zz\r\nx\r\n")


HEADER = "recipe: a\nversion: '1'\n"
SOURCE = "sources: [{files: {name: a, paths: [a.jsonl]}}]\n"


def recipe(what: str) -> Callable[[Callable[[], bytes | str]], object]:
    """List a recipe that is loaded and planned."""

    def listed(text: Callable[[], bytes | str]) -> object:
        def make(folder: Path) -> Read:
            def call() -> object:
                from pipeline.run.checking import load_recipe
                from pipeline.run.plan import make_plan

                return make_plan(load_recipe(folder / "a.yaml"))

            said = text()
            (folder / "a.yaml").write_bytes(said.encode() if isinstance(said, str) else said)
            return Read(call=call)

        make.__name__ = text.__name__
        return kind("recipes", what)(make)

    return listed


@recipe("a tag that wants to run a command")
def recipe_tag() -> str:
    return HEADER + SOURCE + "description: !!python/object/apply:os.system [touch /tmp/gristmill-evil]\n"


@recipe("anchors that expand to 10^9 words")
def recipe_anchors() -> str:
    return "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))


@recipe("100,000 brackets")
def recipe_nested() -> str:
    return "[" * 100_000


@recipe("2 MB")
def recipe_long() -> str:
    return HEADER + "#" * (2 << 20)


@recipe("400 kB of stages that there are not")
def recipe_problems() -> str:
    return HEADER + SOURCE + "stages: [" + "nonsense, " * 40_000 + "]\n"


@recipe("10,000 unknown keys")
def recipe_unknown_keys() -> str:
    return HEADER + SOURCE + "stages:\n  - gopher:\n" + "".join(f"      min_wordz{n}: 1\n" for n in range(10_000))


@recipe("bytes that are no text")
def recipe_bytes() -> bytes:
    return bytes(range(256)) * 100


@recipe("NULs")
def recipe_nul() -> str:
    return HEADER + "description: 'a\0b'\n" + SOURCE


@recipe("keys that are lists, keys that are written twice")
def recipe_keys() -> str:
    return HEADER + "? [a, b]\n: c\nversion: '2'\n" + SOURCE


@recipe("a name that is a path")
def recipe_name() -> str:
    return "recipe: ../../evil\nversion: '1'\n" + SOURCE


@recipe("numbers that are none: infinity, 10^999, a million digits")
def recipe_numbers() -> str:
    stages = f"stages: [{{length: {{min_characters: {'9' * 500_000}}}}}, {{threshold: {{column: x, max: 1e999}}}}]\n"
    return HEADER + "limit: .inf\n" + SOURCE + stages


@recipe("an address that is file:///etc/passwd, and a list of such")
def recipe_file() -> str:
    return (
        HEADER
        + "sources: [{files: {name: a, format: txt, paths: ['file:///etc/passwd'], list: 'file:///etc/passwd'}}]\n"
    )


@recipe("a pattern that backtracks without end")
def recipe_pattern() -> str:
    entry = "{distribution: pydantic, format: match, match: '(a*)*$', files: ['**'], language: '(x+x+)+y/([^/]+'}"
    return HEADER + "sources: [{packages: {name: a, distributions: [" + entry + "]}}]\n"


@recipe("base64 of a pickle")
def recipe_pickle() -> str:
    return base64.b64encode(b"cos\nsystem\n(S'touch /tmp/gristmill-evil'\ntR.").decode()
