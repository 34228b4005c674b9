# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which records of a database are not what an index of it says: told by the oplog, or by one raw read.

Nothing is opened. By the oplog the answer costs what changed; by the raw read it costs one read of everything, in
constant memory. Either way the caller learns which way was taken.

INVARIANT: no record that differs is left out. One that does not differ may be told as well: a record that changed and
changed back, or one that a server sorts otherwise than we expect.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TypeAlias

from .._domain.multiset_digest import MultisetDigest
from .._domain.values import BsonValue
from .._store import changes, record_bytes, records
from .._store.changes import Changes, Since
from .._store.connection import Store
from .._store.every_record import DatabaseDigest, each_raw
from .._store.id_order import place
from .._store.record_index import Index

Entry: TypeAlias = tuple[str, bytes, bytes]
Moved: TypeAlias = tuple[str, bytes, bytes | None]
"""Collection, `id_key`, and the record's bytes as they are now; None: it is gone."""


class FoundBy(StrEnum):
    """How it was found out what a bundle has to hold."""

    EVERYTHING = "everything"  # nothing was left out: a whole bundle
    OPLOG = "oplog"
    RAW_READ = "raw_read"


def told_by_oplog(store: Store, since: Since | None) -> Changes | None:
    """Return the ids of records that changed since; None: the oplog does not tell."""
    return None if since is None else changes.changed_since(store, since, apart_from=())


def looked_up(store: Store, ids: Changes) -> Iterator[Moved]:
    """Yield these records as they are now, a collection at a time."""
    for collection in sorted(ids):
        for batch in records.batches(ids[collection], records.READ_BATCH):
            found = set[bytes]()
            for raw in records.raw_by_ids(store, collection, batch):
                key = record_bytes.id_key_of(raw)
                found.add(key)
                yield collection, key, raw
            for record_id in batch:
                key = record_bytes.id_key(record_id)
                if key not in found:
                    yield collection, key, None


def state_of(store: Store, index: Index) -> bytes:
    """Return what stands for all records as they are now, under the index's key: one raw read, in no order."""
    state = MultisetDigest()
    for collection in records.data_collections(store):
        for raw in records.stream_raw(store, collection, ordered=False):
            state.add(index.digest(collection, raw))
    return state.value()


def by_raw_read(
    store: Store, index: Index, digest: DatabaseDigest, state: MultisetDigest | None = None
) -> Iterator[Moved]:
    """Yield what differs between the index and one raw read of everything, a collection at a time.

    digest, state: of what is read. Raises OpsError index.damaged before anything is yielded.
    """
    was = _Was(index.entries())
    current = ""
    for collection, raw in each_raw(store, digest):
        if collection != current:
            yield from was.rest_of(current)
            yield from was.before(collection)
            current = collection
        key = record_bytes.id_key_of(raw)
        now = index.digest(collection, raw)
        if state is not None:
            state.add(now)
        if was.meets(collection, key) != now:
            was.told(key)
            yield collection, key, raw
    yield from was.rest_of(current)
    yield from was.before(None)


def ids_of(moved: Iterator[Moved]) -> dict[str, dict[bytes, BsonValue]]:
    """Return the ids of what moved: collection -> `id_key` -> id."""
    found: dict[str, dict[bytes, BsonValue]] = {}
    for collection, key, _raw in moved:
        found.setdefault(collection, {})[key] = record_bytes.id_of(key)
    return found


class _Was:
    """The entries of an index beside a read that is sorted like them."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries
        self._head = next(entries, None)
        self._passed: dict[bytes, bytes] = {}
        self._told: set[bytes] = set()

    def meets(self, collection: str, key: bytes) -> bytes | None:
        """Return the digest of this record as it was; None where the walk is not at it."""
        if self._head is not None and self._head[:2] != (collection, key):  # nearly always they are equal
            wanted = place(record_bytes.id_of(key))
            while self._at(collection) and place(record_bytes.id_of(self._key())) < wanted:
                self._pass_by()
        if self._head is None or self._head[:2] != (collection, key):
            return self._passed.pop(key, None)
        digest = self._head[2]
        self._next()
        return digest

    def told(self, key: bytes) -> None:
        """Note that a record of the collection under way is there now, and told: whatever it was, it is not gone."""
        self._told.add(key)

    def rest_of(self, collection: str) -> Iterator[Moved]:
        """Yield what is gone of a collection of which all has been read."""
        while self._at(collection):
            self._pass_by()
        for key in self._passed:
            if key not in self._told:
                yield collection, key, None
        self._passed, self._told = {}, set()

    def before(self, collection: str | None) -> Iterator[Moved]:
        """Yield what is gone of collections before this one, which are not there any more. None: of all."""
        while self._head is not None and (collection is None or self._head[0] < collection):
            yield self._head[0], self._head[1], None
            self._next()

    def _at(self, collection: str) -> bool:
        return self._head is not None and self._head[0] == collection

    def _key(self) -> bytes:
        return self._head[1] if self._head is not None else b""

    def _pass_by(self) -> None:
        if self._head is not None:
            self._passed[self._head[1]] = self._head[2]
        self._next()

    def _next(self) -> None:
        self._head = next(self._entries, None)
