"""Exact duplicates: the same text, the same text but for its typography, or the same address on the web."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import quote, urlsplit

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.core.stage import Exchange, Sketches
from pipeline.dedup.against import BUILT_BEFORE, Incremental, Origins
from pipeline.dedup.clusters import IDENTITY, by_precedence, drop_rows, identity, runs


class Exact(Incremental):
    """Keeps one document of those that are equal, by a 128-bit hash (BLAKE2b).

    The one that is kept has the source that comes first in the recipe, then the smallest id. Documents without text
    (or without a URL) are no duplicates of each other. In the ledger `value` is the number of equal documents and
    `twin` the one that was kept. Documents of an older build (`against`) come before all others; they count in
    `value`, and `detail` names the build of the twin.
    """

    by: Literal["text", "normalized", "url"] = Field(
        "text",
        description="what has to be equal: the `text` to the byte; the `normalized` text (NFKC, case folded, "
        "without white space and punctuation); the `url` (without fragment, default port, tracking and session "
        "parameters and trailing slash; host in lower case and Unicode, escapes and dots resolved, query sorted)",
    )

    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = (*IDENTITY, "text")
    reasons: ClassVar[tuple[str, ...]] = ("exact_duplicate", BUILT_BEFORE)

    def columns_read(self) -> tuple[str, ...]:
        """The URL or the text, and what identifies a document."""
        return (*IDENTITY, "url" if self.by == "url" else "text")

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A 128-bit hash a document, in two halves; documents with nothing to compare have no row."""
        texts = [text or "" for text in batch.column("url" if self.by == "url" else "text").to_pylist()]
        forms_by: dict[str, Callable[[str], str]] = {"text": str, "normalized": normalized, "url": canonical_url}
        forms = [forms_by[self.by](text) for text in texts]
        filled = [bool(form.strip()) for form in forms]
        digests = [
            hashlib.blake2b(form.encode(), digest_size=16).digest()
            for form, is_filled in zip(forms, filled, strict=True)
            if is_filled
        ]
        halves = np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)
        columns = identity(batch.filter(pa.array(filled, pa.bool_())))
        columns |= {"high": pa.array(halves[:, 0].copy()), "low": pa.array(halves[:, 1].copy())}
        return pa.RecordBatch.from_pydict(columns)

    def decide(self, sketches: Sketches, out: Path, exchange: Exchange) -> None:
        """One drop list a shard."""
        compared = self.compared(sketches)
        origins = compared.origins
        found = exchange(compared.files, partial(_by_hash, origins=origins), partial(_duplicates, origins=origins))
        compared.write_drops(found, out, exchange)


def normalized(text: str) -> str:
    """NFKC, case folded, without white space, punctuation and control characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    codes = np.frombuffer(folded.encode("utf-32-le"), dtype=np.uint32)
    return str(codes[_compared()[codes]].tobytes(), "utf-32-le")


def canonical_url(url: str) -> str:
    """One spelling for the addresses of one page; what is not a URL stays as it is.

    `http` and `https`, and hosts with and without `www`, may be different pages and stay apart.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return url.strip()
    if not parts.hostname:
        return url.strip()
    host = f"[{parts.hostname}]" if ":" in parts.hostname else _host(parts.hostname)
    if port is not None and port != {"http": 80, "https": 443}.get(parts.scheme):
        host = f"{host}:{port}"
    path = _path(_SESSION.sub("", _escaped(parts.path)))
    pairs = [_escaped(pair) for pair in parts.query.split("&") if pair and not _TRACKING.match(pair)]
    query = "&".join(sorted(pairs, key=lambda pair: pair.partition("=")[0]))
    fragment = f"#{_escaped(parts.fragment)}" if parts.fragment.startswith("!") else ""
    return f"{parts.scheme}://{host}{path}{'?' if query else ''}{query}{fragment}"


_TRACKING = re.compile(
    r"(utm_[^=]*|gclid|gclsrc|dclid|gbraid|wbraid|srsltid|_ga|_gl|fbclid|msclkid|yclid|ysclid|_openstat|twclid|ttclid|"
    r"li_fat_id|mc_eid|mc_cid|igshid|igsh|_hsenc|_hsmi|__hstc|__hssc|__hsfp|hsctatracking|mkt_tok|vero_id|"
    r"oly_anon_id|oly_enc_id|wickedid|jsessionid|phpsessid|aspsessionid[^=]*)(=|$)",
    re.IGNORECASE,
)
_SESSION = re.compile(r";(jsessionid|phpsessid)=[^/;]*", re.IGNORECASE)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


def _host(name: str) -> str:
    """In Unicode, whether it was written so or in Punycode: this does not depend on the version of IDNA."""
    dotted = unicodedata.normalize("NFC", re.sub("[\u3002\uff0e\uff61]", ".", name))
    return ".".join(_label(label) for label in dotted.rstrip(".").split("."))


def _label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        decoded = unicodedata.normalize("NFC", label[4:].encode("ascii").decode("punycode").lower())
        is_unicode = not decoded.isascii() and decoded.encode("punycode") == label[4:].encode()
    except UnicodeError:
        return label
    return decoded if is_unicode else label


def _escaped(text: str) -> str:
    """Percent escapes in upper case, none where none is needed, and one wherever it is."""

    def spelled(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        return character if character in _UNRESERVED else escape[0].upper()

    return quote(_ESCAPE.sub(spelled, text), safe=_ASCII)


def _path(path: str) -> str:
    """Without `.` and `..` segments (RFC 3986, 5.2.4) and without a trailing slash."""
    left: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            left = left[:-1]
        elif segment != ".":
            left.append(segment)
    return "".join(f"/{segment}" for segment in left).rstrip("/")


@cache
def _compared() -> np.ndarray:
    """For each code point, whether its Unicode category is none of P, Z and Cc."""
    categories = (unicodedata.category(chr(code)) for code in range(0x110000))
    return np.array([category[0] not in "PZ" and category != "Cc" for category in categories])


def _by_hash(table: pa.Table, origins: Origins) -> pa.Table:
    return origins.ranked(table).rename_columns({"high": "key"})


def _duplicates(table: pa.Table, origins: Origins) -> pa.Table:
    """The drops of a range of hashes."""
    starts, ends = runs(table["key"].to_numpy())
    several = np.repeat(ends - starts > 1, ends - starts)
    table = by_precedence(table.filter(pa.array(several)))
    key, low = table["key"].to_numpy(), table["low"].to_numpy()
    order = np.lexsort((low, key))
    starts, ends = runs(key[order], low[order])
    keeper, size = np.empty((2, len(order)), dtype=np.int64)
    keeper[order] = np.repeat(order[starts], ends - starts)
    size[order] = np.repeat(ends - starts, ends - starts)
    drops = drop_rows(table, keeper, "exact_duplicate", size[keeper != np.arange(len(order))], limit=1)
    return origins.told(drops)
