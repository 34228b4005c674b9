# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A filter's page says what the filter takes: ansible-doc reads it, its options are the function's parameters."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "plugins" / "filter"
PLUGINS = "ansible_collections.certautopilot.ops.plugins"


def filters():
    """Return name -> function of every filter of the collection."""
    found = {}
    for path in FOLDER.glob("*.py"):
        found |= importlib.import_module(f"{PLUGINS}.filter.{path.stem}").FilterModule().filters()
    return found


@cache
def pages():
    names = [f"certautopilot.ops.{name}" for name in sorted(filters())]
    asked = [sys.executable, "-m", "ansible", "doc", "-t", "filter", "-j", *names]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections")}
    return json.loads(subprocess.run(asked, check=True, capture_output=True, text=True, env=environment).stdout)


def test_there_is_a_page_for_every_filter_and_no_other():
    assert sorted(path.stem for path in FOLDER.glob("*.yml")) == sorted(filters())
    assert len(pages()) == len(filters()) > 0


@pytest.mark.parametrize("name", sorted(filters()))
def test_the_documented_options_are_the_parameters(name):
    options = pages()[f"certautopilot.ops.{name}"]["doc"]["options"]
    first, *rest = inspect.signature(filters()[name]).parameters.values()

    assert set(options) == {"_input", *(parameter.name for parameter in rest)}
    for parameter in rest:
        stated = options[parameter.name]
        assert stated.get("required", False) == (parameter.default is parameter.empty)
        assert stated.get("default", parameter.empty) == parameter.default
    assert first.default is first.empty


@pytest.mark.parametrize("name", sorted(filters()))
def test_a_page_has_an_example_with_the_full_name_and_a_described_value(name):
    page = pages()[f"certautopilot.ops.{name}"]

    assert f"certautopilot.ops.{name}" in page["examples"]
    assert page["return"]["_value"]["description"]
