# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frames of a bundle, made from records as they are read, and everything that its manifest says of them.

What is counted is what was written: nothing is said of records that another read brought (X1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .._domain import expiring as expiries
from .._domain import manifest as manifests
from .._domain.catalogue import Catalogue, Found, outside_catalogue
from .._domain.expiring import Expiring
from .._domain.listing import LISTED_AT_MOST
from .._store.driver import Document
from .._store.every_record import DatabaseDigest
from .._store.record_bytes import decode_to_show
from . import opened_records
from .moved_records import Moved
from .opened_records import BATCH, BATCH_BYTES, PROJECTS, project_of
from .sealing import Sealing


@dataclass(slots=True)
class Counts:
    """What went into a bundle, counted on the way. by_project: id, "" for none. expiring: of the certificates in it.

    outside: places of envelopes that the catalogue does not list.

    digest: of all that was read of the source. removed: collection -> records that the bundle says are gone.
    """

    expiring: Expiring
    digest: DatabaseDigest = field(default_factory=DatabaseDigest)
    records: int = 0
    collections: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    sealed: Counter[str] = field(default_factory=Counter)
    by_project: Counter[str] = field(default_factory=Counter)
    outside: list[str] = field(default_factory=list)
    projects: list[dict[str, str]] = field(default_factory=list)
    records_digest: str = ""

    def note(self, catalogue: Catalogue, found: Found) -> None:
        self.sealed[f"{found.collection}.{found.field}"] += 1
        if not catalogue.knows(found) and len(self.outside) < LISTED_AT_MOST:
            self.outside.append(found.place)


def frames(
    sealing: Sealing, catalogue: Catalogue, header: Document, items: Iterable[Moved], counts: Counts
) -> Iterator[Document]:
    """Yield the bundle's frames. items: a collection at a time; what is gone of it comes after what is there.

    Raises OpsError record.unreadable, record.undecodable, record.not_exact, catalogue.outside.
    """
    yield {**header, "n": 0}
    key = header["digest_key"]
    chain, number = manifests.Chain(key), 0
    for collection, raws, gone in _batches(items):
        for body, mac in _bodies(sealing, catalogue, key, collection, raws, gone, counts):
            chain.add(mac)
            number += 1
            yield {"n": number, "c": collection, **body, "m": mac}
    if counts.outside:
        raise outside_catalogue(counts.outside)
    counts.records_digest = chain.hex()
    yield {"n": number + 1, "end": True, "records": counts.records, "chain": counts.records_digest}


def _bodies(
    sealing: Sealing, catalogue: Catalogue, key: bytes, collection: str, raws: list[bytes], gone: list[bytes],
    counts: Counts,
) -> Iterator[tuple[Document, bytes]]:  # fmt: skip
    """Yield (what a frame holds of a record, its digest), and count."""
    if collection == PROJECTS:
        shown = map(decode_to_show, raws)
        counts.projects += [{"id": str(d["_id"]), "name": str(d.get("name", ""))} for d in shown]
    if collection == expiries.COLLECTION:
        for certificate in map(decode_to_show, raws):
            counts.expiring.note(certificate)
    for opened in opened_records.open_raw(
        sealing, catalogue, collection, raws, on_found=lambda found: counts.note(catalogue, found)
    ):
        counts.records += 1
        counts.collections[collection] += 1
        counts.by_project[project_of(collection, opened.raw)] += 1
        yield opened_records.as_frame(opened), opened_records.digest(key, collection, opened)
    for record_key in gone:
        counts.removed[collection] += 1
        removed = opened_records.removed(record_key)
        yield opened_records.as_frame(removed), opened_records.digest(key, collection, removed)


def _batches(items: Iterable[Moved]) -> Iterator[tuple[str, list[bytes], list[bytes]]]:
    """Yield (collection, BSON of records, keys of those that are gone), bounded by count and by bytes."""
    current, held, raws, gone = "", 0, list[bytes](), list[bytes]()
    for collection, key, raw in items:
        if (raws or gone) and (collection != current or len(raws) + len(gone) >= BATCH or held >= BATCH_BYTES):
            yield current, raws, gone
            held, raws, gone = 0, [], []
        current = collection
        if raw is None:
            gone.append(key)
        else:
            held += len(raw)
            raws.append(raw)
    if raws or gone:
        yield current, raws, gone
