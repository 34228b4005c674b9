# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line that says how far a rotation is.

Pure: no clock, no Ansible. A line holds counts and times only, nothing that the target could choose the text of.
"""

from __future__ import annotations

MINUTE, HOUR, DAY = 60, 3600, 86400  # seconds


def progress_line(
    *,
    done: int,
    remaining: int,
    elapsed_s: float,
    conflicts: int,
    failures: int,
    version: int,
    settling: bool = False,
    back: bool = False,
) -> str:
    """Return the line without its host. done: envelopes re-wrapped in elapsed_s. failures: envelopes that stay behind.

    version: where the rotation goes; back: it is taken back from there.
    100% is only said when nothing remains.
    """
    total = done + remaining
    percent = 100 * done // total if total else 100
    parts = [
        f"{percent}%",
        f"{done} of {total} envelopes",
        rate_text(done, elapsed_s),
        _time_text(done, remaining, elapsed_s),
        _counted(conflicts, "conflict"),
        _counted(failures, "failure"),
    ]
    if settling:
        parts.append("waiting for writers to follow")
    return f"kek_rotate {'back from' if back else 'to'} version {version}: " + ", ".join(parts)


def eta_s(done: int, remaining: int, elapsed_s: float) -> float | None:
    """Return the seconds that the rest takes at the rate so far; None when there is no rate yet."""
    if not remaining:
        return 0.0
    return remaining * elapsed_s / done if done and elapsed_s > 0 else None


def rate_text(done: int, elapsed_s: float) -> str:
    """Return envelopes per second; slow ones with a decimal, so that an HSM at 0.4/s does not read as 0/s."""
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    return f"{rate:.1f}/s" if 0 < rate < 10 else f"{rate:.0f}/s"


def duration_text(seconds: float) -> str:
    """Return a duration by its two largest units: 42s, 3m05s, 2h07m, 4d03h."""
    whole = max(0, round(seconds))
    if whole < MINUTE:
        return f"{whole}s"
    if whole < HOUR:
        return f"{whole // MINUTE}m{whole % MINUTE:02d}s"
    if whole < DAY:
        return f"{whole // HOUR}h{whole % HOUR // MINUTE:02d}m"
    return f"{whole // DAY}d{whole % DAY // HOUR:02d}h"


def _time_text(done: int, remaining: int, elapsed_s: float) -> str:
    if not remaining:
        return f"took {duration_text(elapsed_s)}"
    left_s = eta_s(done, remaining, elapsed_s)
    return "ETA unknown" if left_s is None else f"ETA {duration_text(left_s)}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
