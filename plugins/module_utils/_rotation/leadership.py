# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several processes at one rotation: one of them leads, the others help it, and one of these leads when it is gone.

Whoever finds the lease taken by a leader that goes to the same version claims ranges of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .._domain.errors import LeaseHeld, OpsError
from .._domain.result import Result
from .._store import leases, rotations
from .._store.connection import Store
from .._store.leases import Lease
from .outcome import incomplete, result_of
from .shared_work import RotationPlan, SharedWork

LEASE_NAME = "kek-rotate"
LEASE_S = 30  # seconds
POLL_S = 0.25
_PATIENCE_S = 5  # beyond a lease: a leader that was killed has run out by then


@dataclass(frozen=True, slots=True)
class Turn:
    """lease: None when the time was over before it was free. waited: another process had it meanwhile."""

    lease: Lease | None
    waited: bool


def lead_or_help(store: Store, work: SharedWork, plan: RotationPlan) -> Turn:
    """Return the lead of the rotation; until it is free, work off the ranges of the process that has it.

    Raises OpsError lease.held when the holder does something else for longer than a lease lasts.
    """
    waited, patience = False, time.monotonic() + plan.lease_s + _PATIENCE_S
    while True:
        try:
            return Turn(leases.acquire(store, LEASE_NAME, lease_s=plan.lease_s), waited)
        except LeaseHeld:
            if work.over():
                return Turn(None, waited=True)
            token = _token_to_help(store, plan)
            if token is not None:
                work.work_off(token, from_the_end=True)
                patience = time.monotonic() + plan.lease_s + _PATIENCE_S
            elif time.monotonic() >= patience:
                raise
        waited = True
        time.sleep(POLL_S)


def _token_to_help(store: Store, plan: RotationPlan) -> int | None:
    """Return the token of a living leader that does what we mean to do, None when there is none."""
    standing = rotations.read(store, plan.name)
    if standing is None or standing.get("state") in rotations.ENDED:
        return None
    same = bool(standing.get("compromised")) == plan.facts["compromised"]
    token = standing.get("token")
    return int(token) if same and token is not None and token == leases.token_of(store, LEASE_NAME) else None


def cancelled_meanwhile(store: Store, plan: RotationPlan, standing_state: str) -> None:
    """Raises OpsError rotate.cancelled when the rotation was taken back while this process waited for it."""
    standing = rotations.read(store, plan.name) or {}
    if standing.get("state") == "cancelled" and standing_state != "cancelled":
        raise OpsError(
            f'rotation "{plan.name}" was cancelled by another run while this one took part in it',
            code="rotate.cancelled",
            hint="look at kek_info; run it again if the rotation is wanted after all",
        )


def finished_by_another(seen: Result, work: SharedWork, before: Mapping[str, Any]) -> Result:
    """Return the result of a helper whose rotation was completed by the leader. seen: what it found at the end."""
    mine = {"rewrapped": work.progress.rewrapped, "conflicts": work.progress.conflicts}
    rotation = {**seen.values["rotation"], **mine, **work.account()}
    return replace(seen, changed=work.progress.rewrapped > 0, values={"rotation": rotation}, before=dict(before))


def out_of_time(store: Store, plan: RotationPlan, work: SharedWork, before: Mapping[str, Any]) -> Result:
    """Return the result of a helper whose time was over first. Raises OpsError rotate.incomplete for its failures."""
    standing = rotations.read(store, plan.name) or {}
    state = str(standing.get("state") or "rewrapping")
    shown = {"verifying": "rewrapping", "swapping": "settling"}.get(state, state)
    remaining = max(0, int(standing.get("planned") or 0) - int(standing.get("moved") or 0))
    result = result_of(plan.name, shown, dict(plan.facts), work.progress, remaining=remaining)
    result.update(work.account())
    if work.progress.failures:
        raise incomplete(result, work.progress, swapped=shown in ("settling", "complete"))
    return Result(
        changed=work.progress.rewrapped > 0, values={"rotation": result}, before=dict(before), after=dict(before)
    )
