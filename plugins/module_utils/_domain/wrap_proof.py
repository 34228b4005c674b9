# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many fresh wraps are opened again before they are written, and what that says about the rest.

Pure but for chance. A clean sample bounds the share of bad wraps: with n opened, none bad, a share of p would have
shown itself with probability 1 - (1 - p)^n.
"""

from __future__ import annotations

import random
from collections.abc import Collection

from .values import JsonObject

MODES = ("all", "sample", "none")
ONE_IN = 20  # wraps of a sample
_CONFIDENCE = 0.95


class Proof:
    """Chooses which wraps of a batch are opened again, and counts. mode: one of MODES."""

    def __init__(self, mode: str = "all") -> None:
        self.mode = mode
        self.made = 0
        self.opened = 0

    def choose(self, count: int) -> Collection[int] | None:
        """Return the indexes of the wraps to open out of `count`, None for every one of them."""
        if self.mode == "all":
            return None
        if self.mode == "none" or not count:
            return ()
        size = -(-count // ONE_IN)
        return frozenset(random.sample(range(count), size))

    def note(self, made: int, chosen: Collection[int] | None) -> None:
        """Count wraps that were made and those that were opened again."""
        self.made += made
        self.opened += made if chosen is None else len(chosen)

    def as_result(self) -> JsonObject:
        """Return {verify, made, opened, bad_at_most}: the share of bad wraps at 95 % confidence, None where unknown."""
        return {"verify": self.mode, "made": self.made, "opened": self.opened, "bad_at_most": self._bound()}

    def _bound(self) -> float | None:
        if self.opened >= self.made:
            return 0.0
        return round(1 - (1 - _CONFIDENCE) ** (1 / self.opened), 6) if self.opened else None
