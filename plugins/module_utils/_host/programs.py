# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of a program of systemd: in the C locale, without a pager, bounded in time; a refusal names what it said."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .._domain.errors import OpsError
from .._domain.journal_lines import shown

BOOTED = Path("/run/systemd/system")  # it is there where systemd is PID 1: sd_booted(3)
ANSWERS_WITHIN_S = 30
_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    output: str
    complaint: str


def booted_by_systemd() -> bool:
    """Return whether units can be controlled here."""
    return BOOTED.is_dir() and shutil.which("systemctl", path=_PLACES) is not None


def require_systemd() -> None:
    """Raises OpsError service.no_systemd."""
    if not booted_by_systemd():
        raise OpsError(
            "this host was not started by systemd, or has no systemctl, expected both",
            code="service.no_systemd",
            hint="set `service_manager: command` (certautopilot_service_manager) and give the commands that start, "
            "stop and look after the service here",
        )


def path_of(program: str) -> str:
    """Return the absolute path of a program, as ExecStart= wants it."""
    found = shutil.which(program, path=_PLACES)
    if found is None:
        raise OpsError(
            f"this host has no program {program}, expected it beside systemctl",
            code="service.no_systemd",
            hint="install it: it is part of the package systemd",
        )
    return found


def run(program: str, *arguments: str, within_s: float = ANSWERS_WITHIN_S) -> Answer:
    """Return what the program said. Raises OpsError service.refused where it says nothing in time."""
    line = [path_of(program), *arguments]
    # WHY an environment of its own: numbers and texts follow the locale, and nothing of the caller's belongs here.
    environment = {"PATH": _PLACES, "LC_ALL": "C", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
    try:
        # WHY not run_command: what is below the modules does not know Ansible. No shell, no secret in argv.
        done = subprocess.run(  # runs: systemctl  # pylint: disable=ansible-bad-function
            line, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=within_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise OpsError(
            f"{program} {arguments[0]} did not answer within {within_s:g} s, expected it at once: systemd is "
            "overloaded or does not answer any more",
            code="service.refused",
            hint="look at the host with `systemctl is-system-running` and `systemctl list-jobs`",
            retryable=True,
        ) from None
    return Answer(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def must(program: str, *arguments: str) -> str:
    """Return the output. Raises OpsError service.refused, with what the program complained of."""
    answer = run(program, *arguments)
    if answer.status != 0:
        raise OpsError(
            f"{program} {' '.join(arguments[:3])} ended with {answer.status}, expected 0: "
            f"{shown(answer.complaint.strip()) or 'it said nothing'}",
            code="service.refused",
            hint="run it as root (`become: true`)" if os.geteuid() else "correct what systemd complains of",
        )
    return answer.output
