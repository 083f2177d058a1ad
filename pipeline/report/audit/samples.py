"""Sampled checks: drawn documents are looked at by something that the recipe does not use; shares have intervals."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address

from pipeline.core.errors import GristmillError, MissingBackend
from pipeline.report.audit.evidence import Evidence
from pipeline.report.audit.outcome import Outcome, differ, fails, holds, unknown
from pipeline.report.facts import wilson
from pipeline.report.grid import Cell, Columns, Grid
from pipeline.report.recipe_text import entries, fields

_AGREE = 0.90
"""Share of drawn documents on which two identifiers agree at least; on clear text they do on 97 % and more."""

_AGREE_LANGUAGE = 0.75
"""The same for one language, of which at least `_LEAST` documents were drawn: near relatives are told apart badly."""

_LEAST = 20
_CLEAR = 200
"""Characters from which a text can be told by either identifier."""

_RESIDUAL = {"email": 0.0005, "card": 0.001, "ip": 0.005, "phone": 0.005}
"""Share of documents that may still hold what a stage was to take out: a plain pattern takes some numbers of versions
and formulas for addresses and telephones."""


def language(evidence: Evidence) -> Outcome:
    """Labels of languages are those of an identifier that the recipe does not use, as far as it knows the language."""
    from pipeline.backends.language import Backend, find_model, identify

    drawn = evidence.sample
    first = fields(evidence.manifest.recipe, "language").get("backend", "fasttext")
    second: Backend = "langdetect" if first == "fasttext" else "fasttext"
    labels = drawn["lang"].to_pylist() if "lang" in drawn.column_names else []
    if not any(labels):
        return unknown("no document has a language")
    rows = [row for row, text in enumerate(evidence.texts()) if labels[row] and len(text) >= _CLEAR]
    try:
        model = find_model().path if second == "fasttext" else None
        seen, _ = identify([drawn["text"][row].as_py() for row in rows], backend=second, model=model)
    except MissingBackend as error:
        return unknown(str(error))
    except GristmillError as error:
        return unknown(f"there is no second identifier: {error}")
    known = _langdetect_languages() if second == "langdetect" else None
    counts: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    instead: dict[str, Counter[str]] = defaultdict(Counter)
    for row, label in zip(rows, seen, strict=True):
        given = labels[row]
        if known is None or given in known:
            counts[given] += 1
            agreed[given] += given == label
            instead[given].update([label] if label != given else [])
    columns: Columns = (
        *(("Labelled", "name"), ("Drawn", "count"), ("Same label", "count"), ("Share", "share")),
        *(("95% interval", "interval"), ("Else most often", "name")),
    )
    cells: list[tuple[Cell, ...]] = []
    for lang, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        other = instead[lang].most_common(1)[0][0] if instead[lang] else ""
        cells.append((lang, n, agreed[lang], agreed[lang] / n, wilson(agreed[lang], n), other))
    total, same = counts.total(), agreed.total()
    scope = f"{total:,} drawn documents of {_CLEAR} characters and more, in a language that {second} knows"
    grid = Grid(columns=columns, rows=tuple(cells))
    if not total:
        return unknown(f"{second} knows none of these languages", scope, sampled=True)
    low, high = wilson(same, total)
    said = f"{second} gives the same label to {same / total:.2%} ({low:.2%} – {high:.2%})"
    odd = [lang for lang, n in counts.items() if n >= _LEAST and wilson(agreed[lang], n)[1] < _AGREE_LANGUAGE]
    if high < _AGREE or odd:
        return fails(f"{said}{'; least for ' + ', '.join(odd) if odd else ''}", scope, grid, sampled=True)
    return holds(said, scope, grid, sampled=True)


def _langdetect_languages() -> frozenset[str]:
    from langdetect import detector_factory

    from pipeline.backends.language import normalise

    detector_factory.init_factory()
    return frozenset(normalise(name) for name in detector_factory._factory.langlist)


def rules(evidence: Evidence) -> Outcome:
    """The recipe's own row-local rules keep the documents that are there, and write what stands in their columns."""
    if not evidence.again:
        return unknown("the recipe's stages are not at hand")
    stages = evidence.again.stages()
    if not stages:
        return unknown("the recipe has no rule that judges texts as they are now")
    try:
        found = evidence.again.judge(evidence.sample)
    except GristmillError as error:
        return unknown(f"a stage cannot be asked: {' '.join(str(error).split())}")
    problems = [f"{one.stage}: {one.id} {one.what}" for one in found]
    well = f"{evidence.sample.num_rows:,} documents judged again by {', '.join(stages)}: all are kept"
    outcome = differ(problems, well, evidence.scope)
    return Outcome(outcome.status, outcome.said, outcome.scope, sampled=True)


