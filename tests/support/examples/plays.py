# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook as an operator runs it, on test hosts whose names are those of an inventory.

How the names are reached is said beside the inventory, by a second one that `Hosts` writes (`reach.yml`).
"""

from __future__ import annotations

import json
import os
import re
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

from tests.support.hosts import Hosts
from tests.support.hosts.hosts import PRODUCT_PYTHON
from tests.support.processes import REPOSITORY

EXAMPLES = REPOSITORY / "docs" / "examples"
PLAY_S = 900.0


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


class Plays:
    """Hosts, and playbooks on them. folder: what the plays leave on the controller, and their output."""

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        self.hosts = hosts
        self.folder = folder
        self.ansible_home = folder / "ansible"

    def _environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".build" / "collections"),
            "ANSIBLE_HOME": str(self.ansible_home),
            "ANSIBLE_NOCOLOR": "1",
            # Libraries are not what these plays are about; they are those of the stand-in.
            "ANSIBLE_PYTHON_INTERPRETER": PRODUCT_PYTHON,
        }

    def module(self, inventory: str, host: str, name: str, options: dict[str, Any]) -> str:
        """Run a module on one host by the command ansible, as an operator does; return what it said."""
        inventories = ["-i", str(EXAMPLES / inventory / "inventory.yml"), "-i", str(self.hosts.access.reach)]
        line = [str(Path(sys.executable).parent / "ansible"), *inventories, host, "-m", f"certautopilot.ops.{name}"]
        ended = subprocess.run(
            [*line, "-a", json.dumps(options)], env=self._environment(), capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def start(self, inventory: Path, playbook: str = "migrate", *arguments: str) -> Run:
        marker = uuid.uuid4().hex
        environment = {**self._environment(), "MIGRATING": marker}
        inventories = ["-i", str(inventory / "inventory.yml"), "-i", str(self.hosts.access.reach)]
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "ansible-playbook"), *inventories, f"certautopilot.ops.{playbook}",
             "-e", "certautopilot_runtime=false", *arguments],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        return Run(process, marker)

    def play(self, inventory: str | Path, *arguments: str, playbook: str = "migrate", at: tuple[str, ...] = (),
             befall: Callable[[Run], None] | None = None, after_s: float = -1.0) -> Run:  # fmt: skip
        """Run to the end. befall: called once, when lines with each of `at` have come in turn, or after `after_s`."""
        run = self.start(EXAMPLES / inventory, playbook, *arguments)
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
