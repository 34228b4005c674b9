# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keystore `kek_versions`: one row per KEK version, and the singleton that says which one seals new writes.

The active version changes by one compare-and-set on the singleton; row states follow it and are repaired from it, so a
crash between the two leaves nothing to decide. States are the words of NIST SP 800-57.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .connection import Store, driver_errors
from .driver import errors, pymongo

COLLECTION = "kek_versions"
ACTIVE_ID = "active"
DESTROYED = "destroyed"
_INTENT = "intent:"


@dataclass(frozen=True, slots=True)
class KeyRow:
    """canary: envelope sub-document, None in foreign rows that have none. key: label, id, check_value as known.

    invocations: wraps that this collection made with the version, counted before they are made. removed_at: when
    kek_remove retired the version for good; its state says whether the key material is gone too (ADR-0019).
    """

    version: int
    provider: str
    state: str
    canary: Mapping[str, Any] | None = field(repr=False)
    key: Mapping[str, Any]
    invocations: int = 0
    removed_at: datetime | None = None

    @property
    def removed(self) -> bool:
        """True for a version that nothing may use again. Databases of release 0.1 say it by the state alone."""
        return self.removed_at is not None or self.state == DESTROYED

    def as_result(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "provider": self.provider,
            "state": self.state,
            "key": dict(self.key),
            "invocations": self.invocations,
            "removed": self.removed,
        }


@dataclass(frozen=True, slots=True)
class Active:
    """version: the KEK version that seals new writes. epoch: grows with each swap; fences writers."""

    version: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Keystore:
    """All rows by version and the active singleton, read at one moment."""

    rows: Mapping[int, KeyRow]
    active: Active | None


def read(store: Store) -> Keystore:
    """Return the keystore. Rows that are not numbered (intents of an init under way) are left out."""
    rows: dict[int, KeyRow] = {}
    active = None
    with driver_errors(store):
        for document in store.collection(COLLECTION).find():
            if document["_id"] == ACTIVE_ID:
                active = Active(int(document["version"]), int(document.get("epoch", 1)))
            elif isinstance(document["_id"], int):
                rows[int(document["_id"])] = _row(document)
    return Keystore(dict(sorted(rows.items())), active)


def insert_row(
    store: Store,
    *,
    version: int,
    provider: str,
    state: str,
    canary: Mapping[str, Any],
    key: Mapping[str, Any],
    created_by: str,
) -> bool:
    """Insert the row of a version if there is none. Returns whether this call inserted it."""
    row = {
        "_id": version,
        "provider": provider,
        "state": state,
        "canary": dict(canary),
        "created_at": store.server_time(),
        "created_by": created_by,
        "key": dict(key),
    }
    with driver_errors(store):
        try:
            store.collection(COLLECTION).insert_one(row)
        except errors.DuplicateKeyError:
            return False
    return True


def read_intent(store: Store, version: int) -> dict[str, Any] | None:
    """Return what an earlier pkcs11-init of this version meant to make, None where it never began or has ended."""
    with driver_errors(store):
        found = store.collection(COLLECTION).find_one({"_id": f"{_INTENT}{version}"})
    return None if found is None else dict(found)


def ensure_intent(
    store: Store, *, version: int, provider: str, install_id: str, key: Mapping[str, Any]
) -> dict[str, Any]:
    """Insert the intent if there is none; return the one that stands, which may be an earlier run's."""
    intent = {"provider": provider, "install_id": install_id, "key": dict(key), "created_at": store.server_time()}
    with driver_errors(store), contextlib.suppress(errors.DuplicateKeyError):
        store.collection(COLLECTION).update_one({"_id": f"{_INTENT}{version}"}, {"$setOnInsert": intent}, upsert=True)
    standing = read_intent(store, version)
    return intent if standing is None else standing


def drop_intent(store: Store, version: int) -> None:
    """Remove the intent once row and lock stand."""
    with driver_errors(store):
        store.collection(COLLECTION).delete_one({"_id": f"{_INTENT}{version}"})


def initialise_active(store: Store, version: int) -> Active:
    """Make `version` active if none is yet; return the active version that stands."""
    with driver_errors(store):
        collection = store.collection(COLLECTION)
        with contextlib.suppress(errors.DuplicateKeyError):
            collection.update_one({"_id": ACTIVE_ID}, {"$setOnInsert": {"version": version, "epoch": 1}}, upsert=True)
        document = collection.find_one({"_id": ACTIVE_ID})
    return Active(int(document["version"]), int(document["epoch"]))


def swap_active(store: Store, *, expected: Active, to_version: int) -> Active | None:
    """Make `to_version` active by one compare-and-set on version and epoch; None when another swap came first."""
    with driver_errors(store):
        document = store.collection(COLLECTION).find_one_and_update(
            {"_id": ACTIVE_ID, "version": expected.version, "epoch": expected.epoch},
            {"$set": {"version": to_version, "epoch": expected.epoch + 1}},
            return_document=pymongo.ReturnDocument.AFTER,
        )
    return None if document is None else Active(int(document["version"]), int(document["epoch"]))


def spend(store: Store, version: int, wraps: int) -> None:
    """Count wraps before they are made, so that a crash counts too many and never too few."""
    with driver_errors(store):
        store.collection(COLLECTION).update_one({"_id": version}, {"$inc": {"invocations": wraps}})


def set_state(store: Store, version: int, *, expected: str, state: str) -> bool:
    """Move a row's state by compare-and-set; False when it was not `expected`."""
    with driver_errors(store):
        outcome = store.collection(COLLECTION).update_one(
            {"_id": version, "state": expected}, {"$set": {"state": state}}
        )
    return bool(outcome.matched_count == 1)


def mark_removed(store: Store, version: int, *, expected: str, state: str) -> bool:
    """Note that a version was removed for good, by compare-and-set on its state; False when it was not `expected`."""
    assign = {"state": state, "removed_at": store.server_time()}
    with driver_errors(store):
        outcome = store.collection(COLLECTION).update_one({"_id": version, "state": expected}, {"$set": assign})
    return bool(outcome.matched_count == 1)


def repair_states(store: Store) -> int:
    """Make row states follow the singleton: it is active, what was active is deactivated. Returns rows changed."""
    keystore = read(store)
    if keystore.active is None:
        return 0
    active = keystore.active.version
    with driver_errors(store):
        collection = store.collection(COLLECTION)
        raised = collection.update_one({"_id": active, "state": "pre-activation"}, {"$set": {"state": "active"}})
        again = collection.update_one({"_id": active, "state": "deactivated"}, {"$set": {"state": "active"}})
        lowered = collection.update_many(
            {"_id": {"$in": [v for v in keystore.rows if v != active]}, "state": "active"},
            {"$set": {"state": "deactivated"}},
        )
    return int(raised.modified_count + again.modified_count + lowered.modified_count)


def _row(document: Mapping[str, Any]) -> KeyRow:
    canary, key, removed_at = document.get("canary"), document.get("key"), document.get("removed_at")
    return KeyRow(
        version=int(document["_id"]),
        provider=str(document.get("provider")),
        state=str(document.get("state", "unknown")),
        canary=canary if isinstance(canary, Mapping) else None,
        key=key if isinstance(key, Mapping) else {},
        invocations=int(document.get("invocations", 0)),
        removed_at=removed_at if isinstance(removed_at, datetime) else None,
    )
