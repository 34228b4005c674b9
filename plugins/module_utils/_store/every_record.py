# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every record of a database read once, as the bytes that the server holds, and the digest of what passed.

    digest = DatabaseDigest()
    for collection, raw in each_raw(store, digest):
        ...                                             # digest.hex() is of these very bytes, once all have passed

WHY one reading: a digest of one read says nothing about the data of another: a live source changes between (X1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from .connection import Store
from .records import data_collections, stream_raw


class DatabaseDigest:
    """SHA-256 over the names of all record collections and their documents in `_id` order.

    Bookkeeping is left out, because live processes write their heartbeats there. documents: how many passed.
    """

    def __init__(self) -> None:
        self._state = hashlib.sha256()
        self.documents = 0

    def begin(self, collection: str) -> None:
        self._state.update(collection.encode() + b"\0")

    def add(self, raw: bytes) -> None:
        self._state.update(raw)
        self.documents += 1

    def hex(self) -> str:
        """Return the digest of what passed so far, 64 hex characters."""
        return self._state.hexdigest()


def each_raw(store: Store, digest: DatabaseDigest) -> Iterator[tuple[str, bytes]]:
    """Yield (collection, BSON) of every record, collections sorted by name, records by `_id`, and digest each."""
    for collection in data_collections(store):
        digest.begin(collection)
        for raw in stream_raw(store, collection):
            digest.add(raw)
            yield collection, raw


def database_digest(store: Store) -> DatabaseDigest:
    """Return the digest of a database as it is now: one read, nothing decoded."""
    digest = DatabaseDigest()
    for _record in each_raw(store, digest):
        pass
    return digest
