# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet gate: loaded, proven, behind, empty."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.fleet_gate import (
    proof_of,
    refusal,
    who_loaded,
    who_writes_with,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.heartbeat import Process

DEK = b"d" * 32


def process(name, *, live=True, loaded=(1, 2), current=1, proofs=None):
    return Process(name, live, tuple(loaded), current, proofs or {})


def test_a_fleet_that_has_loaded_the_version_is_ready_though_it_does_not_write_with_it_yet():
    verdict = who_loaded([process("a"), process("b")], 2, None)

    assert (verdict.ready, verdict.live) == (True, 2)
    assert refusal(verdict, allow_empty_fleet=False) is None


def test_a_process_without_the_version_is_named_and_a_dead_one_is_not_counted():
    verdict = who_loaded([process("a", loaded=(1,)), process("dead", loaded=(1,), live=False)], 2, None)

    refused = refusal(verdict, allow_empty_fleet=True)
    assert [name for name, _why in verdict.behind] == ["a"]
    assert refused.code == "fleet.not_ready"
    assert refused.retryable
    assert "a has loaded [1], not 2" in refused.message


def test_a_proof_is_checked_and_a_wrong_key_under_the_right_version_is_named():
    good = process("good", proofs={"2": proof_of(DEK, "good")})
    wrong = process("wrong", proofs={"2": proof_of(b"x" * 32, "wrong")})
    copied = process("copied", proofs={"2": proof_of(DEK, "good")})

    verdict = who_loaded([good, wrong, copied], 2, DEK)

    assert verdict.proven == ("good",)
    assert [name for name, _why in verdict.behind] == ["wrong", "copied"]


@pytest.mark.parametrize(("allowed", "code"), [(False, "fleet.empty"), (True, None)])
def test_an_empty_fleet_is_an_error_unless_allowed(allowed, code):
    refused = refusal(who_loaded([], 2, None), allow_empty_fleet=allowed)

    assert (refused.code if refused else None) == code


def test_settling_looks_at_what_is_written_with():
    verdict = who_writes_with([process("a", current=2), process("slow", current=1)], 2)

    assert [name for name, _why in verdict.behind] == ["slow"]
