# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run of ansible-playbook this is, and whether another one of this machine has ended.

A run is its main process: what is the same for all of its hosts and tasks, and for no other run. Where the system does
not tell when a process began, no run is ever said to have ended.
"""

from __future__ import annotations

import getpass
import hashlib
import multiprocessing
import os
import socket
from collections.abc import Mapping
from pathlib import Path

PROC = Path("/proc")


def this_run(proc: Path = PROC) -> tuple[str, dict[str, str]]:
    """Return the run's name and what is told of it: user, host, pid, and started, boot, namespace of its process."""
    parent = multiprocessing.parent_process()  # tasks run in forked workers
    pid = os.getpid() if parent is None or parent.pid is None else parent.pid
    told = {
        "user": _user(),
        "host": socket.gethostname(),
        "pid": str(pid),
        "started": _started(proc, pid),
        **_here(proc),
    }
    name = hashlib.sha256("|".join(told.values()).encode()).hexdigest()[:12]
    return name, told


def has_ended(run_by: Mapping[str, str], proc: Path = PROC) -> bool:
    """Return whether the process of that run is known to have ended. False: it goes on, or nobody here can tell.

    WHY the namespace too: from inside a container the processes of another one look as if they had ended.
    """
    here = _here(proc)
    if not all(here.values()) or any(run_by.get(key) != value for key, value in here.items()):
        return False
    pid, started = str(run_by.get("pid", "")), run_by.get("started", "")
    return bool(pid.isdecimal() and started) and _started(proc, int(pid)) != started


def _here(proc: Path) -> dict[str, str]:
    """Return which boot of which machine, and which process namespace, "" where the system does not tell."""
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        namespace = str((proc / "self/ns/pid").readlink())
    except OSError:
        return {"boot": "", "namespace": ""}
    return {"boot": boot, "namespace": namespace}


def _started(proc: Path, pid: int) -> str:
    """Return when a process began, in ticks since the boot; "" for one that is not there, or that ended and is kept."""
    try:
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
