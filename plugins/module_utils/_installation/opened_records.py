# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records with their sealed fields opened, as they travel in a bundle, and back to sealed ones.

A record without envelopes is the bytes that the server holds, from end to end, and is decoded by nobody (X10, X11). In
an opened record null stands where each envelope was; payload, place, order of keys and foreign keys of the envelope
are beside the record, never in it, so that no record can look as if it had been opened (X9). A record's digest is an
HMAC over both: equal on both sides of a migration. Its `kek_version` is left out where, and only where, the import
writes it: in a record with sealed fields (X6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .._domain.aead import keyed_digest
from .._domain.catalogue import Catalogue, Found, Steps, field_path, record_id_text
from .._domain.envelope import KEYS, REQUIRED, Envelope, parse
from .._domain.errors import OpsError
from .._domain.listing import LISTED_AT_MOST
from .._domain.values import BsonValue
from .._store import record_bytes
from .._store.driver import Document
from .._store.first_level import id_text
from .._store.records import Stored
from .sealing import Failure, Plain, Sealed, Sealing

PROJECTS = "projects"
BATCH = 500  # records opened or sealed at one time
BATCH_BYTES = 2 * 1024 * 1024  # of them: they are held as bytes, decoded, opened, and as frames


@dataclass(frozen=True, slots=True)
class OpenedField:
    """steps: where in the record. keys: of the envelope, in its order. extra: those that are not an envelope's."""

    steps: Steps
    payload: bytes = field(repr=False)
    keys: tuple[str, ...]
    extra: Mapping[str, BsonValue] = field(repr=False)

    def as_frame(self) -> Document:
        return {"p": list(self.steps), "k": list(self.keys), "x": dict(self.extra), "v": self.payload}


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """raw: BSON, with null where an envelope was; empty where it says that the record is gone (`removed`).

    key: of its `_id`, see `record_bytes.id_key`.

    document: `raw` decoded, of a record with sealed fields only.
    """

    raw: bytes = field(repr=False)
    key: bytes
    fields: tuple[OpenedField, ...] = ()
    document: Document = field(default_factory=dict, repr=False)

    @property
    def is_gone(self) -> bool:
        return not self.raw

    @property
    def record_id(self) -> BsonValue:
        return record_bytes.id_of(self.key)


def project_of(collection: str, raw: bytes) -> str:
    """Return the id of the project that a record is of, as text; "" for none. A project is of itself.

    raw: the record's BSON, with its envelopes or without: the field is on the first level, and never sealed.
    """
    return id_text(raw, "_id" if collection == PROJECTS else "project_id")


def removed(key: bytes) -> OpenedRecord:
    """Return what says that a record is gone. key: of its `_id`."""
    return OpenedRecord(b"", key)


def plain(raw: bytes) -> OpenedRecord:
    """Return a record without envelopes. Raises ValueError when the bytes are no document with an `_id`."""
    return OpenedRecord(raw, record_bytes.id_key_of(raw))


def open_raw(
    sealing: Sealing, catalogue: Catalogue, collection: str, raws: Sequence[bytes], *,
    on_found: Callable[[Found], None] = lambda _found: None,
) -> list[OpenedRecord]:  # fmt: skip
    """Return the records with their envelopes opened, in order; only what can hold one is decoded.

    Raises OpsError record.unreadable, and record.undecodable, record.not_exact for a record that may hold an envelope.
    """
    telling = [record_bytes.in_bson(name) for name in catalogue.telling_names(collection)]
    may_hold = [any(name in raw for name in telling) for raw in raws]
    documents = [record_bytes.exact_record(collection, raw) for raw, holds in zip(raws, may_hold, strict=True) if holds]
    opened = iter(open_documents(sealing, catalogue, collection, documents, on_found=on_found))
    return [next(opened) if holds else plain(raw) for raw, holds in zip(raws, may_hold, strict=True)]


def open_documents(
    sealing: Sealing, catalogue: Catalogue, collection: str, documents: Sequence[Document], *,
    on_found: Callable[[Found], None] = lambda _found: None,
) -> list[OpenedRecord]:  # fmt: skip
    """Return the documents with their envelopes opened. on_found: called with everything shaped like an envelope.

    Raises OpsError record.unreadable naming every one that fails.
    """
    opened, failures = try_open(sealing, catalogue, collection, documents, on_found=on_found)
    if failures:
        raise unreadable(failures, len(failures))
    return opened


def try_open(
    sealing: Sealing, catalogue: Catalogue, collection: str, documents: Sequence[Document], *,
    on_found: Callable[[Found], None] = lambda _found: None,
) -> tuple[list[OpenedRecord], list[Failure]]:  # fmt: skip
    """Return (documents with envelopes opened, failures). A document that fails is left out."""
    items: list[tuple[Found, Envelope]] = []
    owners: list[int] = []
    failures: list[Failure] = []
    bad: set[int] = set()
    for index, document in enumerate(documents):
        for found in catalogue.envelopes(collection, document):
            on_found(found)
            if _inside_another(found, items, owners, index):
                failures.append(Failure(found.place, "envelope.nested", "it is inside another envelope"))
                bad.add(index)
                continue
            try:
                items.append((found, parse(found.value, outer_version=document.get("kek_version"))))
                owners.append(index)
            except OpsError as refusal:
                failures.append(Failure(found.place, refusal.code, refusal.message))
                bad.add(index)
    results, fields = list(documents), dict[int, list[OpenedField]]()
    for index, (found, _envelope_read), payload in zip(owners, items, sealing.open_all(items), strict=True):
        if isinstance(payload, Failure):
            failures.append(payload)
            bad.add(index)
        else:
            extra = {key: value for key, value in found.value.items() if key not in KEYS}
            fields.setdefault(index, []).append(OpenedField(found.steps, payload, tuple(found.value), extra))
            results[index] = _replaced(results[index], found.steps, None)
    opened = [
        _opened(document, tuple(fields.get(index, ()))) for index, document in enumerate(results) if index not in bad
    ]
    return opened, failures


def _opened(document: Document, fields: tuple[OpenedField, ...]) -> OpenedRecord:
    return OpenedRecord(record_bytes.encode(document), record_bytes.id_key(document["_id"]), fields, document)


def _inside_another(found: Found, items: Sequence[tuple[Found, Envelope]], owners: Sequence[int], index: int) -> bool:
    """Return whether an envelope is in a foreign key of the one that was found before it, in the same record.

    WHY such a record is refused: what is inside would travel sealed under the source's key. A rotation can move both.
    """
    if not items or owners[-1] != index or len(found.steps) < 2:
        return False
    outer = items[-1][0].steps
    return found.steps[: len(outer)] == outer


def seal_records(sealing: Sealing, version: int, opened: Sequence[OpenedRecord]) -> list[Stored]:
    """Return the records with every opened field sealed anew under `version`, ids and field order kept.

    Those without sealed fields are the bytes they came as.
    """
    places = [(index, one) for index, record in enumerate(opened) for one in record.fields]
    plains = [Plain(record_id_text(opened[i].record_id), field_path(one.steps), one.payload) for i, one in places]
    results: list[Stored] = [
        record.document if record.fields else record_bytes.as_document(record.raw) for record in opened
    ]
    for (index, one), sealed in zip(places, sealing.seal_all(version, plains), strict=True):
        results[index] = _replaced(results[index], one.steps, _envelope(one, sealed))
    return [
        {**document, "kek_version": version} if record.fields and "kek_version" in record.document else document
        for document, record in zip(results, opened, strict=True)
    ]


def digest(key: bytes, collection: str, opened: OpenedRecord) -> bytes:
    """Return the keyed digest of an opened record, 32 bytes. The same record under another KEK has the same digest."""
    if opened.is_gone:
        return keyed_digest(key, b"gone", collection.encode(), opened.key)
    if not opened.fields:
        return keyed_digest(key, collection.encode(), opened.raw)
    bare = {name: value for name, value in opened.document.items() if name != "kek_version"}
    beside = {"o": [one.as_frame() for one in opened.fields], "kek_version": "kek_version" in opened.document}
    return keyed_digest(key, collection.encode(), record_bytes.encode(bare), record_bytes.encode(beside))


def from_frame(frame: Document, *, is_known: bool = False) -> OpenedRecord | None:
    """Return the record of a bundle's frame; None where the frame is none. is_known: its bytes were found sound before.

    d: the record's BSON as bytes. o: its opened fields, where it has any. gone: the `id_key` of a record that is gone,
    instead of both.
    """
    if "gone" in frame:
        key = frame["gone"]
        is_key = set(frame) == {"n", "c", "gone", "m"} and isinstance(key, bytes) and record_bytes.is_id_key(key)
        return removed(key) if is_key else None
    raw, listed = frame.get("d"), frame.get("o", [])
    if not isinstance(raw, bytes) or not isinstance(listed, list):
        return None
    if not is_known and not record_bytes.is_document(raw):
        return None
    if not listed:
        return plain(raw)
    try:
        document = record_bytes.decode(raw)
    except ValueError:
        return None
    fields = [one for one in (_field(document, told) for told in listed) if one is not None]
    places = {one.steps for one in fields}
    if len(places) != len(listed) or record_bytes.encode(document) != raw:
        return None
    return OpenedRecord(raw, record_bytes.id_key_of(raw), tuple(fields), document)


def as_frame(opened: OpenedRecord) -> Document:
    """Return what a bundle's frame holds of a record."""
    if opened.is_gone:
        return {"gone": opened.key}
    beside = {"o": [one.as_frame() for one in opened.fields]} if opened.fields else {}
    return {"d": opened.raw, **beside}


def _field(document: Document, listed: BsonValue) -> OpenedField | None:
    """Return an opened field; None where it is none, or where no null in the document waits for it."""
    if not isinstance(listed, dict) or set(listed) != {"p", "k", "x", "v"}:
        return None
    steps, keys, extra, payload = listed["p"], listed["k"], listed["x"], listed["v"]
    if not isinstance(payload, bytes) or not isinstance(extra, dict) or not isinstance(keys, list):
        return None
    if not isinstance(steps, list) or not steps or not _is_null(document, steps):
        return None
    # WHY none of an envelope's own keys beside it: they would stand in the place of what is sealed here.
    if not all(isinstance(key, str) for key in keys) or set(extra) & {*KEYS}:
        return None
    known = {*KEYS, *extra}
    if not set(REQUIRED) <= {*keys} <= known or len(keys) != len({*keys}) or set(extra) - {*keys}:
        return None
    return OpenedField(tuple(steps), bytes(payload), tuple(keys), extra)


def _is_null(value: BsonValue, steps: Sequence[BsonValue]) -> bool:
    for step in steps:
        in_mapping = isinstance(value, dict) and isinstance(step, str) and step in value
        in_list = isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value)
        if not in_mapping and not in_list:
            return False
        value = value[step]
    return value is None


