# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a unit, by their control group: what is left of a service after systemd calls it stopped."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def of_control_group(group: str) -> tuple[int, ...]:
    """Return the processes in a control group and below it; none for "".

    group: as systemd's ControlGroup= names it.
    """
    if group in ("", "/"):
        return ()
    return tuple(sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit() and _in(entry, group)))


def kill(group: str) -> None:
    """End every process that is in the control group."""
    for process in of_control_group(group):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _in(entry: Path, group: str) -> bool:
    """Return whether the process is in the group, by systemd's own hierarchy: the unified one, or name=systemd."""
    try:
        lines = (entry / "cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
        ended = b") Z " in (entry / "stat").read_bytes()
    except OSError:
        return False  # it has ended meanwhile
    paths = [line.split(":", 2)[2] for line in lines if line.startswith("0::") or ":name=systemd:" in line]
    return not ended and any(path == group or path.startswith(f"{group}/") for path in paths)
