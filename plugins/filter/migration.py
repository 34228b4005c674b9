# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter for what a migration reports: how long nothing served, and what took that time.

Pure functions of the clock of the controller and of what modules said of themselves. No secret is in any of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

REST = "rest"  # Ansible, its connections, and tasks that are not listed
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
    spent[REST] = whole - sum(spent.values())
    by_cause = {cause: round(seconds, 1) for cause, seconds in spent.items()}
    listed = ", ".join(f"{cause} {seconds}" for cause, seconds in by_cause.items() if seconds)
    return {"seconds": round(whole, 1), "by_cause": by_cause, "said": f"{whole:.1f} s ({listed})"}


def _numbers(seconds: Seconds) -> list[float]:
    return [float(one) for one in seconds if one not in (None, "")]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., object]]:
        return {"freeze_by_cause": freeze_by_cause}
