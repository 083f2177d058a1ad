"""One HTML file out of content, style and scripts: all inlined, nothing fetched, and only our own script may run."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.again import Showing
from pipeline.core.manifest import Manifest, read_manifest
from pipeline.core.shards import write_text
from pipeline.report.html import examples
from pipeline.report.html.data import Documents, Limit, documents
from pipeline.report.html.figures import figures
from pipeline.report.safe import one_line

FILE = "report.html"

MODULES = (
    *("decode", "words", "dom", "funnel", "rules", "limits", "content", "twins", "sheet", "documents"),
    "main",
)
"""The scripts in the order in which they need each other; inlined as one module, so that their names are all apart."""


def write_report(
    corpus: Path, out: Path | None, *, sample: int, showing: Showing | None, lang: str = "en", text: bool = True
) -> Path:
    """Write the report of a built corpus beside its card, or to `out`; returns its path.

    `sample` documents are in it. Without `showing`, the recipe's own code, nothing is measured; without that or
    without `text` there are figures only: no text, no id and no URL.
    """
    manifest = read_manifest(corpus)
    found = documents(corpus, manifest, sample, showing)
    path = out or corpus / FILE
    write_text(path, page(content(corpus, manifest, found, showing, text=text), lang))
    return path


def content(
    corpus: Path, manifest: Manifest, found: Documents, showing: Showing | None, *, text: bool
) -> dict[str, str]:
    """The blocks of data by name, each gzip and base64: `facts` (JSON), `columns` and `measures` (numbers), texts."""
    shown = showing if text else None
    labels = {
        name: np.unique(np.array(values, object).astype(str), return_inverse=True)
        for name, values in found.labels.items()
    }
    columns = {
        "sampled": found.sampled.astype(np.uint8),
        "fate": found.fate.astype(np.uint16),
        "characters": found.characters.astype(np.uint32),
        "year": found.year.astype(np.uint16),
        "twin": _twins(found),
        "value": found.value.astype(np.float32),
        "limit": found.limit.astype(np.float32),
        **{name: codes.astype(np.uint32) for name, (_, codes) in labels.items()},
    }
    packed, measures = _measures(found.limits)
    langs = labels["lang"][0].tolist()
    about = {
        **figures(corpus, manifest),
        "documents": {
            "n": found.n,
            "sampled": int(found.sampled.sum()),
            "total": found.total,
            "cut": found.cut,
            "missing": found.drawn.missing,
            "measured": showing is not None,
            "text": shown is not None,
        },
        "fates": found.fates,
        "labels": {name: [one_line(value) for value in names.tolist()] for name, (names, _) in labels.items()},
        "limits": [
            {
                **one.rule.model_dump(),
                "measure": measures[at],
                "limits": _by_language(one, labels["lang"][1], len(langs)),
                "survivors": examples.survivors(found, one) if shown else [],
            }
            for at, one in enumerate(found.limits)
        ],
        "removed": examples.removed(found) if shown else [],
        "long": {},
        "clusters": [],
    }
    blocks = {}
    if shown:
        wanted = _wanted(about)
        about["long"] = examples.long_texts(found, wanted, shown)
        about["clusters"] = examples.clusters(found, manifest, shown)
        blocks = {name: _lines(getattr(found, name)) for name in ("ids", "urls", "texts")}
    else:
        about["labels"]["detail"] = [""]
        columns["detail"] = np.zeros(found.n, np.uint32)
    about["columns"], blocks["columns"] = _arrays(columns)
    about["measures"], blocks["measures"] = _arrays({str(at): values for at, values in enumerate(packed)})
    blocks["facts"] = json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode()
    return {name: base64.b64encode(gzip.compress(block, 6, mtime=0)).decode() for name, block in blocks.items()}


def page(blocks: Mapping[str, str], lang: str = "en") -> str:
    """The file: the policy allows exactly the style and the script below, and no address at all."""
    script, style = _script(), _part("page.css")
    data = "\n".join(
        f'<script type="application/gzip" id="data-{name}">{block}</script>' for name, block in blocks.items()
    )
    parts = {
        "lang": html.escape(lang),
        "policy": f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'",
        "style": style,
        "script": script,
        "data": data,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _part("page.html"))


def _script() -> str:
    """The modules as one: their imports of each other and the word `export` left out."""
    strings = json.loads(_part("strings.json"))
    pieces = [f"const STRINGS = {json.dumps(strings, ensure_ascii=False)};"]
    for name in MODULES:
        source = re.sub(r"^import [^;]*;\n", "", _part(f"{name}.js"), flags=re.MULTILINE)
        pieces.append(re.sub(r"^export ", "", source, flags=re.MULTILINE))
    script = "\n".join(pieces)
    assert "</script" not in script and "<!--" not in script
    return script


def _part(name: str) -> str:
    return files("pipeline.report.html").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _wanted(about: Mapping[str, Any]) -> dict[int, list[str]]:
    """The documents whose text is shown at length, and for which reasons it is marked."""
    wanted: dict[int, list[str]] = {}
    for number, rows in enumerate(about["removed"]):
        for row in rows:
            wanted.setdefault(row, []).append(about["fates"][number][1])
    for limit in about["limits"]:
        for row in limit["survivors"]:
            wanted.setdefault(row, []).append(limit["reason"])
    return wanted


def _twins(found: Documents) -> np.ndarray:
    """For every document one more than the row of what was kept in its place; 0 where that is not here."""
    rows = {name: row for row, name in reversed(list(enumerate(found.ids)))}
    rows |= {found.ids[row]: row for row in np.flatnonzero(found.fate == 0).tolist()}
    return np.array([rows.get(twin, -1) + 1 if twin else 0 for twin in found.twins], np.uint32)


def _by_language(one: Limit, lang: np.ndarray, n: int) -> list[float | None]:
    """The limit for documents of each language; null where there is none."""
    limits: list[float | None] = [None] * n
    rows = np.flatnonzero(np.isfinite(one.limit))
    for code, limit in zip(lang[rows].tolist(), one.limit[rows].tolist(), strict=True):
        limits[code] = limit
    return limits


def _measures(limits: Iterable[Limit]) -> tuple[list[np.ndarray], list[int]]:
    """Measures as float32 with 12 bits of mantissa, each once, and which of them each limit asks.

    Where the rounding would move one to the other side of a limit, the number keeps all its bits.
    """
    packed: list[np.ndarray] = []
    known: list[np.ndarray] = []
    which = []
    for one in limits:
        same = [at for at, values in enumerate(known) if np.array_equal(values, one.value, equal_nan=True)]
        if not same:
            known.append(one.value)
            packed.append(((one.value.astype(np.float32).view(np.uint32) + 0x400) & ~np.uint32(0x7FF)).view(np.float32))
        at = same[0] if same else len(known) - 1
        packed[at] = _on_its_side(packed[at], one)
        which.append(at)
    return packed, which


def _on_its_side(rounded: np.ndarray, one: Limit) -> np.ndarray:
    exact, limit = one.value.astype(np.float32), one.limit.astype(np.float32)
    side, known = np.sign(one.value - one.limit), ~np.isnan(one.value - one.limit)
    for better in (exact, np.nextafter(exact, np.where(side < 0, np.float32(-np.inf), np.float32(np.inf)))):
        wrong = np.sign(rounded - limit) != side
        rounded = np.where(wrong & known, better, rounded)
    return rounded


def _arrays(columns: Mapping[str, np.ndarray]) -> tuple[list[list[Any]], bytes]:
    """Name, kind and length of each array, and their bytes: the first byte of all numbers, then the second, and so on.

    So the bytes that say little stand together, and are packed well.
    """
    named = [[name, array.dtype.name, len(array)] for name, array in columns.items()]
    planes = [array.astype(array.dtype.newbyteorder("<")).view(np.uint8) for array in columns.values()]
    turned = [plane.reshape(-1, array.itemsize).T for plane, array in zip(planes, columns.values(), strict=True)]
    return named, b"".join(plane.tobytes() for plane in turned)


def _lines(texts: Iterable[str]) -> bytes:
    """Texts with NUL between them: there is none inside."""
    return "\0".join(text.replace("\0", "\ufffd") for text in texts).encode()
