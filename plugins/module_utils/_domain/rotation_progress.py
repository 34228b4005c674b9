# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a rotation is and how long the rest takes, from what it wrote into its document. Pure.

The counters of the present leader's turn are used: what earlier turns did says nothing about the rate of this one.
"""

from __future__ import annotations

from datetime import datetime

from .values import Document, JsonObject


def of(document: Document) -> JsonObject:
    """Return {remaining, percent, rate, eta_s} of a rotation. rate: envelopes a second. eta_s: None where unknown.

    100 percent is only said when nothing remains.
    """
    moved, planned = int(document.get("moved") or 0), int(document.get("planned") or 0)
    remaining = max(0, planned - moved)
    in_this_turn, seconds = moved - int(document.get("moved_before") or 0), _seconds(document)
    rate = in_this_turn / seconds if seconds > 0 else 0.0
    total = moved + remaining
    return {
        "remaining": remaining,
        "percent": 100 * moved // total if total else 100,
        "rate": round(rate, 1),
        "eta_s": 0 if not remaining else round(remaining / rate) if rate else None,
    }


def _seconds(document: Document) -> float:
    """Return how long the present turn has been moving envelopes, 0 where the document does not tell."""
    since, until = document.get("turn_started_at"), document.get("updated_at")
    return (until - since).total_seconds() if isinstance(since, datetime) and isinstance(until, datetime) else 0.0
