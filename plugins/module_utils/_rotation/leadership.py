# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several processes at one rotation: one of them leads, the others help it, and one of these leads when it is gone.

Whoever finds the lease taken by a leader that goes to the same version follows that leader's plan and claims ranges.
INVARIANT: nothing that was read before the wait for the lease decides anything after it (ADR-0017 lists all waits).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from .._domain.errors import LeaseHeld, OpsError
from .._domain.rotation import Plan, Rotation, Share
from .._domain.rotation_states import State
from .._installation.installation import Installation
from .._installation.refusals import lock_missing
from .._installation.standing_keys import load_and_prove
from .._store import install_lock, keystore, leases, rotations
from .._store.connection import Store
from .._store.leases import Holder, Lease
from .options import Options
from .plan import ends_in
from .shared_work import Mine, SharedWork

LEASE_NAME = "kek-rotate"
LEASE_S = 30  # seconds
POLL_S = 0.25
_PATIENCE_S = 5  # beyond a lease: a leader that was killed has run out by then


def lead_or_help(installation: Installation, options: Options, mine: Mine) -> Lease | None:
    """Return the lead of the rotation, None when the time was over first. Until it is free, help whoever has it.

    Raises OpsError lease.held when the holder does something else for longer than a lease lasts.
    """
    helper = _Helper(installation, options, mine)
    patience = time.monotonic() + mine.lease_s + _PATIENCE_S
    while True:
        try:
            return leases.acquire(installation.store, LEASE_NAME, lease_s=mine.lease_s, purpose=options.name)
        except LeaseHeld:
            if helper.help():
                patience = time.monotonic() + mine.lease_s + _PATIENCE_S
            elif time.monotonic() >= patience:
                raise
            if mine.deadline.over():
                return None
        time.sleep(POLL_S)


@dataclass(slots=True)
class _Helper:
    """Helps one leader after another. work: with the plan that was followed last."""

    installation: Installation
    options: Options
    mine: Mine
    plan: Plan | None = None
    work: SharedWork | None = None

    def help(self) -> bool:
        """Work off what the leader left free; return whether the one who has the lease goes where this run goes.

        The time of this run is charged while there is something to help with, and while the fleet is waited for: a
        leader's survey takes as long as it takes.
        """
        store = self.installation.store
        leader, record = leases.holder(store, LEASE_NAME), rotations.read(store, self.options.name)
        if not _same_way(leader, record, self.options):
            return False
        if leader is None or record is None or record.token != leader.token or record.plan is None:
            return True
        if record.state in (State.REWRAPPING, State.SETTLING):
            self.mine.deadline.start()
        if record.state is State.REWRAPPING:
            self._follow(record.plan)
        return True

    def _follow(self, plan: Plan) -> None:
        if self.work is None or plan != self.plan:
            self.plan, self.work = plan, SharedWork(self.installation, plan, self.mine)
        self.work.work_off(from_the_end=True)


def _same_way(leader: Holder | None, record: Rotation | None, options: Options) -> bool:
    """Return whether a leader does what this run means to do."""
    if leader is None or leader.purpose != options.name:
        return False
    return record is None or record.state.ended or record.compromised or not options.compromised


def read_again(installation: Installation) -> Installation:
    """Return the installation as it is now, under the lease, its keys loaded and proven by its keystore as it is now.

    WHY: whoever led while this process waited may have changed it. Raises OpsError lock.missing, key.*, pkcs11.*.
    """
    lock = install_lock.read(installation.store)
    if lock is None:
        raise lock_missing(installation.store)
    keys = keystore.read(installation.store)
    absent = load_and_prove(installation.store, installation.catalogue, installation.provider, lock, keys)
    return replace(installation, lock=lock, keystore=keys, absent=absent)


def ended_meanwhile(
    installation: Installation, options: Options, since: Rotation | None, record: Rotation | None
) -> Plan | None:
    """Return the plan of a rotation that another process brought to its end while this one waited or helped, else None.

    since: the record when this run began; record: now. Raises OpsError rotate.cancelled when it was taken back.
    """
    active = installation.keystore.active
    if record is None or record.plan is None or active is None:
        return None
    if since is not None and (since.state, since.token) == (record.state, record.token):
        return None
    if record.state is State.CANCELLED:
        raise _cancelled(record)
    reached = ends_in(record.state, options, swapped=active.version == options.to_version)
    return record.plan if reached and (record.compromised or not options.compromised) else None


def seen_by(store: Store, options: Options, since: Rotation | None) -> int:
    """Return up to which lead this run knows what was decided. since: the record when it began.

    A slice knows no more than the run that it is of: what was decided between two slices was decided without it.
    Raises OpsError rotate.cancelled when that was to take the rotation back, and it was.
    """
    if since is None or since.share(options.slice_of) == Share():
        return rotations.last_token(store)
    if since.state is State.CANCELLED:
        raise _cancelled(since)
    return since.token


def require_not_taken_back(installation: Installation, record: Rotation | None, seen: int) -> None:
    """Raises OpsError rotate.cancelled when another run began to take this rotation back since this one began.

    WHY: a cancellation in slices leaves the lead free between two of them, and both would undo each other's work.
    """
    active = installation.keystore.active
    if record is None or active is None or record.state.ended:
        return
    if rotations.is_led_to(installation.store, active.version, besides=record.name, after=max(seen, record.token)):
        raise _cancelled(record)


def _cancelled(record: Rotation) -> OpsError:
    return OpsError(
        f'rotation "{record.name}" was cancelled by another run while this one took part in it',
        code="rotate.cancelled",
        hint="look at kek_info; run it again if the rotation is wanted after all",
    )
