# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of an import: whose records a destination holds, and how far the proof has come.

One document per source installation in `kek_imports`: `{_id: source install id, state, bundle_id, records,
source_digest, layout, source_provider, updated_at}`. States and legal moves: importing -> proven -> accepted; proven ->
importing (a later bundle); accepted -> proven (withdrawn, by a rollback that stopped the destination and started the
source).
"""

from __future__ import annotations

from typing import Any

from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .connection import Store, driver_errors
from .driver import errors

COLLECTION = "kek_imports"


def read_all(store: Store) -> list[dict[str, Any]]:
    """Return all import records, JSON-clean: a destination has none or one."""
    with driver_errors(store):
        found = list(store.collection(COLLECTION).find(sort=[("_id", 1)]))
    return [
        {
            "source_install_id": str(document["_id"]),
            "state": document.get("state"),
            "bundle": document.get("bundle_id"),
            "records": document.get("records"),
            "layout": document.get("layout"),
            "source_provider": document.get("source_provider"),
            "updated_at": rfc3339(document.get("updated_at")),
        }
        for document in found
    ]


def begin(store: Store, source_install_id: str, facts: dict[str, Any]) -> None:
    """Mark an import as under way. Raises OpsError import.accepted when this migration was accepted already."""
    assign = {**facts, "state": "importing", "updated_at": store.server_time()}
    with driver_errors(store):
        try:
            store.collection(COLLECTION).update_one(
                {"_id": source_install_id, "state": {"$ne": "accepted"}}, {"$set": assign}, upsert=True
            )
        except errors.DuplicateKeyError:
            raise accepted(source_install_id) from None


def advance(store: Store, source_install_id: str, *, expected: str, state: str) -> bool:
    """Move the state by compare-and-set; False when it was not `expected`."""
    with driver_errors(store):
        outcome = store.collection(COLLECTION).update_one(
            {"_id": source_install_id, "state": expected},
            {"$set": {"state": state, "updated_at": store.server_time()}},
        )
    return bool(outcome.matched_count == 1)


def accepted(source_install_id: str) -> OpsError:
    """Return the refusal to import into a destination that already serves."""
    return OpsError(
        f"the migration from installation {source_install_id} was accepted; its destination serves since then",
        code="import.accepted",
        hint="importing again would overwrite newer records; verify with `mode: verify`, or migrate to a new database",
    )
