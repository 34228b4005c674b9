# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb db_restore: a dump put into an empty database, record by record as bytes, and proven equal by one read of it.

1. The whole dump is read before anything is written: what is damaged is refused.
2. The database is empty, or an earlier run of the same dump had begun to restore into it, or it has all of it already.
3. It is marked; then collections are made, records inserted, compared; then what decides about records is made, because
   an index that removes expired records would make the comparison untrue.
4. The mark is removed. Kill it anywhere and run it again: what is there is left, what is missing comes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .._domain.errors import OpsError
from .._domain.listing import LISTED_AT_MOST, listed
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.values import JsonObject
from .._dumps import dump_source
from .._dumps.form import Form
from .._installation import whole_dump
from .._installation.installation import open_database
from .._store import age_keys, restore_mark, restored_metadata, restored_records
from .._store.connection import Store
from .._store.every_record import DatabaseDigest
from .._store.restored_records import Inserter, Tally


@dataclass(frozen=True, slots=True)
class Options:
    """src: a backup of db_backup, a folder of mongodump, or its archive. identity_file: opens what is encrypted.

    from_database: which one, where the dump has several. manifest_sha256: of the one backup that is meant.
    """

    src: str
    identity_file: str | None = None
    from_database: str | None = None
    manifest_sha256: str | None = None


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Restore. Raises OpsError restore.*, backup.damaged, bundle.*, file.*, database.*."""
    identity = None
    if options.identity_file is not None:
        identity = age_keys.identity_from(Path(options.identity_file), service_uid=settings.service_uid)
    with open_database(settings, restoring=True) as store:
        form, manifest = dump_source.find(
            Path(options.src),
            identity=identity,
            from_database=options.from_database,
            manifest_sha256=options.manifest_sha256,
            service_uid=settings.service_uid,
        )
        mark, there = restore_mark.read(store), restored_metadata.names_in(store)
        _require_room(store, form, there if mark is None else [])
        tally = whole_dump.read(options.src, form, manifest)
        if mark is None and there:
            return _unchanged(store, form, tally)
        identity_of_dump = _identity(form, tally)
        if mark is not None and mark.dump != identity_of_dump:
            raise restore_mark.other_under_way(store)
        for left in form.contents.left:
            warn(f"not restored: {left}")
        if check:
            return _result(form, tally, None, {}, changed=True)
        return _restore(store, form, tally, identity_of_dump, warn)


def _require_room(store: Store, form: Form, there: list[str]) -> None:
    """Raises OpsError restore.not_empty before the dump is read where a database has other collections than it."""
    if there and there != sorted(one.name for one in form.contents.entries):
        raise _not_empty(store, there)


def _not_empty(store: Store, there: list[str]) -> OpsError:
    return OpsError(
        f'database "{store.name}" is not empty, it has {listed(there)}',
        code="restore.not_empty",
        hint="restore into a new database; nothing was written",
    )


def _identity(form: Form, tally: Tally) -> str:
    """Return by what an interrupted run knows the dump again."""
    entries = [[one.name, one.kind, sorted(index["name"] for index in one.indexes)] for one in form.contents.entries]
    return hashlib.sha256(json.dumps([entries, sorted(tally.in_order().items())]).encode()).hexdigest()


def _unchanged(store: Store, form: Form, tally: Tally) -> Result:
    """Return that a database has all of a dump. Raises OpsError restore.not_empty where it has something else."""
    found, digest = restored_records.tally_of(store, tally.collections, tally.key)
    if found.differing(tally) or restored_metadata.differing(store, form.contents.entries):
        raise _not_empty(store, restored_metadata.names_in(store))
    return _result(form, tally, digest, {}, changed=False)


def _restore(store: Store, form: Form, tally: Tally, dump: str, warn: Callable[[str], None]) -> Result:
    mark = restore_mark.take(store, dump)

    def guard() -> None:
        restore_mark.require(store, mark)

    entries = form.contents.entries
    foreign = sorted(set(restored_metadata.names_in(store)) - {one.name for one in entries})
    if foreign:
        raise _not_empty(store, foreign)
    refused = restored_metadata.create(store, entries, guard=guard)
    digest = None
    if mark.state != restore_mark.METADATA:
        digest = _records(store, form, tally, guard)
        restore_mark.advance(store, mark, restore_mark.METADATA)
    refused = {**restored_metadata.make(store, entries, guard=guard), **refused}
    guard()
    restore_mark.remove(store)
    for what, why in refused.items():
        warn(f"not restored: {what} ({why})")
    return _result(form, tally, digest, refused, changed=True)


def _records(store: Store, form: Form, tally: Tally, guard: Callable[[], None]) -> DatabaseDigest:
    """Insert the records and compare; return their digest. Raises OpsError restore.changed_meanwhile, .not_equal."""
    inserter, passed = Inserter(store, guard), Tally(tally.key)

    def insert(collection: str, raw: bytes) -> None:
        passed.add(collection, raw)
        inserter.add(collection, raw)

    form.read(insert)
    inserter.flush()
    held = {name: one for name, one in tally.in_order().items() if one[0]}
    if passed.in_order() != held:
        raise OpsError(
            "the dump was changed while it was restored: it reads otherwise than before",
            code="restore.changed_meanwhile",
            hint="find out who writes to it; then drop the database and restore again from what was checked",
        )
    found, digest = restored_records.tally_of(store, tally.collections, tally.key)
    differing = found.differing(tally)
    if differing:
        raise restored_records.not_equal(store, differing[:LISTED_AT_MOST], listed(differing))
    return digest


def _result(
    form: Form, tally: Tally, digest: DatabaseDigest | None, refused: dict[str, str], *, changed: bool
) -> Result:
    contents = form.contents
    views = [one.name for one in contents.entries if one not in contents.collections()]
    told: JsonObject = {
        "form": contents.name,
        "packed": contents.packed,
        "encrypted": contents.encrypted,
        "from_database": contents.database,
        "documents": tally.documents,
        "collections": {name: {"documents": one.documents} for name, one in sorted(tally.collections.items())},
        "views": views,
        "left": list(contents.left[:LISTED_AT_MOST]),
        "refused": sorted(refused),
        "records_digest": None if digest is None else digest.hex(),
    }
    after = {"documents": tally.documents, "collections": len(tally.collections), "views": len(views)}
    return Result(
        changed=changed, values={"restored": told}, before=dict.fromkeys(after, 0) if changed else after, after=after
    )
