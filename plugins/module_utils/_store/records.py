# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records: streamed out of a database, found again by id, written back by compare-and-set.

One cursor per collection and bounded batches: memory does not grow with the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from .._domain.errors import OpsError
from .._domain.values import BsonValue
from .._domain.what_travels import BOOKKEEPING
from .connection import Store, driver_errors
from .driver import Document, Raw, RawBSONDocument, bson, errors, pymongo, record_codec

READ_BATCH = 500  # documents a round trip
BATCH_BYTES = 16 * 1024 * 1024  # of documents held at one time, as much as a server sends at one time
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
        try:
            yield from cursor.sort("_id", -1 if descending else 1) if ordered else cursor
        except bson.errors.BSONError:
            raise _first_undecodable(store, collection, query or {}) from None


def scan(
    store: Store, collection: str, names: Iterable[str], *, on_undecodable: Callable[[OpsError], None] | None = None
) -> Iterator[tuple[int, list[Document]]]:
    """Yield (how many documents came, those of them that have one of these field names on whatever level), until all of
    a collection came, in the order in which the server keeps them: for counting and looking.

    WHY by name before they are decoded: most records of most databases hold nothing sealed, and to see that in their
    bytes takes 0.1 us where decoding and walking takes 1.6. A text that ends like a name is decoded in vain.

    WHY not `stream`: for sorting by `_id` the server fetches each document by way of an index, a third of its work.
    SAFE BECAUSE a record keeps its place while it lives, whoever updates it (SERVER-19593, WiredTiger), so that each is
    seen once. It would not be for what compares two databases record by record.

    on_undecodable: told of a document that cannot be decoded, which is left out; None: it is raised (X11).
    """
    telling, passed = [in_bson(name) for name in names], 0
    codec = record_codec().with_options(document_class=RawBSONDocument)
    with driver_errors(store):
        # WHY not whole answers of the server (find_raw_batches): the driver copies each of them five times.
        cursor = store.collection(collection, codec=codec).find({}, batch_size=READ_BATCH)
        while (document := next(cursor, None)) is not None:
            raw, passed = bytes(document.raw), passed + 1
            del document  # WHY: it is a view of its whole answer, which would lie beside the next one
            for name in telling:  # not any(): to make a generator takes longer than the search
                if name in raw:
                    documents, raw = _decoded(collection, raw, on_undecodable), b""
                    passed -= not documents
                    if documents:
                        yield passed, documents
                        passed = 0
                    break
        if passed:
            yield passed, []


def raw_of(document: Raw) -> bytes:
    """Return the bytes of a document that was read as raw BSON.

    WHY a copy: from 4 KB on the driver gives a view (pymongo 4.18), in which only single bytes can be looked for.
    """
    return bytes(document.raw)


def in_bson(name: str) -> bytes:
    """Return a field's name as BSON writes it."""
    return name.encode() + b"\0"


def stream_raw(store: Store, collection: str) -> Iterator[Raw]:
    """Yield the documents of a collection in `_id` order as raw BSON, byte for byte what the server holds."""
    codec = record_codec().with_options(document_class=RawBSONDocument)
    with driver_errors(store):
        yield from store.collection(collection, codec=codec).find({}, batch_size=READ_BATCH).sort("_id", 1)


def some_with(store: Store, collection: str, path: str, limit: int) -> Iterator[Document]:
    """Yield at most `limit` documents that hold something at a dotted path."""
    with driver_errors(store):
        yield from store.collection(collection).find({path: {"$ne": None}}, limit=limit)


def by_ids(store: Store, collection: str, ids: Sequence[BsonValue]) -> dict[bytes, Document]:
    """Return the documents with these ids, keyed by `id_key`, so that ids of any BSON type can be looked up."""
    with driver_errors(store):
        found = store.collection(collection).find({"_id": {"$in": list(ids)}}, batch_size=len(ids) + 1)
        return {id_key(document["_id"]): document for document in found}


def id_key(record_id: BsonValue) -> bytes:
    """Return a hashable, type-exact key of an `_id`: its BSON encoding (1 and "1" and 1.0 differ)."""
    return encode({"_id": record_id})


def ids_of(store: Store, collection: str) -> Iterator[BsonValue]:
    """Yield only the ids of a collection, in order."""
    with driver_errors(store):
        cursor = store.collection(collection).find({}, {"_id": 1}, batch_size=10 * READ_BATCH).sort("_id", 1)
        for document in cursor:
            yield document["_id"]


