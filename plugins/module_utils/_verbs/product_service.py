# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb product_service: the service's unit is started and ready, or stopped with nothing left; at boot too, or never.

Order: a unit is brought back and enabled before it is started, and stopped before it is disabled and retired, so that
at no moment a reboot starts what must not run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from .._domain.errors import OpsError
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.unit_state import UnitState, is_unit_name
from .._domain.values import JsonObject
from .._host import retiring, starting, stopping, switch, units
from .._host.health import Health
from .._host.programs import require_systemd

STARTED, STOPPED, READY = "started", "stopped", "ready"


@dataclass(frozen=True, slots=True)
class Options:
    """state: STARTED, STOPPED, or READY, which waits for the URL of a service that is no unit.

    enabled, retired: None leaves it as it is. Timeouts are seconds by the clock. needs_switch: name of a return switch
    without which nothing is stopped.
    """

    state: str
    unit: str = "certautopilot.service"
    enabled: bool | None = None
    retired: bool | None = None
    retired_reason: str = ""
    health_url: str = ""
    health_ca_file: str = ""
    health_validate_certs: bool = True
    health_timeout: int = 60
    stop_timeout: int = 90
    mask_from: str = ""
    needs_switch: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One look at everything that this verb changes."""

    unit: UnitState
    retired: str | None

    def as_result(self) -> JsonObject:
        return {**self.unit.as_result(), "retired": self.retired is not None, "retired_reason": self.retired or ""}


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Bring the unit to its state. Raises OpsError service.*, file.*."""
    health = _checked(options)
    if options.state == READY:
        said = "" if check or health is None else starting.until_answers(health, options.health_timeout)
        return Result(changed=False, values={"health": said}, before={}, after={})
    require_systemd()
    before = _look(options.unit)
    wanted = _predicted(before, options)
    facts: JsonObject = {"health": "", "killed": []}
    began = time.monotonic()
    if not check:
        facts |= _started(before, options, health) if options.state == STARTED else _stopped(before, options, warn)
        facts["waited_s"] = round(time.monotonic() - began, 1)
    after = wanted if check else _look(options.unit)
    boot = units.boot_id()
    shown = {name: {**seen.as_result(), "boot_id": boot} for name, seen in (("before", before), ("after", after))}
    return Result(
        changed=bool(facts["killed"]) or _compared(before) != _compared(wanted),
        values={**shown, **facts},
        before=_compared(before),
        after=_compared(wanted),
    )


def _look(unit: str) -> _Seen:
    state = units.look(unit)
    return _Seen(state, retiring.reason(state.name or unit))


def _compared(seen: _Seen) -> JsonObject:
    """Return what counts as a change."""
    return {
        "state": STARTED if seen.unit.is_up else seen.unit.active_state if seen.unit.runs else STOPPED,
        "enabled": seen.unit.enabled,
        "retired": seen.retired is not None,
    }


def _checked(options: Options) -> Health | None:
    """Return what to ask for health. Raises OpsError service.options for options that cannot be meant so."""
    if not is_unit_name(options.unit):
        raise _refused(f"unit is {options.unit!r}, expected the name of a unit that ends in .service")
    if options.health_timeout < 1 or options.stop_timeout < 1:
        raise _refused(
            f"health_timeout is {options.health_timeout}, stop_timeout {options.stop_timeout}, expected seconds from 1"
        )
    if options.retired and (options.state == STARTED or options.enabled):
        raise _refused("retired goes with started or enabled, expected a retired unit to be stopped and disabled")
    if options.state == STOPPED or not options.health_url:
        return None
    return Health(options.health_url, ca_file=options.health_ca_file, validate=options.health_validate_certs)


def _refused(found: str) -> OpsError:
    return OpsError(found, code="service.options", hint="correct the options; nothing was done")


def _predicted(before: _Seen, options: Options) -> _Seen:
    """Return what will be. Raises OpsError service.no_unit, service.retired for what cannot be reached."""
    unit, retired = before.unit, before.retired
    if options.retired is not None and options.retired != (retired is not None):
        retired = options.retired_reason if options.retired else None
    if options.state == STARTED and unit.load_state not in ("loaded", ""):
        raise _no_unit(unit, options.unit)
    if options.enabled and not unit.exists:
        raise _no_unit(unit, options.unit)
    if options.state == STARTED and retired is not None:
        raise OpsError(
            f"{options.unit} is retired ({retired or 'without a reason'}), expected a unit that may be started",
            code="service.retired",
            hint="where this installation is the one that must serve, bring it back with `retired: false` "
            "(`service_retired: false` of the role); two installations of one migration must not serve at once",
        )
    enabled_as = unit.enabled_as
    if options.enabled is not None and options.enabled != unit.enabled and unit.exists:
        enabled_as = "enabled" if options.enabled else "disabled"
    if options.state == STARTED:
        unit = unit if unit.is_up else replace(unit, active_state="active", sub_state="running")
    elif unit.runs:
        unit = replace(unit, active_state="inactive", sub_state="dead", main_pid=0)
    return _Seen(replace(unit, enabled_as=enabled_as), retired)


def _started(before: _Seen, options: Options, health: Health | None) -> JsonObject:
    unit = before.unit
    if health is not None and not unit.is_up:
        starting.require_silence(unit, health)
    # WHY enabled first: a host that boots in between is one that starts the service, or one that says why it does not.
    if options.enabled is not None and options.enabled != unit.enabled:
        units.set_enabled(unit.name, enabled=options.enabled)
    if options.retired is False and before.retired is not None:
        retiring.bring_back(unit.name)
    elif unit.needs_reload:
        units.reload()
    restarts = unit.n_restarts if unit.is_up else starting.start(unit)
    wait = starting.Wait(unit.name, health, options.health_timeout, restarts, options.mask_from)
    return {"health": starting.until_ready(wait)}


def _stopped(before: _Seen, options: Options, warn: Callable[[str], None]) -> JsonObject:
    unit, name = before.unit, before.unit.name or options.unit
    # WHY all of it before the stop: a host that boots in between must not start the service again (ADR-0033).
    if options.retired and before.retired is None:
        retiring.retire(name, options.retired_reason or "no reason was given")
    if options.enabled is not None and options.enabled != unit.enabled and unit.exists:
        units.set_enabled(unit.name, enabled=options.enabled)
        unit = units.look(unit.name)
    killed: tuple[int, ...] = ()
    if unit.exists and (unit.runs or stopping.left_of(unit)):
        _require_switch(options)
        killed = stopping.stop(unit, options.stop_timeout)
    if killed:
        warn(f"{len(killed)} process(es) of {unit.name} did not end within {options.stop_timeout} s and were killed")
    if options.retired is False and before.retired is not None:
        retiring.bring_back(name)
    return {"killed": list(killed)}


def _require_switch(options: Options) -> None:
    if options.needs_switch and not switch.look(options.needs_switch).armed:
        raise OpsError(
            f"no switch {options.needs_switch} is armed on this host, expected the one that was: the host has booted "
            f"since, or somebody took it away; {options.unit} was not stopped",
            code="switch.lost",
            hint="run again: nothing would start the service if the run ended while it is stopped",
        )


def _no_unit(unit: UnitState, named: str) -> OpsError:
    found = f"no unit {named}" if not unit.exists else f"{named} is {unit.load_state}"
    return OpsError(
        f"{found}, expected one that systemd can start",
        code="service.no_unit",
        hint=f"install the product on this host, or name its unit (certautopilot_service_unit); "
        f"`systemctl status {named}` says what is wrong with it",
    )
