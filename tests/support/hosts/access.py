# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a controller reaches the hosts: keys and known hosts of the set's own, ssh's settings, Ansible's inventory."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from .. import processes
from . import database_host
from .network import Network

LOGIN = "deploy"
URI_FILE = "/etc/certautopilot/mongodb-uri"  # on every host
SSH_COMMANDS = ("ssh", "scp", "sftp")


class Access:
    """The files below a set's folder that ssh and Ansible read."""

    def __init__(self, folder: Path, network: Network, names: tuple[str, ...]) -> None:
        self.folder = folder
        self.network = network
        self.names = names
        self.inventory = folder / "hosts.yml"
        self.reach = folder / "reach.yml"
        self.ssh_config = folder / "ssh.cfg"
        # WHY not below the folder: the path of a socket has 108 bytes at most, and folders of tests are deep.
        self.sockets = Path("/run/certautopilot-ops/ssh") / network.name

    def write(self, variables: dict[str, Any], of_host: dict[str, dict[str, Any]]) -> None:
        """Write everything. variables: of all hosts, added to what is needed to reach them; of_host: of one each."""
        self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_key(self.folder / "key")
        for name in self.names:
            self._of_host(name)
        self._known_hosts()
        self.ssh_config.write_text(
            f"Host *\n  User {LOGIN}\n  IdentityFile {self.folder / 'key'}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder / 'known_hosts'}\n  GlobalKnownHostsFile none\n"
            "  StrictHostKeyChecking yes\n  PasswordAuthentication no\n  ConnectTimeout 10\n"
            + "".join(f"Host {name}\n  HostName {self._address(name)}\n" for name in self.names),
            encoding="ascii",
        )
        self._wrappers()
        for path, inventory in (
            (self.inventory, self._inventory(variables, of_host)),
            (self.reach, self._reach(variables, of_host)),
        ):
            path.write_text(yaml.safe_dump(inventory, sort_keys=False), encoding="utf-8")

    def close(self) -> None:
        """End ssh's connections that Ansible keeps open: the next set of the name must not get these."""
        for pid in processes.with_argument(f"{self.sockets}/"):
            if processes.command_line(pid).startswith("ssh:"):
                processes.end(pid, marker=str(self.sockets))
        shutil.rmtree(self.sockets, ignore_errors=True)

    def mounted(self, name: str) -> list[str]:
        """Return podman's options for what a host gets of these files."""
        mounts = {"ssh": "/etc/ssh/host:ro", "journal": "/var/log/journal"}  # podman's own journal forgets at a reboot
        options = [f"{self.folder / 'hosts' / name / part}:{place}" for part, place in mounts.items()]
        return [word for option in (*options, f"{self.folder / 'etc_hosts'}:/etc/hosts:ro") for word in ("-v", option)]

    def _of_host(self, name: str) -> None:
        folder = self.folder / "hosts" / name / "ssh"
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder.chmod(0o755)
        folder.with_name("journal").mkdir(exist_ok=True)
        _make_key(folder / "key")
        shutil.copyfile(self.folder / "key.pub", folder / "authorized_keys")
        (folder / "authorized_keys").chmod(0o644)  # sshd reads it as the user who logs in

    def _known_hosts(self) -> None:
        places = {"controller": self.network.controller, **{name: self._address(name) for name in self.names}}
        database = database_host.among(self.names) or "controller"
        known, table = "", "127.0.0.1 localhost\n"
        for name, address in places.items():
            table += f"{address} {name}{' database' if name == database else ''}\n"
        for name in self.names:
            public = (self.folder / "hosts" / name / "ssh" / "key.pub").read_text(encoding="ascii")
            known += f"{places[name]},{name} {' '.join(public.split()[:2])}\n"
        (self.folder / "known_hosts").write_text(known, encoding="ascii")
        (self.folder / "etc_hosts").write_text(table, encoding="ascii")
        (self.folder / "etc_hosts").chmod(0o644)

    def _wrappers(self) -> None:
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        for command in SSH_COMMANDS:
            line = [*self.network.enter, command, "-F", str(self.ssh_config)]
            script = folder / command
            script.write_text(f'#!/bin/sh\nexec {" ".join(line)} "$@"\n', encoding="utf-8")
            script.chmod(0o755)
        (folder / "enter").write_text(f'#!/bin/sh\nexec {" ".join(self.network.enter)} "$@"\n', encoding="utf-8")
        (folder / "enter").chmod(0o755)

    def _inventory(self, variables: dict[str, Any], of_host: dict[str, dict[str, Any]]) -> dict[str, Any]:
        common = {"ansible_user": LOGIN, "ansible_become": True, **self._way(), **variables}
        groups: dict[str, Any] = {"source": {}, "destination": {}}
        for name in self.names:
            group = next((known for known in (*groups, "database") if name.startswith(known)), "others")
            groups.setdefault(group, {})[name] = {"ansible_host": self._address(name), **of_host.get(name, {})}
        children = {group: {"hosts": hosts} for group, hosts in groups.items()}
        children["certautopilot"] = {"hosts": {name: {} for name in groups["destination"]}}
        # WHY not variables of `all`: localhost is in it, and would get `become` for what is delegated to it.
        children["test_hosts"] = {"vars": common, "children": {group: {} for group in groups}}
        return {"all": {"children": children}}

    def _reach(self, variables: dict[str, Any], of_host: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Return what is beside an inventory that names hosts and login user itself, as an operator's does.

        It names hosts only where they differ, as those of two releases do.
        """
        first, *rest = [of_host.get(name, {}) for name in self.names]
        alike = all(one == first for one in rest)
        known = {**self._way(), **variables, **(first if alike else {})}
        return {"all": {"vars": known, **({} if alike else {"hosts": of_host})}}

    def _way(self) -> dict[str, str]:
        commands = {f"ansible_{command}_executable": str(self.folder / "bin" / command) for command in SSH_COMMANDS}
        return {**commands, "ansible_control_path_dir": str(self.sockets)}

    def _address(self, name: str) -> str:
        return self.network.address(self.names.index(name))


def _make_key(path: Path) -> None:
    if not path.exists():
        line = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test hosts", "-f", str(path)]
        subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
