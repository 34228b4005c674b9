# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of places in messages and results: bounded, and honest about what was left out."""

from __future__ import annotations

from collections.abc import Sequence

LISTED_AT_MOST = 1000  # entries of a list in a result
SHOWN = 10  # places named in one message


def listed(places: Sequence[str]) -> str:
    """Return "a, b, c and N more"."""
    shown = ", ".join(places[:SHOWN])
    return shown + (f" and {len(places) - SHOWN} more" if len(places) > SHOWN else "")
