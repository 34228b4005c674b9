# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions about the server's own clock, for updates and filters that must not trust ours.

Source: MongoDB manual, "Aggregation Variables", NOW.
"""

from __future__ import annotations

from typing import Any


def expires_in(seconds: float) -> dict[str, Any]:
    """Return the expression for an instant so many seconds from now."""
    return {"$add": ["$$NOW", round(seconds * 1000)]}


# WHY $toLong: SecantusDB 0.7 calls every date equal to $$NOW; milliseconds compare everywhere.
EXPIRED = {"$lte": [{"$toLong": {"$ifNull": ["$expires_at", 0]}}, {"$toLong": "$$NOW"}]}
NOT_EXPIRED = {"$not": [EXPIRED]}
