# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A survey: every document of every collection walked once, every envelope counted, every oddity named.

Read only. Memory is bounded: counts, a small sample, and capped lists of places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from .._domain.catalogue import Catalogue, Found, is_alone, outside_catalogue
from .._domain.envelope import Envelope, parse, sound_parts
from .._domain.errors import OpsError
from .._domain.listing import LISTED_AT_MOST
from .._domain.values import BsonValue, JsonObject
from .._store import record_bytes, records
from .._store.changes import Changes
from .._store.connection import Store
from .._store.every_record import DatabaseDigest, each_raw

SAMPLE_PER_FIELD = 4
Each: TypeAlias = Callable[[Found, Envelope], None]


@dataclass(slots=True)
class Survey:
    """What a database holds. by_field: "collection.path" -> count. anomalies: {place, code, reason}.

    not_bare: collections with an envelope, or with a record that could not be decoded and may hold one.
    """

    documents: int = 0
    total: int = 0
    by_version: Counter[int] = field(default_factory=Counter)
    by_field: Counter[str] = field(default_factory=Counter)
    by_provider: Counter[str] = field(default_factory=Counter)
    by_collection: Counter[str] = field(default_factory=Counter)
    outside: list[str] = field(default_factory=list)
    anomalies: list[dict[str, str]] = field(default_factory=list)
    sample: list[tuple[Found, Envelope]] = field(default_factory=list)
    not_bare: set[str] = field(default_factory=set)
    _telling: dict[str, list[bytes]] = field(default_factory=dict, repr=False)
    _sole: dict[str, str | None] = field(default_factory=dict, repr=False)

    def require_catalogued(self) -> None:
        """Raises OpsError catalogue.outside when an envelope is where nobody listed one (T4)."""
        if self.outside:
            raise outside_catalogue(self.outside)

    def bare(self, catalogue: Catalogue) -> tuple[str, ...]:
        """Return the collections that hold records, but no envelope, and are not meant to hold any; sorted."""
        return tuple(sorted({*self.by_collection} - {*catalogue.collections()} - self.not_bare))

    def pass_over(self, collection: str, count: int) -> None:
        """Count documents that hold nothing."""
        if count:
            self.documents += count
            self.by_collection[collection] += count

    def note(
        self, catalogue: Catalogue, collection: str, document: Mapping[str, BsonValue], each: Each | None = None
    ) -> None:
        """Count one document and its envelopes. each: called with every well-formed envelope."""
        self.documents += 1
        self.by_collection[collection] += 1
        if self._note_plain(catalogue, collection, document, each):
            return
        for found in catalogue.envelopes(collection, document):
            envelope = self._counted(catalogue, found, document.get("kek_version"))
            if each is not None and envelope is not None:
                each(found, envelope)

    def _note_plain(
        self, catalogue: Catalogue, collection: str, document: Mapping[str, BsonValue], each: Each | None
    ) -> bool:
        """Count a document with one sound envelope, in its collection's one catalogued field, and nothing like it.

        WHY: nearly all that have an envelope are such, and the long way takes six times as long for them.
        INVARIANT: what is counted is what the long way would count; tests/unit/installation/test_survey.py compares.
        """
        if collection not in self._sole:
            self._sole[collection] = catalogue.sole_field(collection)
        sole = self._sole[collection]
        value = None if sole is None else document.get(sole)
        parts = sound_parts(value, document.get("kek_version")) if value.__class__ is dict else None
        if sole is None or parts is None or not is_alone(sole, document):
            return False
        self.total += 1
        self.not_bare.add(collection)
        name = f"{collection}.{sole}"
        self.by_field[name] += 1
        self.by_version[parts[3]] += 1
        self.by_provider[parts[4]] += 1
        is_sample = self.by_field[name] <= SAMPLE_PER_FIELD
        if is_sample or each is not None:
            found, envelope = Found(collection, document.get("_id"), (sole,), value), Envelope(*parts)
            if is_sample:
                self.sample.append((found, envelope))
            if each is not None:
                each(found, envelope)
        return True

    def note_raw(self, catalogue: Catalogue, collection: str, raw: bytes, each: Each | None = None) -> None:
        """As `note`, for a document's BSON, which is decoded only if it can hold an envelope.

        One that would have to be and cannot is an anomaly.
        """
        if collection not in self._telling:
            names = catalogue.telling_names(collection)
            self._telling[collection] = [record_bytes.in_bson(name) for name in names]
        for name in self._telling[collection]:  # not any(): to make a generator takes longer than the search
            if name in raw:
                break
        else:
            self.pass_over(collection, 1)
            return
        try:
            document = record_bytes.decode_record(collection, raw)
        except OpsError as failure:
            self._note_undecodable(collection, failure)
        else:
            self.note(catalogue, collection, document, each)

    def _note_undecodable(self, collection: str, failure: OpsError) -> None:
        """Count a document that may hold an envelope and cannot be decoded."""
        self.pass_over(collection, 1)
        self.not_bare.add(collection)
        if len(self.anomalies) < LISTED_AT_MOST:
            place = str(failure.facts.get("place", collection))
            self.anomalies.append({"place": place, "code": failure.code, "reason": failure.message})

    def _counted(self, catalogue: Catalogue, found: Found, outer: BsonValue) -> Envelope | None:
        self.total += 1
        self.not_bare.add(found.collection)
        name = f"{found.collection}.{found.field}"
        self.by_field[name] += 1
        if not catalogue.knows(found) and len(self.outside) < LISTED_AT_MOST:
            self.outside.append(found.place)
        try:
            envelope = parse(found.value, outer_version=outer)
        except OpsError as refusal:
            if len(self.anomalies) < LISTED_AT_MOST:
                self.anomalies.append({"place": found.place, "code": refusal.code, "reason": refusal.message})
            return None
        self.by_version[envelope.kek_version] += 1
        self.by_provider[envelope.provider] += 1
        if self.by_field[name] <= SAMPLE_PER_FIELD:
            self.sample.append((found, envelope))
        return envelope

    def as_result(self) -> JsonObject:
        return {
            "total": self.total,
            "by_version": {str(version): count for version, count in sorted(self.by_version.items())},
            "by_field": [{"field": name, "count": count} for name, count in sorted(self.by_field.items())],
            "outside_catalogue": list(self.outside),
            "anomalies": list(self.anomalies),
        }


