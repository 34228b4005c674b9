# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_rotate: every envelope re-wrapped under a new KEK version of the same provider, then that version active.

States (kept in `kek_rotations`, each move a guarded write under the lease's token):
 rewrapping  ranges by compare-and-set, shared with whoever helps; then passes for what came meanwhile
 verifying   everything is walked once more: nothing is damaged, nothing stands where nobody listed it
 swapping    the active version is changed by one compare-and-set
 settling    row states follow; the tail that slow writers seal is re-wrapped until every live process writes anew
 complete    nobody writes with another version any more, and nothing is under one
Kill it anywhere and run it again: it finds what is left by looking at the records, not by remembering.
Before the first of them every live process must have the target loaded (the fleet gate).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .._domain.catalogue import Catalogue
from .._domain.errors import OpsError
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.vendor_messages import rotate_across_providers
from .._domain.wrap_proof import Proof
from .._installation.installation import Installation, open_database, opened_keys
from .._installation.refusals import lock_missing
from .._keys import registry
from .._rotation.leader import RotationRun
from .._rotation.leadership import (
    LEASE_NAME,
    LEASE_S,
    cancelled_meanwhile,
    finished_by_another,
    lead_or_help,
    out_of_time,
)
from .._rotation.outcome import result_of
from .._rotation.pipeline import Deadline, Progress
from .._rotation.plan import Options, Seen, judge, settled_already
from .._rotation.shared_work import Mine, SharedWork
from .._store import install_lock, keystore, leases, rotations
from .._store.keystore import Keystore

__all__ = ["LEASE_NAME", "LEASE_S", "Options", "run"]


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Rotate. Raises OpsError rotate.*, lock.*, key.*, lease.*; rotate.incomplete when envelopes could not move."""
    options.judge()
    with open_database(settings) as store:
        lock = install_lock.read(store)
        if lock is None:
            raise lock_missing(store)
        if registry.locked_kind(lock.provider) is not registry.configured(settings):
            raise rotate_across_providers(lock.provider, registry.configured(settings).NAME)
        registry.check_lock(settings, installed=lock.provider, since=lock.installed_at)
        seen = None
        if options.state == "rotated":
            settled, seen = settled_already(store, Catalogue(settings.catalogue), options, lease_s=LEASE_S)
            if settled is not None:
                return settled.nothing_to_do()
        with opened_keys(settings, store, lock, workers=options.workers) as installation:
            if options.state == "cancelled":
                return _cancel(installation, options, check=check)
            return _rotate(installation, options, check=check, warn=warn, seen=seen)


def _rotate(
    installation: Installation,
    options: Options,
    *,
    check: bool,
    warn: Callable[[str], None],
    seen: Seen | None = None,
    taking_back: Callable[[Keystore], None] | None = None,
) -> Result:
    """taking_back: for a cancellation, called with the keystore as it is now when another process led meanwhile; may
    refuse to go on. A cancellation takes the lead even when nothing is to be moved: a leader may be about to.
    """
    deadline = Deadline(options.max_seconds)
    judged = judge(installation, options, lease_s=LEASE_S, warn=warn, seen=seen)
    if judged.settled and (check or taking_back is None):
        return judged.nothing_to_do()
    if check:
        return judged.predicted()
    store, plan, mine = installation.store, judged.plan, Mine(Progress(), Proof(options.verify))
    work = SharedWork(installation, plan, judged.sample, mine=mine, deadline=deadline)
    turn = lead_or_help(store, work, plan)
    if turn.lease is None:
        return out_of_time(store, plan, work, judged.before)
    with leases.kept(store, turn.lease, lease_s=LEASE_S) as keeper:
        now = replace(installation, keystore=keystore.read(store))
        # What was judged before is not true any more when another process led meanwhile.
        if turn.waited or now.keystore.active != installation.keystore.active:
            if taking_back is not None:
                taking_back(now.keystore)
            cancelled_meanwhile(store, plan, judged.standing_state)
            again = judge(now, options, lease_s=LEASE_S, warn=warn)
            if again.settled and taking_back is None:
                return finished_by_another(again.nothing_to_do(), work, judged.before)
            plan = again.plan
            work = SharedWork(now, plan, again.sample, mine=mine, deadline=deadline)
            judged = replace(again, before=judged.before)
        return RotationRun(now, plan, work, lease=turn.lease, keeper=keeper).go(judged.ranges, judged.before)


def _cancel(installation: Installation, options: Options, *, check: bool) -> Result:
    """Take an unfinished rotation back: every envelope to the active version again, and the record says cancelled.

    Raises OpsError rotate.cannot_cancel when its version is active already: then it can only go forward.
    """
    store, active = installation.store, installation.keystore.active
    name = rotations.rotation_id(options.to_version)
    standing = rotations.read(store, name)
    if standing is None or standing.get("state") in rotations.ENDED:
        return _unchanged(name, str((standing or {}).get("state") or "none"), options)
    if active is None or active.version == options.to_version:
        raise _cannot_cancel(name)

    def still_possible(now: Keystore) -> None:
        if now.active != active:
            raise _cannot_cancel(name)

    back = replace(options, to_version=active.version, from_version=None, state="rotated", allow_downgrade=True)
    done = _rotate(installation, back, check=check, warn=lambda _text: None, taking_back=still_possible)
    state = "cancelled" if done.values["rotation"]["state"] == "complete" else "rewrapping"
    if not check and state == "cancelled":
        rotations.cancel(store, name)
    rotation = {**done.values["rotation"], "id": name, "state": state}
    return Result(changed=True, values={"rotation": rotation}, before=done.before, after=done.after)


def _cannot_cancel(name: str) -> OpsError:
    return OpsError(
        f'rotation "{name}" has swapped the active version already',
        code="rotate.cannot_cancel",
        hint="run it to its end, or rotate back with allow_downgrade",
    )


def _unchanged(name: str, state: str, options: Options) -> Result:
    facts = {"from_versions": [], "to_version": options.to_version, "compromised": False}
    return Result(
        changed=False, values={"rotation": result_of(name, state, facts, Progress(), remaining=0)}, before={}, after={}
    )
