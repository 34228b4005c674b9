# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this machine can run test hosts, and where what they share is kept."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from functools import cache
from pathlib import Path

# Commands that must be there; `make hosts-tools` installs them (.ci/commands.py has their packages).
COMMANDS = ("podman", "mmdebstrap", "ip", "nsenter", "ssh", "ssh-keygen")


class Unavailable(RuntimeError):
    """This machine cannot run test hosts: one sentence, with what to do about it."""


@cache
def why_not() -> str:
    """Return why this machine cannot run test hosts, "" when it can. CERTAUTOPILOT_NO_TEST_HOSTS is a reason given."""
    if given := os.environ.get("CERTAUTOPILOT_NO_TEST_HOSTS"):
        return given
    if os.geteuid() != 0:
        return "test hosts need root for namespaces and mounts, and this is user " + pwd.getpwuid(os.geteuid()).pw_name
    missing = [name for name in COMMANDS if not shutil.which(name)]  # runs: podman, mmdebstrap, nsenter, ssh
    if not runtimes():
        missing.append("runc or crun")
    if missing:
        return f"test hosts need {', '.join(missing)}, not found on PATH: make hosts-tools installs them"
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--cgroup", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if tried.returncode:
        return f"test hosts need namespaces and mounts, and this root may not make them: {tried.stderr.strip()}"
    return ""


def runtimes() -> list[str]:
    """Return which of the parts that start containers are there, runc before crun."""
    return [name for name in ("runc", "crun") if shutil.which(name)]  # runs: runc, crun


def require() -> None:
    """Raise Unavailable where hosts cannot be had."""
    reason = why_not()
    if reason:
        raise Unavailable(reason)


def cache_folder() -> Path:
    """Return the folder of what all sets share: images, wheels, podman's storage. CERTAUTOPILOT_HOSTS_CACHE moves it.

    WHY the home of the password database: molecule runs with a home of its own, and would build an image of its own.
    """
    given = os.environ.get("CERTAUTOPILOT_HOSTS_CACHE")
    home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    folder = Path(given) if given else home / ".cache" / "certautopilot-ops" / "hosts"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.resolve()
