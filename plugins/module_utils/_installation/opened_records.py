# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records with their sealed fields opened, as they travel in a bundle, and back to sealed ones.

In an opened record each envelope is replaced, at the same place, by `{OPENED: payload, keys: [...], extra: {...}}`, so
that field order, foreign keys of an envelope and everything around it survive. A record's digest is an HMAC over its
BSON in that form, its `kek_version` left out: equal on both sides of a migration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from .._domain.aead import keyed_digest
from .._domain.catalogue import Catalogue, Found, record_id_text
from .._domain.envelope import KEYS, Envelope, parse
from .._domain.errors import OpsError
from .._domain.listing import LISTED_AT_MOST
from .._domain.values import BsonValue
from .._store import records
from .._store.driver import Document
from .sealing import Failure, Plain, Sealed, Sealing

OPENED = "certautopilot_opened"


def open_documents(
    sealing: Sealing, catalogue: Catalogue, collection: str, documents: Sequence[Document], *,
    on_found: Callable[[Found], None] = lambda _found: None,
) -> list[Document]:  # fmt: skip
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
) -> tuple[list[Document], list[Failure]]:  # fmt: skip
    """Return (documents with envelopes opened, failures). A document that fails is left out."""
    items: list[tuple[Found, Envelope]] = []
    owners: list[int] = []
    failures: list[Failure] = []
    bad: set[int] = set()
    for index, document in enumerate(documents):
        for found in catalogue.envelopes(collection, document):
            on_found(found)
            try:
                items.append((found, parse(found.value, outer_version=document.get("kek_version"))))
                owners.append(index)
            except OpsError as refusal:
                failures.append(Failure(found.place, refusal.code, refusal.message))
                bad.add(index)
    results = list(documents)
    for index, (found, _envelope), payload in zip(owners, items, sealing.open_all(items), strict=True):
        if isinstance(payload, Failure):
            failures.append(payload)
            bad.add(index)
        else:
            extra = {key: value for key, value in found.value.items() if key not in KEYS}
            opened = {OPENED: payload, "keys": list(found.value), "extra": extra}
            results[index] = _replaced(results[index], found.steps, opened)
    return [document for index, document in enumerate(results) if index not in bad], failures


def seal_documents(sealing: Sealing, version: int, collection: str, documents: Sequence[Document]) -> list[Document]:
    """Return the documents with every opened field sealed anew under `version`, ids and field order kept."""
    results = list(documents)
    places = [(index, steps, value) for index, document in enumerate(results) for steps, value in _opened(document, ())]
    plains = [
        Plain(record_id_text(results[index]["_id"]), Found(collection, None, steps, None).field, bytes(value[OPENED]))
        for index, steps, value in places
    ]
    for (index, steps, value), sealed in zip(places, sealing.seal_all(version, plains), strict=True):
        results[index] = _replaced(results[index], steps, _envelope(value, sealed))
    sealed_indexes = {index for index, _steps, _value in places}
    return [
        {**document, "kek_version": version} if index in sealed_indexes and "kek_version" in document else document
        for index, document in enumerate(results)
    ]


def plain_fields(document: Mapping[str, BsonValue]) -> list[str]:
    """Return the catalogue paths of a document's opened fields."""
    return [Found("", None, steps, None).field for steps, _value in _opened(document, ())]


def digest(key: bytes, collection: str, opened: Mapping[str, BsonValue]) -> bytes:
    """Return the keyed digest of an opened record, 32 bytes. The same record under another KEK has the same digest."""
    bare = {name: value for name, value in opened.items() if name != "kek_version"}
    return keyed_digest(key, collection.encode(), records.encode(bare))


def unreadable(failures: Sequence[Failure], count: int) -> OpsError:
    """Return the refusal for records whose envelopes do not open. count: how many, of which these are the first."""
    return OpsError(
        f"{count} envelope(s) cannot be opened, the first: {failures[0].place}: {failures[0].reason}",
        code="record.unreadable",
        hint="repair or restore the listed records; a migration must not lose them",
        failures=[failure.as_result() for failure in failures[:LISTED_AT_MOST]],
    )


def _envelope(opened: Mapping[str, BsonValue], sealed: Sealed) -> dict[str, BsonValue]:
    values = {
        "wrapped_dek": sealed.wrapped_dek,
        "nonce": sealed.nonce,
        "ciphertext": sealed.ciphertext,
        "kek_version": sealed.kek_version,
        "kv": sealed.kek_version,
        "provider": sealed.provider,
        **opened["extra"],
    }
    return {key: values[key] for key in opened["keys"]}


def _opened(
    value: BsonValue, steps: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, BsonValue]]]:
    if isinstance(value, Mapping) and OPENED in value:
        yield steps, value
        return
    items: BsonValue = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in items:
        yield from _opened(child, (*steps, key))


def _replaced(container: BsonValue, steps: tuple[str | int, ...], value: BsonValue) -> BsonValue:
    """Return the container with the value at these steps; only what is on the way is copied."""
    if not steps:
        return value
    step = steps[0]
    changed: BsonValue = list(container) if isinstance(step, int) else dict(container)
    changed[step] = _replaced(container[step], steps[1:], value)
    return changed
