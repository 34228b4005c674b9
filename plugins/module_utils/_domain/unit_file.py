# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service's unit says about the process that it starts: as whom, with which variables, in which sandbox.

Pure. Read from what `systemctl cat` prints: the unit and its drop-ins, in the order in which systemd reads them. The
lines themselves are kept, because `systemd-run --property` takes them as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_RUNS_AS = ("User", "Group", "SupplementaryGroups")
_VARIABLES = ("Environment", "EnvironmentFile", "PassEnvironment", "UnsetEnvironment")
# Folders that systemd makes for the service; made already, they are paths that it may write to.
_MADE = {"StateDirectory": "/var/lib", "CacheDirectory": "/var/cache", "LogsDirectory": "/var/log"}
# WHY no RuntimeDirectory, RemoveIPC, DynamicUser or ExecStartPre: they would do something to the service at their end.
_SANDBOX = frozenset((
    *_RUNS_AS, *_VARIABLES, "UMask", "NoNewPrivileges", "MemoryDenyWriteExecute", "ProtectSystem", "ProtectHome",
    "PrivateTmp", "PrivateDevices", "PrivateNetwork", "PrivateUsers", "PrivateMounts", "ProtectKernelTunables",
    "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectClock", "ProtectHostname",
    "ProtectProc", "ProcSubset", "RestrictSUIDSGID", "RestrictRealtime", "RestrictNamespaces", "LockPersonality",
    "RestrictAddressFamilies", "SystemCallFilter", "SystemCallArchitectures", "SystemCallErrorNumber",
    "CapabilityBoundingSet", "AmbientCapabilities", "SecureBits", "KeyringMode", "ReadWritePaths", "ReadOnlyPaths",
    "InaccessiblePaths", "ExecPaths", "NoExecPaths", "BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem",
    "DeviceAllow", "DevicePolicy", "LimitCORE", "LimitMEMLOCK", "LimitNOFILE", "LimitNPROC", "LimitAS", "RootDirectory",
    "SELinuxContext", "AppArmorProfile",
))  # fmt: skip
_PRODUCT = "CERTAUTOPILOT_"
_ASSIGNMENT = re.compile(r"([A-Za-z]+)\s*=\s*(.*)")


@dataclass(frozen=True, slots=True)
class UnitFile:
    """user, group: "" where the unit names none, which is root. environment_files: paths that systemd itself reads.

    sandbox: NAME=value lines for a process that is to be started as the service's is. left_out: names of lines that
    are not for another process: with a specifier, or with a variable of the product's, which may be a secret.
    """

    user: str = ""
    group: str = ""
    environment_files: tuple[str, ...] = ()
    sandbox: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def parse_unit(text: str) -> UnitFile:
    """Return what the text of a unit and its drop-ins says. An empty value takes back what stood before it."""
    last: dict[str, str] = {}
    files: list[str] = []
    sandbox: list[str] = []
    left_out: list[str] = []
    for name, value in _of_the_service(text):
        last[name] = value
        if name == "EnvironmentFile":
            files = [*files, value.removeprefix("-")] if value else []
        if name in _MADE:
            sandbox += [f"ReadWritePaths=-{_MADE[name]}/{folder.partition(':')[0]}" for folder in value.split()]
        elif name in _SANDBOX:
            if "%" in value.replace("%%", "") or _PRODUCT in value:
                left_out.append(name)
            else:
                sandbox.append(f"{name}={value}")
    return UnitFile(last.get("User", ""), last.get("Group", ""), tuple(files), tuple(sandbox), tuple(left_out))


def _of_the_service(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of the section [Service], lines that go on joined as systemd joins them."""
    section, begun = "", ""
    for line in text.splitlines():
        if begun and line.lstrip()[:1] in ("#", ";"):
            continue  # a comment between the lines of one value does not end it
        whole = begun + line.strip()
        begun = f"{whole.removesuffix(chr(92))} " if whole.endswith("\\") and whole[:1] not in ("#", ";") else ""
        if begun or not whole or whole[0] in "#;":
            continue
        if whole.startswith("["):
            section = whole
            continue
        found = _ASSIGNMENT.fullmatch(whole)
        if section == "[Service]" and found:
            yield found[1], found[2].strip()
