# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that workers are handed what they need and nothing secret, and that every refusal has a way out."""

from __future__ import annotations

import ast
import marshal
import re
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.pkcs11_settings import Pkcs11Settings
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11 import bootstrap, failures
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.provider import Pkcs11Provider

FOLDER = Path(bootstrap.__file__).parent
SETTINGS = Pkcs11Settings("/usr/lib/hsm.so", "kek", pin="314159")


def test_every_worker_file_is_shipped_after_those_it_imports():
    shipped = []
    for name in bootstrap.SOURCES:
        imported = re.findall(r"^from \.(\w+) import|^from \. import (\w+)", (FOLDER / f"{name}.py").read_text(), re.M)
        assert {first or second for first, second in imported} <= set(shipped)
        shipped.append(name)

    assert sorted(shipped) == sorted(path.stem for path in FOLDER.glob("worker*.py"))


def test_ansiballz_sees_an_import_of_every_worker_file():
    tree = ast.parse(Path(bootstrap.__file__).read_text())
    seen = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert set(bootstrap.SOURCES) <= seen


def test_the_program_carries_the_sources_as_they_stand_on_disk():
    _first, sources = marshal.loads(bootstrap.program())

    assert list(sources) == [(name, (FOLDER / f"{name}.py").read_bytes()) for name in bootstrap.SOURCES]


def test_t29_no_thread_ever_touches_the_module():
    forbidden = {"threading", "concurrent", "multiprocessing", "_thread"}
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & forbidden, path.name


def test_every_code_that_a_worker_or_the_pool_names_has_a_way_out():
    codes = set()
    for path in FOLDER.glob("*.py"):
        codes |= set(re.findall(r'"((?:pkcs11|dependency|provider)\.[a-z_]+)"', path.read_text()))
    codes -= {"pkcs11.key_id"}

    assert codes <= set(failures._WAYS_OUT)


@pytest.mark.parametrize("code", failures._WAYS_OUT)
def test_a_failure_names_module_token_and_library_and_never_the_pin(code):
    error = failures.failure(SETTINGS, code, "module said: bad pin 314159", library="Vendor 1.2")

    assert error.code == code
    assert error.hint
    assert "/usr/lib/hsm.so" in error.message
    assert '"kek"' in error.message
    assert "Vendor 1.2" in error.message
    assert "314159" not in str(error.as_result())


def test_no_pin_shows_in_the_reprs():
    assert "314159" not in repr(SETTINGS)
    assert "314159" not in repr(Pkcs11Provider(SETTINGS))
