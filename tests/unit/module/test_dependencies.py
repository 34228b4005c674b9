# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Libraries: missing and too old ones are named with what an operator needs to repair them."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._module import dependencies

ROOT = Path(__file__).resolve().parents[3]


def refusal(module):
    with pytest.raises(OpsError) as caught:
        dependencies.require(module)
    return caught.value


def test_the_libraries_of_this_environment_are_new_enough():
    dependencies.require(*dependencies.LIBRARIES)


@pytest.mark.parametrize("module", dependencies.LIBRARIES)
def test_a_missing_library_is_named_with_its_minimum_and_the_interpreter(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)

    error = refusal(module)

    project, minimum = dependencies.LIBRARIES[module]
    assert error.code == "dependency.missing"
    assert f"{project} >= {minimum}" in error.message
    assert sys.executable in error.message


@pytest.mark.parametrize("module", dependencies.LIBRARIES)
def test_an_old_library_is_named_with_its_version_and_path(module, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda _project: "0.1rc1")

    error = refusal(module)

    assert error.code == "dependency.too_old"
    assert "0.1rc1" in error.message
    assert str(sys.modules[module].__file__) in error.message


@pytest.mark.parametrize(("found", "enough"), [("45", True), ("44.0.1", True), ("100.1", True), ("44.0.0", False)])
def test_versions_are_compared_as_numbers(found, enough, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda _project: found)

    if enough:
        dependencies.require("cryptography")
    else:
        assert refusal("cryptography").code == "dependency.too_old"


def test_a_package_without_metadata_is_judged_by_its_own_version(monkeypatch):
    def absent(project):
        raise importlib.metadata.PackageNotFoundError(project)

    monkeypatch.setattr(importlib.metadata, "version", absent)

    dependencies.require("cryptography")


def test_requirements_txt_says_the_same_minimums():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    bounds = dict(re.fullmatch(r"([\w-]+) ?>= ?([\d.]+).*", line).groups() for line in lines if line[:1].isalpha())

    assert bounds == dict(dependencies.LIBRARIES.values())
