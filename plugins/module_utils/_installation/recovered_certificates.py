# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates brought into a running installation: judged against what is there, sealed, written, opened again.

 1. judge: per certificate, whether it is there, there in another form, or missing; and of which project it is to be.
 2. write: what it refers to, its key, and the certificate last: the service never sees one without its key.
 3. prove: every record is read back, opened under the new key, and its digest compared with the old one's.
What fails before the proof holds is taken back. Kill it anywhere and run it again: what is there is found there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from .._domain import recovery
from .._domain.certificate_source import Project
from .._domain.errors import OpsError
from .._domain.private_keys import PrivateKey, fitting
from .._domain.values import BsonValue, Document, JsonObject
from .._store import keystore, record_bytes, records
from .._store.records import Stored
from . import opened_records
from .certificate_records import CERTIFICATES, PRIVATE_KEYS, PROJECTS, Projects, shown, text_of
from .forgotten_certificates import Forgotten, key_in, leaf_of
from .installation import Installation
from .old_records import Placed
from .opened_records import OpenedRecord, open_raw
from .sealing import Sealing

RECOVERED, COMPLETED, PRESENT, KEPT = "recovered", "completed", "present", "kept"


@dataclass(frozen=True, slots=True)
class Judged:
    """What is to be done with a certificate. writes: collection -> its records that are missing, as they are to be.

    outcome: RECOVERED, COMPLETED where only its key is missing, PRESENT, KEPT where it is there and differs.
    found: why it is KEPT. differs: fields of a record that is there and are not as they were.
    """

    forgotten: Forgotten
    outcome: str
    project: str = ""
    writes: tuple[tuple[str, OpenedRecord], ...] = ()
    found: str = ""
    differs: tuple[str, ...] = ()


