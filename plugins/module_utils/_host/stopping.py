# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service stopped, and the proof: the unit is inactive, and no process is left in its control group."""

from __future__ import annotations

import time

from .._domain.errors import OpsError
from .._domain.unit_state import UnitState
from . import processes, units

_PAUSE_S = 0.1
_AFTER_KILL_S = 10.0  # a process that outlives SIGKILL for so long waits for a device


def left_of(state: UnitState) -> tuple[int, ...]:
    """Return the processes of a unit, those included that systemd left alone when it stopped it."""
    return processes.of_control_group(state.control_group)


def stop(before: UnitState, timeout_s: float) -> tuple[int, ...]:
    """Stop the unit and return the processes that had to be killed.

    timeout_s: after so many seconds what is left is killed. Raises OpsError service.not_stopped.
    """
    if before.runs:
        units.stop(before.name)
    if _gone(before, timeout_s):
        return ()
    killed = processes.of_control_group(before.control_group)
    units.kill(before.name)
    processes.kill(before.control_group)
    if not _gone(before, _AFTER_KILL_S):
        state, left = units.look(before.name), left_of(before)
        raise OpsError(
            f"{before.name} is {state.said()} {_AFTER_KILL_S:g} s after SIGKILL, with processes "
            f"{', '.join(map(str, left)) or 'none'}, expected it to be inactive with none",
            code="service.not_stopped",
            hint="look at these processes; one that outlives SIGKILL waits for a disk or a device. Nothing was started",
            after=state.as_result(),
        )
    return killed


def _gone(before: UnitState, timeout_s: float) -> bool:
    """Return whether nothing of the unit is left within so many seconds. Looks at least once."""
    end = time.monotonic() + timeout_s
    while True:
        state = units.look(before.name)
        # WHY both groups: a unit that ended has none any more, and one that was started anew has another.
        groups = {before.control_group, state.control_group}
        if not state.runs and not any(processes.of_control_group(group) for group in groups):
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(_PAUSE_S)
