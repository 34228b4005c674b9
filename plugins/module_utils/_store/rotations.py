# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations: one document per rotation in `kek_rotations`, so that any run can go on where another stopped.

A rotation is named by its target version: running it again finds the same document. `_domain/rotation_states.py` says
what the states are for. Every write of a leader is guarded by the token of its lease.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from .._domain.rotation import Plan, Rotation, Share, from_document, plan_document
from .._domain.rotation_states import MOVES, State
from .._domain.values import BsonValue, Document
from .connection import Store, driver_errors
from .driver import errors, pymongo

COLLECTION = "kek_rotations"
_ENDED = [str(state) for state in State if state.ended]


def read(store: Store, name: str) -> Rotation | None:
    """Return the rotation of that id."""
    with driver_errors(store):
        document = store.collection(COLLECTION).find_one({"_id": name})
    return None if document is None else from_document(document)


def latest(store: Store) -> Rotation | None:
    """Return the rotation that moved last."""
    with driver_errors(store):
        document = store.collection(COLLECTION).find_one(sort=[("updated_at", -1)])
    return None if document is None else from_document(document)


def another_led_since(store: Store, record: Rotation) -> bool:
    """Return whether a rotation to another version was led since this one was: they share one lease and its tokens."""
    later = {"_id": {"$ne": record.name}, "token": {"$gt": record.token}}
    with driver_errors(store):
        return store.collection(COLLECTION).find_one(later, {"_id": 1}) is not None


def last_token(store: Store) -> int:
    """Return the token of whoever led a rotation last, 0 where nobody did."""
    with driver_errors(store):
        last = store.collection(COLLECTION).find_one({}, {"token": 1}, sort=[("token", -1)])
    return int((last or {}).get("token") or 0)


def is_led_to(store: Store, version: int, *, besides: str, after: int) -> bool:
    """Return whether another rotation went to this version under a larger token. besides: name of the one that asks."""
    later = {"_id": {"$ne": besides}, "to_version": version, "token": {"$gt": after}}
    with driver_errors(store):
        return store.collection(COLLECTION).find_one(later, {"_id": 1}) is not None


def is_any_swapping(store: Store, *, besides: int) -> bool:
    """Return whether a rotation was about to make its version active. besides: the version that is active already."""
    about_to = {"state": str(State.SWAPPING), "to_version": {"$ne": besides}}
    with driver_errors(store):
        return store.collection(COLLECTION).find_one(about_to, {"_id": 1}) is not None


def begin(store: Store, plan: Plan, token: int, *, fresh: bool) -> bool:
    """Write a plan, in state planning; False when a larger token fenced this leader off.

    fresh: a rotation begins. Otherwise an unfinished one goes on by another plan, and keeps what it counted.
    """
    now = store.server_time()
    counters: Document = {
        "planned": plan.total - plan.at_target,
        "moved": 0,
        "moved_before": 0,
        "rounds": 0,
        "swept": [],
    }
    if fresh:
        counters |= {"started_at": now, "rewrapped_total": 0, "conflicts": 0, "runs": {}}
    turn = {"state": State.PLANNING, "token": token, "failures": [], "turn_started_at": now, "updated_at": now}
    assign = {**plan_document(plan), "total": plan.total, **counters, **turn}
    with driver_errors(store), contextlib.suppress(errors.DuplicateKeyError):
        store.collection(COLLECTION).update_one({"_id": plan.name, **_older(token)}, {"$set": assign}, upsert=True)
        return True
    return False  # the id is there, under a token that is not smaller: a newer leader began


def take_up(store: Store, name: str, token: int, *, leaves: State, enters: State) -> bool:
    """Go on with a plan as its new leader; False when fenced off, or when the state is not the one that was read.

    Raises ValueError for a move that is none.
    """
    if enters not in (leaves, *MOVES[leaves]):
        raise ValueError(f"no move from {leaves} to {enters}")
    turn: Document = {"state": enters, "token": token, "moved_before": "$moved"}
    turn |= {"turn_started_at": "$$NOW", "updated_at": "$$NOW"}
    if leaves is State.READY:
        turn["rounds"] = 0
    return _update(store, {"_id": name, "state": leaves, **_older(token)}, [{"$set": turn}])


