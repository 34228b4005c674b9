# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `systemctl show` prints, as values. Pure; read with LC_ALL=C, because texts and numbers follow the locale.

>>> blocks("Id=a.service\\nMainPID=7\\n\\nId=b.timer\\n")[1].text("Id")
'b.timer'
>>> seconds("1min 30.5s")
90.5
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_UNITS = {
    "y": 31557600.0, "month": 2629800.0, "w": 604800.0, "d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3,
    "us": 1e-6,
}  # fmt: skip
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(y|month|w|d|h|min|s|ms|us)")
_ENVIRONMENT_FILE = re.compile(r"(.*) \(ignore_errors=(yes|no)\)")


@dataclass(frozen=True, slots=True)
class Properties:
    """Properties of one unit. A name may be there several times, as EnvironmentFiles is."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the property, "" where it is absent."""
        return self.values.get(name, ("",))[-1]

    def number(self, name: str) -> int:
        """Return the property as a number, 0 where it is none."""
        text = self.text(name)
        return int(text) if text.isascii() and text.isdigit() else 0

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a property that may be repeated, empty ones left out."""
        return tuple(value for value in self.values.get(name, ()) if value)


def blocks(output: str) -> list[Properties]:
    """Return the properties of each unit asked for, in the order asked; an empty line is between two units."""
    found: list[dict[str, tuple[str, ...]]] = [{}]
    for line in output.splitlines():
        if not line:
            found.append({})
            continue
        name, equals, value = line.partition("=")
        if equals:
            found[-1][name] = (*found[-1].get(name, ()), value)
    return [Properties(values) for values in found if values]


def seconds(span: str) -> float | None:
    """Return a time span of systemd as seconds; None for `infinity`, `n/a` and nothing."""
    if span == "0":
        return 0.0
    parts = [_PART.fullmatch(part) for part in span.split()]
    if not parts or not all(parts):
        return None
    return sum(float(part[1]) * _UNITS[part[2]] for part in parts if part)


def environment_files(values: tuple[str, ...]) -> tuple[tuple[str, bool], ...]:
    """Return (path or pattern, whether it may be missing) of each EnvironmentFiles property."""
    found = []
    for value in values:
        match = _ENVIRONMENT_FILE.fullmatch(value)
        found.append((match[1], match[2] == "yes") if match else (value, False))
    return tuple(found)
