# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations: one document per rotation in `kek_rotations`, so that any run can go on where another stopped.

PRIVATE to the collection. States and legal moves: rewrapping -> swapping -> settling -> complete, and back to
rewrapping by a later run; any but the last two -> cancelled; each move is a write guarded by the lease's token.
A rotation is named by its target version: running it again finds the same document.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from .connection import Store, driver_errors
from .driver import errors, pymongo

COLLECTION = "kek_rotations"


def rotation_id(to_version: int) -> str:
    """Return the id of a rotation, "to-2": whoever resumes it finds it by where it goes."""
    return f"to-{to_version}"


def read(store: Store, name: str) -> dict[str, Any] | None:
    """Return the rotation of that id."""
    with driver_errors(store):
        return store.collection(COLLECTION).find_one({"_id": name})  # type: ignore[no-any-return]


def latest(store: Store) -> dict[str, Any] | None:
    """Return the rotation that moved last."""
    with driver_errors(store):
        return store.collection(COLLECTION).find_one(sort=[("updated_at", -1)])  # type: ignore[no-any-return]


def begin(store: Store, name: str, facts: Mapping[str, Any], token: int) -> None:
    """Start the rotation or take it up again under this lease token; a larger token fences a smaller one off."""
    now = store.server_time()
    assign = {**facts, "state": "rewrapping", "token": token, "updated_at": now}
    # A duplicate says that a newer holder began already: the first guarded write finds out.
    with driver_errors(store), contextlib.suppress(errors.DuplicateKeyError):
        store.collection(COLLECTION).update_one(
            {"_id": name, "$or": [{"token": {"$lt": token}}, {"token": {"$exists": False}}]},
            {"$set": assign, "$setOnInsert": {"started_at": now, "rewrapped_total": 0}},
            upsert=True,
        )


def cancel(store: Store, name: str) -> None:
    """Mark an unfinished rotation as taken back."""
    with driver_errors(store):
        store.collection(COLLECTION).update_one(
            {"_id": name, "state": {"$nin": ["complete", "cancelled"]}},
            {"$set": {"state": "cancelled", "remaining": 0, "updated_at": store.server_time()}},
        )


def record(
    store: Store, name: str, token: int, assign: Mapping[str, Any], *, rewrapped: int = 0, expected: str | None = None
) -> bool:
    """Write progress or a move under the lease token; False when fenced off or not in the expected state."""
    guard: dict[str, Any] = {"_id": name, "token": token}
    if expected is not None:
        guard["state"] = expected
    with driver_errors(store):
        outcome = store.collection(COLLECTION).find_one_and_update(
            guard,
            {"$set": {**assign, "updated_at": store.server_time()}, "$inc": {"rewrapped_total": rewrapped}},
            return_document=pymongo.ReturnDocument.AFTER,
        )
    return outcome is not None
