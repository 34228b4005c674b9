# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The return switch as systemd's timers show it: armed, fired or neither, and how long it has left. Pure.

WHY two slots: arming it again must not leave a moment without a switch. The new timer is armed in the slot that is
free, and the old one goes after that. A timer that elapsed stays loaded, and so does the service that it started, which
is how a switch that fired is known until the next boot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .systemd_show import Properties, seconds
from .values import JsonObject

PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "NextElapseUSecMonotonic", "LastTriggerUSecMonotonic", "Description",
    "ExecMainStartTimestampMonotonic",
)  # fmt: skip


def slots(name: str) -> tuple[str, str]:
    """Return the two names that a switch may have, without .timer and .service."""
    return name, f"{name}-again"


def names(name: str) -> tuple[str, ...]:
    """Return the units of both slots, timers first in each."""
    return tuple(f"{slot}.{kind}" for slot in slots(name) for kind in ("timer", "service"))


@dataclass(frozen=True, slots=True)
class Slot:
    """One timer and the service that it starts. elapses_at: seconds of CLOCK_MONOTONIC, None where it is not armed."""

    name: str
    has_timer: bool
    has_service: bool
    elapses_at: float | None
    fired: bool

    @property
    def loaded(self) -> bool:
        return self.has_timer or self.has_service


@dataclass(frozen=True, slots=True)
class SwitchState:
    """Both slots at one moment. now: seconds of CLOCK_MONOTONIC."""

    name: str
    slots: tuple[Slot, ...]
    now: float

    @property
    def armed(self) -> tuple[Slot, ...]:
        return tuple(slot for slot in self.slots if slot.elapses_at is not None and not slot.fired)

    @property
    def fired(self) -> bool:
        return any(slot.fired for slot in self.slots)

    @property
    def left_s(self) -> float | None:
        """Seconds until the first of them fires, None where none is armed."""
        return min((slot.elapses_at - self.now for slot in self.armed if slot.elapses_at is not None), default=None)

    @property
    def free(self) -> str:
        """Return a slot in which nothing is loaded. Both are taken only after a module was killed in between."""
        return next((slot.name for slot in self.slots if not slot.loaded), self.slots[-1].name)

    def as_result(self) -> JsonObject:
        left = self.left_s
        return {"armed": bool(self.armed), "fired": self.fired, "left_s": None if left is None else int(left)}


def switch_state(name: str, shown: Sequence[Properties], now: float) -> SwitchState:
    """Return the state from what `systemctl show` says of `names(name)`."""
    units = {properties.text("Id"): properties for properties in shown}
    return SwitchState(name, tuple(_slot(slot, units) for slot in slots(name)), now)


def _slot(name: str, units: Mapping[str, Properties]) -> Slot:
    timer = units.get(f"{name}.timer", Properties())
    service = units.get(f"{name}.service", Properties())
    waits = timer.text("ActiveState") == "active" and timer.text("SubState") == "waiting"
    fired = (
        timer.text("SubState") in ("running", "elapsed")
        or bool(seconds(timer.text("LastTriggerUSecMonotonic")))
        or service.text("ActiveState") not in ("", "inactive")
        or service.number("ExecMainStartTimestampMonotonic") > 0
    )
    return Slot(
        name=name,
        has_timer=timer.text("LoadState") not in ("", "not-found"),
        has_service=service.text("LoadState") not in ("", "not-found"),
        elapses_at=seconds(timer.text("NextElapseUSecMonotonic")) if waits else None,
        fired=fired,
    )
