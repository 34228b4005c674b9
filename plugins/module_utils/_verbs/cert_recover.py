# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb cert_recover: certificates that were forgotten, brought from an old installation into a running one.

1. The old installation is looked at, in its database or a dump of it; the certificates are found and their keys opened.
2. Each is judged against the destination; what stands in the way is refused before anything is written.
3. Under the lease of rotations what is missing is sealed, inserted, opened again and compared. It is in the journal.
The old installation is only read. ADR-0042.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .._domain import recovery
from .._domain.certificate_filter import Filter, filter_of
from .._domain.errors import OpsError
from .._domain.listing import LISTED_AT_MOST, listed
from .._domain.result import Result
from .._domain.settings import DATABASE_URI, Settings
from .._domain.values import JsonObject
from .._dumps import dump_source
from .._installation import forgotten_certificates, old_installation, recovered_certificates
from .._installation import survey as surveys
from .._installation.certificate_records import PRIVATE_KEYS, shown
from .._installation.dump_secrets import with_keks
from .._installation.forgotten_certificates import Forgotten
from .._installation.installation import Installation, open_database, open_installation
from .._installation.layout_detection import remembered_layout
from .._installation.old_installation import OldInstallation
from .._installation.old_records import RecordsOfDatabase, RecordsOfDump
from .._installation.opened_records import OpenedRecord, open_raw
from .._installation.recovered_certificates import COMPLETED, KEPT, PRESENT, RECOVERED, Destination, Judged
from .._installation.sealing import Sealing
from .._rotation.leadership import LEASE_NAME, LEASE_S
from .._store import age_keys, heartbeats, imports, journal, leases
from .._store.connection import Store
from .._store.imports import ImportState

VERB = "cert_recover"
REFUSE, BRING, LEAVE, KEEP = "refuse", "bring", "leave", "keep"


@dataclass(frozen=True, slots=True)
class Options:
    """source: settings of the old installation. src: a dump of it, None for its database.

    identity_file, from_database, manifest_sha256: as db_restore has them. names, ids, serials, projects: which
    certificates. into_project: of the destination, by id, slug or name. existing: what to do where one is there and
    differs. references: what to do with records that they refer to and that the destination lacks.
    """

    source: Settings = field(default_factory=Settings)
    src: str | None = None
    identity_file: str | None = None
    from_database: str | None = None
    manifest_sha256: str | None = None
    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    serials: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    into_project: str | None = None
    existing: str = REFUSE
    references: str = REFUSE


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run found, and what it would write: collection and record, in the order in which they are inserted."""

    old: OldInstallation
    destination: Destination
    judged: list[Judged]
    beside: list[tuple[str, OpenedRecord]]

    @property
    def writes(self) -> list[tuple[str, OpenedRecord]]:
        of_certificates = [one for judged in self.judged for one in judged.writes]
        keys_first = sorted(of_certificates, key=lambda one: one[0] != PRIVATE_KEYS)
        return [*self.beside, *keys_first]


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Recover. Raises OpsError recover.*, restore.*, backup.damaged, record.*, key.*, and what opening raises."""
    wanted = _wanted(options)
    with open_installation(settings) as new, _old(options, new.store) as (old, source):
        _require_settled(new)
        if old.is_served:
            warn(f"{old.records.name} is served by live processes; it is only read")
        found = forgotten_certificates.find(old, wanted, frozenset(options.projects))
        with old_installation.opened_keys(source, old, new) as provider:
            read, sealing = forgotten_certificates.read(old, provider, new.catalogue, found)
            _tell(read, warn)
            if check:
                return _result(_plan(options, old, new, read, sealing, warn))
            lease = leases.acquire_within(new.store, LEASE_NAME, lease_s=LEASE_S, wait_s=LEASE_S + 5)
            with leases.kept(new.store, lease, lease_s=LEASE_S):
                # WHY the destination is read only now: another run may have written while this one waited (ADR-0018).
                plan = _plan(options, old, new, read, sealing, warn)
                if plan.writes:
                    recovered_certificates.write(plan.destination, plan.writes)
                    journal.append(new.store, VERB, _noted(plan))
                return _result(plan)


def _wanted(options: Options) -> Filter:
    """Return which certificates are asked for. Raises OpsError recover.nothing_named, export.filter."""
    if not (options.names or options.ids or options.serials or options.projects):
        raise recovery.nothing_named()
    return filter_of(
        names=options.names, ids=options.ids, serials=options.serials, issuers=(), statuses=(), after=None, before=None,
        now=datetime.now(UTC),
    )  # fmt: skip


@contextmanager
def _old(options: Options, new: Store) -> Iterator[tuple[OldInstallation, Settings]]:
    """Yield the old installation and the settings for its keys. Raises OpsError recover.source, .same_database, …"""
    source, given = options.source, DATABASE_URI.name in options.source.hidden
    if options.src is None and not given:
        raise OpsError(
            "neither a dump nor the old database is given, expected one of them",
            code="recover.source",
            hint="give `src`, `source_mongodb_uri_file`, or a `source_secrets_file` with CERTAUTOPILOT_DATABASE_URI",
        )
    if options.src is not None:
        yield _dumped(options, options.src)
        return
    with open_database(source) as store:
        if (store.name, store.hosts) == (new.name, new.hosts):
            raise OpsError(
                f'database "{store.name}" at {store.hosts} is given as the old one and as the new one',
                code="recover.same_database",
                hint="give the old installation's database as source, or a dump as `src`; nothing was written",
            )
        yield old_installation.look_at(RecordsOfDatabase(store), heartbeats.read(store)), source


