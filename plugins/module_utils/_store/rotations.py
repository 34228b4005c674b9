# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations: one document per rotation in `kek_rotations`, so that any run can go on where another stopped.

A rotation is named by its target version: running it again finds the same document. The moves from state to state are
listed in MOVES, and each is a write guarded by the lease's token and the state it leaves. A new leader takes up
whatever was not finished at `rewrapping`; only an unfinished rotation can be cancelled.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from .connection import Store, driver_errors
from .driver import errors

COLLECTION = "kek_rotations"
ENDED = ("complete", "cancelled")
MOVES = {
    "rewrapping": ("verifying",),
    "verifying": ("rewrapping", "swapping"),
    "swapping": ("settling",),
    "settling": ("complete",),
}


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


def begin(store: Store, name: str, facts: Mapping[str, Any], token: int, *, planned: int) -> bool:
    """Start the rotation or take it up again under this lease token; False when a larger token fenced it off.

    planned: envelopes that this leader found under other versions.
    """
    now = store.server_time()
    turn = {"state": "rewrapping", "token": token, "planned": planned, "moved": 0, "conflicts": 0, "failures": []}
    assign = {**facts, **turn, "turn_started_at": now, "updated_at": now}
    with driver_errors(store), contextlib.suppress(errors.DuplicateKeyError):
        store.collection(COLLECTION).update_one(
            {"_id": name, "$or": [{"token": {"$lt": token}}, {"token": {"$exists": False}}]},
            {"$set": assign, "$unset": {"remaining": 1}, "$setOnInsert": {"started_at": now, "rewrapped_total": 0}},
            upsert=True,
        )
        return True
    return False  # the id is there, under a token that is not smaller: a newer leader began


def note(store: Store, name: str, *, rewrapped: int, conflicts: int) -> None:
    """Add to the counters, from whichever process moved something; they inform and decide nothing."""
    with driver_errors(store):
        store.collection(COLLECTION).update_one(
            {"_id": name, "state": {"$nin": list(ENDED)}},
            {
                "$inc": {"rewrapped_total": rewrapped, "moved": rewrapped, "conflicts": conflicts},
                "$currentDate": {"updated_at": True},
            },
        )


def advance(store: Store, name: str, token: int, *, leaves: str, enters: str) -> bool:
    """Move to the next state under the lease token; False when fenced off or not in the state it leaves."""
    if enters not in MOVES[leaves]:
        raise ValueError(f"no move from {leaves} to {enters}")
    return _set(store, {"_id": name, "token": token, "state": leaves}, {"state": enters})


def stop(store: Store, name: str, token: int, *, remaining: int, failures: list[dict[str, str]]) -> bool:
    """Write how a leader's turn ended, whatever state it ended in; False when fenced off."""
    return _set(store, {"_id": name, "token": token}, {"remaining": remaining, "failures": failures})


def cancel(store: Store, name: str) -> None:
    """Mark an unfinished rotation as taken back."""
    _set(store, {"_id": name, "state": {"$nin": list(ENDED)}}, {"state": "cancelled", "remaining": 0})


def _set(store: Store, guard: Mapping[str, Any], assign: Mapping[str, Any]) -> bool:
    with driver_errors(store):
        outcome = store.collection(COLLECTION).update_one(
            guard, {"$set": dict(assign), "$currentDate": {"updated_at": True}}
        )
    return bool(outcome.matched_count == 1)
