from __future__ import annotations

import pytest

from pipeline.backends.spdx import by_classifier, by_link, by_name


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://opensource.org/license/bsd-3-clause", "BSD-3-Clause"),
        ("https://spdx.org/licenses/GPL-2.0-or-later.html", "GPL-2.0-or-later"),
        ("https://www.gnu.org/licenses/old-licenses/fdl-1.2.html", "GFDL-1.2-only"),
        ("http://www.gnu.org/copyleft/gpl.html", None),
        ("http://www.apache.org/licenses/LICENSE-2.0", "Apache-2.0"),
        ("https://www.mozilla.org/en-US/MPL/2.0/", "MPL-2.0"),
        ("https://www.eclipse.org/legal/epl-v10.html", "EPL-1.0"),
        ("https://opendatacommons.org/licenses/odbl/1-0/", "ODbL-1.0"),
        ("https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/", "OGL-UK-3.0"),
        ("https://opensource.org/licenses/alphabetical", None),
        ("https://example.org/opensource.org/licenses/MIT", None),
    ],
)
def test_addresses(link: str, expected: str | None) -> None:
    assert by_link(link) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mit", "MIT"),
        ("GPL-3.0", "GPL-3.0-only"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("cc by 4.0 International", "CC-BY-4.0"),
        ("CC0 1.0", "CC0-1.0"),
        ("GPL", None),
        ("BSD", None),
        ("All rights reserved", None),
        ("", None),
    ],
)
def test_names(name: str, expected: str | None) -> None:
    assert by_name(name) == expected


def test_classifiers_with_a_version_only() -> None:
    assert by_classifier("Mozilla Public License 2.0 (MPL 2.0)") == "MPL-2.0"
    assert by_classifier("GNU General Public License v3 or later (GPLv3+)") == "GPL-3.0-or-later"
    assert by_classifier("MIT License") == "MIT"
    assert by_classifier("BSD License") is None and by_classifier("GNU General Public License (GPL)") is None


def test_every_identifier_is_one_of_spdx() -> None:
    from pipeline.backends.spdx import _CLASSIFIERS

    assert all(by_name(identifier) == identifier for identifier in _CLASSIFIERS.values())
