# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a rotation and the moves between them: one way forward, and no way back after the swap."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import rotation_states
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.rotation_states import MOVES, State


def reachable(state):
    """Return every state that moves lead to from here."""
    found, waiting = set(), [state]
    while waiting:
        new = set(MOVES[waiting.pop()]) - found
        found |= new
        waiting += new
    return found


def test_every_state_has_its_moves_and_its_reason():
    assert set(MOVES) == set(State)
    assert [state for state in State if f"\n {state} " not in rotation_states.__doc__] == []


@pytest.mark.parametrize("state", [state for state in State if not state.ended])
def test_every_unfinished_rotation_can_be_completed(state):
    assert State.COMPLETE in reachable(state)


def test_nothing_leads_to_the_swap_but_a_verification():
    assert [state for state in State if State.SWAPPING in MOVES[state]] == [State.VERIFYING]
    assert [state for state in State if State.READY in MOVES[state]] == [State.VERIFYING]


def test_from_ready_everything_is_verified_again():
    assert MOVES[State.READY] == (State.REWRAPPING,)


def test_after_the_swap_there_is_no_way_back():
    assert reachable(State.SETTLING) == {State.COMPLETE}


def test_what_has_ended_stays_so():
    assert {state: MOVES[state] for state in State if state.ended} == {State.COMPLETE: (), State.CANCELLED: ()}


def test_a_result_shows_the_states_that_a_run_can_end_in():
    assert {state.shown for state in State} == {
        State.REWRAPPING, State.READY, State.SETTLING, State.COMPLETE, State.CANCELLED
    }  # fmt: skip
