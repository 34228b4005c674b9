# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The road from the database: certificates, chains and sealed keys as its records hold them.

What cannot be decoded or opened is a problem of its certificate. A record's text that is not UTF-8 keeps nothing else
back (X11). Ids are compared by type and value, and where that finds nothing by their text: a `project_id` may be stored
as text (X91).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .._domain.catalogue import Catalogue, record_id_text
from .._domain.certificate_chain import certificates_in
from .._domain.certificate_filter import facts_of, instant_of, serials_told
from .._domain.certificate_source import Facts, Fetched, Listed, Problem, Project
from .._domain.key_export_policy import POLICIES, POLICY_ID, SETTINGS, KeyExportPolicy
from .._domain.values import BsonValue, Document
from .._store import install_lock, record_bytes, records
from .._store.connection import Store
from .opened_records import OpenedRecord, try_open
from .sealing import Failure, Sealing

CERTIFICATES, PRIVATE_KEYS, PROJECTS = "certificates", "certificate_private_keys", "projects"
PRIVATE_KEY = ("encrypted_key",)  # steps to the field
_OBJECT_ID = 0x07  # the type of an `_id` that is unlike every other; its text is like that of a text


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
        self._projects: dict[bytes, Project] = {}
        self._by_text: dict[str, Project] = {}
        documents = [_shown(raw) for raw in records.stream_raw(store, PROJECTS)]
        for document in documents:
            self._note(document)
        self._policy = KeyExportPolicy(self._settings(), documents, self._read(POLICIES, {}))

    def _settings(self) -> list[Document]:
        return self._read(SETTINGS, {"$or": [{"_id": POLICY_ID}, {"project_id": {"$exists": True}}]})

    def _read(self, collection: str, query: dict[str, BsonValue]) -> list[Document]:
        return [_shown(raw) for raw in records.stream_raw(self._store, collection, query=query)]

    def _note(self, document: Document) -> None:
        text = _text(document.get("_id"))
        names = {text, _text(document.get("slug")), _text(document.get("name"))} - {""}
        title = _text(document.get("slug")) or _text(document.get("name")) or text
        project = Project(text, frozenset(names), title)
        self._projects[record_bytes.id_key(document.get("_id"))] = project
        self._by_text.setdefault(text, project)

    def projects(self) -> Sequence[Project]:
        return list(self._projects.values())

    def listing(self, projects: Sequence[Project]) -> Iterator[Listed]:
        wanted = set(projects)
        for raw in records.stream_raw(self._store, CERTIFICATES):
            document = _shown(raw)
            key, record_id = record_bytes.id_key_of(raw), document.get("_id")
            project = self._project(document.get("project_id"))
            if project not in wanted and not project.is_gone:
                continue
            name = _text(document.get("name")) or _text(document.get("common_name")) or record_id_text(record_id)
            aliases = {record_id_text(record_id), _text(document.get("name")), _text(document.get("common_name"))}
            yield Listed(
                key=key,
                id=record_id_text(record_id),
                mark=record_id_text(record_id) if key[4] == _OBJECT_ID else key.hex(),
                project=project,
                name=name,
                aliases=frozenset(aliases - {""}),
                facts=_facts(document),
            )

    def _project(self, project_id: BsonValue) -> Project:
        """Return the project of a certificate; one that is gone is a project all the same."""
        text = "" if project_id is None else record_id_text(project_id)
        found = self._projects.get(record_bytes.id_key(project_id)) or self._by_text.get(text)
        if found is None:
            title = f"no-project.{text}" if text else "no-project"
            found = self._by_text[text] = Project(text, frozenset({text} - {""}), title, is_gone=True)
        return found

    def fetch(self, batch: Sequence[Listed], *, with_keys: bool) -> Iterator[Fetched]:
        ids = [record_bytes.id_of(listed.key) for listed in batch]
        found = {record_bytes.id_key_of(raw): _shown(raw) for raw in records.raw_by_ids(self._store, CERTIFICATES, ids)}
        keys = _KeyRecords(self._store, self._keys, self._policy, batch) if with_keys and self._keys else None
        for listed in batch:
            document = found.get(listed.key)
            if document is None:
                continue  # deleted by the live service since the list was made
            given, problems, against = keys.of(listed) if keys is not None else ((), (), False)
            yield Fetched(
                listed,
                _octets(document.get("certificate_pem")),
                _octets(document.get("chain_pem")),
                keys=given,
                key_problems=problems,
                against_policy=against,
            )


class _KeyRecords:
    """The key records of a batch of certificates; those that may leave are opened, in one call to the provider."""

    def __init__(self, store: Store, keys: Keys, policy: KeyExportPolicy, batch: Sequence[Listed]) -> None:
        self._keys = keys
        by_owner: dict[bytes, list[bytes]] = {}
        owners = {listed.key: (listed.key, record_bytes.id_key(listed.id)) for listed in batch}
        wanted = [record_bytes.id_of(key) for pair in owners.values() for key in pair]
        for raw in records.stream_raw(store, PRIVATE_KEYS, query={"certificate_id": {"$in": wanted}}):
            by_owner.setdefault(record_bytes.id_key(_shown(raw).get("certificate_id")), []).append(raw)
        self._withheld = {listed.project.id: policy.withholds(listed.project.id) for listed in batch}
        self._records = {key: [raw for one in {*pair} for raw in by_owner.get(one, ())] for key, pair in owners.items()}
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


def _facts(document: Document) -> Facts:
    """Return what the record tells, and what its certificate tells better."""
    names = (document.get(name) for name in ("issuer_type", "issuer_name", "issuer"))
    told = Facts(
        serials=serials_told(document.get("serial_number")),
        not_after=instant_of(document.get("not_after")),
        issuers=frozenset(_text(name).casefold() for name in names) - {""},
        status=_text(document.get("status")),
    )
    try:
        return facts_of(certificates_in(_octets(document.get("certificate_pem")))[0], told)
    except (ValueError, IndexError):
        return told


def _shown(raw: bytes) -> Document:
    """Return a record of which only names and public things are used; {} where not even that can be read."""
    try:
        return record_bytes.decode_to_show(raw)
    except ValueError:
        return {"_id": record_bytes.id_of(record_bytes.id_key_of(raw))}


def _text(value: BsonValue) -> str:
    return "" if value is None else record_id_text(value)


def _octets(value: BsonValue) -> bytes:
    """Return a text or bytes as bytes, b"" for anything else."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return bytes(value) if isinstance(value, bytes) else b""
