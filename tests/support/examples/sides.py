# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two sides of a migration on test hosts: made as the product makes them, and looked at without our code."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.support.hosts import Hosts
from tests.support.hosts.hosts import LOGIN, PRODUCT_PYTHON

from .plays import EXAMPLES, Plays

OLD, NEW = ("old1.example.com", "old2.example.com"), ("new1.example.com", "new2.example.com")
NODES = (*OLD, *NEW)
DATABASE = "database-1"
CONFIG, SECRETS, PIN = "/etc/certautopilot/config.yaml", "/etc/certautopilot/secrets.env", "/etc/certautopilot/pin"
URI = "/etc/certautopilot/mongodb-uri"
UNIT = "certautopilot.service"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/50-certautopilot-retired.conf"
LEFT = "/var/lib/certautopilot-migration /var/backups/certautopilot /var/log/certautopilot-migration"
RECORDS = 100
# Every half second, also across reboots: time, state of the unit, answer to the question for its health.
SAMPLES = "/var/log/samples"
SAMPLER = f"""[Service]
ExecStart=/bin/sh -c 'while :; do echo "$(date +%%s.%%N) $(systemctl is-active {UNIT}) \
$(curl -s -m 1 -o /dev/null -w %%{{http_code}} http://127.0.0.1:18181/readyz)"; sleep 0.4; done >>{SAMPLES}'
[Install]
WantedBy=multi-user.target
"""


