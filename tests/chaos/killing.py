# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation whose processes are killed (SIGKILL) at moments drawn at random, and taken up again until it is complete.

A kill counts when the process was alive and the rotation not complete: one that came after the end proves nothing.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .rotating import Outcome, Rotating
from .scene import Scene

POLL_S = 0.02
AFTER_SWAP = ("settling", "complete")


@dataclass(frozen=True)
class Plan:
    """One rotation. kills: how many. span_s: a kill comes at a random moment of so many seconds of work.

    hsm_share: holds the pace, so that the work outlasts the kills on a fast server too. lease_s: short, for each killed
    holder costs as much. limit_s: the end of patience.
    """

    to_version: int
    processes: int
    kills: int
    span_s: float
    hsm_share: int
    lease_s: int
    limit_s: float


@dataclass
class Told:
    """What happened. kills: by the state of the rotation's record. failures: retryable ones, by code."""

    kills: Counter[str] = field(default_factory=Counter)
    holders: int = 0
    late: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Rotation:
    """One rotation on a scene, from its first process to the last."""

    def __init__(self, scene: Scene, plan: Plan, rng: random.Random, told: Told) -> None:
        self._scene = scene
        self._plan = plan
        self._rng = rng
        self._told = told
        self._running: dict[int, Rotating] = {}
        self._deadline = time.monotonic() + plan.limit_s

    def run(self) -> None:
        """Start the processes, kill them one at a time, start them again; return when all have ended."""
        try:
            for slot in range(self._plan.processes):
                self._running[slot] = self._start()
            for number in range(self._plan.kills):
                self._one_kill(settling=number == self._plan.kills - 1)
            while self._running and not self._is_over():
                self._take_in()
                time.sleep(POLL_S)
        finally:
            for process in self._running.values():
                process.kill()
                process.outcome()

    def _one_kill(self, *, settling: bool) -> None:
        """Kill one process: most of them a while after the rotation moved, some soon after their start.

        settling: wait for the swap, so that one kill of each rotation comes after it.
        """
        slot = self._rng.randrange(self._plan.processes)
        at_start = self._rng.random() < 0.25
        delay = self._rng.uniform(0, self._plan.span_s / (4 if settling else 1))
        seen = self._scene.rotation(self._plan.to_version).get("updated_at")

        def is_time(record: dict[str, Any]) -> bool:
            if settling:
                return record.get("state") in AFTER_SWAP
            return at_start or record.get("updated_at") != seen

        self._go_on_until(is_time)
        self._pause(delay)
        victim = self._running.get(slot)
        if victim is None or self._state() == "complete":
            self._told.late += 1
            return
        held = self._scene.site.db.locks.find_one({"pid": victim.pid}) is not None
        victim.kill()
        outcome, state = victim.outcome(), self._state()
        if outcome.code == "killed" and state != "complete":
            self._told.kills[state] += 1
            self._told.holders += held
        else:
            self._told.late += 1
        self._ended(slot, outcome)

    def _go_on_until(self, is_time: Any) -> None:
        while not self._is_over() and self._running:
            if is_time(self._scene.rotation(self._plan.to_version)):
                return
            self._take_in()
            time.sleep(POLL_S)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._running:
            self._take_in()
            time.sleep(POLL_S)

    def _take_in(self) -> None:
        for slot, process in list(self._running.items()):
            if process.ended():
                self._ended(slot, process.outcome())

    def _ended(self, slot: int, outcome: Outcome) -> None:
        """Judge how a process ended; start it again while there is work left."""
        del self._running[slot]
        if outcome.code and outcome.code != "killed":
            if outcome.retryable:
                self._told.failures[outcome.code] += 1
            else:
                self._told.wrong.append(f"kek_rotate to {self._plan.to_version}: {outcome.code}: {outcome.text}")
        elif not outcome.code and outcome.state != "complete":
            self._told.wrong.append(f"kek_rotate to {self._plan.to_version} succeeded with state {outcome.state}")
        if self._state() != "complete" and not self._told.wrong:
            self._running[slot] = self._start()

    def _is_over(self) -> bool:
        if time.monotonic() > self._deadline:
            self._told.wrong.append(f"rotation to {self._plan.to_version} is not complete after {self._plan.limit_s} s")
            return True
        return bool(self._told.wrong)

    def _state(self) -> str:
        return str(self._scene.rotation(self._plan.to_version).get("state", "before it began"))

    def _start(self) -> Rotating:
        return Rotating(
            self._scene.site,
            constants={"LEASE_S": self._plan.lease_s},
            to_version=self._plan.to_version,
            hsm_share=self._plan.hsm_share,
        )
