# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges of a rotation: parts of a collection that several hosts claim, each under a lease of its own.

They belong to a plan and outlast the leader that laid them: whoever follows the plan claims one, re-wraps it and says
it is done. A range whose holder died can be claimed again when its lease is over, by the server's clock. Ranges only
spread the work: what falls between them is found by the leader's passes afterwards.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from .._domain.errors import LeaseLost
from .._domain.range_cuts import Range
from .._domain.rotation import Plan
from .._domain.values import Document
from .connection import Store, driver_errors
from .lease_renewal import clock
from .server_clock import EXPIRED, NOT_EXPIRED, expires_in

COLLECTION = "kek_ranges"
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Claim:
    """A range that was ours at the time it was returned. asked_at: `lease_renewal.clock()` before it was asked for."""

    range_id: str
    owner: str
    asked_at: float = field(compare=False)


def lay(store: Store, plan: Plan, parts: Sequence[Range]) -> None:
    """Write the ranges of a plan."""
    rows = [
        {
            "_id": f"{plan.name}/{plan.number}/{number}",
            "rotation": plan.name,
            "plan": plan.number,
            "number": number,
            "collection": part.collection,
            "low": part.low,
            "high": part.high,
            "envelopes": part.envelopes,
            "done": False,
        }
        for number, part in enumerate(parts)
    ]
    if rows:
        with driver_errors(store):
            store.collection(COLLECTION).insert_many(rows)


def free(store: Store, plan: Plan) -> dict[str, list[tuple[str, Range]]]:
    """Return the ranges that nobody works on, by collection: (range id, range), ascending as they were laid."""
    with driver_errors(store):
        rows = sorted(store.collection(COLLECTION).find(_free(plan)), key=lambda row: row["number"])
    found: dict[str, list[tuple[str, Range]]] = {}
    for row in rows:
        part = Range(row["collection"], row["low"], row["high"], int(row["envelopes"]))
        found.setdefault(part.collection, []).append((str(row["_id"]), part))
    return found


def claim(store: Store, plan: Plan, range_id: str, *, lease_s: float) -> Claim | None:
    """Return the claim of a range, None when somebody else has it or it is done."""
    owner, asked_at = uuid.uuid4().hex, clock()
    mine = {"owner": owner, "host": socket.gethostname(), "pid": os.getpid(), "expires_at": expires_in(lease_s)}
    with driver_errors(store):
        outcome = store.collection(COLLECTION).update_one({"_id": range_id, **_free(plan)}, [{"$set": mine}])
    return Claim(range_id, owner, asked_at) if outcome.matched_count == 1 else None


def renew(store: Store, held: Claim, *, lease_s: float) -> None:
    """Extend a claim. Raises OpsError lease.lost when it went to another process or was revoked."""
    with driver_errors(store):
        row = store.collection(COLLECTION).find_one_and_update(
            {"_id": held.range_id, "owner": held.owner, "revoked": {"$exists": False}},
            [{"$set": {"expires_at": expires_in(lease_s)}}],
        )
    if row is None:
        raise LeaseLost(
            f'the range "{held.range_id}" went to another process while this one was paused',
            hint="nothing was written after; whoever has the range now moves it",
            retryable=True,
        )


def finish(store: Store, held: Claim) -> None:
    """Say that nothing is left to do in a range. Harmless when the claim was lost."""
    with driver_errors(store):
        store.collection(COLLECTION).update_one({"_id": held.range_id, "owner": held.owner}, {"$set": {"done": True}})


def give_back(store: Store, held: Claim) -> None:
    """Let others claim a range that was left half done. Harmless when the claim was lost."""
    with driver_errors(store):
        store.collection(COLLECTION).update_one(
            {"_id": held.range_id, "owner": held.owner}, [{"$set": {"expires_at": "$$NOW"}}]
        )


def unfinished(store: Store, plan: Plan) -> int:
    """Return how many ranges are not done yet."""
    with driver_errors(store):
        return int(store.collection(COLLECTION).count_documents({**_of(plan), "done": False}))


def clear(store: Store, plan: Plan) -> None:
    """Remove the ranges of a rotation that is over."""
    with driver_errors(store):
        store.collection(COLLECTION).delete_many({"rotation": plan.name})


def end_others(store: Store, kept: Plan | None) -> None:
    """Take back all ranges but those of one plan, and wait until their holders cannot write any more.

    A holder that meant to move records to another version would undo this rotation's work record by record; one that
    re-wraps would spoil a plan that seals anew.
    """
    others: Document = {"$nor": [_of(kept)]} if kept is not None else {}
    with driver_errors(store):
        if not store.collection(COLLECTION).count_documents(others, limit=1):
            return
        store.collection(COLLECTION).update_many(others, {"$set": {"revoked": True}})
        held = {**others, "done": False, "$expr": NOT_EXPIRED}
        while store.collection(COLLECTION).count_documents(held, limit=1):
            time.sleep(_POLL_S)
        store.collection(COLLECTION).delete_many(others)


def _of(plan: Plan) -> Document:
    return {"rotation": plan.name, "plan": plan.number}


def _free(plan: Plan) -> Document:
    return {**_of(plan), "done": False, "revoked": {"$exists": False}, "$expr": EXPIRED}
