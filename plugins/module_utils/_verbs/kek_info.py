# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_info: what a database holds and how far anything under way has come. Reads only, loads no key
unless `keys` asks for it.

It works on a database whose provider does not match the configuration, because that is when an operator needs it most.
What is not asked for is not read and comes back as null: "nothing found" and "nobody looked" are told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._domain.catalogue import Catalogue
from .._domain.errors import RowDamaged
from .._domain.instants import rfc3339
from .._domain.result import Result
from .._domain.settings import PROVIDER, Settings
from .._domain.values import JsonObject
from .._installation import key_drift
from .._installation import survey as surveys
from .._installation.installation import open_database
from .._installation.survey import Survey
from .._store import drop_note, heartbeats, imports, install_lock, journal, keystore, migration_turns, rotations
from .._store.connection import Store
from .._store.every_record import DatabaseDigest, each_raw
from .._store.install_lock import InstallLock
from .._store.keystore import Keystore

LOCK, FLEET, ENVELOPES, JOURNAL, DIGEST, KEYS = "lock", "fleet", "envelopes", "journal", "digest", "keys"
EVERYTHING_BUT_DIGEST = (LOCK, FLEET, ENVELOPES, JOURNAL)


@dataclass(frozen=True, slots=True)
class Options:
    """gather: what to read. lock: install lock, versions, migration, rotation. fleet: heartbeats.

    keys: logs in, and shows each key beside the record of its making. envelopes: walks every record. journal: what this
    collection did, checked. digest: also the SHA-256 over every record, to prove that a database stayed as it was, in
    the same walk. digest as an option of its own adds it to `gather`. journal_head: one that was kept.
    """

    gather: tuple[str, ...] = EVERYTHING_BUT_DIGEST
    digest: bool = False
    journal_head: str = ""


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Return lock, versions, envelopes, fleet, database, migration, rotation and journal."""
    gather = {*options.gather, DIGEST} if options.digest else set(options.gather)
    with open_database(settings) as store:
        values = {**_read(store, Catalogue(settings.catalogue), gather), "server_time": rfc3339(store.server_time())}
        values["journal"] = journal.check(store).as_result(options.journal_head) if JOURNAL in gather else None
        lock, rows, _damaged = _read_rows(store) if KEYS in gather else (None, Keystore({}, None), [])
        values["keys"] = key_drift.look(settings, store, lock, rows) if KEYS in gather else None
    values["configured"] = {
        "provider": settings.values.get(PROVIDER.name, ""),
        "kek_versions": sorted(settings.keks),
    }
    return Result(changed=False, values={"gathered": sorted(gather), **values}, before={}, after={})


def _read(store: Store, catalogue: Catalogue, gather: set[str]) -> JsonObject:
    with_lock = LOCK in gather
    alone = gather == {FLEET}  # asked for often, while a service is watched
    lock, keys, damaged = (None, Keystore({}, None), []) if alone else _read_rows(store)
    found, digest = _walked(store, catalogue, gather)
    if found is not None and ENVELOPES in gather:
        _name_unknown_versions(found, keys)
    migrations = imports.read_all(store) if with_lock else []
    rotation = rotations.latest(store) if with_lock else None
    return {
        "lock": lock.as_result() if lock and with_lock else None,
        "versions": [row.as_result() for row in keys.rows.values()] if with_lock else None,
        "damaged": [{**one.facts, "reason": one.message} for one in damaged] if with_lock else None,
        "active": {"version": keys.active.version, "epoch": keys.active.epoch} if keys.active and with_lock else None,
        "envelopes": found.as_result() if found is not None and ENVELOPES in gather else None,
        "fleet": heartbeats.read(store).as_result() if FLEET in gather else None,
        "database": {
            "name": store.name,
            "views": None if found is None else list(store.view_names()),
            **_counted(found, digest, fresh=lock is None and not keys.rows and not damaged),
        },
        "turn": _turn(store) if with_lock else None,
        "dropping": drop_note.read(store) is not None if with_lock else None,
        "migration": migrations[-1].as_result() if migrations else None,
        "rotation": rotation.as_result() if rotation else None,
    }


def _turn(store: Store) -> JsonObject | None:
    """Return who has the turn to migrate this database, None for nobody."""
    turn = migration_turns.read(store)
    return None if turn is None or turn.expired else turn.as_result()


def _read_rows(store: Store) -> tuple[InstallLock | None, Keystore, list[RowDamaged]]:
    """Return lock and keystore as far as they can be read, and what is wrong with the rest (X67)."""
    keys, damaged = keystore.read_leniently(store)
    try:
        return install_lock.read(store), keys, damaged
    except RowDamaged as failure:
        return None, keys, [failure, *damaged]


def _walked(store: Store, catalogue: Catalogue, gather: set[str]) -> tuple[Survey | None, DatabaseDigest | None]:
    """Read every record at most once. Without `envelopes` the survey only counts documents; None: nothing was read."""
    if DIGEST not in gather:
        return (surveys.take(store, catalogue) if ENVELOPES in gather else None), None
    if ENVELOPES in gather:
        return surveys.take_with_digest(store, catalogue)
    found, digest = Survey(), DatabaseDigest()
    for collection, _raw in each_raw(store, digest):
        found.pass_over(collection, 1)
    return found, digest


def _name_unknown_versions(found: Survey, keys: Keystore) -> None:
    """T18: newer than anything the keystore knows is an anomaly, not progress."""
    newest = max(keys.rows, default=0)
    for version, count in sorted(found.by_version.items()):
        if keys.rows and version > newest:
            found.anomalies.append(
                {
                    "place": f"kek_version {version}",
                    "code": "envelope.unknown_version",
                    "reason": f"{count} envelope(s) name KEK version {version}, the keystore's newest is {newest}",
                }
            )


def _counted(found: Survey | None, digest: DatabaseDigest | None, *, fresh: bool) -> JsonObject:
    """Return documents, collections, empty, and digest where it was asked for. fresh: no lock and no keystore row."""
    if found is None:
        return {"documents": None, "collections": None, "empty": None}
    counted: JsonObject = {
        "documents": found.documents,
        "collections": dict(sorted(found.by_collection.items())),
        "empty": fresh and found.documents == 0,
    }
    return counted if digest is None else {**counted, "digest": digest.hex()}
