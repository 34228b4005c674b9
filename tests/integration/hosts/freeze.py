# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long nothing served in a migration, and what the run did meanwhile."""

from __future__ import annotations

import re

from tests.support.examples.plays import Run
from tests.support.examples.sides import Sides

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


def freeze(sides: Sides, run: Run, old: tuple[str, ...], new: tuple[str, ...]) -> str:
    """Return, and print, how long nothing was healthy, and what the run did meanwhile: cause -> seconds."""
    since = max(when for host in old for when, _active, well in sides.samples(host) if well)
    until = min(when for host in new for when, _active, well in sides.samples(host) if well and when > since)
    told = f"{until - since:.1f} s: {by_cause(run, since, until)}"
    print(f"freeze: {told}")
    return told
