# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of an import: whose records a destination holds, and how far the proof has come.

One document per source installation in `kek_imports`: `{_id: source install id, state, bundle_id, records,
source_digest, layout, source_provider, updated_at}`. The moves from state to state are those of MOVES.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .._domain.values import Document, JsonObject
from .connection import Store, driver_errors
from .driver import errors

COLLECTION = "kek_imports"


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
    records: int | None
    layout: str | None
    source_provider: str | None
    updated_at: str

    def as_result(self) -> JsonObject:
        return {
            "source_install_id": self.source_install_id,
            "state": self.state,
            "bundle": self.bundle,
            "records": self.records,
            "layout": self.layout,
            "source_provider": self.source_provider,
            "updated_at": self.updated_at,
        }


def read_all(store: Store) -> list[ImportRecord]:
    """Return all import records: a destination has none or one."""
    with driver_errors(store):
        return [_record(document) for document in store.collection(COLLECTION).find(sort=[("_id", 1)])]


def begin(store: Store, source_install_id: str, facts: Mapping[str, object]) -> None:
    """Mark an import as under way. Raises OpsError import.accepted when this migration was accepted already."""
    assign = {**facts, "state": ImportState.IMPORTING.value, "updated_at": store.server_time()}
    with driver_errors(store):
        try:
            store.collection(COLLECTION).update_one(
                {"_id": source_install_id, "state": {"$ne": ImportState.ACCEPTED.value}}, {"$set": assign}, upsert=True
            )
        except errors.DuplicateKeyError:
            raise accepted(source_install_id) from None


def advance(store: Store, source_install_id: str, *, leaves: ImportState, enters: ImportState) -> bool:
    """Move the state by compare-and-set; False when it was not the one it leaves. Raises ValueError: no such move."""
    if enters not in MOVES[leaves]:
        raise ValueError(f"no move from {leaves} to {enters}")
    with driver_errors(store):
        outcome = store.collection(COLLECTION).update_one(
            {"_id": source_install_id, "state": leaves.value},
            {"$set": {"state": enters.value, "updated_at": store.server_time()}},
        )
    return bool(outcome.matched_count == 1)


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
        records=document.get("records"),
        layout=document.get("layout"),
        source_provider=document.get("source_provider"),
        updated_at=rfc3339(document.get("updated_at")),
    )
