# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of the interpreter: what it says, and that each module makes it before an old Python can stumble."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._module import interpreter

from tests.support import old_python

ROOT = Path(__file__).resolve().parents[3]
UTILS = ROOT / "plugins/module_utils"
OURS = "ansible_collections.certautopilot.ops.plugins.module_utils"
MODULES = sorted(path for path in (ROOT / "plugins/modules").glob("[!_]*.py") if "def main" in path.read_text("utf-8"))
BEFORE_THE_CHECK = [UTILS / "_module/__init__.py", UTILS / "_module/interpreter.py"]  # Ansible makes up those above
OLDEST = (3, 8)  # ansible-core 2.18 and later start no module with an older one


def imports_of(path):
    """Return what a file imports, in order, as text: `a.b` for both `import a.b` and `from a.b import c`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.lineno, "." * node.level + (node.module or node.names[0].name)))
    return [name for _line, name in sorted(found)]


@pytest.mark.parametrize("found", [(3, 11), (3, 12), (3, 14), (4, 0)])
def test_a_python_that_is_new_enough_is_no_failure(found):
    assert interpreter.failure(found, "", "") == {}


@pytest.mark.parametrize("found", [(3, 10), (3, 9), (3, 8), (2, 7)])
def test_an_old_python_is_named_with_what_is_expected_and_the_way_out(found):
    version = f"{found[0]}.{found[1]}.7"

    result = interpreter.failure(found, version, "/usr/bin/python3")

    assert result["msg"] == (
        f"the interpreter of this module, /usr/bin/python3, is Python {version}, expected Python 3.11 or newer"
    )
    assert "certautopilot.ops.runtime" in result["failure"].pop("hint")
    assert result["failure"] == {"code": "dependency.python_too_old", "step": "", "retryable": False}


def test_on_an_old_python_the_package_ends_the_process_as_a_failed_module_does(tmp_path):
    old = old_python.stand_in(tmp_path / "old")
    place = f"import sys; sys.path.insert(0, {str(ROOT / '.build/collections')!r});"

    line = [old.command, "-c", f"{place} import {OURS}._module.base"]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)  # runs: python3 (the stand-in)

    assert ended.returncode == 1
    assert json.loads(ended.stdout)["failure"]["code"] == "dependency.python_too_old"
    assert ended.stderr == ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_the_package_that_checks_before_anything_else(path):
    first, second, *_others = imports_of(path)

    assert first == "__future__"
    assert second.startswith(f"{OURS}._module.")


@pytest.mark.parametrize("path", [*BEFORE_THE_CHECK, *MODULES], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_runs_before_the_check_is_understood_by_the_oldest_python_that_ansible_starts(path):
    ast.parse(path.read_text(encoding="utf-8"), feature_version=OLDEST)


def test_what_is_a_module_was_found():
    assert len(MODULES) == 28


def test_the_check_needs_nothing_of_the_collection():
    imported = {name for path in BEFORE_THE_CHECK for name in imports_of(path)}

    assert imported == {"__future__", "json", "sys", ".interpreter"}


def test_documentation_and_config_ask_for_the_same_python():
    needed = ".".join(map(str, interpreter.NEEDED))

    assert f'python_requires: ">={needed}"' in (ROOT / "tests/config.yml").read_text(encoding="utf-8")
    assert f"- python >= {needed}" in (ROOT / "plugins/doc_fragments/_mongodb.py").read_text(encoding="utf-8")