def collections_with_records(store: Store) -> list[str]:
    """Return the collections of users' records that are not empty, sorted."""
    with driver_errors(store):
        return [name for name in data_collections(store) if store.collection(name).find_one({}, {"_id": 1}) is not None]


def insert_many(store: Store, collection: str, documents: Sequence[Document]) -> None:
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


def replace_guarded(
    store: Store, collection: str, replacements: Sequence[tuple[Mapping[str, BsonValue], Document]]
) -> int:
    """Replace whole documents whose expectation (a filter with `_id`) still holds; return how many were."""
    if not replacements:
        return 0
    writes = [pymongo.ReplaceOne(dict(expected), document) for expected, document in replacements]
    with driver_errors(store):
        return int(store.collection(collection).bulk_write(writes, ordered=False).matched_count)


def as_read(document: Document) -> Document:
    """Return the query for a document that is still, value for value, what was read."""
    return {"_id": document["_id"], "$expr": {"$eq": ["$$ROOT", {"$literal": document}]}}


def delete_ids(store: Store, collection: str, ids: Sequence[BsonValue]) -> int:
    """Delete documents by id; return how many were there."""
    with driver_errors(store):
        return int(store.collection(collection).delete_many({"_id": {"$in": list(ids)}}).deleted_count)


def encode(document: Mapping[str, BsonValue]) -> bytes:
    """Return a document as BSON, its field order kept."""
    return bytes(bson.encode(document, codec_options=record_codec()))


def decode(raw: bytes) -> Document:
    """Return the document in BSON bytes. Raises ValueError when they are none."""
    try:
        return dict(bson.decode(raw, codec_options=record_codec()))
    except (bson.errors.BSONError, errors.PyMongoError) as cause:
        raise ValueError("not a BSON document") from cause


def decode_record(collection: str, raw: bytes) -> Document:
    """Return the record in BSON bytes. Raises OpsError record.undecodable, which names it."""
    try:
        return decode(raw)
    except ValueError:
        raise undecodable(collection, raw) from None


def exact_record(collection: str, raw: bytes) -> Document:
    """Return the record in BSON bytes, if encoding it gives these very bytes again (X10).

    WHY: a symbol comes out of the driver as a text, undefined as null, and of two fields of one name only one: what
    travels must be what was there. Raises OpsError record.undecodable, record.not_exact.
    """
    document = decode_record(collection, raw)
    if encode(document) != raw:
        raise OpsError(
            f"record {collection}/{document.get('_id')} holds BSON that would change on its way: a type that is not "
            "used any more, or two fields of one name",
            code="record.not_exact",
            hint="store the record anew with types of today, then export again; nothing was written",
        )
    return document


def undecodable(collection: str, raw: bytes) -> OpsError:
    """Return the failure that names a record which cannot be decoded, by what can be read of it (X11)."""
    lenient = record_codec().with_options(unicode_decode_error_handler="replace")
    try:
        place, why = f"{collection}/{bson.decode(raw, codec_options=lenient).get('_id')}", "a text in it is not UTF-8"
    except (bson.errors.BSONError, errors.PyMongoError):
        place, why = f"{collection}/(no readable _id)", "its BSON is damaged"
    return OpsError(
        f"record {place} cannot be decoded: {why}",
        code="record.undecodable",
        hint="correct this record with a tool that reads it as bytes, or remove it if nothing needs it",
        place=place,
    )


def _decoded(collection: str, raw: bytes, on_undecodable: Callable[[OpsError], None] | None) -> list[Document]:
    try:
        return [decode_record(collection, raw)]
    except OpsError as failure:
        if on_undecodable is None:
            raise
        on_undecodable(failure)
        return []


def _first_undecodable(store: Store, collection: str, query: Mapping[str, BsonValue]) -> OpsError:
    """Return the failure for the first record that the driver could not decode: it tells neither which nor where."""
    codec = record_codec().with_options(document_class=RawBSONDocument)
    for document in store.collection(collection, codec=codec).find(query, batch_size=READ_BATCH):
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


def bytes_of(document: Mapping[str, BsonValue]) -> int:
    """Return how many bytes of BSON a document has. One that was not decoded knows it; others take 1 us and more."""
    return len(document.raw) if isinstance(document, RawBSONDocument) else len(encode(document))


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
