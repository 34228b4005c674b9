# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bill of materials names what a release brings to hosts, all of it and nothing else, and can be made again."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.support.repository import ROOT

LOCK = ROOT / "roles/runtime/files/lock.txt"


@pytest.fixture(scope="module")
def made():
    command = [sys.executable, ROOT / ".ci/sbom.py"]
    first, second = (subprocess.run(command, capture_output=True, check=True).stdout for _run in range(2))
    assert first == second, "the same lock gives the same bytes"
    return json.loads(first)


def test_it_is_cyclonedx_of_this_collection(made):
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["serialNumber"])
    assert made["metadata"]["component"]["name"] == "ops"


def test_every_library_of_the_lock_is_in_it_with_every_hash(made):
    text = LOCK.read_text()
    locked = {
        (re.sub(r"[-_.]+", "-", name).lower(), version)
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)
    }

    assert {(one["name"], one["version"]) for one in made["components"]} == locked
    hashes = [p["value"] for one in made["components"] for p in one["properties"] if p["name"] == "file:sha256"]
    assert sorted(hashes) == sorted(re.findall(r"sha256:([0-9a-f]{64})", text))


def test_what_the_collection_asks_for_itself_is_told_apart(made):
    (ours,) = made["dependencies"]
    refs = {one["bom-ref"] for one in made["components"]}

    assert set(ours["dependsOn"]) < refs
    assert {ref.split("/")[1].split("@")[0] for ref in ours["dependsOn"]} == {
        "pymongo", "cryptography", "python-pkcs11", "pyyaml", "pyrage",
    }  # fmt: skip
