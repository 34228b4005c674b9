# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The note in a database that it is scratch: made for a rehearsal, to be thrown away with the keys that it names.

Made in a database that holds nothing, before anything else. Nothing without it is ever dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .._domain.values import JsonObject
from . import keystore
from .connection import Store, driver_errors
from .first_writer import insert_if_absent

COLLECTION = "kek_scratch"
_ID = "scratch"


@dataclass(frozen=True, slots=True)
class Scratch:
    """of: install id of the installation that is rehearsed. made_at: RFC 3339, by the server's clock."""

    of: str
    made_at: str

    def as_result(self) -> JsonObject:
        return {"of": self.of, "made_at": self.made_at}


def read(store: Store) -> Scratch | None:
    """Return the note, None where the database has none."""
    with driver_errors(store):
        found = store.collection(COLLECTION).find_one({"_id": _ID})
    return None if found is None else Scratch(str(found.get("of")), rfc3339(found.get("made_at")))


def make(store: Store, of: str) -> Scratch:
    """Write the note into a database that holds nothing; return it. Raises OpsError scratch.taken."""
    found, created = insert_if_absent(store, COLLECTION, _ID, {"of": of, "made_at": store.server_time()})
    others = sorted({one.name for one in store.collections()} - {COLLECTION})
    if not created or others:
        if created:
            with driver_errors(store):
                store.collection(COLLECTION).drop()
        raise OpsError(
            f'database "{store.name}" holds {", ".join(others) or "another rehearsal"} by now, expected nothing',
            code="scratch.taken",
            hint="another run made it meanwhile; run it again when that has ended",
            retryable=True,
        )
    return Scratch(str(found["of"]), rfc3339(found["made_at"]))


def drop_database(store: Store) -> None:
    """Drop a database that has the note, the note last. Raises OpsError scratch.not_scratch."""
    if read(store) is None:
        raise not_scratch(store)
    # WHY one by one: to drop the whole database at once needs a right that a service's user does not have. The keystore
    # goes first and the note last: a run that dies in between leaves no row whose key is gone, and the next goes on.
    names = {one.name for one in store.collections()} - {COLLECTION}
    for name in (*sorted(names, key=lambda name: (name != keystore.COLLECTION, name)), COLLECTION):
        with driver_errors(store):
            store.collection(name).drop()


def not_scratch(store: Store) -> OpsError:
    return OpsError(
        f'database "{store.name}" has no note that it is scratch, expected one: it was not made by a rehearsal',
        code="scratch.not_scratch",
        hint="give the name of the database that the rehearsal made; nothing was dropped",
    )
