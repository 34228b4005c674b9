# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of an import: whose records a destination holds, and how far the proof has come.

One document per source installation in `kek_imports`: `{_id: source install id, state, token, bundle_id,
bundle_made_at, records, source_digest, layout, source_provider, updated_at}`. The moves from state to state are those
of MOVES; each names the bundle that it is about, and the lease under which that is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .._domain.values import Document, JsonObject
from .changes import Since
from .connection import Store, driver_errors
from .driver import errors

COLLECTION = "kek_imports"
CLOCKS_DIFFER_AT_MOST = timedelta(days=1)


class ImportState(StrEnum):
    """importing: records are being written. proven: all were opened again and are equal. accepted: it serves."""

    IMPORTING = "importing"
    PROVEN = "proven"
    ACCEPTED = "accepted"


MOVES: Mapping[ImportState, tuple[ImportState, ...]] = {
    ImportState.IMPORTING: (ImportState.PROVEN,),
    ImportState.PROVEN: (ImportState.IMPORTING, ImportState.ACCEPTED),  # importing: a later bundle differs
    ImportState.ACCEPTED: (ImportState.PROVEN,),  # withdrawn, by a rollback that stopped the destination
}


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """One import as modules show it. state: one of ImportState, or what a foreign hand wrote."""

    source_install_id: str
    state: str | None
    bundle: str | None
    bundle_made_at: str | None
    records: int | None
    layout: str | None
    source_provider: str | None
    updated_at: str

    def as_result(self) -> JsonObject:
        return {
            "source_install_id": self.source_install_id,
            "state": self.state,
            "bundle": self.bundle,
            "bundle_made_at": self.bundle_made_at,
            "records": self.records,
            "layout": self.layout,
            "source_provider": self.source_provider,
            "updated_at": self.updated_at,
        }


def read_all(store: Store) -> list[ImportRecord]:
    """Return all import records: a destination has none or one."""
    with driver_errors(store):
        return [_record(document) for document in store.collection(COLLECTION).find(sort=[("_id", 1)])]


def chosen(store: Store, wanted: str | None) -> ImportRecord:
    """Return the import from a source, None: the only one. Raises OpsError migration.none, migration.ambiguous."""
    matching = [entry for entry in read_all(store) if wanted is None or entry.source_install_id == wanted]
    if not matching:
        raise OpsError(
            "no import to accept in this database" + (f" from {wanted}" if wanted else ""),
            code="migration.none",
            hint="run data_import first",
        )
    if len(matching) > 1:
        raise OpsError(
            f"{len(matching)} imports in this database",
            code="migration.ambiguous",
            hint="name one by `source_install_id`",
        )
    return matching[0]


def accepted_since(store: Store, source_install_id: str) -> Since | None:
    """Return where the oplog was when an import was accepted; None where it was not told, or by an earlier release."""
    with driver_errors(store):
        found = store.collection(COLLECTION).find_one({"_id": source_install_id}, {"since": 1}) or {}
    kept = found.get("since")
    return Since.of(tuple(kept)) if isinstance(kept, list) and len(kept) == len(Since._fields) else None


def begin(store: Store, source_install_id: str, token: int, facts: Mapping[str, object]) -> None:
    """Mark an import as under way. token: of the lease; facts: with bundle_id and what else is to be known of it.

    Raises OpsError import.accepted when this migration was accepted already, import.overtaken under a larger token.
    """
    assign = {**facts, "token": token, "state": ImportState.IMPORTING.value, "updated_at": store.server_time()}
    mine = {"_id": source_install_id, "state": {"$ne": ImportState.ACCEPTED.value}, "token": {"$not": {"$gt": token}}}
    with driver_errors(store):
        try:
            store.collection(COLLECTION).update_one(mine, {"$set": assign}, upsert=True)
            return
        except errors.DuplicateKeyError:
            found = store.collection(COLLECTION).find_one({"_id": source_install_id}) or {}
    raise _stopped(source_install_id, found)


def require_mine(store: Store, source_install_id: str, bundle_id: str, token: int) -> None:
    """Raises OpsError import.accepted, import.overtaken unless this import still is the one under way (X4, X5)."""
    with driver_errors(store):
        found = store.collection(COLLECTION).find_one({"_id": source_install_id}) or {}
    state = found.get("state")
    if (state, found.get("bundle_id"), found.get("token")) != (ImportState.IMPORTING.value, bundle_id, token):
        raise _stopped(source_install_id, found)


def require_open(store: Store, source_install_id: str, token: int) -> None:
    """Raises OpsError import.accepted, import.overtaken where a proven import may not be added to any more."""
    with driver_errors(store):
        found = store.collection(COLLECTION).find_one({"_id": source_install_id}) or {}
    if found.get("state") == ImportState.ACCEPTED.value or found.get("token", token) > token:
        raise _stopped(source_install_id, found)


