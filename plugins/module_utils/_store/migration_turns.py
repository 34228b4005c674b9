# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The turn to migrate a database: a lease that outlives the module, because a whole ansible-playbook run holds it.

One in the source's database and one in the destination's (ADR-0031). The document in `locks` is that of any lease, with
the run as its owner, and with `since` and who runs it beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .._domain.errors import LeaseLost
from .._domain.instants import rfc3339
from .._domain.values import Document, JsonObject
from . import leases
from .connection import Store, driver_errors
from .lease_renewal import clock
from .leases import COLLECTION, Lease
from .server_clock import EXPIRED

NAME = "kek-migration"
RUN_BY = ("user", "host", "pid", "started", "boot", "namespace")


@dataclass(frozen=True, slots=True)
class Turn:
    """Who has the turn, or had it last. run_by: of RUN_BY, as the controller said them. expired: it may be taken."""

    run: str
    token: int
    since: str
    expires_at: str
    expired: bool
    run_by: Mapping[str, str]

    def as_result(self) -> JsonObject:
        told = {"run": self.run, "token": self.token, "since": self.since, "expires_at": self.expires_at}
        return {**told, "run_by": dict(self.run_by)}


def read(store: Store) -> Turn | None:
    """Return who has the turn, or had it last; None where nobody ever did."""
    with driver_errors(store):
        found = store.collection(COLLECTION).find_one({"_id": NAME})
    return None if found is None else _turn(store, found)


def take(store: Store, run: str, run_by: Mapping[str, str], *, lease_s: int, over: str) -> Turn:
    """Return the turn after it was asked for: it is this run's where `run` says so, else another's.

    over: run whose turn may be taken although it has not expired, "" for none. A turn of this run is taken anew.
    """
    # WHY $literal: a name that begins with a dollar sign would be read as the name of a field.
    facts: Document = {key: {"$literal": run_by.get(key, "")} for key in RUN_BY}
    free = {"$or": [EXPIRED, *({"$eq": ["$owner", other]} for other in (run, over) if other)]}
    found = leases.ask(
        store, NAME, run, {**facts, "since": "$$NOW", "purpose": "migration"}, lease_s=lease_s, free=free
    )
    return _turn(store, found)


def keep(store: Store, run: str, token: int, *, lease_s: int) -> bool:
    """Extend the turn; False when another run has had it since. One that ran out and that nobody took is extended."""
    try:
        leases.renew(store, _lease(run, token), lease_s=lease_s)
    except LeaseLost:
        return False
    return True


def give_back(store: Store, run: str, token: int) -> None:
    """Give the turn back. Harmless when another run has it."""
    leases.release(store, _lease(run, token))


def _lease(run: str, token: int) -> Lease:
    return Lease(NAME, run, token, clock())


def _turn(store: Store, found: Document) -> Turn:
    expires_at = found.get("expires_at")
    return Turn(
        run=str(found.get("owner") or ""),
        token=int(found.get("token") or 0),
        since=rfc3339(found.get("since")),
        expires_at=rfc3339(expires_at),
        expired=expires_at is None or expires_at <= store.server_time(),
        run_by={key: str(found.get(key) or "") for key in RUN_BY},
    )
