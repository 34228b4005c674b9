# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which wraps are opened again, and what a clean sample is worth."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.wrap_proof import ONE_IN, Proof


def test_all_opens_every_wrap_and_excludes_every_bad_one():
    proof = Proof("all")
    chosen = proof.choose(40)
    proof.note(40, chosen)

    assert chosen is None
    assert proof.as_result() == {"verify": "all", "made": 40, "opened": 40, "bad_at_most": 0.0}


def test_none_opens_nothing_and_claims_nothing():
    proof = Proof("none")
    proof.note(40, proof.choose(40))

    assert proof.as_result() == {"verify": "none", "made": 40, "opened": 0, "bad_at_most": None}


@pytest.mark.parametrize("count", [1, ONE_IN, ONE_IN + 1, 500])
def test_a_sample_is_one_in_twenty_and_never_nothing(count):
    chosen = Proof("sample").choose(count)

    assert len(chosen) == -(-count // ONE_IN)
    assert all(0 <= index < count for index in chosen)


def test_a_sample_is_another_one_each_time():
    proof = Proof("sample")

    assert len({tuple(sorted(proof.choose(1000))) for _number in range(5)}) > 1


def test_the_bound_is_the_rule_of_three_for_large_samples():
    proof = Proof("sample")
    proof.note(60000, range(3000))

    assert proof.as_result()["bad_at_most"] == pytest.approx(3 / 3000, rel=0.01)