def take(store: Store, catalogue: Catalogue, *, each: Each | None = None) -> Survey:
    """Return the survey of a database. each: called with every well-formed envelope."""
    survey = Survey()
    for collection in records.data_collections(store):
        _walk(store, catalogue, collection, survey, each)
    return survey


def take_again(store: Store, catalogue: Catalogue, bare: Collection[str], changes: Changes) -> Survey:
    """Return the survey of a database of which one was taken before: of bare collections only what changed since.

    bare: as `Survey.bare` of the earlier one told. changes: since that one began. Documents count as they are read.
    """
    survey = Survey()
    for collection in records.data_collections(store):
        if collection not in bare:
            _walk(store, catalogue, collection, survey)
    for collection in bare:
        ids = changes.get(collection, [])
        for start in range(0, len(ids), records.READ_BATCH):
            for raw in records.raw_by_ids(store, collection, ids[start : start + records.READ_BATCH]):
                survey.note_raw(catalogue, collection, raw)
    return survey


def _walk(store: Store, catalogue: Catalogue, collection: str, survey: Survey, each: Each | None = None) -> None:
    for came, raws in records.scan(store, collection, catalogue.telling_names(collection)):
        survey.pass_over(collection, came - len(raws))
        for raw in raws:
            survey.note_raw(catalogue, collection, raw, each)


def take_with_digest(store: Store, catalogue: Catalogue) -> tuple[Survey, DatabaseDigest]:
    """Return the survey of a database and the digest of the very bytes that were surveyed, from one read."""
    survey, digest = Survey(), DatabaseDigest()
    for collection, raw in each_raw(store, digest):
        survey.note_raw(catalogue, collection, raw)
    return survey, digest


def sample_of(store: Store, catalogue: Catalogue) -> list[tuple[Found, Envelope]]:
    """Return a few envelopes of each catalogued field, to see the layout by, without walking the database."""
    sample = Survey()
    existing = set(store.collection_names())
    for collection in catalogue.collections():
        for path in catalogue.fields(collection) if collection in existing else ():
            for document in records.some_with(store, collection, path.replace(".*", ""), SAMPLE_PER_FIELD):
                sample.note(catalogue, collection, document)
    return sample.sample
