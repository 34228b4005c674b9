# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal `kek_journal`: what this collection did to a database, in its order.

Each entry has the hash of the one before it, so that an entry which was altered, removed or put between others is found
by `check`. It is no proof against whoever may write into the database: they can write the whole chain anew. Only a head
that was kept elsewhere, as reports keep it, tells that (ADR-0052).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeGuard

from .._domain.instants import rfc3339
from .._domain.listing import LISTED_AT_MOST
from .._domain.values import JsonObject
from .connection import Store, driver_errors
from .driver import Document, bson, errors, raw_codec, record_codec

COLLECTION = "kek_journal"
_FIRST = "0" * 64
_AFTER_DAMAGE = "what was before it was damaged already when it was written"
_UNKNOWN = "unknown"  # the hash of an entry that is damaged: the chain shows the break, and goes on
_NUMBERED = {"_id": {"$gte": 0, "$lt": 2**53}}  # WHY: a row with a text as `_id` is somebody else's, and sorts last
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Chain:
    """What the journal holds. damaged: a sentence for each row that is not as it was written, at most LISTED_AT_MOST.

    head: number and hash of the last entry, None where there is none. hashes: of all entries that are sound.
    """

    entries: int
    head: tuple[int, str] | None
    damaged: tuple[str, ...]
    hashes: frozenset[tuple[int, str]] = frozenset()

    def as_result(self, kept: str = "") -> JsonObject:
        """Return entries, head and damaged, JSON-clean. kept: a head that was kept elsewhere, "" for none."""
        damaged = list(self.damaged)
        if kept and not any(f"{number}:{digest}" == kept for number, digest in self.hashes):
            damaged.append(f"entry {kept.partition(':')[0]} with the hash that was kept is not in the journal")
        head = None if self.head is None else f"{self.head[0]}:{self.head[1]}"
        return {"entries": self.entries, "head": head, "damaged": damaged}


def append(store: Store, verb: str, facts: Mapping[str, object], *, no_envelopes: Sequence[str] = ()) -> None:
    """Append one entry. facts: JSON-clean, never a secret. no_envelopes: what an operator declared to be none (X18)."""
    noted = {**facts, "no_envelopes": list(no_envelopes)} if no_envelopes else dict(facts)
    collection = store.collection(COLLECTION)
    while True:
        with driver_errors(store):
            # WHY so little of it: a row that somebody damaged must not end a rotation whose work is done (X31).
            last = collection.find_one(_NUMBERED, {"hash": 1}, sort=[("_id", -1)])
            number = int(last["_id"]) + 1 if last else 1
            previous = _own_hash(last) if last else _FIRST
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


def check(store: Store) -> Chain:
    """Return what the journal holds, with what is not as it was written."""
    damaged: list[str] = []
    hashes: set[tuple[int, str]] = set()
    entries, previous, head = 0, _FIRST, None
    expected = 1
    for row in _rows(store):
        entries += 1
        number, why = row.get("_id"), _why_damaged(row, previous, expected)
        if why:
            damaged.append(f"entry {number}: {why}")
        if not _is_number(number):
            continue
        previous, expected = _own_hash(row), int(number) + 1
        if not why or why is _AFTER_DAMAGE:
            hashes.add((int(number), previous))
        head = (int(number), previous)
    return Chain(entries, head, tuple(damaged[:LISTED_AT_MOST]), frozenset(hashes))


def _rows(store: Store) -> Iterator[Document]:
    """Yield every row in the order of `_id`; one that cannot be decoded is {"_id": its own, where that can be had}."""
    with driver_errors(store):
        for raw in store.collection(COLLECTION, codec=raw_codec()).find(sort=[("_id", 1)]):
            try:
                yield dict(bson.decode(raw.raw, record_codec()))
            except (bson.errors.BSONError, ValueError, UnicodeError):
                yield {"_id": "that cannot be decoded"}


def _why_damaged(row: Document, previous: str, expected: int) -> str:
    """Return what is wrong with a row, "" where it is as it was written. The order: its form, itself, its place."""
    number = row.get("_id")
    if not _is_number(number):
        return "its number is none"
    if not _HASH.fullmatch(str(row.get("hash"))) or not isinstance(row.get("at"), datetime):
        return "it has no hash or no time"
    try:
        ours = entry_hash(row)
    except (KeyError, TypeError, ValueError, OverflowError):
        return "it has not the form of an entry"
    if ours != row["hash"]:
        return "it was altered"
    if row["previous"] == _UNKNOWN:
        return _AFTER_DAMAGE
    if row["previous"] != previous or number != expected:
        return "what was before it was altered or removed"
    return ""


def _own_hash(row: Document) -> str:
    found = str(row.get("hash"))
    return found if _HASH.fullmatch(found) else _UNKNOWN


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**53


def entry_hash(entry: Document) -> str:
    """Return SHA-256 in hex over the entry's canonical JSON, its own hash left out."""
    body = [entry["_id"], rfc3339(entry["at"]), entry["verb"], entry["facts"], entry["previous"]]
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
