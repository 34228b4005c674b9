# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database that is being dropped, and the note in it by which a run that was killed half way is gone on with.

The note is in `locks`, which goes last. It says of which backup the records are that go.
"""

from __future__ import annotations

from .._domain.values import Document
from . import install_lock
from .connection import Store, driver_errors

COLLECTION = "locks"
ID = "kek-drop"


def read(store: Store) -> Document | None:
    """Return the note {install_id, source_digest}, None where nothing is being dropped."""
    with driver_errors(store):
        found: Document | None = store.collection(COLLECTION).find_one({"_id": ID})
    return found


def begin(store: Store, *, install_id: str, source_digest: str) -> None:
    """Write the note."""
    note = {"install_id": install_id, "source_digest": source_digest, "began_at": store.server_time()}
    with driver_errors(store):
        store.collection(COLLECTION).replace_one({"_id": ID}, note, upsert=True)


def drop(store: Store) -> list[str]:
    """Drop every collection and view, the install lock before the note and both last; return their names.

    WHY one by one: to drop the whole database at once needs a right that a service's user does not have.
    """
    last = (install_lock.COLLECTION, COLLECTION)
    names = sorted((one.name for one in store.collections()), key=lambda name: (name in last, name == COLLECTION, name))
    for name in names:
        with driver_errors(store):
            store.collection(name).drop()
    return names
