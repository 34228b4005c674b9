# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keystore `kek_versions`: one row per KEK version, and the singleton that says which one seals new writes.

The active version changes by one compare-and-set on the singleton; row states follow it and are repaired from it, so a
crash between the two leaves nothing to decide. States and their legal moves: `KeyState`, `LEGAL_MOVES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from .._domain import gcm_budget
from .._domain.errors import RowDamaged
from .._domain.key_names import KeyReference
from .._domain.values import BsonValue, Document, JsonObject
from .connection import Store, driver_errors
from .driver import errors, pymongo
from .first_writer import insert_if_absent
from .row_fields import Row

COLLECTION = "kek_versions"
ACTIVE_ID = "active"
_INTENT = "intent:"


class KeyState(StrEnum):
    """State of a KEK version, in the words of NIST SP 800-57 part 1, section 7."""

    PRE_ACTIVATION = "pre-activation"  # made, and not used yet
    ACTIVE = "active"  # seals new writes; one version at a time, the one that the singleton names
    DEACTIVATED = "deactivated"  # seals nothing new; opens what it sealed, as long as its key material exists
    COMPROMISED = "compromised"  # as deactivated, and what it sealed is to be reissued
    DESTROYED = "destroyed"  # its key material is gone


# WHY a deactivated version may become active: a rotation back is a rotation. A compromised one never may: what it seals
# would be readable by whoever has it. DESTROYED is the end.
LEGAL_MOVES: Mapping[KeyState, frozenset[KeyState]] = {
    KeyState.PRE_ACTIVATION: frozenset({KeyState.ACTIVE, KeyState.COMPROMISED, KeyState.DESTROYED}),
    KeyState.ACTIVE: frozenset({KeyState.DEACTIVATED}),
    KeyState.DEACTIVATED: frozenset({KeyState.ACTIVE, KeyState.COMPROMISED, KeyState.DESTROYED}),
    KeyState.COMPROMISED: frozenset({KeyState.DESTROYED}),
    KeyState.DESTROYED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class KeyRow:
    """canary: envelope sub-document, None in foreign rows that have none. key: label, id, check_value as known.

    invocations: wraps that this collection made with the version, counted before they are made. state: a `KeyState`,
    or the word of a foreign keystore as it is. removed_at: when kek_remove retired the version for good; its state says
    whether the key material is gone too (ADR-0019). ceremony: the record of its making, see `_domain/ceremony.py`.
    """

    version: int
    provider: str
    state: str
    canary: Mapping[str, BsonValue] | None = field(repr=False)
    key: Mapping[str, BsonValue]
    invocations: int = 0
    removed_at: datetime | None = None
    ceremony: Mapping[str, BsonValue] | None = None

    @property
    def removed(self) -> bool:
        """True for a version that nothing may use again. Databases of release 0.1 say it by the state alone."""
        return self.removed_at is not None or self.state == KeyState.DESTROYED

    def as_result(self) -> JsonObject:
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
class Intent:
    """What a run of pkcs11-init means to make: written down before the key exists, removed once its row does.

    key: label and id, which carry the install id.
    """

    version: int
    provider: str
    install_id: str
    key: KeyReference


@dataclass(frozen=True, slots=True)
class Keystore:
    """All rows by version and the active singleton, read at one moment."""

    rows: Mapping[int, KeyRow]
    active: Active | None


def read(store: Store) -> Keystore:
    """Return the keystore, without the intents of an init under way. Raises OpsError keystore.damaged."""
    keystore, damaged = read_leniently(store)
    if damaged:
        raise damaged[0]
    return keystore


def read_leniently(store: Store) -> tuple[Keystore, list[RowDamaged]]:
    """Return what can be read of the keystore, and what is wrong with the rest: for whoever looks at it."""
    with driver_errors(store):
        return from_documents(store.collection(COLLECTION).find())


def from_documents(documents: Iterable[Document]) -> tuple[Keystore, list[RowDamaged]]:
    """Return the same of documents of `kek_versions`, wherever those were read from."""
    rows: dict[int, KeyRow] = {}
    active, damaged = None, []
    for document in documents:
        row = Row(COLLECTION, document)
        try:
            if document["_id"] == ACTIVE_ID:
                active = Active(row.number("version"), row.number("epoch", 1))
            elif not isinstance(document["_id"], str):
                rows[row.number("_id")] = _row(row, document)
        except RowDamaged as failure:
            damaged.append(failure)
    return Keystore(dict(sorted(rows.items())), active), damaged


def insert_row(
    store: Store,
    *,
    version: int,
    provider: str,
    state: str,
    canary: Mapping[str, BsonValue],
    key: Mapping[str, BsonValue],
    created_by: str,
    ceremony: Mapping[str, BsonValue] | None = None,
) -> bool:
    """Insert the row of a version if there is none. Returns whether this call inserted it."""
    row = {
        "_id": version,
        "provider": provider,
        "state": str(state),
        "canary": dict(canary),
        "created_at": store.server_time(),
        "created_by": created_by,
        "key": dict(key),
        **({"ceremony": dict(ceremony)} if ceremony is not None else {}),
    }
    with driver_errors(store):
        try:
            store.collection(COLLECTION).insert_one(row)
        except errors.DuplicateKeyError:
            return False
    return True


def read_intent(store: Store, version: int) -> Intent | None:
    """Return what an earlier pkcs11-init of this version meant to make, None where it never began or has ended."""
    with driver_errors(store):
        found = store.collection(COLLECTION).find_one({"_id": f"{_INTENT}{version}"})
    return None if found is None else _intent(version, found)


def ensure_intent(store: Store, planned: Intent) -> Intent:
    """Insert the intent if there is none; return the one there is now, which may be an earlier run's."""
    intent = {
        "provider": planned.provider,
        "install_id": planned.install_id,
        "key": {"label": planned.key.label, "id": planned.key.key_id.hex()},
        "created_at": store.server_time(),
    }
    found, _inserted = insert_if_absent(store, COLLECTION, f"{_INTENT}{planned.version}", intent)
    return _intent(planned.version, found)


def drop_intent(store: Store, version: int) -> None:
    """Remove the intent once row and lock are there."""
    with driver_errors(store):
        store.collection(COLLECTION).delete_one({"_id": f"{_INTENT}{version}"})


def initialise_active(store: Store, version: int) -> Active:
    """Make `version` active if none is yet; return the version that is active now."""
    document, _inserted = insert_if_absent(store, COLLECTION, ACTIVE_ID, {"version": version, "epoch": 1})
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
    """Count wraps before they are made, so that a crash counts too many and never too few.

    Raises OpsError budget.exhausted, and counts none, where these would be too many: the one door that every wrap goes
    through (X15).
    """
    room = {"_id": version, "invocations": {"$not": {"$gt": gcm_budget.REFUSE_AT - wraps}}}
    with driver_errors(store):
        if store.collection(COLLECTION).update_one(room, {"$inc": {"invocations": wraps}}).matched_count:
            return
        row = store.collection(COLLECTION).find_one({"_id": version}) or {}
    gcm_budget.judge(version, Row(COLLECTION, {"_id": version, **row}).number("invocations", 0), wraps)


def set_state(store: Store, version: int, *, expected: str, state: str) -> bool:
    """Move a row's state by compare-and-set; False when it was not `expected`. Raises ValueError: no legal move."""
    _require_legal(expected, state)
    with driver_errors(store):
        outcome = store.collection(COLLECTION).update_one(
            {"_id": version, "state": str(expected)}, {"$set": {"state": str(state)}}
        )
    return bool(outcome.matched_count == 1)


def kept_state(state: str) -> KeyState:
    """Return what a removed version is called while its key material exists somewhere."""
    kept = (KeyState.PRE_ACTIVATION, KeyState.COMPROMISED, KeyState.DESTROYED)  # destroyed: by release 0.1
    return KeyState(state) if state in kept else KeyState.DEACTIVATED


def mark_removed(store: Store, version: int, *, expected: str) -> bool:
    """Note that a version was removed for good, by compare-and-set on its state; False when it was not `expected`."""
    assign = {"state": str(kept_state(expected)), "removed_at": store.server_time()}
    with driver_errors(store):
        outcome = store.collection(COLLECTION).update_one({"_id": version, "state": str(expected)}, {"$set": assign})
    return bool(outcome.matched_count == 1)


def _require_legal(before: str, after: str) -> None:
    """WHY only known states: a foreign keystore's own word says nothing about what may follow it."""
    if before in LEGAL_MOVES and after not in LEGAL_MOVES[KeyState(before)]:
        raise ValueError(f"a KEK version does not go from {before} to {after}")


def repair_states(store: Store) -> int:
    """Make row states follow the singleton: it is active, what was active is deactivated. Returns rows changed."""
    keystore = read(store)
    if keystore.active is None:
        return 0
    active = keystore.active.version
    with driver_errors(store):
        collection = store.collection(COLLECTION)
        raised = collection.update_one(
            {"_id": active, "state": {"$in": [str(s) for s, after in LEGAL_MOVES.items() if KeyState.ACTIVE in after]}},
            {"$set": {"state": str(KeyState.ACTIVE)}},
        )
        lowered = collection.update_many(
            {"_id": {"$in": [v for v in keystore.rows if v != active]}, "state": str(KeyState.ACTIVE)},
            {"$set": {"state": str(KeyState.DEACTIVATED)}},
        )
    return int(raised.modified_count + lowered.modified_count)


def _intent(version: int, document: Document) -> Intent:
    row = Row(COLLECTION, document)
    named = Row(f"{COLLECTION} {document['_id']}:", {"_id": "key", **(row.mapping("key") or {})})
    key = KeyReference(str(named.text("label")), bytes.fromhex(named.hex("id") or ""))
    return Intent(version, str(row.text("provider")), str(row.text("install_id")), key)


def _row(row: Row, document: Document) -> KeyRow:
    key = row.mapping("key") or {}
    named = Row(f"{COLLECTION} {document['_id']}:", {"_id": "key", **key})
    _wanted = named.text("label"), named.hex("id"), named.hex("check_value")
    return KeyRow(
        version=row.number("_id"),
        provider=str(row.text("provider")),
        state=str(row.text("state", "unknown")),
        canary=row.mapping("canary"),
        key=key,
        invocations=row.number("invocations", 0),
        removed_at=row.instant("removed_at"),
        ceremony=row.mapping("ceremony"),
    )
