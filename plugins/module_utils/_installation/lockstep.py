# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A destination's records and a bundle's, walked side by side by `_id`: one read of each, whatever the size (X43).

Both streams are sorted by `_id`, so that most records meet at once. What does not meet is looked up by its id, in
batches: only what differs costs more than the walk.

INVARIANT: nothing is believed missing or extra because of the order alone. A record that the walk passed by is asked of
the server, or known to be absent because the whole collection was seen; an extra one is looked for in the bundle. So a
server that sorts otherwise (a collation, ids of several types) costs look-ups and never a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .._domain.values import BsonValue
from .._store import record_bytes, records
from .._store.connection import Store
from .._store.id_order import place
from .checked_bundle import Bundle
from .opened_records import OpenedRecord

Ids: TypeAlias = dict[bytes, BsonValue]
"""`record_bytes.id_key` -> id."""


@dataclass(frozen=True, slots=True)
class Pair:
    """expected: the bundle's record, opened. found: BSON of the destination's of the same id; None: it has none."""

    expected: OpenedRecord
    found: bytes | None


OnPairs: TypeAlias = Callable[[str, list[Pair]], None]


def walk(store: Store, bundle: Bundle, on_pairs: OnPairs) -> dict[str, list[BsonValue]]:
    """Call `on_pairs(collection, pairs)` for all of the bundle; return the ids that only the destination has.

    `on_pairs` may write the records it was given. Memory: a batch of each stream, and the ids that are extra.
    """
    sides = _Walk(store, on_pairs)
    bundle.each_batch(sides.batch)
    return {name: list(ids.values()) for name, ids in _only_there(bundle, sides.finish()).items() if ids}


class _Walk:
    """passed: ids of the destination, of the collection under way, that no record of the bundle met."""

    def __init__(self, store: Store, on_pairs: OnPairs) -> None:
        self._store = store
        self._on_pairs = on_pairs
        self._existing = records.data_collections(store)
        self._visited: set[str] = set()
        self._extra: dict[str, Ids] = {}
        self._collection = ""
        self._stream: Iterator[bytes] = iter(())
        self._head: bytes | None = None
        self._head_key = b""
        self._passed: Ids = {}

    def batch(self, collection: str, expected: list[OpenedRecord]) -> None:
        """Take the next records of the bundle."""
        if collection != self._collection:
            self._end_collection()
            self._begin(collection)
        met = [self._meet(record) for record in expected]
        looked_up = self._looked_up([record for record, found in zip(expected, met, strict=True) if found is None])
        pairs = [
            Pair(record, looked_up.get(record.key) if found is None else found)
            for record, found in zip(expected, met, strict=True)
        ]
        self._on_pairs(collection, pairs)

    def finish(self) -> dict[str, Ids]:
        """Return the ids that no record of the bundle met, by collection."""
        self._end_collection()
        for collection in self._existing:
            if collection not in self._visited:
                self._extra[collection] = {record_bytes.id_key(i): i for i in records.ids_of(self._store, collection)}
        return self._extra

    def _begin(self, collection: str) -> None:
        self._collection = collection
        self._visited.add(collection)
        there = collection in self._existing
        self._stream = records.stream_raw(self._store, collection) if there else iter(())
        self._next()

    def _next(self) -> None:
        self._head = next(self._stream, None)
        self._head_key = record_bytes.id_key_of(self._head) if self._head is not None else b""

    def _end_collection(self) -> None:
        while self._head is not None:
            self._pass_by()
        if self._passed:
            self._extra.setdefault(self._collection, {}).update(self._passed)
        self._passed = {}

    def _pass_by(self) -> None:
        self._passed[self._head_key] = record_bytes.id_of(self._head_key)
        self._next()

    def _meet(self, record: OpenedRecord) -> bytes | None:
        """Return the destination's record of this id if the walk is at it, having passed by what sorts before."""
        if self._head is not None and self._head_key != record.key:  # nearly always they are equal
            wanted = place(record.record_id)
            while self._head is not None and place(record_bytes.id_of(self._head_key)) < wanted:
                self._pass_by()
        head = self._head
        if head is None or self._head_key != record.key:
            return None
        self._next()
        return head

    def _looked_up(self, absent: Sequence[OpenedRecord]) -> dict[bytes, bytes]:
        """Return which of these records the destination has after all, passed by or still to come."""
        whole_collection_seen = self._head is None
        asked = [one.record_id for one in absent if not whole_collection_seen or one.key in self._passed]
        raws = records.raw_by_ids(self._store, self._collection, asked) if asked else ()
        found = {record_bytes.id_key_of(raw): raw for raw in raws}
        for key in found:
            self._passed.pop(key, None)
        return found


def _only_there(bundle: Bundle, extra: dict[str, Ids]) -> dict[str, Ids]:
    """Return the ids that the bundle really does not hold; reads it again only where there are any."""
    if not extra:
        return {}

    def strike(collection: str, batch: list[OpenedRecord]) -> None:
        ids = extra.get(collection)
        if ids:
            for record in batch:
                ids.pop(record.key, None)

    bundle.each_batch(strike)
    return extra
