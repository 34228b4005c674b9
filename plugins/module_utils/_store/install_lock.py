# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The install lock: one document that says for ever which provider seals this database.

Inserted once, never updated; read leniently, because foreign locks may miss fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .._domain.instants import rfc3339
from .._domain.values import Document, JsonObject
from .connection import Store, driver_errors
from .first_writer import insert_if_absent
from .row_fields import Row

COLLECTION = "kek_install"
LOCK_ID = "kek_install"


@dataclass(frozen=True, slots=True)
class InstallLock:
    """provider: a name of `_keys/registry.py`, or whatever a foreign lock says. None: it does not tell."""

    provider: str
    installed_at: datetime | None
    installed_by: str | None
    install_id: str | None

    @property
    def known_as(self) -> str:
        """What bundles call this installation: its id, or where the product made the lock without one, its time."""
        return self.install_id or f"foreign-{rfc3339(self.installed_at)}"

    def as_result(self) -> JsonObject:
        """Return the JSON-clean form that modules return as `lock`."""
        return {
            "provider": self.provider,
            "installed_at": rfc3339(self.installed_at),
            "installed_by": self.installed_by,
            "install_id": self.install_id,
        }


def predicted(provider: str, installed_by: str) -> JsonObject:
    """Return what a check run shows for a lock that would be written."""
    return {"provider": provider, "installed_at": "", "installed_by": installed_by, "install_id": ""}


def read(store: Store) -> InstallLock | None:
    """Return the lock, None where there is none yet."""
    with driver_errors(store):
        document = store.collection(COLLECTION).find_one({"_id": LOCK_ID})
    return None if document is None else from_document(document)


def acquire(store: Store, *, provider: str, installed_by: str, install_id: str) -> tuple[InstallLock, bool]:
    """Insert the lock if there is none; return the lock there is now and whether it is the one of this call.

    Two callers at once: the server lets one insert win, the other gets the winner's lock and goes by its provider.
    """
    proposed = {
        "provider": provider,
        "installed_at": store.server_time(),
        "installed_by": installed_by,
        "install_id": install_id,
    }
    document, created = insert_if_absent(store, COLLECTION, LOCK_ID, proposed)
    return from_document(document), created


def from_document(document: Document) -> InstallLock:
    """Return the lock in a document of `kek_install`, wherever that was read from. Raises OpsError keystore.damaged."""
    row = Row(COLLECTION, document)
    return InstallLock(
        provider=str(row.text("provider")),
        installed_at=row.instant("installed_at"),
        installed_by=row.text("installed_by"),
        install_id=row.text("install_id"),
    )
