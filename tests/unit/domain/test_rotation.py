# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation's record: a plan comes back as it was written, and a record that lacks something is no reason to stop."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.rotation import (
    Plan,
    Share,
    from_document,
    plan_document,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.rotation_states import State
from hypothesis import given
from hypothesis import strategies as st

VERSIONS = st.integers(1, 2**31)
PLANS = st.builds(
    Plan,
    to_version=VERSIONS,
    from_versions=st.lists(VERSIONS, unique=True).map(tuple),
    compromised=st.booleans(),
    active=VERSIONS,
    envelopes=st.dictionaries(VERSIONS, st.integers(0, 2**40)),
    catalogue=st.text("0123456789abcdef"),
    layout=st.sampled_from(["binary/iv-first/aad-record-field", "hex/iv-shared/aad-none"]),
    number=st.integers(1, 2**40),
)


@given(PLANS)
def test_a_plan_comes_back_as_it_was_written(plan):
    read = from_document({"_id": plan.name, "state": "rewrapping", **plan_document(plan)})

    assert read.plan == plan
    assert (read.name, read.state) == (f"to-{plan.to_version}", State.REWRAPPING)


@pytest.mark.parametrize("stored", [None, "", "a word of a later version", 7])
def test_a_state_that_nobody_knows_is_planned_anew(stored):
    read = from_document({"_id": "to-2", "state": stored})

    assert (read.state, read.plan) == (State.PLANNING, None)


def test_a_record_of_an_earlier_version_is_read_without_a_plan():
    old = {"_id": "to-2", "state": "rewrapping", "to_version": 2, "from_versions": [1], "token": 4, "remaining": 3}

    read = from_document(old)

    assert (read.state, read.plan, read.token, read.from_versions) == (State.REWRAPPING, None, 4, (1,))
    assert read.share("ab") == Share()


def test_what_runs_did_is_told_apart():
    runs = {"ab": {"rewrapped": 3, "made": 4}, "cd": {"rewrapped": 5, "retries": 1}}

    read = from_document({"_id": "to-2", "state": "rewrapping", "planned": 9, "moved": 8, "runs": runs})

    assert read.share("ab") == Share(rewrapped=3, made=4)
    assert read.share("cd").plus(Share(rewrapped=1)) == Share(rewrapped=6, retries=1)
    assert read.remaining == 1
