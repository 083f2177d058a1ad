"""Licences: the words of the Hub, the identifiers of SPDX, and what a licence of documents asks of the whole."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_HUB_LICENSES = (
    " afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc0-1.0 "
    "cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 "
    "cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 "
    "cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 "
    "gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 "
    "osl-3.0 pddl postgresql unknown unlicense wtfpl zlib "
)
_SPDX_TO_HUB = {
    "odc-by-1.0": "odc-by",
    "odbl-1.0": "odbl",
    "pddl-1.0": "pddl",
    "lgpllr": "lgpl-lr",
    "c-uda-1.0": "c-uda",
}
_HUB_TO_SPDX = {
    "odc-by": "ODC-By-1.0",
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
    "lgpl-lr": "LGPLLR",
    "c-uda": "C-UDA-1.0",
}
_NOTHING_STATED = frozenset({"", "unknown", "other", "none", "noassertion"})


def hub_license(name: str | None) -> dict[str, str]:
    """The Hub's licence keys for an SPDX or Hub identifier: what the Hub does not list is `other`, under its name."""
    if not name:
        return {"license": "unknown"}
    bare = re.sub(r"^(a?gpl|lgpl|gfdl)(-[0-9.]+)-(only|or-later)$", r"\1\2", name.strip().lower())
    bare = "gfdl" if bare.startswith("gfdl-") else _SPDX_TO_HUB.get(bare, bare)
    if f" {bare} " in _HUB_LICENSES:
        return {"license": bare}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") or "unnamed"}


def spdx(name: str | None) -> str | None:
    """The SPDX expression that is meant, identifiers in their spelling; None for what is none.

    The Hub's words count (`odc-by`), and so does a `LicenseRef-` of one's own; `unknown` and `NOASSERTION` do not.
    """
    stated = (name or "").strip()
    if stated.lower() in _NOTHING_STATED:
        return None
    if re.fullmatch(r"LicenseRef-[A-Za-z0-9.-]+", stated):
        return stated
    stated = _HUB_TO_SPDX.get(stated.lower(), stated)
    try:
        return str(_licensing().parse(stated, validate=True)) or None
    except _parse_errors():
        return None


def conflicts(documents: str | None, whole: str | None) -> str | None:
    """What a licence of documents asks and the licence of the compilation does not: a fact to look at, no judgement."""
    named = {part.lower() for part in re.findall(r"[A-Za-z0-9.+-]+", documents or "")}
    compilation = (whole or "").lower()
    for name in sorted(named):
        if "-nc" in name and "-nc" not in compilation:
            return "non-commercial use only"
        if "-nd" in name:
            return "no derivatives"
        if ("-sa" in name or re.match(r"(a?gpl|lgpl|gfdl)-", name)) and not compilation.startswith(name[:7]):
            return "the same licence for what is made of it"
    return None


@cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def _parse_errors() -> tuple[type[Exception], ...]:
    from license_expression import ExpressionError, ParseError

    return (ExpressionError, ParseError)
