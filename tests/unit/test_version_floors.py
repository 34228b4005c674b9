# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No version with a known hole is let in: lowest versions are at the fixes, and no lock is below them (X34)."""

from __future__ import annotations

import re

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.repository import ROOT

# Name -> (first version without it, which hole). A new one is added here, and then the floors follow.
FIXED = {
    "ansible-core": ("2.18.1", "CVE-2024-11079: unsafe content of facts and hostvars could be run"),
    "cryptography": ("44.0.1", "CVE-2024-12797: OpenSSL in its wheels skipped authentication of raw public keys"),
    "pymongo": ("4.6.3", "CVE-2024-5629: bytes beyond a document could be read in bson"),
    "pyyaml": ("5.4", "CVE-2020-14343: code could be run by full_load"),
}
LOWEST = ("requirements.txt", "meta/ee-requirements.txt")
FILES = (*ROOT.glob("requirements/dev-*.txt"), ROOT / "roles/runtime/files/lock.txt")
LOCKS = sorted(path.relative_to(ROOT) for path in FILES)


def lower_bounds(text):
    """Return name -> lowest version of lines that are requirements."""
    wanted = [Requirement(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {one.name.lower(): Version(next(iter(one.specifier)).version) for one in wanted}


@pytest.mark.parametrize("name", LOWEST)
def test_x34_the_lowest_versions_have_no_known_hole(name):
    bounds = lower_bounds((ROOT / name).read_text())

    assert {"cryptography", "pymongo", "pyyaml"} <= bounds.keys()
    assert [one for one, lowest in bounds.items() if one in FIXED and lowest < Version(FIXED[one][0])] == []


def test_x34_no_ansible_core_with_a_known_hole_is_admitted():
    wanted = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"]

    assert Version(wanted.removeprefix(">=")) >= Version(FIXED["ansible-core"][0])


@pytest.mark.parametrize("path", LOCKS, ids=str)
def test_x34_no_lock_has_a_version_below_the_fixes_and_each_file_has_its_hash(path):
    text = (ROOT / path).read_text()
    locked = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE))

    assert {"pymongo", "cryptography"} <= locked.keys()
    assert [
        name for name, version in locked.items()
        if name.lower() in FIXED and Version(version) < Version(FIXED[name.lower()][0])
    ] == []  # fmt: skip
    assert text.count("--hash=sha256:") >= len(locked)
