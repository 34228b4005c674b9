# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation in time slices: when the next one runs, when it is over, and one result made of all of them.

The world comes in as functions (run a slice, print, clock, sleep), so that no Ansible and no
waiting is needed to test it. A slice is one run of the module; what it returned is judged by rotation.state:
 rewrapping, settling  the next slice goes on
 anything else         over; so is every failure but one: after rotate.incomplete the envelopes that can move still move
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.wrap_proof import Proof

from ._progress import progress_line

GOES_ON = ("rewrapping", "settling")
STALLED_AFTER = 20  # slices in a row without progress

Returned = Mapping[str, Any]  # what one run of the module gave back


@dataclass(frozen=True, slots=True)
class Limits:
    """slice_s: seconds of one slice, from 1. overall_s: seconds of all slices together, 0 for no limit."""

    slice_s: int
    overall_s: int = 0


@dataclass(slots=True)
class Account:
    """What all slices so far did together. idle: slices in a row, up to the last one, that made no progress."""

    rewrapped: int = 0
    conflicts: int = 0
    retries: int = 0
    changed: bool = False
    idle: int = 0
    rotation: dict[str, Any] = field(default_factory=dict)
    diff: dict[str, Any] = field(default_factory=dict)
    warnings: list[Any] = field(default_factory=list)
    _proof: Proof | None = None
    _lowest: int | None = None
    _states: set[str] = field(default_factory=set)

    def add(self, returned: Returned) -> None:
        """Take up what a slice returned."""
        self.changed = self.changed or bool(returned.get("changed"))
        self.warnings += [warning for warning in returned.get("warnings", ()) if warning not in self.warnings]
        if shown := returned.get("diff"):
            self.diff = {**shown, "before": self.diff.get("before", shown.get("before"))}
        if rotation := returned.get("rotation"):
            self.rewrapped += whole(rotation.get("rewrapped"))
            self.conflicts += whole(rotation.get("conflicts"))
            self.retries += whole(rotation.get("retries"))
            self._note_proof(rotation.get("proof"))
            # The first slice saw the versions as one long run would have; later ones see fewer.
            first = self.rotation.get("from_versions", rotation.get("from_versions"))
            self.rotation = {
                **rotation, "from_versions": first, "rewrapped": self.rewrapped, "conflicts": self.conflicts,
            }  # fmt: skip
            if self._proof is not None:
                self.rotation |= {"retries": self.retries, "proof": self._proof.as_result()}
            self._note_progress(whole(rotation.get("remaining")), str(rotation.get("state")))

    def _note_proof(self, shown: Mapping[str, Any] | None) -> None:
        if shown is None:  # a slice that found nothing to do
            return
        self._proof = self._proof or Proof(str(shown.get("verify")))
        self._proof.made += whole(shown.get("made"))
        self._proof.opened += whole(shown.get("opened"))

    def _note_progress(self, remaining: int, state: str) -> None:
        # WHY not "something was re-wrapped": a writer that keeps the old version gives every slice something to do.
        advanced = self._lowest is None or remaining < self._lowest or state not in self._states
        self.idle = 0 if advanced else self.idle + 1
        self._lowest = remaining if self._lowest is None else min(self._lowest, remaining)
        self._states.add(state)

    def line(self, elapsed_s: float) -> str:
        return progress_line(
            done=self.rewrapped,
            remaining=whole(self.rotation.get("remaining")),
            elapsed_s=elapsed_s,
            conflicts=self.conflicts,
            failures=len(self.rotation.get("failures") or ()),
            to_version=whole(self.rotation.get("to_version")),
            settling=self.rotation.get("state") == "settling",
        )

    def total_of(self, last: Returned) -> dict[str, Any]:
        """Return the last slice's result with everything that adds up over the slices put in its place."""
        sums: dict[str, Any] = {"changed": self.changed}
        for name, value in (("rotation", self.rotation), ("diff", self.diff), ("warnings", self.warnings)):
            if value:
                sums[name] = value
        return {**last, **sums}

    def stalled(self, last: Returned) -> dict[str, Any]:
        """Return the failure of a rotation that does not get any further."""
        remaining = whole(self.rotation.get("remaining"))
        return {
            **self.total_of(last),
            "failed": True,
            "msg": f"{self.idle} slices in a row brought the rotation no further: {remaining} envelope(s) remain, "
            f"{self.rewrapped} were re-wrapped",
            "failure": {
                "code": "rotate.stalled",
                "step": str(self.rotation.get("state")),
                "retryable": True,
                "hint": "look at kek_info for a process that still writes with the old version, or a slice_seconds "
                "too short for one batch; then run it again, it goes on from here",
            },
        }


def run_slices(
    execute: Callable[[int], Returned],
    limits: Limits,
    *,
    say: Callable[[str], None],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> dict[str, Any]:
    """Return one result for all slices. execute: run the module with that max_seconds. say: print one line."""
    account, started, slice_s = Account(), clock(), limits.slice_s
    while True:
        began = clock()
        span_s = _span(slice_s, limits.overall_s, began - started)
        returned = execute(span_s)
        now = clock()
        account.add(returned)
        if returned.get("rotation"):
            say(account.line(now - started))
        if not _goes_on(returned, took_s=now - began, span_s=span_s):
            return account.total_of(returned)
        if limits.overall_s and now - started >= limits.overall_s:
            return account.total_of(returned)
        if account.idle >= STALLED_AFTER:
            return account.stalled(returned)
        if returned.get("failed"):
            slice_s *= 2  # the next one meets the same envelopes first, and must get past them
        if account.idle and now - began < span_s:
            sleep(span_s - (now - began))


def whole(value: object) -> int:
    """Return a count, 0 for what is none: Ansible masks even numbers that contain a short PIN."""
    return int(value) if isinstance(value, int) else 0


def _span(slice_s: int, overall_s: int, elapsed_s: float) -> int:
    """Return the next slice's max_seconds, at least 1: 0 would mean no limit."""
    return max(1, min(slice_s, math.ceil(overall_s - elapsed_s))) if overall_s else slice_s


def _goes_on(returned: Returned, *, took_s: float, span_s: int) -> bool:
    rotation = returned.get("rotation") or {}
    if rotation.get("state") not in GOES_ON:
        return False
    if not returned.get("failed"):
        return True
    # A slice that was over early had reached the end: what it left cannot move.
    code = (returned.get("failure") or {}).get("code")
    left_movable = whole(rotation.get("remaining")) > len(rotation.get("failures") or ())
    return code == "rotate.incomplete" and left_movable and took_s >= span_s
