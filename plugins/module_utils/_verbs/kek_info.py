# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_info: what a database holds and how far anything under way has come. Reads only, loads no key.

It works on a database whose provider does not match the configuration, for that is when an operator needs it most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._domain.catalogue import Catalogue
from .._domain.result import Result
from .._domain.settings import Settings
from .._installation import survey as surveys
from .._installation.installation import open_database
from .._store import heartbeats, imports, install_lock, keystore, records, rotations
from .._store.connection import Store


@dataclass(frozen=True, slots=True)
class Options:
    """digest: also return the SHA-256 over every record, to prove that a database stayed as it was."""

    digest: bool = False


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Return lock, versions, envelopes, fleet, database, migration and rotation."""
    with open_database(settings) as store:
        values = _read(store, Catalogue(settings.catalogue), options)
    return Result(changed=False, values=values, before={}, after={})


def _read(store: Store, catalogue: Catalogue, options: Options) -> dict[str, Any]:
    lock, keys = install_lock.read(store), keystore.read(store)
    found = surveys.take(store, catalogue)
    newest = max(keys.rows, default=0)
    for version, count in sorted(found.by_version.items()):
        if keys.rows and version > newest:  # T18: newer than anything the keystore knows is an anomaly, not progress
            found.anomalies.append(
                {
                    "place": f"kek_version {version}",
                    "code": "envelope.unknown_version",
                    "reason": f"{count} envelope(s) name KEK version {version}, the keystore's newest is {newest}",
                }
            )
    database: dict[str, Any] = {
        "name": store.name,
        "documents": found.documents,
        "collections": dict(sorted(found.by_collection.items())),
        "empty": found.documents == 0 and lock is None and not keys.rows,
    }
    if options.digest:
        database["digest"] = records.database_digest(store)[0]
    migrations, rotation = imports.read_all(store), rotations.latest(store)
    return {
        "lock": lock.as_result() if lock else None,
        "versions": [row.as_result() for row in keys.rows.values()],
        "active": {"version": keys.active.version, "epoch": keys.active.epoch} if keys.active else None,
        "envelopes": found.as_result(),
        "fleet": heartbeats.read(store).as_result(),
        "database": database,
        "migration": migrations[-1] if migrations else None,
        "rotation": rotation.as_result() if rotation else None,
    }
