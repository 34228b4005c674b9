# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The note in a database that a dump is being restored into it: of which dump, by which run, and how far it came.

Made in an empty database before anything else, and removed when all is there and proven. While it is there every verb
but the restore refuses to work on the database: it has a part of the records.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .connection import Store, driver_errors
from .driver import errors

COLLECTION = "kek_restore"
RECORDS, METADATA = "records", "metadata"  # what is being restored
_ID = "restore"


@dataclass(frozen=True, slots=True)
class Mark:
    """dump: digest of what is in the dump. state: RECORDS or METADATA. run: the run that holds it."""

    dump: str
    state: str
    run: str


def read(store: Store) -> Mark | None:
    """Return the mark of a database, None where nothing is being restored."""
    with driver_errors(store):
        found = store.collection(COLLECTION).find_one({"_id": _ID})
    return None if found is None else Mark(str(found.get("dump")), str(found.get("state")), str(found.get("run")))


def require_none(store: Store) -> None:
    """Raises OpsError restore.unfinished while a dump is being restored into a database."""
    with driver_errors(store):
        found = store.collection(COLLECTION).find_one({"_id": _ID})
    if found is not None:
        began = found.get("started_at")
        since = f" since {rfc3339(began)}" if isinstance(began, datetime) else ""
        raise OpsError(
            f'a dump is being restored into database "{store.name}"{since}, and it has not ended',
            code="restore.unfinished",
            hint="wait for db_restore to end; where no such run lives, run it again with the same `src`",
        )


def take(store: Store, dump: str) -> Mark:
    """Make the mark, or take that of an earlier run of the same dump over; return it.

    Raises OpsError restore.other_under_way.
    """
    run = secrets.token_hex(8)
    fields = {"state": RECORDS, "started_at": store.server_time()}
    change = {"$set": {"run": run}, "$setOnInsert": fields}
    with driver_errors(store):
        try:
            store.collection(COLLECTION).update_one({"_id": _ID, "dump": dump}, change, upsert=True)
        except errors.DuplicateKeyError:
            raise other_under_way(store) from None
    mark = read(store)
    if mark is None or mark.run != run:
        raise _superseded(store)
    return mark


def require(store: Store, mark: Mark) -> None:
    """Raises OpsError restore.superseded where the mark is another run's by now, or gone."""
    found = read(store)
    if found is None or found.run != mark.run:
        raise _superseded(store)


def advance(store: Store, mark: Mark, state: str) -> None:
    """Note how far a restore came. Raises OpsError restore.superseded."""
    with driver_errors(store):
        outcome = store.collection(COLLECTION).update_one({"_id": _ID, "run": mark.run}, {"$set": {"state": state}})
    if outcome.matched_count != 1:
        raise _superseded(store)


def remove(store: Store) -> None:
    """Remove the mark, and the collection that it was in."""
    with driver_errors(store):
        store.collection(COLLECTION).drop()


def other_under_way(store: Store) -> OpsError:
    return OpsError(
        f'another dump is being restored into database "{store.name}"',
        code="restore.other_under_way",
        hint="finish that restore with its own `src`, or drop the database and begin again; nothing was written",
    )


def _superseded(store: Store) -> OpsError:
    return OpsError(
        f'another run restores into database "{store.name}" by now',
        code="restore.superseded",
        hint="let one run restore at a time; look at what that run says",
    )
