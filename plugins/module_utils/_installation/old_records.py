# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of an old installation, read and never written: from its database, or from a dump of it.

A dump is read from its beginning to its end for each question, in constant memory; what it holds is believed as far as
`_dumps` checks it. ADR-0042.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol, TypeAlias

from .._domain.recovery import NOT_FOLLOWED
from .._domain.values import BsonValue
from .._domain.what_travels import BOOKKEEPING
from .._dumps.form import Form
from .._store import record_bytes, records
from .._store.connection import Store

OnRaw: TypeAlias = Callable[[bytes], None]
Placed: TypeAlias = tuple[str, bytes]
"""A collection and the BSON of one of its records."""


class OldRecords(Protocol):
    """name: which database or dump, for messages."""

    @property
    def name(self) -> str: ...

    def read(self, wanted: Mapping[str, OnRaw]) -> None:
        """Call for each record of these collections what they are given. Raises what the reading raises."""

    def with_ids(self, keys: Collection[bytes]) -> list[Placed]:
        """Return the records of users with these `_id`s, of collections that references lead to."""


class RecordsOfDatabase:
    def __init__(self, store: Store) -> None:
        self._store = store
        self.name = f'database "{store.name}" at {store.hosts}'

    def read(self, wanted: Mapping[str, OnRaw]) -> None:
        for collection, on_raw in wanted.items():
            for raw in records.stream_raw(self._store, collection):
                on_raw(raw)

    def with_ids(self, keys: Collection[bytes]) -> list[Placed]:
        ids: list[BsonValue] = [record_bytes.id_of(key) for key in keys]
        return [
            (name, raw)
            for name in records.data_collections(self._store)
            if name not in NOT_FOLLOWED
            for raw in records.raw_by_ids(self._store, name, ids)
        ]


class RecordsOfDump:
    def __init__(self, form: Form, src: str) -> None:
        self._form = form
        self.name = f"{src} (a dump of database {form.contents.database})"

    def read(self, wanted: Mapping[str, OnRaw]) -> None:
        def on_document(collection: str, raw: bytes) -> None:
            on_raw = wanted.get(collection)
            if on_raw is not None:
                on_raw(raw)

        self._form.read(on_document)

    def with_ids(self, keys: Collection[bytes]) -> list[Placed]:
        found = list[Placed]()
        left = NOT_FOLLOWED | BOOKKEEPING

        def on_document(collection: str, raw: bytes) -> None:
            if collection not in left and record_bytes.id_key_of(raw) in keys:
                found.append((collection, raw))

        self._form.read(on_document)
        return found
