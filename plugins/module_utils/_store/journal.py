# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal `kek_journal`: what this collection did to a database, append-only and hash-chained.

Each entry carries the hash of the one before it, so a removed or altered entry shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from .._domain.instants import rfc3339
from .connection import Store, driver_errors
from .driver import Document, errors

COLLECTION = "kek_journal"
_FIRST = "0" * 64


def append(store: Store, verb: str, facts: Mapping[str, object], *, no_envelopes: Sequence[str] = ()) -> None:
    """Append one entry. facts: JSON-clean, never a secret. no_envelopes: what an operator declared to be none (X18)."""
    noted = {**facts, "no_envelopes": list(no_envelopes)} if no_envelopes else dict(facts)
    collection = store.collection(COLLECTION)
    while True:
        with driver_errors(store):
            last = collection.find_one(sort=[("_id", -1)])
            number, previous = (last["_id"] + 1, last["hash"]) if last else (1, _FIRST)
            at = store.server_time()
            entry = {"_id": number, "at": at, "verb": verb, "facts": noted, "previous": previous}
            entry["hash"] = entry_hash(entry)
            try:
                collection.insert_one(entry)
                return
            except errors.DuplicateKeyError:
                continue  # another run appended first: chain onto it


def has(store: Store, verb: str, facts: Mapping[str, object]) -> bool:
    """Return whether an entry says exactly this."""
    query = {"verb": verb, **{f"facts.{name}": value for name, value in facts.items()}}
    with driver_errors(store):
        return store.collection(COLLECTION).find_one(query, {"_id": 1}) is not None


def entry_hash(entry: Document) -> str:
    """Return SHA-256 in hex over the entry's canonical JSON, its own hash left out."""
    body = [entry["_id"], rfc3339(entry["at"]), entry["verb"], entry["facts"], entry["previous"]]
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
