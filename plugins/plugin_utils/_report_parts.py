# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a report's JSON, of whatever release wrote it: what is not there, or is something else, is empty. Pure.

And the words that times and amounts are told in.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

MINUTE, HOUR = 60, 3600  # seconds


def part(of: object, *names: str) -> Mapping[str, object]:
    """Return the mapping at these names."""
    found = _at(of, names)
    return found if isinstance(found, Mapping) else {}


def items(of: object, *names: str) -> list[object]:
    """Return the list at these names."""
    found = _at(of, names)
    return list(found) if isinstance(found, list | tuple) else []


def parts(of: object, *names: str) -> list[Mapping[str, object]]:
    """Return the mappings in the list at these names; what is none is left out."""
    return [one for one in items(of, *names) if isinstance(one, Mapping)]


def word(of: object, *names: str) -> str:
    """Return the text, or the number as text, at these names."""
    found = _at(of, names)
    return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else ""


def number(of: object, *names: str) -> float | None:
    """Return the number at these names, None where there is none; texts that are numbers count."""
    try:
        return float(word(of, *names))
    except ValueError:
        return None


def count(of: object, *names: str) -> int:
    """Return the whole number at these names, 0 where there is none."""
    return int(number(of, *names) or 0)


def instant(told: object) -> datetime | None:
    """Return the time that RFC 3339 text tells, in UTC."""
    try:
        found = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def clock(told: object) -> str:
    """Return RFC 3339 text to the second, `2026-05-01T21:00:00Z`; what is no time comes back as it is."""
    found = instant(told)
    return found.strftime("%Y-%m-%dT%H:%M:%SZ") if found else str(told)


def seconds_between(began: object, ended: object) -> float:
    """Return the seconds from one time to another, 0 where one of them is none."""
    first, last = instant(began), instant(ended)
    return max((last - first).total_seconds(), 0.0) if first and last else 0.0


def lasting(seconds: float) -> str:
    """Return how long something took: `0.4 s`, `24 s`, `2 min 31 s`, `1 h 4 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"


def amount(number_of_them: int) -> str:
    """Return a whole number with thin spaces between thousands."""
    return f"{number_of_them:,}".replace(",", "\u202f")


def _at(of: object, names: tuple[str, ...]) -> object:
    for name in names:
        of = of.get(name) if isinstance(of, Mapping) else None
    return of