def note(store: Store, name: str, run: str, did: Share) -> None:
    """Add to the counters, from whichever process moved something; they inform and decide nothing.

    run: hexadecimal name of the run. did: since the last time.
    """
    counted = {"rewrapped": did.rewrapped, "conflicts": did.conflicts, "made": did.made, "opened": did.opened}
    change = {f"runs.{run}.{name}": number for name, number in {**counted, "retries": did.retries}.items()}
    change |= {"rewrapped_total": did.rewrapped, "moved": did.rewrapped, "conflicts": did.conflicts}
    _update(store, {"_id": name, "state": {"$nin": _ENDED}}, {"$inc": change, "$currentDate": {"updated_at": True}})


def advance(store: Store, name: str, token: int, *, leaves: State, enters: State) -> bool:
    """Move to the next state under the lease token; False when fenced off or not in the state it leaves.

    Raises ValueError for a move that is none.
    """
    if enters not in MOVES[leaves]:
        raise ValueError(f"no move from {leaves} to {enters}")
    return _set(store, {"_id": name, "token": token, "state": leaves}, {"state": enters})


def verified(store: Store, plan: Plan, token: int, *, total: int, left: int) -> bool:
    """Put the counters right by a verification; False when fenced off.

    plan: with all versions that envelopes were found under. total: envelopes that were found. left: those of them that
    are under other versions.
    """
    assign: Document = {
        "total": total,
        "planned": {"$add": ["$moved", left]},
        "rounds": {"$add": ["$rounds", 1 if left else 0]},
        "from_versions": list(plan.from_versions),
        "updated_at": "$$NOW",
    }
    return _update(store, {"_id": plan.name, "token": token}, [{"$set": assign}])


def settling_since(store: Store, name: str, run: str) -> datetime:
    """Return when this run first waited for the fleet to follow, which is now where it had not yet."""
    now, place = store.server_time(), f"runs.{run}.settling_since"
    _update(store, {"_id": name, place: {"$exists": False}}, {"$set": {place: now}})
    record = read(store, name)
    return (record.share(run).settling_since if record is not None else None) or now


def stop(
    store: Store, name: str, token: int, *, failures: Sequence[Mapping[str, str]], swept: Sequence[str]
) -> Rotation | None:
    """Write how a leader's turn ended, whatever state it ended in; return the record, None when fenced off.

    swept: collections that an unfinished pass has behind it.
    """
    assign = {"failures": [dict(failure) for failure in failures], "swept": list(swept)}
    with driver_errors(store):
        document = store.collection(COLLECTION).find_one_and_update(
            {"_id": name, "token": token},
            {"$set": assign, "$currentDate": {"updated_at": True}},
            return_document=pymongo.ReturnDocument.AFTER,
        )
    return None if document is None else from_document(document)


def cancel(store: Store, name: str, token: int) -> bool:
    """Mark an unfinished rotation as taken back; False when it ended or went on under a larger token."""
    unfinished = {"_id": name, "state": {"$nin": _ENDED}, **_older(token)}
    return _set(store, unfinished, {"state": State.CANCELLED, "planned": 0, "moved": 0})


def _older(token: int) -> Document:
    return {"$or": [{"token": {"$lt": token}}, {"token": {"$exists": False}}]}


def _set(store: Store, guard: Document, assign: Document) -> bool:
    return _update(store, guard, {"$set": assign, "$currentDate": {"updated_at": True}})


def _update(store: Store, guard: Document, change: BsonValue) -> bool:
    with driver_errors(store):
        return bool(store.collection(COLLECTION).update_one(guard, change).matched_count == 1)
