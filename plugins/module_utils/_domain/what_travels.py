# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which collections hold records that move to another installation, and which secrets go with them."""

from __future__ import annotations

RESTORE_MARK = "kek_restore"
"""Holds the note that a dump is being restored: a database with it has a part of the records."""

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
        "kek_pin_refusals",
        RESTORE_MARK,
        "kek_scratch",
        "locks",
        "process_heartbeats",
    }
)

CARRIED = ("CERTAUTOPILOT_API_KEY_PEPPER", "CERTAUTOPILOT_JWT_SECRET")
"""Variables of secrets.env that travel unless others are named: without them every API key and session is dead."""


def is_of_users(collection: str) -> bool:
    """Return whether a collection holds records of users: neither bookkeeping nor the server's own, and with a name.

    Source of what a name is: MongoDB manual, "Naming Restrictions"; the driver refuses dots at the ends and twice.
    """
    is_name = all(collection.split(".")) and not set(collection) & {"$", "\0"}
    return is_name and collection not in BOOKKEEPING and not collection.startswith("system.")
