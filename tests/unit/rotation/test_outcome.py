# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation returns: the counts of a run are those of all its slices together."""

from __future__ import annotations

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.rotation import Plan, Share
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.rotation_states import State
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation.outcome import Outcome

PLAN = Plan(2, (1, 3), compromised=False, active=1, envelopes={1: 40, 2: 5, 3: 5}, catalogue="")


def test_retries_and_proofs_add_up_and_the_bound_is_that_of_all_slices_together():
    share = Share(1000, 1, 1000, 50, 2).plus(Share(1000, 2, 1000, 50, 1))

    shown = Outcome.of_plan(PLAN, State.COMPLETE, 0, share, prove_wraps="sample").as_result()

    assert (shown["rewrapped"], shown["conflicts"], shown["retries"]) == (2000, 3, 3)
    assert shown["proof"] == {"verify": "sample", "made": 2000, "opened": 100, "bad_at_most": 0.029513}


def test_a_diff_shows_what_the_plan_found_and_what_is_left_of_it():
    assert PLAN.before == {"active": 1, "envelopes": {"1": 40, "2": 5, "3": 5}}
    assert PLAN.after(1, 15, 50) == {"active": 1, "envelopes": {"2": 35, "1, 3": 15}}
    assert PLAN.after(2, 0, 50) == {"active": 2, "envelopes": {"2": 50}}
