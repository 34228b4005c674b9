# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command that this repository calls, and where it comes from. `make env` works through the first two tables.

tests/unit/test_commands_are_declared.py reads all files and fails on a command that is in none of these tables: enter
it here, with its Debian package unless it is part of the base system or of the locks. Better still, do without it: each
package is one more that a bare machine must get.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Need:
    """Debian packages, and what shows that they are there: all `commands` on PATH, and one of `files` if there are any.

    files: patterns from the root. variable: of the environment; it may name the file instead.
    """

    packages: tuple[str, ...]
    why: str
    commands: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    variable: str = ""

    def is_met(self) -> bool:
        if any(shutil.which(command) is None for command in self.commands):  # runs: (the tables below)
            return False
        named = os.environ.get(self.variable)
        if named:
            return Path(named).is_file()
        return not self.files or any(any(Path("/").glob(name.lstrip("/"))) for name in self.files)

    def sought(self) -> str:
        """Return what `is_met` looks for, for a message."""
        named = os.environ.get(self.variable)
        return f"{named} (from {self.variable})" if named else " or ".join(self.files) or " and ".join(self.commands)


# Without these `make env` ends with one sentence.
REQUIRED = (
    Need(
        ("softhsm2",),
        "the token of every test, scenario and demo that needs one",
        files=(
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib/*-linux-gnu/softhsm/libsofthsm2.so",
            "/usr/lib64/pkcs11/libsofthsm2.so",
            "/usr/local/lib/softhsm/libsofthsm2.so",
        ),
        variable="SOFTHSM2_MODULE",
    ),
    Need(("git",), "says which files belong to the collection", ("git",)),
    Need(("make",), "runs the steps", ("make",)),
    Need(("openssl",), "the oracle for certificates, keys and PKCS#12 files", ("openssl",)),
    Need(("iproute2",), "testinfra asks ss who listens", ("ss",)),
)

# Single tests need these, as oracles that are not ours or to build a faulty PKCS#11 library. They are skipped, and say
# why, where one cannot be had.
OPTIONAL = (
    Need(("age",), "opens our bundles as a stranger", ("age",)),
    Need(("gcc", "libc6-dev"), "builds PKCS#11 libraries that fail on purpose", ("gcc", "cc")),
    Need(
        ("opensc-pkcs11",),
        "pkcs11-spy counts the calls to the HSM",
        files=("/usr/lib/pkcs11-spy.so", "/usr/lib/*/pkcs11-spy.so"),
    ),
    Need(
        ("p11-kit", "p11-kit-modules"),
        "p11-kit-proxy and the client of p11-kit server are PKCS#11 libraries with SoftHSM2 behind them",
        ("p11-kit",),
        files=("/usr/lib/p11-kit-proxy.so", "/usr/lib/*/p11-kit-proxy.so", "/usr/lib64/p11-kit-proxy.so"),
    ),
)

# Targets of make that need more than `make env` installs, and what each of them installs first (.ci/tools.py). The
# others stay as light as they are: tests that need one of these are skipped where it is missing, and say so.
FOR_TARGETS = {
    "hosts": (
        Need(("podman", "netavark"), "runs the test hosts", ("podman",)),
        Need(("runc",), "the part of podman that starts containers; it knows cgroups v1 and v2", ("runc",)),
        Need(
            ("mmdebstrap",),
            "makes the image of the test hosts from this machine's own package sources",
            ("mmdebstrap",),
        ),
        Need(
            ("debian-archive-keyring",),
            "checks those packages",
            files=("/usr/share/keyrings/debian-archive-keyring.*",),
        ),
        Need(("openssh-client",), "reaches the test hosts", ("ssh", "ssh-keygen")),
        Need(("iproute2",), "gives the test hosts a network of their own", ("ip",)),
        Need(("util-linux",), "enters that network", ("nsenter", "unshare")),
    ),
    "browser": (Need(("chromium",), "opens the page of a report (ADR-0041)", ("chromium",)),),
    "models": (
        Need(("spin",), "checks the models of docs/models (ADR-0033)", ("spin",)),
        Need(("gcc", "libc6-dev"), "compiles the checker that spin writes", ("gcc",)),
    ),
}

# Debian's essential packages (bash, coreutils, dash, findutils, grep, sed, tar) and what their shells do themselves.
BASE = frozenset((
    ":", "[", "bash", "cat", "cd", "chroot", "cp", "df", "dirname", "du", "echo", "exec", "exit", "expand", "export",
    "find", "grep", "id", "install", "mkdir", "rm", "rmdir", "sed", "set", "sh", "stat", "tar", "test", "true", "umask",
    "uname",
))  # fmt: skip

# Installed into .venv by the locks, or by `make env` itself.
LOCKED = frozenset((
    "ansible", "ansible-galaxy", "ansible-lint", "ansible-playbook", "ansible-test", "antsibull-changelog",
    "antsibull-docs", "coverage", "lint-imports", "molecule", "mypy", "python", "python3", "ruff", "secantusd-py", "uv",
    "yamllint",
))  # fmt: skip

# Looked for, never installed: what happens without them.
IF_THERE = {
    "dpkg-query": "one test of these tables is skipped",
    "apt-get": "make env names the packages to install by hand",
    "sudo": "make env must be run as root where a package is missing",
    "go": "mongodump and mongorestore are not built; those on PATH are taken",
    "mongodump": "its forms are written by tests/support/mongodump_forms.py, and its own tests are skipped",
    "mongorestore": "its test is skipped",
    "mongod": "SecantusDB takes its place",
    "npm": "axe-core is not fetched, and what it finds in the page of a report is not tested",
    "crun": "runc runs the test hosts",
    "useradd": "tests that need a user besides root are skipped",
    "userdel": "as useradd",
    "pyenv": "interpreters that are too old for the collection are looked for on PATH only",
}

# Called on the hosts that are managed, not here; the README of the role says what it needs.
ON_HOSTS = {
    "curl": "the test hosts, in molecule's checks",
    "kubeseal": "the role kubernetes, for a Secret that is sealed",
    "journalctl": "the test hosts, in molecule's checks",
    "mount": "the test hosts, when they boot",
    "umount": "the test hosts, when they boot",
    "systemctl": "the modules of the service, on a host that systemd started; the test hosts",
    "systemd": "the test hosts",
    "systemd-run": "return_switch, beside systemctl",
}

# What a variable of Ansible holds, what is compiled here first, and what testinfra calls behind an attribute of `host`.
INDIRECT = {
    "{{ansible_playbook_python}}": "python",
    "{{service_running_command}}": "python",  # the operator's own; here it is the stand-in (tests/support/lab.py)
    "{{service_start_command}}": "python",
    "{{service_stop_command}}": "python",
    "{{__runtime_look}}": "python3",  # and whatever else runtime_pythons names; cat of coreutils
    "enter": "nsenter",  # of a set of test hosts
    "pan": "gcc",  # compiled from what spin writes, a checker of one model
    "host.file": "test",  # and stat, also of coreutils
    "host.service": "systemctl",
    "host.socket": "ss",
}


def declared() -> frozenset[str]:
    """Return all commands of all tables."""
    tables = (REQUIRED, OPTIONAL, *FOR_TARGETS.values())
    needed = {command for table in tables for need in table for command in need.commands}
    return frozenset({*needed, *BASE, *LOCKED, *IF_THERE, *ON_HOSTS, *INDIRECT})
