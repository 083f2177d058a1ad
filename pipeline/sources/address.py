"""Addresses of files: which can be read, and what of them may be shown."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from pipeline.core.errors import SourceError

HTTP = ("http", "https")
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub"}
SCHEMES = (*HTTP, *PACKAGES)


def is_remote(uri: str) -> bool:
    """Whether this is an address and not a path; SourceError for a scheme that is not read."""
    scheme = scheme_of(uri)
    if scheme and scheme not in SCHEMES:
        raise SourceError(redact(uri), f"scheme {scheme!r} is not read: use {', '.join(SCHEMES)}, or a path")
    return bool(scheme)


def is_web(uri: str) -> bool:
    """Whether a web server has it, and no store."""
    return scheme_of(uri) in HTTP


def scheme_of(uri: str) -> str:
    """The scheme in lower case; '' for a path."""
    return uri.split("://", 1)[0].lower() if "://" in uri else ""


def redact(uri: str) -> str:
    """The address without credentials, signatures and fragment: what messages and records may show."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    pairs = [pair.partition("=") for pair in parts.query.split("&")] if parts.query else []
    query = "&".join(f"{name}=***" if _SECRET.search(name) else f"{name}{eq}{value}" for name, eq, value in pairs)
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def scrub(text: str) -> str:
    """A message of another library with every address in it redacted."""
    return _URL.sub(lambda found: redact(found[0]), text)


_SECRET = re.compile(
    r"token|secret|signature|passw|credential|accesskey|api-?key|^x-(amz|goog)-|(^|[-_])(sig|auth|policy|key)($|[-_])",
    re.I,
)
_URL = re.compile(r"\b\w+://[^\s'\"<>]+")