_DETECTORS: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {}
"""By kind what may be personal data, and what a match must pass."""


def _email(match: str) -> bool:
    host = match.rsplit("@", 1)[1].lower()
    return not re.search(r"(^|\.)(example(\.[a-z]+)?|test|invalid|localhost)$", host)


def _address(match: str) -> bool:
    try:
        return IPv4Address(match).is_global
    except AddressValueError:
        return False


def _telephone(match: str) -> bool:
    return not re.search(r"55501\d\d$", re.sub(r"\D", "", match))


def _card_number(match: str) -> bool:
    digits = [int(c) for c in match if c.isdigit()]
    doubled = [d if at % 2 == 0 else d * 2 - 9 * (d > 4) for at, d in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 2 and sum(doubled) % 10 == 0


_DETECTORS |= {
    "email": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"), _email),
    "ip": (re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"), _address),
    "phone": (re.compile(r"(?<![\w+])\+\d{1,3}[ -]?\(?\d{1,4}\)?(?:[ -]?\d{2,4}){2,4}(?!\d)"), _telephone),
    "card": (re.compile(r"(?<![\d.])[3-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}(?![\d.])"), _card_number),
}


def personal_data(evidence: Evidence) -> Outcome:
    """What a second detector still finds of e-mail and network addresses, telephone and card numbers."""
    texts = evidence.texts()
    hits = {
        kind: sum(any(check(match[0]) for match in pattern.finditer(text)) for text in texts)
        for kind, (pattern, check) in _DETECTORS.items()
    }
    grid = residual("Kind", hits, len(texts))
    said = "; ".join(f"{kind} in {n:,} of {len(texts):,}" for kind, n in hits.items())
    claimed = _claimed_kinds(evidence)
    if claimed is None:
        return unknown(f"the card claims nothing; seen: {said}", evidence.scope, grid, sampled=True)
    odd = [kind for kind, n in hits.items() if kind in claimed and wilson(n, len(texts))[0] > _RESIDUAL[kind]]
    if odd:
        return fails(f"{', '.join(odd)} should be gone: {said}", evidence.scope, grid, sampled=True)
    return holds(said, evidence.scope, grid, sampled=True)


def _claimed_kinds(evidence: Evidence) -> frozenset[str] | None:
    """The kinds that the recipe takes out; None where it takes out none."""
    if "pii" not in {word for word, _ in entries(evidence.manifest.recipe)}:
        return None
    named = fields(evidence.manifest.recipe, "pii").get("kinds")
    return frozenset(_DETECTORS if named is None else named)


def residual(title: str, hits: dict[str, int], n: int) -> Grid:
    """How many of `n` drawn documents have each of what was looked for."""
    columns: Columns = (
        *((title, "name"), ("Documents that have it", "count"), ("Looked at", "count"), ("Share", "share")),
        ("95% interval", "interval"),
    )
    rows = tuple((name, hit, n, hit / (n or 1), wilson(hit, n)) for name, hit in hits.items())
    return Grid(columns=columns, rows=rows)
