# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch, as timers of systemd 252 show it in each of its states."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.switch_state import names, switch_state
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.systemd_show import blocks

NONE = {name: {"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead"} for name in names("back")}
TIMER, SERVICE, TIMER_AGAIN, _SERVICE_AGAIN = names("back")
WAITING = {"LoadState": "loaded", "ActiveState": "active", "SubState": "waiting", "NextElapseUSecMonotonic": "2min 10s",
           "LastTriggerUSecMonotonic": "0"}  # fmt: skip
QUIET = {"LoadState": "loaded", "ActiveState": "inactive", "SubState": "dead", "ExecMainStartTimestampMonotonic": "0"}


def switch(**units):
    known = {**NONE, **{name.replace("_", "."): values for name, values in units.items()}}
    text = "\n\n".join(
        "\n".join(f"{key}={value}" for key, value in {"Id": unit, **known[unit]}.items()) for unit in known
    )
    return switch_state("back", blocks(text), now=100.0)


def test_none_is_neither_armed_nor_fired():
    state = switch()

    assert (state.armed, state.fired, state.left_s, state.free) == ((), False, None, "back")


def test_an_armed_one_tells_what_is_left_and_leaves_the_other_slot_free():
    state = switch(back_timer=WAITING, back_service=QUIET)

    assert ([slot.name for slot in state.armed], state.fired, state.left_s, state.free) == (
        ["back"],
        False,
        30.0,
        "back-again",
    )
    assert state.as_result() == {"armed": True, "fired": False, "left_s": 30}


@pytest.mark.parametrize(
    ("timer", "service"),
    [
        ({**WAITING, "SubState": "running"}, {**QUIET, "ActiveState": "activating"}),
        ({**WAITING, "SubState": "elapsed", "NextElapseUSecMonotonic": "infinity"}, {**QUIET, "ActiveState": "active"}),
        ({**WAITING, "LastTriggerUSecMonotonic": "1min 59s"}, QUIET),
        (NONE[TIMER], {**QUIET, "ActiveState": "active", "SubState": "exited"}),
        (NONE[TIMER], {**QUIET, "ActiveState": "failed", "SubState": "failed"}),
        (NONE[TIMER], {**QUIET, "ExecMainStartTimestampMonotonic": "119000000"}),
    ],
    ids=["running", "elapsed", "triggered", "service ran", "service failed", "service began"],
)
def test_one_that_fired_is_known_by_its_timer_or_by_its_service(timer, service):
    state = switch(back_timer=timer, back_service=service)

    assert (state.fired, state.armed) == (True, ())


def test_of_two_that_are_armed_the_sooner_one_counts_and_the_later_slot_is_used_anew():
    later = {**WAITING, "NextElapseUSecMonotonic": "3min 10s"}
    units = {TIMER: WAITING, SERVICE: QUIET, TIMER_AGAIN: later}

    state = switch(**{name.replace(".", "_"): values for name, values in units.items() if name != TIMER_AGAIN},
                   **{"back-again_timer": later})  # fmt: skip

    assert (len(state.armed), state.left_s, state.free) == (2, 30.0, "back-again")
