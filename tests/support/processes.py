# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes by their pid: alive or not, ended politely, and recognised before they are touched."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def is_alive(pid: int) -> bool:
    """Return whether the process runs; a zombie that nobody reaps counts as ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rsplit(")", 1)[-1].split()[0] not in ("Z", "X")


def command_line(pid: int) -> str:
    """Return the arguments of a process joined by blanks, "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def with_argument(part: str) -> list[int]:
    """Return the pids of the processes that have `part` in their command line."""
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return sorted(pid for pid in pids if part in command_line(pid))


def wait_until_ended(pid: int, timeout_s: float) -> bool:
    """Return whether the process ended within the time."""
    deadline = time.monotonic() + timeout_s
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(pid: int, *, marker: str, timeout_s: float = 10.0) -> bool:
    """Send SIGTERM and wait. Return False when no process of that pid has `marker` in its command line (a stale pid).

    Raises TimeoutError when it does not end in time; it is then left alone.
    """
    if not is_alive(pid) or marker not in command_line(pid):
        return False
    os.kill(pid, signal.SIGTERM)
    if not wait_until_ended(pid, timeout_s):
        raise TimeoutError(f"process {pid} still runs {timeout_s} s after SIGTERM")
    return True


def read_pid(path: Path) -> int | None:
    """Return the pid in a pid file, None when there is none."""
    try:
        return int(path.read_text(encoding="ascii").strip())
    except (FileNotFoundError, ValueError):
        return None


def free_port() -> int:
    """Return a loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def repository_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment with the repository on PYTHONPATH, plus `extra`."""
    known = os.environ.get("PYTHONPATH", "")
    paths = [str(REPOSITORY), *(part for part in known.split(os.pathsep) if part and part != str(REPOSITORY))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **(extra or {})}
