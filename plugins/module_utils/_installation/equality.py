# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that a destination holds what the bundle says: every record opened again and its digest compared.

Read only. Exit status of a migration follows this proof and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._domain.catalogue import record_id_text
from .._domain.errors import OpsError
from .._store import records
from .._store.driver import Document
from . import opened_records
from .checked_bundle import Bundle
from .installation import Installation
from .sealing import Sealing

LISTED_AT_MOST = 1000


@dataclass(slots=True)
class Proof:
    """Counts, and places by name up to LISTED_AT_MOST. records: how many the bundle holds."""

    records: int = 0
    equal: int = 0
    different: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    reasons: list[dict[str, str]] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return self.equal == self.records and not (self.different or self.missing or self.extra)

    def as_result(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "equal": self.equal,
            "different": self.different[:LISTED_AT_MOST],
            "missing": self.missing[:LISTED_AT_MOST],
            "extra": self.extra[:LISTED_AT_MOST],
        }

    def refusal(self) -> OpsError:
        """Return the failure that names what differs."""
        first = (self.different or self.missing or self.extra)[0]
        return OpsError(
            f"destination is not equal: {self.equal} of {self.records} records equal, {len(self.different)} different, "
            f"{len(self.missing)} missing, {len(self.extra)} extra; the first: {first}",
            code="import.not_equal",
            hint="run data_import again: it moves only what differs; do not start the destination before it is equal",
            manifest=self.as_result(),
            failures=self.reasons[:LISTED_AT_MOST],
        )


def prove(installation: Installation, sealing: Sealing, bundle: Bundle) -> Proof:
    """Return the proof for the whole destination: all of the bundle is there and equal, and nothing else is."""
    proof = Proof()
    seen: dict[str, int] = {}

    def on_batch(collection: str, expected: list[Document]) -> None:
        standing = records.by_ids(installation.store, collection, [document["_id"] for document in expected])
        seen[collection] = seen.get(collection, 0) + len(standing)
        ready = list(standing.values())
        opened, failures = opened_records.try_open(sealing, installation.catalogue, collection, ready)
        proof.reasons.extend(failure.as_result() for failure in failures)
        found = {
            records.id_key(document["_id"]): opened_records.digest(bundle.digest_key, collection, document)
            for document in opened
        }
        for document in expected:
            key, place = records.id_key(document["_id"]), f"{collection}/{record_id_text(document['_id'])}"
            proof.records += 1
            if key not in standing:
                proof.missing.append(place)
            elif found.get(key) != opened_records.digest(bundle.digest_key, collection, document):
                proof.different.append(place)
            else:
                proof.equal += 1

    bundle.each_batch(on_batch)
    for collection, ids in extra_ids(installation, bundle, seen).items():
        proof.extra.extend(f"{collection}/{record_id_text(record_id)}" for record_id in ids)
    return proof


def extra_ids(installation: Installation, bundle: Bundle, seen: dict[str, int]) -> dict[str, list[Any]]:
    """Return the ids, by collection, of destination records that the bundle does not hold.

    seen: how many of the bundle's records the destination has, by collection. Ids are gathered only for a collection
    whose count says that something is extra, so memory stays constant when all is well.
    """
    extra: dict[str, list[Any]] = {}
    for collection in records.data_collections(installation.store):
        if records.count(installation.store, collection) == seen.get(collection, 0):
            continue
        known = _ids_in(bundle, collection)
        ids = [i for i in records.ids_of(installation.store, collection) if records.id_key(i) not in known]
        if ids:
            extra[collection] = ids
    return extra


def _ids_in(bundle: Bundle, collection: str) -> set[bytes]:
    known: set[bytes] = set()

    def gather(name: str, batch: list[Document]) -> None:
        if name == collection:
            known.update(records.id_key(document["_id"]) for document in batch)

    bundle.each_batch(gather)
    return known
