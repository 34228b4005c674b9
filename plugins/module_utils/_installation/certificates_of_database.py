# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The road from the database: certificates, chains and sealed keys as its records hold them.

What cannot be decoded or opened is a problem of its certificate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .._domain.catalogue import Catalogue
from .._domain.certificate_source import Fetched, Listed, Problem, Project
from .._domain.key_export_policy import POLICIES, POLICY_ID, SETTINGS, KeyExportPolicy
from .._domain.values import BsonValue, Document
from .._store import install_lock, record_bytes, records
from .._store.connection import Store
from .certificate_records import (
    CERTIFICATES,
    PRIVATE_KEY,
    PRIVATE_KEYS,
    PROJECTS,
    Projects,
    listed_of,
    octets_of,
    shown,
)
from .opened_records import OpenedRecord, try_open
from .sealing import Failure, Sealing


@dataclass(frozen=True, slots=True)
class Keys:
    """What keys are opened with. override: though the certificate policy withholds them."""

    catalogue: Catalogue
    sealing: Sealing
    override: bool


class DatabaseCertificates:
    """keys: None where no keys are asked for. See `CertificateSource`."""

    def __init__(self, store: Store, keys: Keys | None) -> None:
        self._store = store
        self._keys = keys
        lock = install_lock.read(store)
        self.identity = f"database {store.name} of {'an unknown installation' if lock is None else lock.known_as}"
        self.missed: list[Problem] = []
        documents = [shown(raw) for raw in records.stream_raw(store, PROJECTS)]
        self._projects = Projects(documents)
        self._owned: dict[bytes, list[bytes]] | None = None
        self._policy = KeyExportPolicy(self._settings(), documents, self._read(POLICIES, {}))

    def _settings(self) -> list[Document]:
        return self._read(SETTINGS, {"$or": [{"_id": POLICY_ID}, {"project_id": {"$exists": True}}]})

    def _read(self, collection: str, query: dict[str, BsonValue]) -> list[Document]:
        return [shown(raw) for raw in records.stream_raw(self._store, collection, query=query)]

    def projects(self) -> Sequence[Project]:
        return self._projects.all()

    def listing(self, projects: Sequence[Project]) -> Iterator[Listed]:
        wanted = set(projects)
        for raw in records.stream_raw(self._store, CERTIFICATES):
            document = shown(raw)
            project = self._projects.of(document.get("project_id"))
            if project in wanted or project.is_gone:
                yield listed_of(raw, document, project)

    def fetch(self, batch: Sequence[Listed], *, with_keys: bool) -> Iterator[Fetched]:
        ids = [record_bytes.id_of(listed.key) for listed in batch]
        found = {record_bytes.id_key_of(raw): shown(raw) for raw in records.raw_by_ids(self._store, CERTIFICATES, ids)}
        keys = self._key_records(batch) if with_keys and self._keys else None
        for listed in batch:
            document = found.get(listed.key)
            if document is None:
                continue  # deleted by the live service since the list was made
            given, problems, against = keys.of(listed) if keys is not None else ((), (), False)
            yield Fetched(
                listed,
                octets_of(document.get("certificate_pem")),
                octets_of(document.get("chain_pem")),
                keys=given,
                key_problems=problems,
                against_policy=against,
            )

    def _key_records(self, batch: Sequence[Listed]) -> _KeyRecords | None:
        """Return the key records of a batch.

        WHY whose they are is read once, not asked for with each batch: no index over `certificate_id` is documented,
        and a server without one looks through all key records for each batch.
        """
        if self._keys is None:
            return None
        if self._owned is None:
            self._owned = {}
            for key, owner in records.field_by_id(self._store, PRIVATE_KEYS, "certificate_id"):
                self._owned.setdefault(record_bytes.id_key(owner), []).append(key)
        owned = {listed.key: _owned_by(listed, self._owned) for listed in batch}
        return _KeyRecords(self._store, self._keys, self._policy, batch, owned)


def _owned_by(listed: Listed, owned: dict[bytes, list[bytes]]) -> list[bytes]:
    """Return the keys of the key records that name a certificate, by its id or its text."""
    return [key for form in dict.fromkeys((listed.key, record_bytes.id_key(listed.id))) for key in owned.get(form, ())]


class _KeyRecords:
    """The key records of a batch of certificates; those that may leave are opened, in one call to the provider."""

    def __init__(
        self, store: Store, keys: Keys, policy: KeyExportPolicy, batch: Sequence[Listed],
        owned: dict[bytes, list[bytes]],
    ) -> None:  # fmt: skip
        self._keys = keys
        wanted = [record_bytes.id_of(key) for own in owned.values() for key in own]
        found = {record_bytes.id_key_of(raw): raw for raw in records.raw_by_ids(store, PRIVATE_KEYS, wanted)}
        self._withheld = {listed.project.id: policy.withholds(listed.project.id) for listed in batch}
        self._records = {one: [found[key] for key in own if key in found] for one, own in owned.items()}
        self._opened = self._open(
            [raw for listed in batch if self._may_open(listed) for raw in self._records[listed.key]]
        )

    def _may_open(self, listed: Listed) -> bool:
        return self._keys.override or self._withheld[listed.project.id] is None

    def of(self, listed: Listed) -> tuple[tuple[bytes, ...], tuple[Problem, ...], bool]:
        """Return (keys, why others are none, whether a policy withholds them)."""
        raws, withheld = self._records[listed.key], self._withheld[listed.project.id]
        if not raws:
            return (), (), False
        if withheld is not None and not self._keys.override:
            return (), (withheld,), False
        opened = [self._opened[raw] for raw in sorted(raws)]
        given = tuple(one for one in opened if isinstance(one, bytes))
        return given, tuple(one for one in opened if isinstance(one, Problem)), withheld is not None

    def _open(self, raws: Sequence[bytes]) -> dict[bytes, bytes | Problem]:
        found: dict[bytes, bytes | Problem] = {}
        documents: dict[bytes, Document] = {}
        for raw in raws:
            try:
                documents[raw] = record_bytes.decode(raw)
            except ValueError:
                found[raw] = Problem("record.undecodable", "its key record cannot be decoded")
        opened = {one.key: one for one in self._try(list(documents.values()))[0]}
        for raw, document in documents.items():
            record = opened.get(record_bytes.id_key(document["_id"]))
            found[raw] = _payload(record) if record is not None else _unreadable(self._try([document])[1])
        return found

    def _try(self, documents: Sequence[Document]) -> tuple[list[OpenedRecord], list[Failure]]:
        return try_open(self._keys.sealing, self._keys.catalogue, PRIVATE_KEYS, documents)


def _payload(record: OpenedRecord) -> bytes | Problem:
    payloads = [one.payload for one in record.fields if one.steps == PRIVATE_KEY]
    return payloads[0] if payloads else Problem("certificate.key_malformed", "its key record holds no sealed key")


def _unreadable(failures: Sequence[Failure]) -> Problem:
    why = f": {failures[0].place}: {failures[0].reason}" if failures else ""
    return Problem("record.unreadable", f"its sealed key cannot be opened{why}")