def _dumped(options: Options, src: str) -> tuple[OldInstallation, Settings]:
    source, identity = options.source, None
    if options.identity_file is not None:
        identity = age_keys.identity_from(Path(options.identity_file), service_uid=source.service_uid)
    form, manifest = dump_source.find(
        Path(src),
        identity=identity,
        from_database=options.from_database,
        manifest_sha256=options.manifest_sha256,
        service_uid=source.service_uid,
    )
    return old_installation.look_at(RecordsOfDump(form, src)), with_keks(source, Path(src), manifest, identity)


def _require_settled(new: Installation) -> None:
    """Raises OpsError destination.no_active_version, recover.migration_open."""
    if new.keystore.active is None:
        raise OpsError(
            "the destination has no active KEK version",
            code="destination.no_active_version",
            hint="run kek_pkcs11_init or kek_install_lock on it first",
        )
    opened = [one for one in imports.read_all(new.store) if one.state != ImportState.ACCEPTED]
    if opened:
        raise OpsError(
            f'database "{new.store.name}" has an import from {opened[0].source_install_id} that is {opened[0].state}, '
            "expected none, or one that was accepted",
            code="recover.migration_open",
            hint="end the migration first: a record that is only here would make its proof fail; nothing was written",
        )


def _plan(
    options: Options, old: OldInstallation, new: Installation, read: list[Forgotten], of_old: Sealing,
    warn: Callable[[str], None],
) -> Plan:  # fmt: skip
    """Raises OpsError recover.exists, recover.project_missing, recover.references_missing, record.*."""
    sample = surveys.sample_of(new.store, new.catalogue)
    layout = remembered_layout(new.store, new.provider, sample, warn=warn, note=False) if sample else of_old.layout
    version = new.keystore.active.version if new.keystore.active is not None else 0
    destination = Destination(new, Sealing(new.provider, layout), version, options.into_project)
    judged = recovered_certificates.judge(destination, read)
    conflicts = recovered_certificates.conflicts_of(judged)
    if conflicts and options.existing != KEEP:
        raise recovery.exists(conflicts)
    return Plan(old, destination, judged, _beside(options, old, destination, judged, of_old))


def _beside(
    options: Options, old: OldInstallation, destination: Destination, judged: Sequence[Judged], of_old: Sealing
) -> list[tuple[str, OpenedRecord]]:
    """Return the records that come with what is missing, as they are to be here."""
    documents = [one.forgotten.document for one in judged if one.outcome == RECOVERED]
    if options.references == LEAVE:
        return []
    missing = forgotten_certificates.beside(old, documents, lambda placed: not destination.has(placed))
    if missing and options.references == REFUSE:
        raise recovery.references_missing([recovery.place(name, shown(raw).get("_id")) for name, raw in missing])
    catalogue = destination.installation.catalogue
    return [(name, destination.moved(one)) for name, raw in missing for one in open_raw(of_old, catalogue, name, [raw])]


def _tell(read: Sequence[Forgotten], warn: Callable[[str], None]) -> None:
    keyless = [one.listed.name for one in read if one.key is None]
    if keyless:
        warn(f"{listed(keyless)}: the source keeps no private key (made elsewhere); they come without one")
    unfit = [place for one in read for place in one.unfit]
    if unfit:
        warn(f"{listed(unfit)}: of one of these certificates and not the key that is taken, left at the source")


def _noted(plan: Plan) -> JsonObject:
    written = [one.forgotten.listed.id for one in plan.judged if one.writes]
    return {
        "source": plan.old.lock.known_as,
        "host": os.uname().nodename,
        "certificates": written[:LISTED_AT_MOST],
        "records": len(plan.writes),
        "beside": [recovery.place(name, one.record_id) for name, one in plan.beside][:LISTED_AT_MOST],
        "kek_version": plan.destination.version,
    }


def _result(plan: Plan) -> Result:
    outcomes = [one.outcome for one in plan.judged]
    counts = {name: outcomes.count(name) for name in (RECOVERED, COMPLETED, PRESENT, KEPT)}
    certificates = {"certificates": len(outcomes), "missing": counts[RECOVERED] + counts[COMPLETED]}
    values: JsonObject = {
        "certificates": [_shown(one) for one in plan.judged],
        "counts": counts,
        "brought_beside": [recovery.place(name, one.record_id) for name, one in plan.beside],
        "records": len(plan.writes),
        "source": {
            "read_from": plan.old.records.name,
            "installation": plan.old.lock.known_as,
            "provider": plan.old.lock.provider,
            "is_served": plan.old.is_served,
        },
        "kek_version": plan.destination.version,
    }
    return Result(
        changed=bool(plan.writes), values=values, before=certificates, after={**certificates, "missing": 0}
    )  # fmt: skip


def _shown(judged: Judged) -> JsonObject:
    one = judged.forgotten
    return {
        "id": one.listed.id,
        "name": one.listed.name,
        "project": judged.project,
        "serial_number": format(one.leaf.serial_number, "x"),
        "not_after": one.leaf.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "has_key": one.key is not None,
        "outcome": judged.outcome,
        "found": judged.found,
        "differs": list(judged.differs),
    }
