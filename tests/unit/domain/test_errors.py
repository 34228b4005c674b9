# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failure looks like to a playbook."""

from __future__ import annotations

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError


def test_a_failure_carries_message_code_step_and_hint_and_its_facts():
    error = OpsError("found 3, expected 1", code="a.b", hint="do this", retryable=True, failures=[1]).at("wrap")

    assert error.as_result() == {
        "msg": "found 3, expected 1",
        "failure": {"code": "a.b", "step": "wrap", "retryable": True, "hint": "do this"},
        "failures": [1],
    }


def test_the_step_closest_to_the_fault_stands():
    assert OpsError("m", code="c", hint="h", step="inner").at("outer").step == "inner"
