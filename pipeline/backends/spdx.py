"""What a licence is called in SPDX, by the addresses and names under which it is known; nothing is guessed.

A licence without its version (`gnu.org/licenses/gpl.html`, "BSD License") is none of SPDX's and stays as it was stated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache


def by_link(link: str) -> str | None:
    """The identifier of the licence at a web address; None where the address is not known for one."""
    for pattern, identifier in _PAGES:
        if found := pattern.search(link):
            return by_name(identifier(found))
    return None


def by_name(name: str) -> str | None:
    """The identifier that is meant by one: in any case, `CC BY-SA 4.0` and deprecated ones such as `GPL-3.0` too."""
    stated = " ".join(name.split()).lower()
    if found := re.fullmatch(r"cc[ -]?(by(?:[ -][a-z]{2})*|0)[ -](\d\.\d)(?: [a-z ]+)?", stated):
        stated = f"cc{'0' if found[1] == '0' else '-' + found[1].replace(' ', '-')}-{found[2]}"
    return _identifiers().get(stated)


def by_classifier(classifier: str) -> str | None:
    """The identifier of a trove classifier, by its last part; None where it names no version or no licence."""
    return _CLASSIFIERS.get(classifier) or by_name(classifier.removesuffix(" License"))


@cache
def _identifiers() -> Mapping[str, str]:
    """Identifiers by themselves in lower case, deprecated ones included."""
    from license_expression import get_spdx_licensing

    known = get_spdx_licensing().known_symbols
    aliases = {alias.lower(): key for key, symbol in known.items() for alias in symbol.aliases if " " not in alias}
    versioned = {alias: key for alias, key in aliases.items() if re.search(r"\d", alias)}
    return versioned | {key.lower(): key for key in known}


def _gnu(found: re.Match[str]) -> str:
    family = "gfdl" if found["family"] == "fdl" else found["family"]
    return f"{family}-{found['version']}".lower()


_Identifier = Callable[[re.Match[str]], str]
_PAGES: tuple[tuple[re.Pattern[str], _Identifier], ...] = tuple(
    (re.compile(rf"^(?:https?:)?//(?:www\.)?{pattern}", re.IGNORECASE), identifier)
    for pattern, identifier in (
        (
            r"(?:spdx\.org/licenses|opensource\.org/licenses?|choosealicense\.com/licenses)/"
            r"(?P<id>[\w.+-]+?)(?:-license)?(?:\.html|\.php|\.txt|\.json)?/?$",
            lambda found: found["id"],
        ),
        (r"gnu\.org/(?:copyleft|licenses)/(?:old-licenses/)?(?P<family>a?gpl|lgpl|fdl)-(?P<version>\d\.\d)\b", _gnu),
        (r"apache\.org/licenses/LICENSE-(?P<v>\d\.\d)", lambda found: f"apache-{found['v']}"),
        (r"mozilla\.org/(?:[a-z-]+/)?MPL/(?P<v>\d\.\d)", lambda found: f"mpl-{found['v']}"),
        (r"eclipse\.org/(?:legal|org/documents)/epl-(?:v(?P<v>\d)0|2\.0)", lambda found: f"epl-{found['v'] or '2'}.0"),
        (r"opendatacommons\.org/licenses/by/(?:1[.-]0/?)?$", lambda _: "odc-by-1.0"),
        (r"opendatacommons\.org/licenses/(?P<name>odbl|pddl)/(?:1[.-]0/?)?$", lambda found: f"{found['name']}-1.0"),
        (
            r"nationalarchives\.gov\.uk/doc/open-government-licence/version/(?P<v>\d)",
            lambda found: f"ogl-uk-{found['v']}.0",
        ),
        (r"boost\.org/LICENSE_1_0\.txt", lambda _: "bsl-1.0"),
        (r"unlicense\.org/?(?:UNLICENSE)?$", lambda _: "unlicense"),
        (r"wtfpl\.net/", lambda _: "wtfpl"),
        (r"(?:scripts\.sil\.org/OFL|openfontlicense\.org)", lambda _: "ofl-1.1"),
        (r"artlibre\.org/licence/lal", lambda _: "lal-1.3"),
    )
)

_CLASSIFIERS: Mapping[str, str] = {
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.1 (EUPL 1.1)": "EUPL-1.1",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "ISC License (ISCL)": "ISC",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "zlib/libpng License": "Zlib",
}
"""By the last part of the classifier, for those that name one licence and its version."""