@dataclass(slots=True)
class Destination:
    """The installation that certificates are brought into. into_project: what an operator calls the project, if any."""

    installation: Installation
    sealing: Sealing
    version: int
    into_project: str | None
    _projects: list[tuple[Project, BsonValue]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for raw in records.stream_raw(self.installation.store, PROJECTS):
            document = shown(raw)
            self._projects.append((Projects([document]).all()[0], document.get("_id")))

    def has(self, placed: Placed) -> bool:
        """Return whether a record is in the same collection here."""
        name, raw = placed
        ids = [
            record_bytes.id_of(key) for key in record_bytes.id_forms(record_bytes.id_of(record_bytes.id_key_of(raw)))
        ]
        return any(True for _raw in records.raw_by_ids(self.installation.store, name, ids))

    def moved(self, record: OpenedRecord) -> OpenedRecord:
        """Return a record as it is to be here: of the project that was asked for, else as it was.

        Raises OpsError recover.project_missing, recover.project_ambiguous.
        """
        document = record.document or record_bytes.decode_record("", record.raw)
        old = document.get(recovery.PROJECT)
        if old is None:
            return record
        new = self._project(old)
        if record_bytes.id_key(new) == record_bytes.id_key(old):
            return record
        changed = recovery.with_project(document, new)
        return replace(record, raw=record_bytes.encode(changed), document=changed if record.fields else {})

    def _project(self, old: BsonValue) -> BsonValue:
        if self.into_project is None:
            forms = record_bytes.id_forms(old)
            if any(record_bytes.id_key(one) in forms for _project, one in self._projects):
                return old
            raise recovery.project_missing(text_of(old), self._titles())
        named = [one for project, one in self._projects if self.into_project in project.names]
        if not named:
            raise recovery.project_missing(self.into_project, self._titles())
        if len(named) > 1:
            raise OpsError(
                f'{len(named)} projects of the destination are called "{self.into_project}", expected one',
                code="recover.project_ambiguous",
                hint="give its id as `into_project`",
                projects=[text_of(one) for one in named],
            )
        return named[0]

    def _titles(self) -> list[str]:
        return [f"{project.title} ({project.id})" for project, _one in self._projects]


def judge(destination: Destination, forgotten: Sequence[Forgotten]) -> list[Judged]:
    """Return what is to be done with each certificate. Raises OpsError recover.project_*, record.*."""
    there = _There(destination, forgotten)
    return [there.judged(one) for one in forgotten]


def conflicts_of(judged: Sequence[Judged]) -> list[JsonObject]:
    """Return the certificates that are there and differ: id, name, found."""
    kept = [one for one in judged if one.outcome == KEPT]
    return [{"id": one.forgotten.listed.id, "name": one.forgotten.listed.name, "found": one.found} for one in kept]


class _There:
    """What the destination has of these certificates, read and opened once."""

    def __init__(self, destination: Destination, forgotten: Sequence[Forgotten]) -> None:
        self._destination = destination
        store, new = destination.installation.store, destination.installation
        ids = [one.certificate.record_id for one in forgotten]
        self._certificates = {
            record_bytes.id_key_of(raw): shown(raw) for raw in records.raw_by_ids(store, CERTIFICATES, ids)
        }
        pems = [one.document.get(recovery.PEM) for one in forgotten]
        self._twins = dict[BsonValue, Document]()
        for raw in records.stream_raw(store, CERTIFICATES, query={recovery.PEM: {"$in": pems}}):
            self._twins[shown(raw)[recovery.PEM]] = shown(raw)
        forms = [record_bytes.id_of(key) for record_id in ids for key in record_bytes.id_forms(record_id)]
        raws = [*records.stream_raw(store, PRIVATE_KEYS, query={recovery.OWNER: {"$in": forms}})]
        key_ids = [one.key.record_id for one in forgotten if one.key is not None]
        raws += records.raw_by_ids(store, PRIVATE_KEYS, key_ids)
        unique = {record_bytes.id_key_of(raw): raw for raw in raws}
        opened = open_raw(destination.sealing, new.catalogue, PRIVATE_KEYS, list(unique.values()))
        self._keys = {one.key: one for one in opened}

    def judged(self, one: Forgotten) -> Judged:
        there = self._certificates.get(one.certificate.key)
        found, differs = "", tuple[str, ...]()
        if there is not None:
            found, differs = self._differs(one, there), tuple(recovery.differing_fields(one.document, there))
        elif (twin := self._twins.get(one.document.get(recovery.PEM))) is not None:
            found = f"the same certificate is there as {text_of(twin.get('_id'))}"
        lacks_key, key_found = self._key(one)
        if found or key_found:
            return Judged(one, KEPT, found=found or key_found)
        writes = [(PRIVATE_KEYS, self._destination.moved(one.key))] if lacks_key and one.key is not None else []
        if there is None:
            writes.append((CERTIFICATES, self._destination.moved(one.certificate)))
        outcome = PRESENT if not writes else RECOVERED if there is None else COMPLETED
        return Judged(one, outcome, self._project(one, there), tuple(writes), differs=differs)

    def _differs(self, one: Forgotten, there: Document) -> str:
        """Return what another certificate is found under this id, "" for the same one."""
        leaf = leaf_of(there)
        if leaf is None:
            return "its record there holds no certificate"
        if leaf != one.leaf:
            return f"another certificate is there, serial number {leaf.serial_number:x}"
        wanted = self._destination.into_project
        if wanted is not None and not self._is_in(there, wanted):
            return f"it is there in project {text_of(there.get(recovery.PROJECT)) or '(none)'}"
        return ""

    def _is_in(self, there: Document, wanted: str) -> bool:
        moved = self._destination.moved(opened_records.plain(record_bytes.encode(there)))
        return bool(wanted) and moved.raw == record_bytes.encode(there)

    def _key(self, one: Forgotten) -> tuple[bool, str]:
        """Return (whether its key is missing here, what is in its place)."""
        if one.key is None:
            return False, ""
        forms = record_bytes.id_forms(one.certificate.record_id)
        own = [key for key in self._keys.values() if record_bytes.id_key(_owner(key)) in forms]
        if any(isinstance(fitting(one.leaf, [key_in(key)]), PrivateKey) for key in own):
            return False, ""
        if own:
            return False, "its key record there holds another key"
        if one.key.key in self._keys:
            return False, "its key record is there and is another certificate's"
        return True, ""

    def _project(self, one: Forgotten, there: Document | None) -> str:
        if there is not None:
            return text_of(there.get(recovery.PROJECT))
        return opened_records.project_of(CERTIFICATES, self._destination.moved(one.certificate).raw)


def _owner(key: OpenedRecord) -> BsonValue:
    return key.document.get(recovery.OWNER)


def write(destination: Destination, writes: Sequence[tuple[str, OpenedRecord]]) -> None:
    """Seal, insert and prove records, in this order. What was inserted is taken back where that fails.

    Raises OpsError recover.not_equal, budget.exhausted, key.unusable, and what the database raises.
    """
    store, wraps = destination.installation.store, sum(len(record.fields) for _name, record in writes)
    if wraps:
        keystore.spend(store, destination.version, wraps)
    sealed = opened_records.seal_records(destination.sealing, destination.version, [record for _name, record in writes])
    inserted = list[tuple[str, Stored]]()
    try:
        for (name, _record), document in zip(writes, sealed, strict=True):
            records.insert_many(store, name, [document])
            inserted.append((name, document))
        _prove(destination, writes)
    except OpsError:
        _take_back(destination, inserted)
        raise


def _take_back(destination: Destination, inserted: Sequence[tuple[str, Stored]]) -> None:
    """Remove what was inserted, the certificate first. WHY errors are dropped: the failure itself matters more, and a
    run that goes on finds what is there."""
    for name, document in reversed(inserted):
        with contextlib.suppress(OpsError):
            records.delete_as_written(destination.installation.store, name, [document])


def _prove(destination: Destination, writes: Sequence[tuple[str, OpenedRecord]]) -> None:
    """Raises OpsError recover.not_equal, record.*: what is there is not what was read at the old installation."""
    new, key = destination.installation, os.urandom(32)
    for name, expected in writes:
        raws = list(records.raw_by_ids(new.store, name, [expected.record_id]))
        found = open_raw(destination.sealing, new.catalogue, name, raws)
        digests = [opened_records.digest(key, name, one) for one in found]
        if digests != [opened_records.digest(key, name, expected)]:
            raise OpsError(
                f"{recovery.place(name, expected.record_id)}, opened again at the destination, is not what was read at "
                "the source; expected it equal",
                code="recover.not_equal",
                hint="what this run wrote was taken back; see who writes to these records, then run it again",
            )
