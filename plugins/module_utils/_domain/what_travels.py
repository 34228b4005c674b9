# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which collections hold records that move to another installation, and which are one installation's own."""

from __future__ import annotations

# State of one installation's keys and processes: it must not travel to another one, and it is no user's record.
BOOKKEEPING = frozenset(
    {
        "kek_install",
        "kek_versions",
        "kek_rotations",
        "kek_ranges",
        "kek_journal",
        "kek_imports",
        "kek_layout",
        "kek_marks",
        "kek_pin_refusals",
        "locks",
        "process_heartbeats",
    }
)