def unreadable(failures: Sequence[Failure], count: int) -> OpsError:
    """Return the refusal for records whose envelopes do not open. count: how many, of which these are the first."""
    return OpsError(
        f"{count} envelope(s) cannot be opened, the first: {failures[0].place}: {failures[0].reason}",
        code="record.unreadable",
        hint="repair or restore the listed records; a migration must not lose them",
        failures=[failure.as_result() for failure in failures[:LISTED_AT_MOST]],
    )


def _envelope(opened: OpenedField, sealed: Sealed) -> dict[str, BsonValue]:
    values = {
        "wrapped_dek": sealed.wrapped_dek,
        "nonce": sealed.nonce,
        "ciphertext": sealed.ciphertext,
        "kek_version": sealed.kek_version,
        "kv": sealed.kek_version,
        "provider": sealed.provider,
        **opened.extra,
    }
    return {key: values[key] for key in opened.keys}


def _replaced(container: BsonValue, steps: tuple[str | int, ...], value: BsonValue) -> BsonValue:
    """Return the container with the value at these steps; only what is on the way is copied."""
    if not steps:
        return value
    step = steps[0]
    changed: BsonValue = list(container) if isinstance(step, int) else dict(container)
    changed[step] = _replaced(container[step], steps[1:], value)
    return changed
