# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network of a set's own: one namespace with a bridge for the controller, one namespace for each host.

A host's namespace is ours and not its container's, so its address outlives a reboot. No namespace has a default route:
there is no way out. Nothing of the machine's own network is touched.
"""

from __future__ import annotations

import ipaddress
import subprocess
from dataclasses import dataclass
from pathlib import Path

PLACES = Path("/run/netns")
BRIDGE = "hosts"


@dataclass(frozen=True)
class Network:
    """name: of the set. subnet: a /24. The controller has .1, the hosts .11 and up."""

    name: str
    subnet: str

    @property
    def namespace(self) -> str:
        return f"cap-{self.name}"

    @property
    def controller(self) -> str:
        return self._address(1)

    @property
    def enter(self) -> list[str]:
        """The beginning of a command line that runs on the controller and sees hosts and database, wherever that is."""
        return ["nsenter", f"--net={PLACES / self.namespace}"]

    def address(self, number: int) -> str:
        """Return the address of the host of that number, from 0."""
        return self._address(11 + number)

    def of_host(self, host: str) -> str:
        return f"{self.namespace}.{host}"

    def up(self) -> None:
        """Make the bridge with the controller's address."""
        _ip("netns", "add", self.namespace)
        _inside(self.namespace, "link", "set", "lo", "up")
        _inside(self.namespace, "link", "add", BRIDGE, "type", "bridge")
        _inside(self.namespace, "addr", "add", f"{self.controller}/24", "dev", BRIDGE)
        _inside(self.namespace, "link", "set", BRIDGE, "up")

    def add(self, host: str, number: int) -> None:
        """Make the namespace of one host and plug it into the bridge."""
        _ip("netns", "add", self.of_host(host))
        _inside(self.namespace, "link", "add", _port(number), "type", "veth", "peer", "name", "eth0",
                "netns", self.of_host(host))  # fmt: skip
        _inside(self.namespace, "link", "set", _port(number), "master", BRIDGE, "up")
        _inside(self.of_host(host), "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _inside(self.of_host(host), "link", "set", link, "up")

    def plug(self, number: int, *, into: bool) -> None:
        """Pull a host's cable, or put it back: it runs on and nobody reaches it."""
        _inside(self.namespace, "link", "set", _port(number), "up" if into else "down")

    def down(self) -> None:
        """Remove the namespaces; what is not there is fine."""
        if not PLACES.is_dir():
            return
        ours = [path.name for path in PLACES.iterdir() if path.name.startswith(f"{self.namespace}.")]
        for name in (*sorted(ours), *([self.namespace] if (PLACES / self.namespace).exists() else [])):
            _ip("netns", "del", name)

    def _address(self, number: int) -> str:
        return str(ipaddress.ip_network(self.subnet)[number])


def _port(number: int) -> str:
    return f"port{number}"


def _inside(namespace: str, *arguments: str) -> None:
    _ip("-n", namespace, *arguments)


def _ip(*arguments: str) -> None:
    ended = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {ended.stderr.strip()}")
