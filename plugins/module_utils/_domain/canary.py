# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The canary: an envelope of a known value under one KEK version. A KEK that does not open it is the wrong key.

Labels, ids and check values can all be right while the key bytes are not; the canary cannot.
"""

from __future__ import annotations

PLAINTEXT = b"certautopilot kek canary"
FIELD = "canary"


def record_id(version: int) -> str:
    """Return the record id that a version's canary is bound to: the version in decimal."""
    return str(version)