class Sides(Plays):
    """Hosts that the examples name, an installation on some of them, and playbooks."""

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        super().__init__(hosts, folder)
        self.pins: list[str] = []

    # --- an installation that was there before ------------------------------------------------------------------------

    def install(self, provider: str, *nodes: str) -> None:
        """Make the source by the product's way: the playbook fresh_install, then records through the stand-in."""
        example = f"fresh_install_{'env' if provider == 'env' else 'pkcs11'}"
        if provider == "pkcs11":
            self.token(nodes[0])
        folder = self.folder / "fresh"
        inventory = yaml.safe_load((EXAMPLES / example / "inventory.yml").read_text())
        inventory["certautopilot"]["hosts"] = dict.fromkeys(nodes)
        given = yaml.safe_load((EXAMPLES / example / "group_vars" / "certautopilot.yml").read_text())
        written(folder, inventory, certautopilot=given)
        made = self.play(folder, playbook="fresh_install")
        assert made.status == 0, made.output[-4000:]
        self.seed(nodes[0])

    def seed(self, host: str) -> None:
        where = ("--config", CONFIG, "--secrets", SECRETS)
        self.program(host, "tests.support.service", "seed", *where, "--records", str(RECORDS))

    def write(self, host: str, seconds: float = 2.0) -> None:
        """Let an installation write records for a while, as one that serves does."""
        load = ("--seconds", str(seconds), "--rate", "5", "--log", "/tmp/writer.log")
        self.program(host, "tests.support.service", "writer", "--config", CONFIG, "--secrets", SECRETS, *load)

    def token(self, host: str) -> None:
        pin = secrets.token_hex(8)
        self.hosts.token(host, "certautopilot", pin)
        self.hosts.put(host, PIN, pin)
        self.pins.append(pin)

    def clear(self) -> None:
        """Take everything back that installations and migrations left, and begin to sample."""
        self.pins.clear()
        program = f"""
            systemctl disable --now sampler.service; rm -f {SAMPLES}
            systemctl stop certautopilot-return.timer certautopilot-return.service
            systemctl disable {UNIT}; systemctl kill --signal=SIGKILL {UNIT}; systemctl stop {UNIT}
            rm -rf {Path(DROP_IN).parent} {CONFIG}* {SECRETS}* {PIN} /var/lib/softhsm/tokens/* {LEFT}
            install -d -o certautopilot -g certautopilot -m 0750 /etc/certautopilot
            systemctl daemon-reload; systemctl reset-failed; systemctl enable --now sampler.service"""
        for host in self.hosts.nodes:
            self.hosts.put(host, "/etc/systemd/system/sampler.service", SAMPLER, mode="0644")
            self.hosts.run(host, ["sh", "-c", f"({program}) 2>&1"])
        self.database("[client.drop_database(n) for n in client.list_database_names() if n.startswith('certauto')]")

    # --- what is seen, without our code -------------------------------------------------------------------------------

    def database(self, expression: str) -> str:
        """Return what a Python expression on the database server prints."""
        program = (
            f"import datetime, pymongo; client = pymongo.MongoClient({self.hosts.database_uri!r}); print({expression})"
        )
        line = [*self.hosts.enter, sys.executable, "-c", program]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()  # runs: nsenter

    def program(self, host: str, module: str, *arguments: str) -> str:
        """Return what a program of the stand-in's, or the oracle, prints on a host, as the service's user."""
        line = ["env", "PYTHONPATH=/usr/share/certautopilot/lib", PRODUCT_PYTHON, "-m", module, *arguments]
        return self.hosts.run(host, line, user="certautopilot", timeout=300).stdout

    def compared(self, old: str, new: str) -> dict[str, Any]:
        """Return what the oracle finds: each side opened on its own host, by its own library and key."""
        one, other = (
            json.loads(self.program(host, "tests.support.oracle", "list", "--source", CONFIG, SECRETS))
            for host in (old, new)
        )
        fresh = [{hashed for _stays, made in side.values() for hashed in made} for side in (one, other)]
        return {
            "records": len(one),
            "envelopes": sum(len(made) for _stays, made in one.values()) // 4,
            "differ": sorted(p for p in {*one, *other} if one.get(p, [0])[0] != other.get(p, [1])[0]),
            "reused": len(fresh[0] & fresh[1]),
        }

    def bundles(self) -> list[str]:
        """Return what the controller and the login users keep of bundles: `mode name`."""
        kept = sorted((self.ansible_home / "tmp").glob("certautopilot-bundles-*"))
        found = [f"{path.stat().st_mode & 0o777:o} {path.name}" for one in kept for path in (one, *one.rglob("*"))]
        asked = ["find", f"/home/{LOGIN}", "-name", ".certautopilot-bundle-*"]
        return found + [line for host in self.hosts.hosts for line in self.hosts.run(host, asked).stdout.splitlines()]

    def state(self, host: str) -> str:
        """Return `active enabled`, or whatever it is, with `retired` where a drop-in of ours is there."""
        asked = ["systemctl", "show", "--property=ActiveState", "--property=UnitFileState", "--value", UNIT]
        words = self.hosts.run(host, asked).stdout.split()
        retired = self.hosts.run(host, ["test", "-e", DROP_IN], check=False).returncode == 0
        return " ".join([*words, *(["retired"] if retired else [])])

    def states(self, *hosts: str) -> list[str]:
        return [self.state(host) for host in hosts]

    def healthy(self, host: str, within_s: int = 20) -> bool:
        asked = ["curl", "--silent", "--retry", str(within_s), "--retry-all-errors", "--retry-delay", "1", "--fail"]
        return self.hosts.run(host, [*asked, "http://127.0.0.1:18181/readyz"], check=False).returncode == 0

    def switches(self, *hosts: str) -> list[str]:
        asked = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "certautopilot-return*"]
        return [line for host in hosts for line in self.hosts.run(host, asked).stdout.splitlines()]

    def samples(self, host: str) -> list[tuple[float, bool, bool]]:
        """Return (when, the unit is active, it is healthy)."""
        lines = [line.split() for line in self.hosts.read(host, SAMPLES).splitlines()]
        whole = [line for line in lines if len(line) == 3]
        return [(float(when), state in ("active", "reloading"), code == "200") for when, state, code in whole]

    def both_served(self, old: tuple[str, ...], new: tuple[str, ...]) -> list[str]:
        """Return each time at which a host of either side was seen active, in words; none is as it must be."""
        spans = {host: list(spans_of(self.samples(host))) for host in (*old, *new)}
        return [
            f"{one} {first} and {other} {second}"
            for one in old for other in new for first in spans[one] for second in spans[other]
            if max(first[0], second[0]) < min(first[1], second[1])
        ]  # fmt: skip


def spans_of(samples: list[tuple[float, bool, bool]]) -> list[tuple[float, float]]:
    """Return (first, last) of each row of samples in which the unit was active."""
    spans: list[tuple[float, float]] = []
    before = False
    for when, active, _well in samples:
        if active and before:
            spans[-1] = (spans[-1][0], when)
        elif active:
            spans.append((when, when))
        before = active
    return spans


def written(folder: Path, inventory: dict[str, Any], **variables: dict[str, Any]) -> Path:
    """Write an inventory as an operator has it: inventory.yml, and group_vars of each group."""
    (folder / "group_vars").mkdir(parents=True, exist_ok=True)
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory, sort_keys=False))
    for group, values in variables.items():
        (folder / "group_vars" / f"{group}.yml").write_text(yaml.safe_dump(values))
    return folder
