# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's unit: a look at it, and the single steps that change it. Waiting is in `starting` and `stopping`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .._domain.errors import OpsError
from .._domain.systemd_show import Properties, blocks
from .._domain.unit_state import PROPERTIES, UnitState, unit_state
from . import programs

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def show(units: Sequence[str], properties: Sequence[str]) -> list[Properties]:
    """Return the properties of each unit, also of one that does not exist."""
    return blocks(programs.must("systemctl", "show", f"--property={','.join(properties)}", "--", *units))


def look(unit: str) -> UnitState:
    """Return the unit as it is now."""
    return unit_state(show([unit], PROPERTIES)[0])


def boot_id() -> str:
    """Return a text that is another one after every boot, also after one of a container or of user space alone.

    WHY not the kernel's alone: a container, and `systemctl soft-reboot`, start everything anew under the same kernel.
    """
    return f"{_BOOT_ID.read_text(encoding='ascii').strip()}/{began_us()}"


def began_us() -> int:
    """Return when systemd began to start user space, in microseconds of CLOCK_MONOTONIC."""
    return blocks(programs.must("systemctl", "show", "--property=UserspaceTimestampMonotonic"))[0].number(
        "UserspaceTimestampMonotonic"
    )


def reload() -> None:
    """Have systemd read the unit files again."""
    programs.must("systemctl", "daemon-reload")


def start(state: UnitState) -> None:
    """Have systemd start the unit, and do not wait: a start may hang for longer than anybody wants to."""
    if state.active_state == "failed":
        # WHY: after many failures systemd refuses the next start for a while, and ours is wanted by somebody.
        programs.must("systemctl", "reset-failed", "--", state.name)
    verb = "restart" if state.waits_to_restart else "start"  # a start would wait for RestartSec=
    programs.must("systemctl", verb, "--no-block", "--", state.name)


def stop(unit: str) -> None:
    """Have systemd stop the unit, and do not wait."""
    programs.must("systemctl", "stop", "--no-block", "--", unit)


def kill(unit: str) -> None:
    """End every process of the unit at once. One that ended meanwhile is no failure."""
    programs.run("systemctl", "kill", "--signal=SIGKILL", "--", unit)


def set_enabled(unit: str, *, enabled: bool) -> None:
    """Have the unit started at boot, or not, and prove it. Raises OpsError service.enablement."""
    verb = "enable" if enabled else "disable"
    programs.must("systemctl", verb, "--", unit)
    after = look(unit)
    if not enabled and after.enabled:
        programs.must("systemctl", verb, "--runtime", "--", unit)
        after = look(unit)
    if after.enabled != enabled:
        raise OpsError(
            f"{unit} is {after.enabled_as or 'of no known state'} after systemctl {verb}, expected {verb}d",
            code="service.enablement",
            hint="its unit file needs an [Install] section with WantedBy=multi-user.target" if enabled else
            f"find what enables it with `systemctl status {unit}`, and remove that",
        )  # fmt: skip
