# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for what a migration and its rehearsal report: times by cause, space, and what blocks one.

Pure functions of the clock of the controller and of what modules and hosts said. No secret is in any of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

REST = "rest"  # Ansible, its connections, and tasks that are not listed
FROZEN = ("differences", "proof")  # stages of a rehearsal that a migration runs while nothing serves
LINES = 9  # other tasks of a freeze on hosts: arm, stop, quiet, turn, retire, disarm, heartbeats, accept, start
# Of a service that has nothing to recover; what it really takes only stopping it would tell.
STOP_S = 2.0
START_S = 3.0
BARRIER = "migrate.rehearsal"  # of a host that waited in vain for the one that failed
BLOCKER = {"host": "host", "task": "task", "code": "code", "found": "msg", "way_out": "hint"}
Seconds = Sequence[float | str | None]


def freeze_by_cause(
    began: str, ended: str, at_once: Mapping[str, Seconds], in_turn: Mapping[str, Seconds]
) -> dict[str, object]:
    """Return how long a freeze took, in seconds, and by cause: {seconds, by_cause, said}.

    began, ended: times as datetime.isoformat has them. at_once: cause to what each host took, side by side: the slowest
    counts. in_turn: cause to what took its time one after the other. What was not measured is None and counts as 0.
    """
    whole = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    spent = {cause: max(_numbers(hosts), default=0.0) for cause, hosts in at_once.items()}
    spent |= {cause: sum(_numbers(parts)) for cause, parts in in_turn.items()}
    return _told({**spent, REST: whole - sum(spent.values())})


def rehearsal_forecast(
    took: Iterable[Mapping[str, float | str]], line_s: float | str, quiesce_wait_s: float | str
) -> dict[str, object]:
    """Return the seconds that a migration will take: {seconds, by_cause, said, stages, freeze: {the same three}}.

    took: of each host, stage to seconds; they go side by side, so the most count. line_s: what one task costs that does
    nothing. quiesce_wait_s: how long heartbeats are watched.
    """
    stages: dict[str, float] = {}
    for host in took:
        for stage, seconds in host.items():
            stages[stage] = max(stages.get(stage, 0.0), float(seconds))
    causes = {"stop": STOP_S, "quiescence": float(quiesce_wait_s), "start": START_S, "lines": LINES * float(line_s)}
    causes |= {stage: stages[stage] for stage in FROZEN if stage in stages}
    live = {stage: seconds for stage, seconds in stages.items() if stage not in FROZEN}
    whole = _told({**live, "freeze": sum(causes.values())})
    return {**whole, "stages": _rounded(stages), "freeze": _told(causes)}


def rehearsal_space(folders: Iterable[str], used: Iterable[str], free: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return folder -> {needed_bytes, free_bytes}. used, free: what du and df print of each, in bytes."""
    return {
        folder: {"needed_bytes": int(lies.split()[0]), "free_bytes": int(left.split()[-1])}
        for folder, lies, left in zip(folders, used, free, strict=True)
    }


def rehearsal_blockers(of_hosts: Iterable[Iterable[Mapping[str, object]]]) -> list[dict[str, str]]:
    """Return what blocks a migration on any host: {host, task, code, found, way_out, said}.

    of_hosts: of each host what first_failure returns, with host and task. That others waited in vain is left out.
    """
    found = [one for host in of_hosts for one in host]
    causes = [one for one in found if one["code"] != BARRIER] or found
    return [_blocker(one) for one in causes]


def _blocker(noted: Mapping[str, object]) -> dict[str, str]:
    told = {ours: str(noted[theirs]) for ours, theirs in BLOCKER.items()}
    return {**told, "said": f"{told['host']}: {told['found']}"}


def _numbers(seconds: Seconds) -> list[float]:
    return [float(one) for one in seconds if one not in (None, "")]


def _told(spent: Mapping[str, float]) -> dict[str, object]:
    whole = sum(spent.values())
    by_cause = _rounded(spent)
    listed = ", ".join(f"{cause} {seconds}" for cause, seconds in by_cause.items() if seconds)
    return {"seconds": round(whole, 1), "by_cause": by_cause, "said": f"{whole:.1f} s ({listed})"}


def _rounded(spent: Mapping[str, float]) -> dict[str, float]:
    return {cause: round(seconds, 1) for cause, seconds in spent.items()}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., object]]:
        return {
            "freeze_by_cause": freeze_by_cause,
            "rehearsal_blockers": rehearsal_blockers,
            "rehearsal_forecast": rehearsal_forecast,
            "rehearsal_space": rehearsal_space,
        }
