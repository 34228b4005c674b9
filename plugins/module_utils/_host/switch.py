# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The return switch on this host: a transient timer of systemd that starts a unit unless it is taken back.

It runs without Ansible, the controller and the network: that is its point. A reboot removes it; then what is enabled
starts at boot.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from .._domain.errors import OpsError
from .._domain.switch_state import PROPERTIES, Slot, SwitchState, names, switch_state
from . import programs, units


def look(name: str) -> SwitchState:
    """Return the switch as it is now."""
    shown = units.show(names(name), PROPERTIES)
    return switch_state(name, shown, time.clock_gettime(time.CLOCK_MONOTONIC))


def arm(before: SwitchState, unit: str, *, after_s: int, why: str) -> str:
    """Arm the switch in the slot that is free, prove it, and return the slot. Raises OpsError switch.not_armed."""
    slot = before.free
    if any(other.name == slot and other.loaded for other in before.slots):
        forget(slot)  # left by a module that was killed between arming one and removing the other
    # WHY counted from the start of user space: systemd begins OnActiveSec= anew at each daemon-reload, and a host where
    # that is done often would never see the switch fire.
    due_s = time.clock_gettime(time.CLOCK_MONOTONIC) - units.began_us() / 1e6 + after_s
    programs.must(
        "systemd-run", f"--on-startup={due_s:.3f}s", f"--unit={slot}", f"--description={why}", "--quiet",
        "--timer-property=AccuracySec=1s", "--timer-property=RemainAfterElapse=yes",
        "--property=Type=oneshot", "--property=RemainAfterExit=yes",
        programs.path_of("systemctl"), "start", unit,
    )  # fmt: skip
    after = look(before.name)
    if slot not in [armed.name for armed in after.armed]:
        raise OpsError(
            f"the timer {slot}.timer does not run after systemd-run, expected it to start {unit} in {after_s} s",
            code="switch.not_armed",
            hint=f"`systemctl status {slot}.timer` says why; nothing was stopped",
            switch=after.as_result(),
        )
    return slot


def hold(slots: Iterable[Slot]) -> None:
    """Keep these from firing. Whether they fired before is still to be seen after that, by `look`."""
    for slot in slots:
        if slot.has_timer:
            programs.must("systemctl", "stop", "--", f"{slot.name}.timer")


def forget(slot: str) -> None:
    """Remove one slot, and that it fired. The timer first, because it would start the service again."""
    for unit in (f"{slot}.timer", f"{slot}.service"):
        programs.run("systemctl", "stop", "--", unit)
        programs.run("systemctl", "reset-failed", "--", unit)
