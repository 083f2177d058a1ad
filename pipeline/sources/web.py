"""Files of web servers, through httpx2: one request at a time, resumed by Range, redirected to http and https alone.

Every exchange is watched by a `Guard`: it may not lead into a private network, nor crawl.

A resumed file is one version of it: the server's ETag (or Last-Modified) is kept beside the part file and sent as
If-Range, so that a file that changed starts again.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

from pipeline.core.errors import SourceError
from pipeline.sources.address import HTTP, redact, scheme_of, scrub
from pipeline.sources.attempts import Again, PartFile, Stated
from pipeline.sources.guard import LARGEST, Guard

if TYPE_CHECKING:
    import ssl

    import httpx2

REDIRECTS = 5

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


def state(uri: str) -> Stated:
    """Size and tag, by HEAD where the server allows it."""
    with _answer("HEAD", uri, {}) as (response, _):
        if response.status_code not in (400, 403, 405, 501):  # a signed URL is often signed for GET alone
            return _read_state(uri, response)
    with _answer("GET", uri, {}) as (response, _):
        return _read_state(uri, response)


def _read_state(uri: str, response: httpx2.Response) -> Stated:
    _check(uri, response)
    length = response.headers.get("content-length", "")
    return Stated(int(length) if length.isdigit() else None, _tag(response.headers))


def download(uri: str, part: PartFile) -> Stated:
    """Complete the part file; Again if the connection broke, with what was received kept."""
    have, tag = part.size, part.tag
    resumes = have > 0 and tag and not tag.startswith("W/")
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if resumes else {}
    with _answer("GET", uri, headers) as (response, guard):
        _check(uri, response)
        if response.status_code == 206:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", ""))
            if not span or int(span[1]) != have or _tag(response.headers) not in ("", tag):
                part.discard()
                raise Again("the server resumed another file than the one begun")
            size = int(span[2]) if span[2] != "*" else None
        elif response.status_code == 416:
            part.discard()
            raise Again("the server has less of the file than was received before")
        else:
            size, tag = _read_state(uri, response)
            part.begin(tag)
        _receive(response, part, guard)
    if size is not None and part.size != size:
        raise Again(f"the connection ended after {part.size} of {size} bytes")
    return Stated(part.size, tag)


def _receive(response: httpx2.Response, part: PartFile, guard: Guard) -> None:
    import httpx2

    endless = "content-length" not in response.headers
    try:
        with part.path.open("ab") as sink:
            for chunk in response.iter_raw():  # with a chunk size it would lose what was received before a cut
                sink.write(chunk)
                guard.received += len(chunk)
                if endless and guard.received > LARGEST:
                    raise SourceError(guard.uri, f"sends more than {LARGEST >> 20} MiB and does not say how much")
    except httpx2.TransportError as error:
        raise Again(guard.why(error)) from None


def _check(uri: str, response: httpx2.Response) -> None:
    status = response.status_code
    if status in _BUSY:
        raise Again(f"the server answers {status} {response.reason_phrase}", _retry_after(response.headers))
    if status >= 400 and status != 416:
        hint = {401: "; it wants credentials", 403: "; access is refused", 404: "; look for a moved or misspelt name"}
        raise SourceError(redact(uri), f"the server answers {status} {response.reason_phrase}{hint.get(status, '')}")


@contextmanager
def _answer(method: str, uri: str, headers: Mapping[str, str]) -> Iterator[tuple[httpx2.Response, Guard]]:
    """The streamed answer after redirects, to http(s) only; credentials go only to the host they were given for."""
    import httpx2

    parts = urlsplit(uri)
    url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    auth = httpx2.BasicAuth(parts.username, parts.password or "") if parts.username else None
    plain = {"Accept-Encoding": "identity", **headers}
    client = httpx2.Client(verify=_tls(), timeout=httpx2.Timeout(60, connect=20))
    with client, Guard(redact(uri)) as guard:
        for _ in range(REDIRECTS + 1):
            try:
                request = client.build_request(method, url, headers=plain, extensions={"trace": guard.trace})
                guard.toward(request.url.raw_host.decode("ascii"))
                response = client.send(request, auth=auth, stream=True)
            except httpx2.TransportError as error:
                raise Again(guard.why(error)) from None
            except (httpx2.InvalidURL, ValueError) as error:
                raise SourceError(redact(uri), f"not an address ({scrub(str(error))})") from None
            try:
                if not response.has_redirect_location:
                    yield response, guard
                    if guard.slow:  # without a length, the end that was made looks like the end of the file
                        raise Again(guard.why())
                    return
                target = urljoin(url, response.headers["location"])
            finally:
                response.close()
            if scheme_of(target) not in HTTP:
                raise SourceError(redact(uri), f"redirects to {redact(target)}: only http and https are followed")
            auth = auth if urlsplit(target)[:2] == urlsplit(url)[:2] else None
            url = target
    raise SourceError(redact(uri), f"redirects more than {REDIRECTS} times")


@functools.cache
def _tls() -> ssl.SSLContext:
    """Loaded once: it takes longer than a request."""
    import httpx2

    return httpx2.create_ssl_context()


def _tag(headers: Mapping[str, str]) -> str:
    return headers.get("etag") or headers.get("last-modified") or ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (when.astimezone(UTC) - datetime.now(UTC)).total_seconds())
