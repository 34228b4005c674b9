# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records: streamed out of a database, found again by id, written back by compare-and-set.

One cursor per collection and bounded batches: memory does not grow with the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TypeAlias, TypeVar, Union

from .._domain.errors import OpsError
from .._domain.values import BsonValue
from .._domain.what_travels import BOOKKEEPING
from .connection import Store, driver_errors
from .driver import Document, DriverObject, RawBSONDocument, bson, pymongo, raw_codec
from .read_ahead import read_ahead
from .record_bytes import (
    as_document,
    bytes_of,
    decode,
    decode_to_show,
    encode,
    id_key,
    id_key_of,
    id_of,
    in_bson,
    raw_of,
    undecodable,
)

READ_BATCH = 500  # documents a round trip
BATCH_BYTES = 16 * 1024 * 1024  # of documents held at one time, as much as a server sends at one time
STATEMENT_BYTES = 15 * 1024 * 1024  # a statement is a document to the server: 16 MiB, its own names included
SMALL_FIELD = 64 * 1024  # bytes
Stored: TypeAlias = Union[Document, RawBSONDocument]  # noqa: UP007 - see _domain/catalogue.py
"""A record to store, decoded or as bytes."""
T = TypeVar("T")
D = TypeVar("D", bound=Mapping[str, BsonValue])


def data_collections(store: Store) -> tuple[str, ...]:
    """Return the collections that hold records of users: neither bookkeeping nor views, sorted."""
    return tuple(name for name in store.collection_names() if name not in BOOKKEEPING)


def stream(
    store: Store, collection: str, query: Mapping[str, BsonValue] | None = None, *, batch_size: int = READ_BATCH,
    descending: bool = False, ordered: bool = True,
) -> Iterator[Document]:  # fmt: skip
    """Yield the documents of a collection in `_id` order. batch_size: documents a round trip.

    ordered: False for what needs no order, such as a pass that finds little: see `scan` for what the order costs.
    """
    with driver_errors(store):
        cursor = store.collection(collection).find(query or {}, batch_size=batch_size)
        with _undecodable_named(store, collection, query or {}):
            yield from cursor.sort("_id", -1 if descending else 1) if ordered else cursor


def scan(store: Store, collection: str, names: Iterable[str]) -> Iterator[tuple[int, list[bytes]]]:
    """Yield (how many documents came, the BSON of those that have one of these field names on whatever level), until
    all of a collection came, in the order in which the server keeps them: for counting and looking.

    WHY by name before they are decoded: most records of most databases hold nothing sealed, and to see that in their
    bytes takes 0.1 us where decoding and walking takes 1.6. A text that ends like a name is decoded in vain.

    WHY not `stream`: for sorting by `_id` the server fetches each document by way of an index, a third of its work.
    SAFE BECAUSE a record keeps its place while it lives, whoever updates it (SERVER-19593, WiredTiger), so that each is
    seen once. It would not be for what compares two databases record by record.
    """
    telling, passed = [in_bson(name) for name in names], 0
    with driver_errors(store):
        # WHY not whole answers of the server (find_raw_batches): the driver copies each of them five times.
        cursor = _raw(store, collection).find({}, batch_size=READ_BATCH)
        while (document := next(cursor, None)) is not None:
            raw, passed = bytes(document.raw), passed + 1
            del document  # WHY: it is a view of its whole answer, which would lie beside the next one
            for name in telling:  # not any(): to make a generator takes longer than the search
                if name in raw:
                    yield passed, [raw]
                    passed = 0
                    break
        if passed:
            yield passed, []


def stream_raw(
    store: Store, collection: str, *, ordered: bool = True, query: Mapping[str, BsonValue] | None = None
) -> Iterator[bytes]:
    """Yield the documents of a collection in `_id` order as raw BSON, byte for byte what the server holds.

    ordered: False for what needs no order: see `scan` for what it costs.
    """
    return read_ahead(_stream_raw(store, collection, ordered, query or {}))


def _stream_raw(store: Store, collection: str, ordered: bool, query: Mapping[str, BsonValue]) -> Iterator[bytes]:
    with driver_errors(store):
        cursor = _raw(store, collection).find(query, batch_size=READ_BATCH)
        cursor = cursor.sort("_id", 1) if ordered else cursor
        while (document := next(cursor, None)) is not None:
            raw = raw_of(document)
            del document  # WHY: see `scan`
            yield raw


def some_with(store: Store, collection: str, path: str, limit: int) -> Iterator[Document]:
    """Yield at most `limit` documents that hold something at a dotted path."""
    query = {path: {"$ne": None}}
    with driver_errors(store), _undecodable_named(store, collection, query):
        yield from store.collection(collection).find(query, limit=limit)


def by_ids(store: Store, collection: str, ids: Sequence[BsonValue]) -> dict[bytes, Document]:
    """Return the documents with these ids, keyed by `id_key`, so that ids of any BSON type can be looked up."""
    query = {"_id": {"$in": list(ids)}}
    with driver_errors(store), _undecodable_named(store, collection, query):
        found = store.collection(collection).find(query, batch_size=len(ids) + 1)
        return {id_key(document["_id"]): document for document in found}


def raw_by_ids(store: Store, collection: str, ids: Sequence[BsonValue]) -> Iterator[bytes]:
    """Yield the BSON of the documents with these ids; nothing is decoded."""
    with driver_errors(store):
        for document in _raw(store, collection).find({"_id": {"$in": list(ids)}}, batch_size=len(ids) + 1):
            yield bytes(document.raw)


