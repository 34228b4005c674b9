# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases: at most one holder of a name at a time, by the server's clock, with a token that only grows.

The token fences: a holder that slept past its lease finds a larger one and writes nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from .._domain.errors import LeaseHeld, LeaseLost, OpsError
from .._domain.instants import rfc3339
from .._domain.values import BsonValue, Document
from .connection import Store, driver_errors
from .driver import errors, pymongo
from .lease_renewal import Keeper, clock
from .server_clock import EXPIRED, expires_in

COLLECTION = "locks"
LEASE_S = 60
FIRST_HOLDERS = 10  # how often the first lease of a name is asked for while others ask for it too


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was held at the time it was returned. asked_at: `lease_renewal.clock()` before it was asked for."""

    name: str
    owner: str
    token: int
    asked_at: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a name, or had it last. purpose: what for, "" where it was not said."""

    token: int
    purpose: str


def acquire(store: Store, name: str, *, lease_s: float = LEASE_S, purpose: str = "") -> Lease:
    """Return the lease. Raises OpsError lease.held, which names the holder and when it runs out.

    purpose: what it is for, so that others can tell whether to wait for it.
    """
    owner, asked_at = uuid.uuid4().hex, clock()
    facts = {"host": socket.gethostname(), "pid": os.getpid(), "purpose": purpose}
    document = ask(store, name, owner, facts, lease_s=lease_s)
    if document["owner"] != owner:
        raise held(name, document)
    return Lease(name, owner, int(document["token"]), asked_at)


def ask(
    store: Store, name: str, owner: str, facts: Mapping[str, BsonValue], *, lease_s: float, free: Document | None = None
) -> Document:
    """Return the lease's document after it was asked for: the holder is who is its `owner`.

    facts: what is written beside the owner, expressions for the server among them. free: when it may be taken; None:
    when it expired.
    """

    def taken(mine: BsonValue, theirs: str) -> Document:
        return {"$cond": [free or EXPIRED, mine, theirs]}

    change = {
        **{field_name: taken(value, f"${field_name}") for field_name, value in facts.items()},
        "owner": taken(owner, "$owner"),
        "token": taken({"$add": [{"$ifNull": ["$token", 0]}, 1]}, "$token"),
        "expires_at": taken(expires_in(lease_s), "$expires_at"),
    }
    return _taken_or_held(store, name, change)


def _taken_or_held(store: Store, name: str, change: Document) -> Document:
    """Return the lease's document after the change, with us or another as its owner.

    WHY asked again: of two first holders at once one may get a duplicate key, or no document from a server that lets
    the upsert of the other come first. The second time there is a document to update.
    """
    for _attempt in range(FIRST_HOLDERS):
        with driver_errors(store), contextlib.suppress(errors.DuplicateKeyError):
            found: Document | None = store.collection(COLLECTION).find_one_and_update(
                {"_id": name}, [{"$set": change}], upsert=True, return_document=pymongo.ReturnDocument.AFTER
            )
            if found is not None:
                return found
    raise LeaseHeld(
        f'"{name}" is taken by others again and again',
        hint="run it again when fewer hosts start at once",
        retryable=True,
    )


def renew(store: Store, lease: Lease, *, lease_s: float = LEASE_S) -> None:
    """Extend the lease. Raises OpsError lease.lost when it is no longer ours: stop before the next write."""
    with driver_errors(store):
        document = store.collection(COLLECTION).find_one_and_update(
            {"_id": lease.name, "owner": lease.owner, "token": lease.token},
            [{"$set": {"expires_at": expires_in(lease_s)}}],
        )
    if document is None:
        raise _lost(lease)


def mark(store: Store, lease: Lease, name: str, value: str) -> None:
    """Write a mark into the lease's document, "": take it away. It outlives the holder. Raises OpsError lease.lost."""
    change: Document = {"$set": {name: value}} if value else {"$unset": {name: ""}}
    with driver_errors(store):
        guard = {"_id": lease.name, "owner": lease.owner, "token": lease.token}
        outcome = store.collection(COLLECTION).update_one(guard, change)
    if outcome.matched_count != 1:
        raise _lost(lease)


def mark_of(store: Store, lease: Lease, name: str) -> str:
    """Return the mark that a holder, this one or one before it, left, "" where there is none."""
    with driver_errors(store):
        found = store.collection(COLLECTION).find_one({"_id": lease.name}, {name: 1})
    return str((found or {}).get(name) or "")


def release(store: Store, lease: Lease) -> None:
    """Give the lease back. Harmless when it was lost."""
    with driver_errors(store):
        store.collection(COLLECTION).update_one(
            {"_id": lease.name, "owner": lease.owner, "token": lease.token},
            [{"$set": {"expires_at": "$$NOW"}}],
        )


@contextmanager
def kept(store: Store, lease: Lease, *, lease_s: float = LEASE_S) -> Iterator[Keeper]:
    """Renew an acquired lease in the background for the block; give it back on every way out."""
    try:
        with Keeper(lambda: renew(store, lease, lease_s=lease_s), lease_s, since=lease.asked_at) as keeper:
            yield keeper
    finally:
        with contextlib.suppress(OpsError):  # SAFE BECAUSE an unreachable database lets the lease run out by itself
            release(store, lease)


def holder(store: Store, name: str) -> Holder | None:
    """Return who has a name, or had it last; None where nobody ever did."""
    with driver_errors(store):
        document = store.collection(COLLECTION).find_one({"_id": name}, {"token": 1, "purpose": 1})
    return None if document is None else Holder(int(document["token"]), str(document.get("purpose") or ""))


def acquire_within(store: Store, name: str, *, lease_s: int, wait_s: int) -> Lease:
    """Return the lease once it is free. Raises OpsError lease.held when that takes longer than `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return acquire(store, name, lease_s=lease_s)
        except LeaseHeld:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.25)


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(
        f'the lease "{lease.name}" went to another holder while this run was paused',
        hint="run it again; what was written before is kept, and nothing was written after",
        retryable=True,
    )


def held(name: str, document: Document) -> LeaseHeld:
    """Return the refusal that names who holds the lease."""
    return LeaseHeld(
        f'"{name}" is held by process {document.get("pid")} on {document.get("host")} '
        f"until {rfc3339(document.get('expires_at'))}",
        hint="wait for it to end; a holder that died frees the lease at that instant",
        retryable=True,
    )
