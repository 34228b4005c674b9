# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failure looks like to a playbook."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError


def test_a_failure_carries_message_code_step_and_hint_and_its_facts():
    error = OpsError("found 3, expected 1", code="a.b", hint="do this", retryable=True, failures=[1]).at("wrap")

    assert error.as_result() == {
        "msg": "found 3, expected 1",
        "failure": {"code": "a.b", "step": "wrap", "retryable": True, "hint": "do this"},
        "failures": [1],
    }


def test_the_step_closest_to_the_fault_is_kept():
    assert OpsError("m", code="c", hint="h", step="inner").at("outer").step == "inner"


PLUGINS = Path(__file__).parents[3] / "plugins"
FOREIGN = {"_store/connection.py"}  # the server's own numbers


def compared_codes(source):
    """Return line numbers at which the attribute `code` is compared, looked up or matched."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, (ast.Subscript, ast.Match)):
            parts = [node.slice if isinstance(node, ast.Subscript) else node.subject]
        else:
            continue
        if any(isinstance(part, ast.Attribute) and part.attr == "code" for part in parts):
            found.append(node.lineno)
    return found


def test_a_caller_reacts_to_the_type_of_an_error_and_compares_no_code():
    sources = [path for path in PLUGINS.rglob("*.py") if not any(str(path).endswith(place) for place in FOREIGN)]

    offenders = [f"{path.relative_to(PLUGINS)}:{line}" for path in sources for line in compared_codes(path.read_text())]

    assert offenders == []


@pytest.mark.parametrize(
    "source",
    [
        'if error.code == "a.b": pass',
        "again = error.code not in AGAIN",
        "HINTS[error.code]",
        "match error.code:\n case 1: pass",
    ],
)
def test_a_comparison_is_found_however_it_is_written(source):
    assert compared_codes(source) == [1]
