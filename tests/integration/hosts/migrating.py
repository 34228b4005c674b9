# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations on hosts with systemd, as an operator runs them: an example's inventory, ssh, ansible-playbook.

What gives the examples' names their addresses, and Ansible its ssh, is said outside of them, in the environment.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.hosts import Hosts
from tests.support.hosts.hosts import LOGIN, PRODUCT_PYTHON

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "docs" / "examples"
OLD, NEW = ("old1.example.com", "old2.example.com"), ("new1.example.com", "new2.example.com")
NODES = (*OLD, *NEW)
DATABASE = "database-1"
CONFIG, SECRETS, PIN = "/etc/certautopilot/config.yaml", "/etc/certautopilot/secrets.env", "/etc/certautopilot/pin"
URI = "/etc/certautopilot/mongodb-uri"
UNIT = "certautopilot.service"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/50-certautopilot-retired.conf"
LEFT = "/var/lib/certautopilot-migration /var/backups/certautopilot /var/log/certautopilot-migration"
RECORDS = 100
PLAY_S = 900.0
# Every half second, also across reboots: time, state of the unit, answer to the question for its health.
SAMPLES = "/var/log/samples"
SAMPLER = f"""[Service]
ExecStart=/bin/sh -c 'while :; do echo "$(date +%%s.%%N) $(systemctl is-active {UNIT}) \
$(curl -s -m 1 -o /dev/null -w %%{{http_code}} http://127.0.0.1:18181/readyz)"; sleep 0.4; done >>{SAMPLES}'
[Install]
WantedBy=multi-user.target
"""


@dataclass
class Run:
    """One ansible-playbook. lines: (when, line), as they come. status: None while it runs."""

    process: subprocess.Popen[str]
    marker: str
    lines: list[tuple[float, str]] = field(default_factory=list)

    @property
    def output(self) -> str:
        return "\n".join(line for _when, line in self.lines)

    @property
    def said(self) -> str:
        """The output without line breaks of messages."""
        return " ".join(self.output.split())

    @property
    def status(self) -> int | None:
        return self.process.returncode

    @property
    def changed(self) -> dict[str, int]:
        recap = self.output.partition("PLAY RECAP")[2]
        return {host: int(n) for host, n in re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", recap, re.MULTILINE)}

    def kill(self) -> None:
        """SIGKILL for ansible-playbook and every process that comes from it, as when the controller loses power."""
        own = f"MIGRATING={self.marker}".encode()
        for _again in range(20):
            found = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if own in _read(path)]
            for pid in found:
                os.kill(pid, signal.SIGKILL)
            if not found:
                return
            time.sleep(0.05)
        raise RuntimeError(f"these outlive SIGKILL: {found}")

    def took(self) -> list[tuple[float, str]]:
        """Return (seconds, task) in the order of the run."""
        begun = [(when, line.split("[")[1].split("]")[0]) for when, line in self.lines if line.startswith("TASK [")]
        ends = [when for when, _task in begun[1:]] + [self.lines[-1][0]]
        return [(round(end - when, 2), task) for (when, task), end in zip(begun, ends, strict=True)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


class Sides:
    """Hosts that the examples name, an installation on some of them, and playbooks."""

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        self.hosts = hosts
        self.folder = folder
        self.pins: list[str] = []

    def start(self, inventory: Path, playbook: str = "migrate", *arguments: str) -> Run:
        marker = uuid.uuid4().hex
        reached = {
            f"ANSIBLE_{name.upper()}_EXECUTABLE": str(self.hosts.folder / "bin" / name)
            for name in ("ssh", "scp", "sftp")
        }
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            **reached,
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.hosts.access.sockets),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PYTHON_INTERPRETER": PRODUCT_PYTHON,
            "MIGRATING": marker,
        }
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory / "inventory.yml")]
        known = {"certautopilot_runtime": False, "certautopilot_quiesce_wait_s": self.hosts.heartbeat_s + 2}
        process = subprocess.Popen(
            [*command, f"certautopilot.ops.{playbook}", "-e", json.dumps(known), *arguments],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        return Run(process, marker)

    def play(self, inventory: str | Path, *arguments: str, playbook: str = "migrate", at: tuple[str, ...] = (),
             befall: Callable[[Run], None] | None = None, after_s: float = -1.0) -> Run:  # fmt: skip
        """Run to the end. befall: called once, when lines with each of `at` have come in turn, or after `after_s`."""
        folder = EXAMPLES / inventory
        run = self.start(folder, playbook, *arguments)
        timer = threading.Timer(PLAY_S, run.kill)
        timers = [timer]
        if befall and after_s >= 0:
            timers.append(threading.Timer(after_s, befall, [run]))
        for one in timers:
            one.start()
        assert run.process.stdout is not None
        awaited = list(at)
        with (self.folder / "plays.log").open("a") as log:
            for line in run.process.stdout:
                run.lines.append((time.time(), line.rstrip("\n")))
                print(f"{run.lines[-1][0] - run.lines[0][0]:7.1f}", line, end="", file=log, flush=True)
                if awaited and awaited[0] in line:
                    del awaited[0]
                    if befall and not awaited:
                        befall(run)
        run.process.wait()
        for one in timers:
            one.cancel()
        return run

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
        self.program(nodes[0], "tests.support.service", "seed", "--config", CONFIG, "--secrets", SECRETS,
                     "--records", str(RECORDS))  # fmt: skip

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
        program = f"import pymongo; client = pymongo.MongoClient({self.hosts.database_uri!r}); print({expression})"
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
        kept = sorted((self.folder / "ansible" / "tmp").glob("certautopilot-bundles-*"))
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

    def freeze(self, run: Run, old: tuple[str, ...], new: tuple[str, ...]) -> str:
        """Return, and print, how long nothing was healthy, and what the run did meanwhile: cause -> seconds."""
        since = max(when for host in old for when, _active, well in self.samples(host) if well)
        until = min(when for host in new for when, _active, well in self.samples(host) if well and when > since)
        told = f"{until - since:.1f} s: {by_cause(run, since, until)}"
        print(f"freeze: {told}")
        return told


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


# What the tasks of a freeze are for, first match; one that several stages share is told apart by the stage before it.
CAUSES = (
    ("Turn", "turn"), ("no process of the fleet", "quiet"), ("export_data", "export"), ("Transfer", "transfer"),
    ("import_data", "import"), ("prove_equal|Proof", "proof"), ("Accept [|]", "accept"), ("Service [|]|Switch", ""),
)  # fmt: skip
STAGES = {"quiesce": "retire", "proof": "retire", "accept": "start", "start": "report"}


def by_cause(run: Run, since: float, until: float) -> dict[str, float]:
    """Return cause -> seconds of the freeze, by the tasks that ran in it."""
    spent: dict[str, float] = {}
    begun = [(when, line) for when, line in run.lines if line.startswith("TASK [")]
    stage = "stop"
    for number, (when, line) in enumerate(begun):
        end = begun[number + 1][0] if number + 1 < len(begun) else run.lines[-1][0]
        within = max(0.0, min(end, until) - max(when, since))
        ended = re.search(r"done on this host: (\w+)", line)
        stage = STAGES.get(ended[1], stage) if ended and when > since else stage
        named = next((cause for pattern, cause in CAUSES if re.search(pattern, line)), "other") or stage
        spent[named] = round(spent.get(named, 0.0) + within, 1)
    return {cause: seconds for cause, seconds in spent.items() if seconds}
