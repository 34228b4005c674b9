# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that runs kek_rotate until somebody kills it, and the parent's hold on such a process.

Run as a script with an order as JSON on standard input: {params, options, constants, stop}. It prints "started" when
everything is imported, and one line of JSON at its end. constants: name -> value, set in every module of the collection
that has the name, because leases of half a minute are too long for a test. stop: {fail_point, nth}: the process stops
itself (SIGSTOP) just before that moment, a name of tests/support/fail_points.py, comes for the nth time.
"""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
END_S = 120.0  # a process that has been told nothing more ends within this time, or the run is wrong


@dataclass(frozen=True)
class Outcome:
    """How a process ended. code: "" for success, "killed", the failure's stable code, or "crashed"."""

    code: str
    retryable: bool
    changed: bool
    state: str
    text: str
    rewrapped: int = 0
    reissue_total: int = 0


class Rotating:
    """One running kek_rotate in a process of its own."""

    def __init__(
        self, site: Any, *, constants: dict[str, Any], stop: dict[str, Any] | None = None, **options: Any
    ) -> None:
        params = {"config_file": str(site.config_file), "secrets_file": str(site.secrets_file)}
        order = {"params": params, "options": options, "constants": constants, "stop": stop}
        self.errors = site.folder / f"rotating-{time.monotonic_ns()}.err"
        with self.errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        self.pid = self._process.pid
        self._outcome: Outcome | None = None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._process.stdin as order_pipe:
            json.dump(order, order_pipe)
        self._process.stdout.readline()

    def ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        """Kill it. Harmless when it has ended: the outcome then tells so."""
        self._process.kill()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait_until_stopped(self) -> None:
        """Return when it has stopped itself. Raises RuntimeError when it ended instead."""
        deadline = time.monotonic() + END_S
        while not self.ended() and time.monotonic() < deadline:
            if Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[-1].split()[0] == "T":
                return
            time.sleep(0.02)
        raise RuntimeError(f"the process did not stop where it should: {self.outcome()}")

    def outcome(self) -> Outcome:
        """Wait for its end and return how that was."""
        self._outcome = self._outcome or self._ending()
        return self._outcome

    def _ending(self) -> Outcome:
        try:
            status = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
            return Outcome("endless", False, False, "", f"still at work after {END_S:.0f} s")
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            lines = stream.read().splitlines()
        text = self.errors.read_text(errors="replace")[-2000:]
        if status == -signal.SIGKILL:
            return Outcome("killed", True, False, "", text)
        if not lines:
            return Outcome("crashed", False, False, "", f"exit status {status}: {text}")
        told = json.loads(lines[-1])
        return Outcome(
            told["code"], told["retryable"], told["changed"], told["state"], told["message"], told["rewrapped"],
            told["reissue_total"],
        )  # fmt: skip


def main() -> None:
    order = json.load(sys.stdin)
    sys.path[:0] = [str(ROOT / ".build" / "collections"), str(ROOT)]
    from tests.support import fail_points

    sources = importlib.import_module(f"{fail_points.UTILS}._module.configuration")
    rotate = importlib.import_module(f"{fail_points.UTILS}._verbs.kek_rotate")
    fail_points.set_constants(order["constants"])
    if order["stop"]:
        fail_points.stop_before(order["stop"]["fail_point"], int(order["stop"]["nth"]))
    print("started", flush=True)
    told: dict[str, Any] = {
        "code": "",
        "retryable": False,
        "changed": False,
        "state": "",
        "message": "",
        "rewrapped": 0,
        "reissue_total": 0,
    }
    try:
        settings = sources.settings_from(order["params"], environment={}, warn=lambda _text: None)
        result = rotate.run(settings, rotate.Options(**order["options"]), check=False, warn=lambda _text: None)
    except importlib.import_module(f"{fail_points.UTILS}._domain.errors").OpsError as failure:
        told.update(code=failure.code, retryable=failure.retryable, message=failure.message)
    else:
        rotation = result.values["rotation"]
        told.update(changed=result.changed, state=rotation["state"], rewrapped=rotation["rewrapped"])
        told["reissue_total"] = rotation.get("reissue_total", 0)
    print(json.dumps(told), flush=True)
    raise SystemExit(1 if told["code"] else 0)


if __name__ == "__main__":
    main()
