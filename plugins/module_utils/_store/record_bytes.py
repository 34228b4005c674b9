# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record as BSON bytes and as a document: to and fro, and what is said of bytes that are neither.

No database is asked here. What need not be decoded should not be: a text that is not UTF-8, as programs in Go write
them, is stored by MongoDB and is nobody's business until its record is opened (X11).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from .._domain.errors import OpsError
from .._domain.values import BsonValue
from .driver import Document, DriverObject, Raw, RawBSONDocument, bson, errors, raw_codec, record_codec

# Bytes of a value by its type, and for types that tell their length, what else belongs to it. Source: bsonspec.org.
_FIXED = {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16}
_SIZED = {0x02: 4, 0x03: 0, 0x05: 5}
_VALUE = 9  # where the value of the first field begins, when that is `_id`


def encode(document: Mapping[str, BsonValue]) -> bytes:
    """Return a document as BSON, its field order kept."""
    return bytes(bson.encode(document, codec_options=record_codec()))


def decode(raw: bytes) -> Document:
    """Return the document in BSON bytes. Raises ValueError when they are none."""
    try:
        return dict(bson.decode(raw, codec_options=record_codec()))
    except (bson.errors.BSONError, errors.PyMongoError) as cause:
        raise ValueError("not a BSON document") from cause


def id_key(record_id: BsonValue) -> bytes:
    """Return a hashable, type-exact key of an `_id`: its BSON encoding (1 and "1" and 1.0 differ)."""
    return encode({"_id": record_id})


def id_key_of(raw: bytes) -> bytes:
    """Return the `id_key` of a record in BSON bytes, cut out of them where `_id` comes first, as servers store it.

    Raises ValueError where there is none, or where the bytes are no document.
    """
    kind = raw[4] if raw[5:9] == b"_id\0" else 0
    size = _FIXED.get(kind)
    if size is None and kind in _SIZED:
        size = int.from_bytes(raw[9:13], "little", signed=True) + _SIZED[kind]
    if size is not None and 0 < size < len(raw) - _VALUE:
        end = _VALUE + size
        return (end + 1).to_bytes(4, "little") + raw[4:end] + b"\0"
    try:
        return id_key(decode(raw)["_id"])
    except KeyError:
        raise ValueError("no _id") from None


def id_of(key: bytes) -> BsonValue:
    """Return the `_id` that an `id_key` is of."""
    return decode(key)["_id"]


def id_forms(value: BsonValue) -> frozenset[bytes]:
    """Return the `id_key` of an id that another record names, and that of its other form: an ObjectId or its text.

    WHY both: a record may name another one's ObjectId by its text (X91).
    """
    keys = {id_key(value)}
    if isinstance(value, bson.ObjectId):
        keys.add(id_key(str(value)))
    elif isinstance(value, str) and bson.ObjectId.is_valid(value):
        keys.add(id_key(bson.ObjectId(value)))
    return frozenset(keys)


def is_storable_id(value: BsonValue) -> bool:
    """Return whether a server stores this as `_id`. Source: MongoDB manual, "The _id Field"."""
    names = value if isinstance(value, dict) else ()
    return not isinstance(value, (list, bson.Regex)) and not any(name.startswith("$") for name in names)


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
    try:
        place, why = f"{collection}/{decode_to_show(raw).get('_id')}", "a text in it is not UTF-8"
    except ValueError:
        place, why = f"{collection}/(no readable _id)", "its BSON is damaged"
    return OpsError(
        f"record {place} cannot be decoded: {why}",
        code="record.undecodable",
        hint="correct this record with a tool that reads it as bytes, or remove it if nothing needs it",
        place=place,
    )


def is_document(raw: bytes) -> bool:
    """Return whether bytes are a BSON document with an `_id` that a server stores; its texts may be no UTF-8."""
    try:
        return is_storable_id(decode_to_show(raw).get("_id", []))
    except ValueError:
        return False


def is_id_key(key: bytes) -> bool:
    """Return whether bytes are an `id_key` of an `_id` that a server stores."""
    return is_document(key) and set(decode_to_show(key)) == {"_id"}


def decode_to_show(raw: bytes) -> Document:
    """Return the document in BSON bytes to show some of it: what is no UTF-8 is replaced. Raises ValueError."""
    try:
        return dict(bson.decode(raw, codec_options=_lenient()))
    except (bson.errors.BSONError, errors.PyMongoError) as cause:
        raise ValueError("not a BSON document") from cause


@cache
def _lenient() -> DriverObject:
    return record_codec().with_options(unicode_decode_error_handler="replace")


def raw_of(document: Raw) -> bytes:
    """Return the bytes of a document that was read as raw BSON.

    WHY a copy: from 4 KB on the driver gives a view (pymongo 4.18), in which only single bytes can be looked for.
    """
    return bytes(document.raw)


def as_document(raw: bytes) -> RawBSONDocument:
    """Return what the driver sends as these very bytes."""
    return RawBSONDocument(raw, raw_codec())


def in_bson(name: str) -> bytes:
    """Return a field's name as BSON writes it."""
    return name.encode() + b"\0"


def bytes_of(document: Mapping[str, BsonValue]) -> int:
    """Return how many bytes of BSON a document has. One that was not decoded knows it; others take 1 us and more."""
    return len(document.raw) if isinstance(document, RawBSONDocument) else len(encode(document))
