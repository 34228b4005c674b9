# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever looks for the tests of a module finds a file of its name here, or is told where they are."""

from __future__ import annotations

from tests.support.repository import ROOT

ELSEWHERE = {
    "bundle_transfer": "tests/unit/action/test_bundle_transfer.py",
    "in_step": "tests/integration/test_refused_plays.py",
    "require": "tests/integration/test_require.py",
}


def test_each_module_has_a_file_of_tests():
    modules = {path.stem for path in ROOT.glob("plugins/modules/*.py")} - {"__init__"}
    found = {name for name in modules if (ROOT / f"tests/unit/modules/test_{name}.py").exists()}
    found |= {name for name, path in ELSEWHERE.items() if name in (ROOT / path).read_text()}

    assert modules - found == set()
