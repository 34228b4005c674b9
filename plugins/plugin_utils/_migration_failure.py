# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of a migration that failed: its evidence, from what each host said, and what is left to do. Pure.

Only what was seen is told: of a host that fell silent its name, and not what was last known of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._report_parts import items, part, parts, word

FORMAT = "certautopilot.ops/evidence/1"
FAILURE = "failure"


def migration_failure(facts: Mapping[str, object]) -> dict[str, object]:
    """Return the evidence. facts: see the page of the filter migration_failure."""
    told = ("name", "finished", "stage", "failed_by", "failed_task", "going_on", "going_back")
    return {
        "format": FORMAT,
        "kind": FAILURE,
        **{name: word(facts, name) for name in told},
        "from": part(facts, "from"),
        "hosts": {side: items(facts, "hosts", side) for side in ("source", "destination")},
        "unreachable": items(facts, "unreachable"),
        "destination_not_known_to_be_stopped": items(facts, "destination_not_known_to_be_stopped"),
        "source_not_known_to_run": items(facts, "source_not_known_to_run"),
        "digests": part(facts, "digests"),
        "backup": word(facts, "backup"),
        "stages_started": part(facts, "stages_started"),
        "said": [_host(one) for one in parts(facts, "said")],
        "left_to_do": left_to_do(facts),
    }


def _host(told: Mapping[str, object]) -> dict[str, object]:
    before, now = part(told, "unit_before"), part(told, "unit_now")
    return {**told, "changes": changes(before, now)}


def changes(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Return what became of a unit from the beginning of the run to now; empty where nobody looked."""
    if not before or not now:
        return []
    runs = [word(one, "active_state") in ("active", "activating", "reloading") for one in (before, now)]
    told = [
        (runs[0], runs[1], "started", "stopped"),
        (before.get("enabled") is True, now.get("enabled") is True, "enabled", "disabled"),
        (before.get("retired") is True, now.get("retired") is True, "retired", "brought back"),
    ]
    return [gained if after else lost for was, after, gained, lost in told if was != after]


def left_to_do(facts: Mapping[str, object]) -> list[str]:
    """Return what a person has to do, in this order."""
    running, down, silent = (
        ", ".join(map(str, items(facts, name)))
        for name in ("destination_not_known_to_be_stopped", "source_not_known_to_run", "unreachable")
    )
    steps = [f"Fix the cause: {word(facts, 'failed_by') or 'the task above says it'}."]
    if silent:
        steps.append(f"Make {silent} reachable, and look at the service there: nothing is known of it.")
    if running:
        steps.append(f"The destination may run on {running}: stop it there before anything starts the source.")
    if down:
        steps.append(f"The source is not known to run on {down}: its journal says why; the roll-back starts it.")
    return [*steps, f"Go on: {word(facts, 'going_on')}", f"Or go back: {word(facts, 'going_back')}"]
