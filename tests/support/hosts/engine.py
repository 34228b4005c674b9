# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""podman, with a configuration and a storage of ours: what else runs on this machine is not touched.

The configuration is chosen by looking, because machines differ: cgroups v1 beside v2 or v2 alone, root with or without
the capability to raise limits.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path

from .available import Unavailable, cache_folder, runtimes

CAP_SYS_RESOURCE = 24


def podman(*arguments: str, check: bool = True, timeout: float = 300.0, given: str | None = None,
           ) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run podman; return what it said. Raises RuntimeError with its own words when it fails and `check` is set."""
    base = cache_folder()
    run = _run_folder()
    line = ["podman", "--root", str(base / "storage"), "--runroot", str(run / "storage"), *arguments]
    ended = subprocess.run(
        line, env={**os.environ, "CONTAINERS_CONF": str(configuration())}, capture_output=True, text=True, check=False,
        timeout=timeout, input=given, stdin=subprocess.DEVNULL if given is None else None,
    )  # fmt: skip
    if check and ended.returncode:
        raise RuntimeError(f"podman {arguments[0]}: exit status {ended.returncode}: {ended.stderr.strip()[-2000:]}")
    return ended


def configuration() -> Path:
    """Return the path of our containers.conf, written where its text changed."""
    path = cache_folder() / "containers.conf"
    wanted = _settings(unified=Path("/sys/fs/cgroup/cgroup.controllers").exists(), may_raise=_may_raise_limits())
    if not path.exists() or path.read_text(encoding="utf-8") != wanted:
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(wanted, encoding="utf-8")
        fresh.replace(path)
    return path


def _settings(*, unified: bool, may_raise: bool) -> str:
    """unified: cgroups v2 alone. may_raise: root has CAP_SYS_RESOURCE."""
    found = runtimes()
    if not found:
        raise Unavailable("test hosts need runc or crun")
    runtime = found[-1] if unified else found[0]  # crun is at home with v2, runc with both
    base, run = cache_folder(), _run_folder()
    # WHY: podman asks for a million open files, and without the capability the start of every container fails.
    limits = "" if may_raise else 'default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]\n'
    return (
        f"[containers]\n{limits}"
        "[engine]\n"
        'cgroup_manager = "cgroupfs"\n'  # systemd need not run on the controller
        f'runtime = "{runtime}"\n'
        'events_logger = "file"\n'
        'lock_type = "file"\n'  # the other kind is one segment of shared memory for all of root's podmans
        f'tmp_dir = "{run / "libpod"}"\n'
        "[network]\n"
        'network_backend = "netavark"\n'  # never used: namespaces are made by network.py
        f'network_config_dir = "{base / "networks"}"\n'
    )


def _may_raise_limits() -> bool:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(found and int(found[1], 16) >> CAP_SYS_RESOURCE & 1)


def _run_folder() -> Path:
    """Return the folder of what must not outlive a boot of this machine. podman takes 50 characters at most."""
    folder = Path("/run/certautopilot-ops") / hashlib.sha256(bytes(cache_folder())).hexdigest()[:8]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
