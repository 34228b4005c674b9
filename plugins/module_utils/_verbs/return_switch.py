# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb return_switch: a service that was stopped for a migration comes back by itself if nobody goes on (X74).

States: none -> armed -> fired, or armed -> none. Armed again it is armed later. Fired is known until it is taken away
or the host boots.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .._domain.errors import OpsError
from .._domain.journal_lines import shown
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.switch_state import SwitchState
from .._domain.unit_state import UnitState, is_unit_name
from .._host import retiring, switch, units
from .._host.programs import require_systemd

ARMED, DISARMED, ASSERTED = "armed", "disarmed", "asserted"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")


@dataclass(frozen=True, slots=True)
class Options:
    """state: ARMED, DISARMED, or ASSERTED, which changes nothing and fails unless the switch still is as it was left.

    after_s: seconds until it fires. left_s: seconds that must be left. boot_id: what arming it returned, "" for any.
    expect_stopped: fail where it fired or the unit runs. run: whose it is, for its description.
    """

    state: str
    unit: str = "certautopilot.service"
    after_s: int = 900
    left_s: int = 0
    boot_id: str = ""
    expect_stopped: bool = False
    name: str = "certautopilot-return"
    run: str = ""


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Arm, disarm or look. Raises OpsError switch.*, service.runs_again, service.no_unit, service.retired."""
    _check(options)
    require_systemd()
    before, boot = switch.look(options.name), units.boot_id()
    _require_same_boot(options, boot)
    if options.state == ASSERTED or (options.state == ARMED and options.expect_stopped):
        _require_armed(options, before)
    fired = before.fired
    if options.state == ARMED:
        _require_startable(options.unit)
        fired = not check and _arm(options, before) and not before.fired  # what fired long ago is history
    elif options.state == DISARMED:
        fired |= not check and _disarm(options, before)
    unit = units.look(options.unit)
    if options.expect_stopped:
        _require_stopped(options, unit, fired=fired)
    after = switch.look(options.name)
    was, now = {"armed": bool(before.armed)}, {"armed": options.state != DISARMED}
    return Result(
        changed=options.state != ASSERTED and (was != now or before.fired),
        values={
            "switch": {**after.as_result(), "fired": fired, "was_armed": bool(before.armed)},
            "service": unit.as_result(),
            "boot_id": boot,
        },
        before=was,
        after=was if options.state == ASSERTED else now,
    )


def _arm(options: Options, before: SwitchState) -> bool:
    """Arm it, take the one from before away, and return whether that one fired meanwhile."""
    why = f"starts {options.unit} again unless migration {shown(options.run, 60) or '(without a name)'} goes on"
    slot = switch.arm(before, options.unit, after_s=options.after_s, why=why)
    others = [other for other in before.slots if other.name != slot]
    switch.hold(others)
    fired = any(other.fired for other in switch.look(options.name).slots if other.name != slot)
    if not (fired and options.expect_stopped):  # what fired must be known to whoever looks next
        for other in others:
            switch.forget(other.name)
    return fired


def _disarm(options: Options, before: SwitchState) -> bool:
    """Take it away, prove that it is gone, and return whether it fired."""
    switch.hold(before.slots)
    held = switch.look(options.name)
    if not (held.fired and options.expect_stopped):
        for slot in held.slots:
            if slot.loaded:
                switch.forget(slot.name)
    after = switch.look(options.name)
    if after.armed:
        raise OpsError(
            f"{after.armed[0].name}.timer still runs after it was stopped, expected none",
            code="switch.not_disarmed",
            hint=f"stop it with `systemctl stop {after.armed[0].name}.timer`, and find what starts it",
        )
    return held.fired


def _check(options: Options) -> None:
    if options.after_s < 1 or options.left_s < 0:
        raise _options(f"after_s is {options.after_s} and left_s {options.left_s}, expected seconds from 1 and from 0")
    if not is_unit_name(options.unit):
        raise _options(f"unit is {options.unit!r}, expected the name of a unit that ends in .service")
    if not _NAME.fullmatch(options.name):
        raise _options(f"name is {options.name!r}, expected small letters, digits, - and _")


def _options(found: str) -> OpsError:
    return OpsError(found, code="switch.options", hint="correct the options; nothing was done")


def _require_same_boot(options: Options, boot: str) -> None:
    if options.boot_id not in ("", boot):
        raise OpsError(
            f"the host has booted since the switch of {options.unit} was armed, expected the same boot: the switch is "
            "gone, and what is enabled was started",
            code="switch.lost",
            hint="go back: the service may have run and written since it was stopped",
            boot_id=boot,
        )


def _require_armed(options: Options, now: SwitchState) -> None:
    if now.fired:
        raise _fired(options)
    left = now.left_s
    if left is None:
        raise OpsError(
            f"no switch is armed for {options.unit}, expected one that is left: somebody stopped {options.name}.timer",
            code="switch.lost",
            hint="go back: nothing would start the service again if this run ended here",
        )
    if left < options.left_s:
        raise OpsError(
            f"the switch starts {options.unit} in {left:.0f} s, expected at least {options.left_s} s to be left",
            code="switch.late",
            hint="arm it again before it fires, or give the stages more time (`migrate_return_after_s`)",
            switch=now.as_result(),
        )


def _require_stopped(options: Options, unit: UnitState, *, fired: bool) -> None:
    if fired:
        raise _fired(options)
    if unit.runs:
        raise OpsError(
            f"{options.unit} is {unit.said()}, expected it to be stopped still: something started it",
            code="service.runs_again",
            hint="go back: it may have written since. Find what started it: a person, a job, another unit",
            service=unit.as_result(),
        )


def _fired(options: Options) -> OpsError:
    return OpsError(
        f"the switch has fired and started {options.unit} again, expected it to be armed or taken away before",
        code="switch.fired",
        hint="go back: the service serves and may have written. Where the stages need longer, raise `after_s` "
        "(`migrate_return_after_s`)",
    )


def _require_startable(unit: str) -> None:
    """Refuse to promise what cannot be kept. Raises OpsError service.no_unit, service.retired."""
    state = units.look(unit)
    if state.load_state != "loaded":
        raise OpsError(
            f"{unit} is {state.load_state}, expected a unit that a switch can start",
            code="service.no_unit",
            hint="install the product on this host, or name its unit",
        )
    if retiring.reason(state.name) is not None:
        raise OpsError(
            f"{unit} is retired, expected a unit that a switch can start",
            code="service.retired",
            hint="bring it back with product_service, `retired: false`, before it is stopped for a migration",
        )
