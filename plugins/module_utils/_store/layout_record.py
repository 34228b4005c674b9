# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of this database's envelopes, as it was detected: `kek_layout`, one document `{_id, name, found_at}`.

A note that saves work, not a truth: whoever reads it opens envelopes with it and detects again where they do not open.
"""

from __future__ import annotations

from .connection import Store, driver_errors

COLLECTION = "kek_layout"
_ID = "layout"


def read(store: Store) -> str | None:
    """Return the name of the layout that was noted, None where none was."""
    with driver_errors(store):
        document = store.collection(COLLECTION).find_one({"_id": _ID})
    return None if document is None else str(document.get("name"))


def note(store: Store, name: str) -> None:
    """Note the layout. Raises Unauthorized for a user who may only read."""
    now = store.server_time()
    with driver_errors(store):
        store.collection(COLLECTION).update_one({"_id": _ID}, {"$set": {"name": name, "found_at": now}}, upsert=True)
