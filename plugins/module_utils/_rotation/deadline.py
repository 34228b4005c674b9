# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a run works on a rotation: `max_seconds`, and what is not charged to it.

Charged is the work on envelopes, from the first range on. Opening the installation, the survey and the verification are
not: they grow with the database, so a budget that had to pay for them could be spent before a single envelope moved.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Deadline:
    """Over so many seconds after `start`; never when they are 0, nor before it was started."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._at: float | None = None

    def start(self) -> None:
        """Begin to count. Harmless when that was done before."""
        if self._at is None and self._seconds:
            self._at = time.monotonic() + self._seconds

    def over(self) -> bool:
        return self._at is not None and time.monotonic() >= self._at

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not charge the block."""
        began = time.monotonic()
        yield
        if self._at is not None:
            self._at += time.monotonic() - began
