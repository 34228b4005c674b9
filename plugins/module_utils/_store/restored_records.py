# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records put back as the bytes that a dump has of them, and the digests by which dump and database are compared.

Nothing is decoded: what no driver of today writes, such as a symbol, comes back as it was.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .._domain.aead import mac
from .._domain.errors import OpsError
from .._domain.multiset_digest import MultisetDigest
from .._domain.what_travels import BOOKKEEPING
from .connection import Store, driver_errors
from .driver import RawBSONDocument, errors
from .every_record import DatabaseDigest
from .record_bytes import as_document
from .records import BATCH_BYTES, READ_BATCH, stream_raw

_DUPLICATE = 11000  # code of the server: DuplicateKey


@dataclass(slots=True)
class Counted:
    """What passed of one collection. in_order: SHA-256 of the documents one behind the other.

    any_order: sum of keyed digests of each. WHY a sum: a dump need not be in the order in which the server gives its
    records. WHY keyed, by chance and anew in each run: of sums of plain digests others with the same sum can be found.
    """

    documents: int = 0
    any_order: MultisetDigest = field(default_factory=MultisetDigest)
    in_order: hashlib._Hash = field(default_factory=hashlib.sha256)

    def as_counted(self) -> tuple[int, bytes]:
        """Return what two readings of the same documents have in common, whatever their order."""
        return self.documents, self.any_order.value()


class Tally:
    """What passed of each collection."""

    def __init__(self, key: bytes | None = None) -> None:
        self.key = key or secrets.token_bytes(32)
        self.collections: dict[str, Counted] = {}

    def begin(self, collection: str) -> Counted:
        return self.collections.setdefault(collection, Counted())

    def add(self, collection: str, raw: bytes) -> None:
        counted = self.begin(collection)
        counted.documents += 1
        counted.in_order.update(raw)
        counted.any_order.add(mac(self.key, raw))

    @property
    def documents(self) -> int:
        return sum(one.documents for one in self.collections.values())

    def in_order(self) -> dict[str, tuple[int, str]]:
        """Return collection -> (documents, SHA-256 in the order in which they came)."""
        return {name: (one.documents, one.in_order.hexdigest()) for name, one in self.collections.items()}

    def differing(self, other: Tally) -> list[str]:
        """Return the collections of which something else passed there, sorted, with both counts. Keys must be equal."""
        names = sorted({*self.collections, *other.collections})
        pairs = [(name, self.collections.get(name), other.collections.get(name)) for name in names]
        return [
            f"{name} ({here.documents if here else 'none'}, there {there.documents if there else 'none'})"
            for name, here, there in pairs
            if here is None or there is None or here.as_counted() != there.as_counted()
        ]


class Inserter:
    """Inserts documents in bounded batches. One whose `_id` is there already is left: an earlier run put it there.

    guard: asked before each batch; raises where we may not write.
    """

    def __init__(self, store: Store, guard: Callable[[], None]) -> None:
        self._store, self._guard = store, guard
        self._collection, self._held = "", 0
        self._batch: list[RawBSONDocument] = []
        self.inserted = 0

    def add(self, collection: str, raw: bytes) -> None:
        full = len(self._batch) >= READ_BATCH or self._held + len(raw) > BATCH_BYTES
        if self._batch and (collection != self._collection or full):
            self.flush()
        self._collection = collection
        self._batch.append(as_document(raw))
        self._held += len(raw)

    def flush(self) -> None:
        """Insert what is held. Raises OpsError database.*, and what the guard raises."""
        batch, self._batch, self._held = self._batch, [], 0
        if not batch:
            return
        self._guard()
        with driver_errors(self._store):
            try:
                self._store.collection(self._collection).insert_many(batch, ordered=False)
                self.inserted += len(batch)
            except errors.BulkWriteError as failure:
                details = failure.details or {}
                codes = {one.get("code") for one in details.get("writeErrors", [])}
                if codes != {_DUPLICATE} or details.get("writeConcernErrors"):
                    raise
                self.inserted += int(details.get("nInserted", 0))


def tally_of(store: Store, collections: Iterable[str], key: bytes) -> tuple[Tally, DatabaseDigest]:
    """Return what is in collections of a database, and the digest of its records: one read, in the order of `_id`."""
    tally, digest = Tally(key), DatabaseDigest()
    for name in sorted(collections):
        tally.begin(name)
        if name not in BOOKKEEPING:
            digest.begin(name)
        for raw in stream_raw(store, name):
            tally.add(name, raw)
            if name not in BOOKKEEPING:
                digest.add(raw)
    return tally, digest


def not_equal(store: Store, differing: list[str], shown: str) -> OpsError:
    """Return the failure where a database does not have what its dump has. shown: the collections, for people."""
    return OpsError(
        f'database "{store.name}" does not have what the dump has (documents there, in the dump): {shown}',
        code="restore.not_equal",
        hint="stop whatever writes to this database; drop it, and restore into an empty one",
        differing=differing,
    )
