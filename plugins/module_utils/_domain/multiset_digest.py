# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One value for many keyed digests, in whatever order they come: their sum modulo 2^256.

SAFE BECAUSE each summand is a MAC under a key that nobody chooses records by. Source: Bellare and Micciancio, "A New
Paradigm for Collision-Free Hashing: Incrementality at Reduced Cost" (1997), AdHash, of which this is the keyed form.
"""

from __future__ import annotations

LENGTH = 32  # bytes


class MultisetDigest:
    """The sum of what was added."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, mac: bytes) -> None:
        """Add a digest of 32 bytes."""
        self._sum += int.from_bytes(mac, "big")

    def value(self) -> bytes:
        """Return the sum so far, 32 bytes."""
        return (self._sum % (1 << 8 * LENGTH)).to_bytes(LENGTH, "big")
