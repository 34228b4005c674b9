# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every code that the collection can fail with is in the guide, and the guide lists no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("module_utils", "plugin_utils", "action")
GUIDE = ROOT / "docs" / "docsite" / "rst" / "guide_failure_codes.rst"
CODE = re.compile(r"[a-z0-9_]+\.[a-z_]+")


def listed():
    return re.findall(r"^``([a-z0-9_.]+)``$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def sources():
    return [path for folder in SOURCES for path in (ROOT / "plugins" / folder).rglob("*.py")]


def used():
    """Codes in the source: string constants shaped like one whose area the guide knows, and env_kek's short names."""
    areas = {code.partition(".")[0] for code in listed()}
    found = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and _is_code(node.value, areas):
                found.add(node.value)
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                found.add(node.value.value)
    return found


def _is_code(value, areas):
    if not isinstance(value, str) or not CODE.fullmatch(value) or value.endswith((".zip", ".json", ".pem")):
        return False
    return value.partition(".")[0] in areas


def test_every_code_of_the_source_is_in_the_guide():
    assert sorted(used() - set(listed())) == []


def test_the_guide_lists_no_code_twice():
    assert len(listed()) == len(set(listed()))


def test_the_guide_lists_no_code_that_the_source_does_not_know():
    text = "\n".join(p.read_text(encoding="utf-8") for p in sources())

    unknown = [code for code in listed() if code not in text and f'"{code.partition(".")[2]}"' not in text]

    assert unknown == []