def proven(store: Store, source_install_id: str, bundle_id: str, token: int) -> None:
    """Mark this import as proven. Raises OpsError import.accepted, import.overtaken: it is not under way any more."""
    mine = {"bundle_id": bundle_id, "token": token}
    if not advance(store, source_install_id, leaves=ImportState.IMPORTING, enters=ImportState.PROVEN, mine=mine):
        require_mine(store, source_install_id, bundle_id, token)
        raise overtaken(source_install_id)


def note_bundle(store: Store, source_install_id: str, token: int, facts: Mapping[str, object]) -> bool:
    """Note another bundle that a proven import holds as well; False when it is the one that is noted.

    Raises OpsError import.accepted, import.overtaken when the import is not proven any more.
    """
    assign = {**facts, "token": token, "updated_at": store.server_time()}
    proven_by = {"_id": source_install_id, "state": ImportState.PROVEN.value, "token": {"$not": {"$gt": token}}}
    with driver_errors(store):
        found = store.collection(COLLECTION).find_one(proven_by)
        if found is None:
            raise _stopped(source_install_id, store.collection(COLLECTION).find_one({"_id": source_install_id}) or {})
        if found.get("bundle_id") == facts["bundle_id"]:
            return False
        mine = {**proven_by, "bundle_id": found.get("bundle_id")}
        if store.collection(COLLECTION).update_one(mine, {"$set": assign}).matched_count:
            return True
    raise overtaken(source_install_id)


def advance(
    store: Store, source_install_id: str, *, leaves: ImportState, enters: ImportState, mine: Mapping[str, object],
    facts: Mapping[str, object] | None = None,
) -> bool:  # fmt: skip
    """Move the state by compare-and-set; False when it was not the one it leaves. Raises ValueError: no such move.

    mine: more of the record that must be as it was read, at least `bundle_id`. facts: what else is noted with it.
    """
    if enters not in MOVES[leaves]:
        raise ValueError(f"no move from {leaves} to {enters}")
    with driver_errors(store):
        outcome = store.collection(COLLECTION).update_one(
            {"_id": source_install_id, "state": leaves.value, **mine},
            {"$set": {**(facts or {}), "state": enters.value, "updated_at": store.server_time()}},
        )
    return bool(outcome.matched_count == 1)


def require_not_older(found: ImportRecord | None, made_at: str, bundle_id: str) -> None:
    """Raises OpsError import.older for a bundle that was made before the one that is here already (X3).

    made_at: RFC 3339 in UTC, which sorts as it is read.
    """
    if found is not None and found.bundle_made_at and made_at < found.bundle_made_at and bundle_id != found.bundle:
        raise OpsError(
            f"the bundle was made at {made_at}, and one of {found.bundle_made_at} was imported already",
            code="import.older",
            hint="import the newest bundle; to go back to an older one on purpose, set `allow_older: true`",
        )


def require_made_by_now(store: Store, made_at: str) -> None:
    """Raises OpsError bundle.not_yet_made for a bundle that is dated later than this server's clock by over a day.

    WHY: everything made before such a bundle would count as older than it, the true ones of years to come included.
    """
    latest = rfc3339(store.server_time() + CLOCKS_DIFFER_AT_MOST)
    if made_at > latest:
        raise OpsError(
            f"the bundle says it was made at {made_at}, and this database's clock says {latest[:10]} at the latest",
            code="bundle.not_yet_made",
            hint="set the clocks of both servers, then export again; or find out who made this bundle",
        )


def overtaken(source_install_id: str) -> OpsError:
    """Return the failure of an import that another one took over."""
    return OpsError(
        f"another import from installation {source_install_id} took over while this one was paused",
        code="import.overtaken",
        hint="see which bundle kek_info shows under migration; import the newest one when the other run has ended",
        retryable=True,
    )


def _stopped(source_install_id: str, found: Document) -> OpsError:
    is_accepted = found.get("state") == ImportState.ACCEPTED.value
    return accepted(source_install_id) if is_accepted else overtaken(source_install_id)


def accepted(source_install_id: str) -> OpsError:
    """Return the refusal to import into a destination that already serves."""
    return OpsError(
        f"the migration from installation {source_install_id} was accepted, and its destination has served since",
        code="import.accepted",
        hint="importing again would overwrite newer records; use `mode: compare`, or migrate to a new database",
    )


def _record(document: Document) -> ImportRecord:
    return ImportRecord(
        source_install_id=str(document["_id"]),
        state=document.get("state"),
        bundle=document.get("bundle_id"),
        bundle_made_at=document.get("bundle_made_at"),
        records=document.get("records"),
        layout=document.get("layout"),
        source_provider=document.get("source_provider"),
        updated_at=rfc3339(document.get("updated_at")),
    )