def ids_of(store: Store, collection: str) -> Iterator[BsonValue]:
    """Yield only the ids of a collection, in order."""
    with driver_errors(store):
        cursor = store.collection(collection).find({}, {"_id": 1}, batch_size=10 * READ_BATCH).sort("_id", 1)
        for document in cursor:
            yield document["_id"]


def field_by_id(store: Store, collection: str, name: str) -> Iterator[tuple[bytes, BsonValue]]:
    """Yield (`id_key`, value of a field) of every record, in no order; None where a record has no such field."""
    with driver_errors(store):
        cursor = _raw(store, collection).find({}, {"_id": 1, name: 1}, batch_size=10 * READ_BATCH)
        for document in cursor:
            raw = raw_of(document)
            yield id_key_of(raw), decode_to_show(raw).get(name)


def collections_with_records(store: Store) -> list[str]:
    """Return the collections of users' records that are not empty, sorted."""
    with driver_errors(store):
        return [name for name in data_collections(store) if store.collection(name).find_one({}, {"_id": 1}) is not None]


def insert_many(store: Store, collection: str, documents: Sequence[Stored]) -> None:
    """Insert new documents. Raises OpsError database.refused when one is there already: another writer is at work."""
    with driver_errors(store):
        store.collection(collection).insert_many(list(documents), ordered=False)


def compare_and_set(store: Store, collection: str, changes: Sequence[tuple[Document, Document]]) -> int:
    """Write all changes whose expectation still holds, in one unordered batch; return how many did.

    changes: (query that holds the `_id` and dotted path -> value that must still be there, path -> new value).
    INVARIANT: a record that moved since it was read matches nothing and stays as it is.
    """
    if not changes:
        return 0
    update_one = pymongo.UpdateOne
    writes = [update_one(expected, {"$set": assign}) for expected, assign in changes]
    with driver_errors(store):
        return int(store.collection(collection).bulk_write(writes, ordered=False).matched_count)


def replace_as_read(store: Store, collection: str, replacements: Sequence[tuple[bytes, Stored]]) -> int:
    """Replace documents that are still what was read; return how many were. replacements: (BSON as it was read, new).

    The server compares the whole document, by value: 2 and 2.0 are one value to it. WHY in the update and not in its
    query: there the test server looks through the collection for each, and a server with an index looks twice.
    """
    if not replacements:
        return 0
    writes = [_replacement(read, new) for read, new in replacements]
    with driver_errors(store):
        return int(store.collection(collection).bulk_write(writes, ordered=False).modified_count)


def _replacement(read: bytes, new: Stored) -> DriverObject:
    record_id = id_of(id_key_of(read))
    if len(read) + bytes_of(new) < STATEMENT_BYTES:
        same = {"$eq": ["$$ROOT", {"$literal": as_document(read)}]}
        change = [{"$replaceWith": {"$cond": [same, {"$literal": new}, "$$ROOT"]}}]
        return pymongo.UpdateOne({"_id": record_id}, change)
    # Both do not fit into one statement: its small fields are compared, among them versions, wraps and times.
    fields = decode(read)
    small = {name: {"$eq": value} for name, value in fields.items() if len(encode({name: value})) < SMALL_FIELD}
    return pymongo.ReplaceOne({**small, "_id": record_id}, new)


def delete_ids(store: Store, collection: str, ids: Sequence[BsonValue]) -> int:
    """Delete documents by id; return how many were there."""
    with driver_errors(store):
        return int(store.collection(collection).delete_many({"_id": {"$in": list(ids)}}).deleted_count)


def delete_as_written(store: Store, collection: str, documents: Sequence[Stored]) -> int:
    """Delete documents that are still what was written, byte for byte; return how many were."""
    mine = {bytes(one.raw) if isinstance(one, RawBSONDocument) else encode(one) for one in documents}
    ids = [id_of(id_key_of(raw)) for raw in mine]
    return delete_ids(
        store, collection, [id_of(id_key_of(raw)) for raw in raw_by_ids(store, collection, ids) if raw in mine]
    )


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of at most `size` items."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch


def bounded_batches(documents: Iterable[D], size: int, *, max_bytes: int = BATCH_BYTES) -> Iterator[list[D]]:
    """Yield lists of at most `size` documents and at most `max_bytes` of BSON; a larger one is a batch on its own.

    A batch of `size` is given before anything is read beyond it. None is kept here: memory is what the caller keeps.
    """
    batch: list[D] = []
    held = 0
    for document in documents:
        weight = bytes_of(document)
        if batch and held + weight > max_bytes:
            yield batch
            batch, held = [], 0
        batch.append(document)
        held += weight
        if len(batch) >= size:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _raw(store: Store, collection: str) -> DriverObject:
    """Return the driver's collection whose documents are raw BSON."""
    return store.collection(collection, codec=raw_codec())


@contextmanager
def _undecodable_named(store: Store, collection: str, query: Mapping[str, BsonValue]) -> Iterator[None]:
    """Name the record that the driver could not decode. query: that the driver's cursor was made with."""
    try:
        yield
    except bson.errors.BSONError:
        raise _first_undecodable(store, collection, query) from None


def _first_undecodable(store: Store, collection: str, query: Mapping[str, BsonValue]) -> OpsError:
    """Return the failure for the first record that the driver could not decode: it tells neither which nor where."""
    for document in _raw(store, collection).find(query, batch_size=READ_BATCH):
        raw = bytes(document.raw)
        try:
            decode(raw)
        except ValueError:
            return undecodable(collection, raw)
    return OpsError(
        f"a record of {collection} could not be decoded and has changed since",
        code="record.undecodable",
        hint="run it again",
        retryable=True,
    )
