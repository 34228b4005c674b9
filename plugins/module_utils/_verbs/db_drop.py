# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb db_drop: drop the database of a retired installation, whose every record is in a backup. There is no way back.

1. It is the installation that is meant, and its name was typed.
2. No process of the product lives, and no migration, import or rotation has it.
3. Its records are, now, those of the backup that was checked.
4. A note is written, and every collection dropped; the note goes last, so that a killed run is gone on with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._domain.errors import OpsError
from .._domain.listing import listed
from .._domain.result import Result
from .._domain.settings import Settings
from .._installation.installation import open_database
from .._store import drop_note, heartbeats, imports, install_lock, migration_turns, rotations
from .._store.connection import Store
from .._store.every_record import database_digest
from .._store.imports import ImportState


@dataclass(frozen=True, slots=True)
class Options:
    """confirm: the database's name, typed by whoever means it. install_id: of the installation that goes.

    source_digest: of its records, as db_backup and db_backup_check return it of the backup that stays.
    """

    confirm: str
    install_id: str
    source_digest: str


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Drop. Raises OpsError drop.unconfirmed, .other_installation, .in_use, .not_backed_up, database.*."""
    with open_database(settings) as store:
        names = [one.name for one in store.collections()]
        _require_meant(store, options)  # 1
        if names and not _goes_on(store, options):
            _require_unused(store)  # 2
            _require_backed_up(store, options)  # 3
            if not check:
                drop_note.begin(store, install_id=options.install_id, source_digest=options.source_digest)
        if names and not check:
            drop_note.drop(store)  # 4
        values = {"dropped": {"database": store.name, "collections": names}}
    return Result(
        changed=bool(names), values=values, before={"collections": len(names)}, after={"collections": 0}
    )  # fmt: skip


def _require_meant(store: Store, options: Options) -> None:
    if options.confirm != store.name:
        raise OpsError(
            f'confirm is "{options.confirm}", expected the name of the database that is dropped, "{store.name}"',
            code="drop.unconfirmed",
            hint="type the name of the database; nothing was dropped",
        )


def _goes_on(store: Store, options: Options) -> bool:
    """Return whether an earlier run of the same call has begun. Raises OpsError drop.other_installation."""
    note, lock = drop_note.read(store), install_lock.read(store)
    if note is not None and (note.get("install_id"), note.get("source_digest")) == (
        options.install_id, options.source_digest,
    ):  # fmt: skip
        return True
    found = None if lock is None else lock.known_as
    if found != options.install_id:
        raise OpsError(
            f'database "{store.name}" is of installation {found or "none"}, expected {options.install_id}',
            code="drop.other_installation",
            hint="correct the settings; nothing was dropped",
        )
    return False


def _require_unused(store: Store) -> None:
    live = [f"{process.id} on {process.hostname or 'an unknown host'}" for process in heartbeats.read(store).live]
    turn, rotation = migration_turns.read(store), rotations.latest(store)
    importing = [one.source_install_id for one in imports.read_all(store) if one.state == ImportState.IMPORTING]
    uses = [
        *(["live processes: " + listed(live)] if live else []),
        *([f"a migration, run {turn.run}"] if turn is not None and not turn.expired else []),
        *([f"an import from {listed(importing)}"] if importing else []),
        *([f"rotation {rotation.name}, {rotation.state}"] if rotation is not None and not rotation.state.ended else []),
    ]  # fmt: skip
    if uses:
        raise OpsError(
            f'database "{store.name}" is in use ({"; ".join(uses)}), expected nobody to use it',
            code="drop.in_use",
            hint="stop what uses it, wait until its last heartbeat is two minutes old, and run it again; nothing was "
            "dropped",
            retryable=True,
        )


def _require_backed_up(store: Store, options: Options) -> None:
    digest = database_digest(store)
    if digest.hex() != options.source_digest:
        raise OpsError(
            f'the {digest.documents} records of database "{store.name}" are not those of the backup (digest '
            f"{digest.hex()[:12]}…, expected {options.source_digest[:12]}…)",
            code="drop.not_backed_up",
            hint="take a backup of the database as it is now, take it off the host, and give that; nothing was dropped",
        )
