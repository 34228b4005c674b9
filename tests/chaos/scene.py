# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The installation under fire: records of every kind, service processes with heartbeats, writers and readers.

All of them are the stand-in's own processes. They have all KEKs from the start and follow the active version while they
run (hot reload), as the fleet of the product does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.site import Site
from tests.support.processes import repository_environment

VERSIONS = (1, 2, 3)
BEAT_S = 0.5
READY_S = 60.0
END_S = 60.0
ENDLESS_S = 86_400  # writers and readers work until they are told to end
RECORDS_PER_ENVELOPE = 1.77  # of the stand-in's mix: about 57 of 100 documents carry an envelope


@dataclass(frozen=True)
class Load:
    """processes, of two threads each: half of them write, half of them read. Rates: operations a second in all."""

    processes: int = 4
    writes_per_s: float = 20.0
    reads_per_s: float = 60.0


class Scene:
    """A running installation. Its processes are ended with the scene."""

    def __init__(self, site: Site, ending: ExitStack) -> None:
        self.site = site
        self._ending = ending
        self._workers: list[tuple[subprocess.Popen[bytes], Path]] = []
        self.write_logs: list[Path] = []
        self.read_logs: list[Path] = []

    def install(self, envelopes: int) -> None:
        """Make keys, lock and records."""
        for version in VERSIONS:
            self.site.add_kek(version)
        self.site.write()
        with self.site.config_file.open("a") as config:
            config.write("server: {port: 0}\n")
        self.site.call("kek_install_lock")
        seed = self._command("seed", "--records", str(int(envelopes * RECORDS_PER_ENVELOPE)))
        subprocess.run(seed, env=repository_environment(), check=True, stdout=subprocess.DEVNULL)

    def serve(self, mode: str = "worker", *, beat_s: float = BEAT_S) -> subprocess.Popen[bytes]:
        """Start a service process; return it when its first heartbeat is there."""
        line = self._command("serve", "--mode", mode, "--heartbeat-interval", str(beat_s))
        process = self._start(line, f"serve-{time.monotonic_ns()}.log")
        self.wait("its heartbeat", lambda: self.site.db.process_heartbeats.find_one({"pid": process.pid}), process)
        return process

    def work(self, load: Load) -> None:
        """Start the writers and the readers; return when each of them is at work."""
        half = load.processes // 2
        for _number in range(half):
            self._work("writer", load.writes_per_s / half, self.write_logs)
            self._work("reader", load.reads_per_s / half, self.read_logs)
        for process, log in self._workers:
            if log in self.write_logs:  # a reader tells nothing before its end
                self.wait("its first write", lambda log=log: log.exists() and log.stat().st_size, process)

    def end_work(self) -> list[str]:
        """Tell writers and readers to end; return what is wrong with how they did."""
        for process, _log in self._workers:
            process.terminate()
        wrong = []
        for process, log in self._workers:
            try:
                status: int | str = process.wait(END_S)
            except subprocess.TimeoutExpired:
                status = f"none after {END_S:.0f} s"
            if status:
                wrong.append(f"{log.stem} ended with exit status {status}")
        self._workers.clear()
        return wrong

    def reads(self) -> dict[str, int]:
        """Return {opened, failed} of all readers."""
        told = [json.loads(log.read_text()) for log in self.read_logs if log.exists()]
        return {name: sum(each[name] for each in told) for name in ("opened", "failed")}

    def rotation(self, to_version: int) -> dict[str, Any]:
        """Return the rotation's record, {} before there is one."""
        return self.site.db.kek_rotations.find_one({"_id": f"to-{to_version}"}) or {}

    def wait(self, what: str, there: Callable[[], Any], process: subprocess.Popen[bytes]) -> None:
        """Return when it is there. Raises RuntimeError when the process ends or the time is over first."""
        deadline = time.monotonic() + READY_S
        while not there():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args!r} did not come to {what}; exit status {process.poll()}")
            time.sleep(0.05)

    def _work(self, command: str, rate: float, logs: list[Path]) -> None:
        log = self.site.folder / f"{command}-{len(logs)}.log"
        logs.append(log)
        line = self._command(command, "--seconds", str(ENDLESS_S), "--rate", str(rate), "--threads", "2")
        line += ["--reload", str(BEAT_S), "--log", str(log)]
        self._workers.append((self._start(line, f"{log.stem}.out"), log))

    def _command(self, command: str, *more: str) -> list[str]:
        files = ["--config", str(self.site.config_file), "--secrets", str(self.site.secrets_file)]
        return [sys.executable, "-m", "tests.support.service", command, *files, *more]

    def _start(self, line: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self.site.folder / log).open("wb") as output:
            process = subprocess.Popen(line, env=repository_environment(), stdout=output, stderr=output)
        self._ending.callback(_end, process)
        return process


@contextmanager
def scene(site: Site) -> Iterator[Scene]:
    """Yield a scene on the site; end every process of it afterwards."""
    with ExitStack() as ending:
        yield Scene(site, ending)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
