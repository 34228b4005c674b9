# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb service_unit_info: what the host says of the service's unit, and whose it is. Reads only, fails nowhere."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.unit_state import UnitState
from .._domain.values import JsonObject
from .._host import journal, retiring, units
from .._host.programs import booted_by_systemd

_NOTHING: JsonObject = {
    "exists": False,
    "active_state": "",
    "sub_state": "",
    "result": "",
    "enabled": False,
    "main_pid": 0,
    "n_restarts": 0,
    "user": "",
    "group": "",
    "environment_files": [],
    "fragment_path": "",
    "retired": False,
    "retired_reason": "",
    "boot_id": "",
}


@dataclass(frozen=True, slots=True)
class Options:
    """unit: name of the unit. journal: also its last lines; what its files and `mask_from` hold is masked."""

    unit: str = "certautopilot.service"
    journal: bool = False
    mask_from: str = ""


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Return the unit's state, its user and group, and its environment files; `exists` false where there is none."""
    booted = booted_by_systemd()
    found = _of(options.unit) if booted else _NOTHING
    lines: tuple[str, ...] = ()
    if booted and options.journal:
        lines = journal.last_lines(units.look(options.unit), options.mask_from)
    values = {"systemd": booted, "service": found, "journal": list(lines)}
    return Result(changed=False, values=values, before={}, after={})


def _of(unit: str) -> JsonObject:
    state = units.look(unit)
    why = retiring.reason(state.name or unit)
    return {
        **_NOTHING,
        **state.as_result(),
        **(_owner(state) if state.exists else {}),
        "environment_files": [path for path, _optional in state.environment_files],
        "fragment_path": state.fragment_path,
        "retired": why is not None,
        "retired_reason": why or "",
        "boot_id": units.boot_id(),
    }


def _owner(state: UnitState) -> JsonObject:
    """Return user and group as names: root where the unit names no user, the user's own group where it names none."""
    user = state.user or "root"
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:  # it is made when the service starts (DynamicUser=), or is missing
        return {"user": user, "group": state.group}
    group = state.group or str(entry.pw_gid)
    with suppress(KeyError):
        group = grp.getgrgid(int(group)).gr_name if group.isdigit() else group
    return {"user": entry.pw_name, "group": group}
