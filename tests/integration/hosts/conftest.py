# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with systemd, one set for the session of a worker, and modules run on them by Ansible over ssh with sudo.

Where hosts cannot be had, each test is skipped with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.examples.plays import EXAMPLES
from tests.support.examples.sides import DATABASE, NEW, NODES, OLD, Sides, written
from tests.support.hosts import Hosts, why_not
from tests.support.hosts.hosts import PRODUCT_PYTHON
from tests.support.hosts.image import chosen

ROOT = Path(__file__).resolve().parents[3]
COLLECTION = "certautopilot.ops"
PAIR = ("source-1", "source-2")
UNIT = "probe.service"
PORT = 18181
PROGRAM = "/usr/local/lib/probe.py"
UNITS = "/etc/systemd/system"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.hosts)


@dataclass(frozen=True)
class Played:
    """One ansible-playbook run. output: everything it printed. results: host -> what each task registered, in order."""

    status: int
    output: str
    results: dict[str, list[dict[str, Any]]]

    @property
    def one(self) -> list[dict[str, Any]]:
        """What the tasks of a run on one host registered."""
        (results,) = self.results.values()
        return results


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """Two hosts, for as long as the session takes."""
    if reason := why_not():
        pytest.skip(reason)
    hosts = Hosts(tmp_path_factory.mktemp("pair"), hosts=PAIR)
    hosts.up(variables={"ansible_python_interpreter": PRODUCT_PYTHON})
    try:
        program = (Path(__file__).parent / "probe.py").read_text(encoding="utf-8")
        for host in PAIR:
            hosts.put(host, PROGRAM, program, mode="0755")
        yield hosts
    finally:
        hosts.down()


@pytest.fixture(scope="session")
def four(tmp_path_factory):
    """Two hosts for either side of a migration, and one for their database, for as long as the session takes.

    From Debian 12 to Debian 13, as when hosts are renewed: both are tried in the time of one.
    """
    if reason := why_not():
        pytest.skip(reason)
    hosts = Hosts(tmp_path_factory.mktemp("migrate"), hosts=(*NODES, DATABASE), suite=chosen("bookworm,new=trixie"))
    hosts.up()
    yield hosts
    hosts.down()


@pytest.fixture
def sides(four, tmp_path):
    """Those hosts with nothing of an installation on them."""
    made = Sides(four, tmp_path)
    made.clear()
    return made


@pytest.fixture
def example(sides, tmp_path):
    """Two hosts a side, KEK in a file on both: an installation with records, and the inventory that migrates it."""
    return env_to_env(sides, tmp_path / "example", OLD, NEW)


@pytest.fixture
def small_example(sides, tmp_path):
    """The same with one host a side."""
    return env_to_env(sides, tmp_path / "example", OLD[:1], NEW[:1])


def env_to_env(sides, folder, old, new):
    sides.install("env", *old)
    inventory = yaml.safe_load((EXAMPLES / "migrate_pkcs11_to_env" / "inventory.yml").read_text())
    given = yaml.safe_load((EXAMPLES / "migrate_pkcs11_to_env" / "group_vars" / "all.yml").read_text())
    groups = inventory["all"]["children"]
    groups["source"]["hosts"], groups["destination"]["hosts"] = dict.fromkeys(old), dict.fromkeys(new)
    # WHY so small: a silent host costs 45 s otherwise, and these tests are about what happens then
    inventory["all"]["vars"]["ansible_ssh_common_args"] = "-o ServerAliveInterval=3 -o ServerAliveCountMax=3"
    return written(folder, inventory, all=given)


@pytest.fixture
def playbook(pair, tmp_path, monkeypatch):
    """Return a function that runs tasks on hosts of the pair; each task's result comes back, in order."""
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)

    def run(*tasks, on="source-1", arguments=()):
        kept = tmp_path / "results"
        kept.mkdir(exist_ok=True)
        for old in kept.iterdir():
            old.unlink()
        known = [{"register": f"result_{number}", **task} for number, task in enumerate(tasks)]
        names = ", ".join(task["register"] for task in known)
        keep = {"content": f"{{{{ [{names}] | to_json }}}}", "dest": f"{kept}/{{{{ inventory_hostname }}}}"}
        here = {"delegate_to": "localhost", "check_mode": False, "diff": False, "become": False, "no_log": True,
                "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}  # fmt: skip
        known.append({"name": "Keep the results", "ansible.builtin.copy": keep, **here})
        path = tmp_path / "play.yml"
        path.write_text(yaml.safe_dump([{"hosts": on, "gather_facts": False, "tasks": known}]), encoding="utf-8")
        ended = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", pair.inventory, *arguments, path],
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
                "ANSIBLE_HOME": str(tmp_path / "ansible"),
                "ANSIBLE_PIPELINING": "true",
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        results = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in kept.iterdir()}
        return Played(ended.returncode, ended.stdout + ended.stderr, results)

    return run


@pytest.fixture
def call(playbook):
    """Return a function that runs calls of modules, each (module, options, keywords), and returns their results."""

    def run(*calls, on="source-1"):
        tasks = [
            {"name": f"Call {number}", f"{COLLECTION}.{module}": options, "ignore_errors": True, **keywords}
            for number, (module, options, keywords) in enumerate(calls)
        ]
        played = playbook(*tasks, on=on, arguments=["--diff"])
        assert played.status == 0, played.output
        return played.one

    return run


@pytest.fixture
def unit(pair):
    """Return a function that installs a unit of its own on a host; everything of it is gone after the test."""
    installed = []

    def install(*arguments, host="source-1", name=UNIT, service="", user="certautopilot", wanted=True):
        lines = [
            "[Service]", f"User={user}", f"ExecStart=/usr/bin/python3 {PROGRAM} {' '.join(arguments)}", service,
            *(["[Install]", "WantedBy=multi-user.target"] if wanted else []),
        ]  # fmt: skip
        pair.put(host, f"{UNITS}/{name}", "\n".join(lines) + "\n", mode="0644")
        installed.append((host, name))
        pair.run(host, ["systemctl", "daemon-reload"])
        return name

    yield install
    for host, name in installed:
        for switch in ("certautopilot-return", "certautopilot-return-again"):
            pair.run(host, ["systemctl", "stop", f"{switch}.timer", f"{switch}.service"], check=False)
            pair.run(host, ["systemctl", "reset-failed", f"{switch}.service"], check=False)
        pair.run(host, ["systemctl", "disable", name], check=False)
        pair.run(host, ["systemctl", "kill", "--signal=SIGKILL", name], check=False)
        pair.run(host, ["systemctl", "stop", name], check=False)
        pair.run(host, ["rm", "-rf", f"{UNITS}/{name}", f"{UNITS}/{name}.d"])
        pair.run(host, ["systemctl", "daemon-reload"])
        pair.run(host, ["systemctl", "reset-failed"], check=False)


@pytest.fixture
def shown(pair):
    """Return a function that asks systemd itself: {property: value} of a unit."""

    def ask(*properties, host="source-1", name=UNIT):
        printed = pair.run(host, ["systemctl", "show", f"--property={','.join(properties)}", name]).stdout
        return dict(line.split("=", 1) for line in printed.splitlines() if line)

    return ask
