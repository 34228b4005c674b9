# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit in time, asked between two batches.

PRIVATE to the collection.
"""

from __future__ import annotations

import time


class Deadline:
    """Over after this many seconds from now; never when they are 0."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds if seconds else None

    def over(self) -> bool:
        return self._at is not None and time.monotonic() >= self._at
