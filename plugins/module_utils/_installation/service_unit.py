# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's unit on this host, and a command that starts a program as the unit would: same user, files, sandbox.

That program is no part of the service: it is a transient unit of its own, and is gone when it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .._domain.errors import OpsError
from .._domain.unit_file import UnitFile, parse_unit
from .._host.programs import booted_by_systemd, run

_LIFETIME_S = 300  # of what is started, should nobody end it


def read_unit(name: str) -> UnitFile | None:
    """Return what the unit says, None where this host has no such unit, or no systemd."""
    if not name or not booted_by_systemd():
        return None
    try:
        answer = run("systemctl", "cat", "--no-pager", name)
    except OpsError:
        return None
    return parse_unit(answer.output) if answer.status == 0 else None


def launch_like(unit: UnitFile, *, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the command before a program's own. variables: for a library, while the unit's file of them is missing.

    The program's standard input and output are passed on.
    """
    lines = [line for line in unit.sandbox if not _is_missing(line)]
    if len(lines) < len(unit.sandbox):
        lines += [f"Environment={name}={value}" for name, value in variables.items()]
    properties = [word for line in (*lines, f"RuntimeMaxSec={_LIFETIME_S}") for word in ("--property", line)]
    return ("systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--service-type=exec", *properties, "--")


def _is_missing(line: str) -> bool:
    name, _equals, value = line.partition("=")
    return name == "EnvironmentFile" and bool(value) and not Path(value.removeprefix("-")).exists()
