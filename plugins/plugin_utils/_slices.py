# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation in time slices: when the next one runs, and when it is over.

The world comes in as functions (run a slice, print, clock, sleep), so that no Ansible and no waiting is needed to test
it. A slice is one run of the module. What it returns counts for all slices so far, because the module keeps the counts
in the rotation's record: nothing is added up here. Its rotation.state decides:
 rewrapping, settling  the next slice goes on
 anything else         over; so is every failure but one: after rotate.incomplete the envelopes that can move still move
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.values import JsonObject

from ._progress import progress_line

GOES_ON = ("rewrapping", "settling")
TAKEN_BACK = ("cancelled", "none")
STALLED_AFTER = 20  # slices in a row that brought the rotation no further, and
STALLED_AFTER_S = 60  # so long: a process that was killed keeps its range from the others for the life of a lease, 30 s

Returned = Mapping[str, object]  # what one run of the module gave back


@dataclass(frozen=True, slots=True)
class Limits:
    """slice_s: seconds of one slice, from 1. overall_s: seconds of all slices together, 0 for no limit."""

    slice_s: int
    overall_s: int = 0


@dataclass(slots=True)
class Watch:
    """What the rotation's record said last. idle: slices in a row that brought it no further, which took idle_s."""

    changed: bool = False
    warnings: list[object] = field(default_factory=list)
    rotation: Mapping[str, object] = field(default_factory=dict)
    idle: int = 0
    idle_s: float = 0.0
    _lowest: int | None = None
    _states: set[str] = field(default_factory=set)

    def see(self, returned: Returned, took_s: float) -> None:
        """Take up what a slice returned."""
        self.changed = self.changed or bool(returned.get("changed"))
        self.warnings += [warning for warning in _list(returned.get("warnings")) if warning not in self.warnings]
        rotation = rotation_of(returned)
        if rotation:
            self.rotation = rotation
            self._note_progress(whole(rotation.get("remaining")), str(rotation.get("state")), took_s)

    def _note_progress(self, remaining: int, state: str, took_s: float) -> None:
        # WHY not "something was re-wrapped": a writer that keeps the old version gives every slice something to do.
        # WHY settling never counts: how long the fleet is waited for is the module's settle_timeout.
        advanced = self._lowest is None or remaining < self._lowest or state not in self._states or state == "settling"
        self.idle, self.idle_s = (0, 0.0) if advanced else (self.idle + 1, self.idle_s + took_s)
        self._lowest = remaining if self._lowest is None else min(self._lowest, remaining)
        self._states.add(state)

    @property
    def stalls(self) -> bool:
        return self.idle >= STALLED_AFTER and self.idle_s >= STALLED_AFTER_S

    def line(self, elapsed_s: float) -> str:
        to_version = whole(self.rotation.get("to_version"))
        named = str(self.rotation.get("id", "")).removeprefix("to-")
        # A rotation that is taken back goes to another version than it is named for, and ends in states of its own.
        back = self.rotation.get("state") in TAKEN_BACK or (named.isdecimal() and int(named) != to_version)
        return progress_line(
            done=whole(self.rotation.get("rewrapped")),
            remaining=whole(self.rotation.get("remaining")),
            elapsed_s=elapsed_s,
            conflicts=whole(self.rotation.get("conflicts")),
            failures=len(_list(self.rotation.get("failures"))),
            version=int(named) if back and named.isdecimal() else to_version,
            back=back,
            settling=self.rotation.get("state") == "settling",
        )

    def result(self, last: Returned) -> JsonObject:
        """Return the last slice's result; what the rotation's record said stays where a failure does not tell."""
        kept: JsonObject = {"changed": self.changed}
        kept |= {"rotation": dict(self.rotation)} if self.rotation else {}
        kept |= {"warnings": self.warnings} if self.warnings else {}
        return {**last, **kept}

    def stalled(self, last: Returned) -> JsonObject:
        """Return the failure of a rotation that does not get any further."""
        remaining, rewrapped = whole(self.rotation.get("remaining")), whole(self.rotation.get("rewrapped"))
        return {
            **self.result(last),
            "failed": True,
            "msg": f"{self.idle} slices in a row brought the rotation no further: {remaining} envelope(s) remain, "
            f"{rewrapped} were re-wrapped",
            "failure": {
                "code": "rotate.stalled",
                "step": str(self.rotation.get("state")),
                "retryable": True,
                "hint": "look at kek_info: a writer seals under the old version as fast as it is re-wrapped, or "
                "another host holds what is left; then run it again, it goes on from here",
            },
        }


def run_slices(
    execute: Callable[[int], Returned],
    limits: Limits,
    *,
    say: Callable[[str], None],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> JsonObject:
    """Return one result for all slices. execute: run the module with that max_seconds. say: print one line."""
    watch, started, slice_s = Watch(), clock(), limits.slice_s
    while True:
        began = clock()
        span_s = _span(slice_s, limits.overall_s, began - started)
        returned = execute(span_s)
        took_s = clock() - began
        watch.see(returned, max(took_s, span_s))
        if rotation_of(returned):
            say(watch.line(clock() - started))
        if not _goes_on(returned, took_s=took_s, span_s=span_s):
            return watch.result(returned)
        if limits.overall_s and clock() - started >= limits.overall_s:
            return watch.result(returned)
        if watch.stalls:
            return watch.stalled(returned)
        if returned.get("failed"):
            slice_s *= 2  # the next one meets the same envelopes first, and must get past them
        if watch.idle and took_s < span_s:
            sleep(span_s - took_s)


def whole(value: object) -> int:
    """Return a count, 0 for what is none: Ansible masks even numbers that contain a short PIN."""
    return int(value) if isinstance(value, int) else 0


def rotation_of(returned: Returned) -> Mapping[str, object]:
    """Return the rotation in a result, empty where there is none."""
    rotation = returned.get("rotation")
    return rotation if isinstance(rotation, Mapping) else {}


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _span(slice_s: int, overall_s: int, elapsed_s: float) -> int:
    """Return the next slice's max_seconds, at least 1: 0 would mean no limit."""
    return max(1, min(slice_s, math.ceil(overall_s - elapsed_s))) if overall_s else slice_s


def _goes_on(returned: Returned, *, took_s: float, span_s: int) -> bool:
    rotation, failure = rotation_of(returned), returned.get("failure")
    if rotation.get("state") not in GOES_ON:
        return False
    if not returned.get("failed"):
        return True
    # A slice that was over early had reached the end: what it left cannot move.
    code = failure.get("code") if isinstance(failure, Mapping) else ""
    left_movable = whole(rotation.get("remaining")) > len(_list(rotation.get("failures")))
    return code == "rotate.incomplete" and left_movable and took_s >= span_s
