# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_rotate: every envelope re-wrapped under a new KEK version of the same provider, then that version active.

 1 nothing to do?  the record says that the rotation is over, and one survey finds nothing that contradicts it
 2 keys            opened and proven
 3 lease           `lead_or_help`: whoever has it leads, the others claim ranges of the leader's plan meanwhile
 4 read again      under the lease: lock, keystore, canaries, record
 5 plan            taken up from the record, or drawn from one survey and written there (`Beginning`)
 6 phases          in the order of `_domain/rotation_states.py`
Kill it anywhere and run it again: the record says how far it is, and the envelopes say what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from .._domain.catalogue import Catalogue
from .._domain.errors import OpsError
from .._domain.result import Result
from .._domain.rotation import Rotation, Share, rotation_id
from .._domain.rotation_states import State
from .._domain.settings import Settings
from .._domain.vendor_messages import rotate_across_providers
from .._installation.installation import Installation, open_database, opened_keys
from .._installation.refusals import lock_missing
from .._keys import registry
from .._rotation.beginning import Beginning
from .._rotation.leadership import (
    LEASE_NAME,
    LEASE_S,
    ended_meanwhile,
    lead_or_help,
    read_again,
    require_not_taken_back,
    seen_by,
)
from .._rotation.options import Options
from .._rotation.outcome import (
    Outcome,
    ended_elsewhere,
    fenced,
    nothing_to_do,
    out_of_time,
    predicted,
    rotation_of,
    with_reissue_list,
)
from .._rotation.plan import draw, nothing_left, require_budget, require_fleet, require_loaded
from .._rotation.shared_work import Mine, batch_size, part_of
from .._store import install_lock, keystore, leases, rotations
from .._store.connection import Store
from .._store.keystore import Keystore
from .._store.lease_renewal import Keeper
from .._store.leases import Lease

__all__ = ["LEASE_NAME", "LEASE_S", "Options", "run"]


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Rotate. Raises OpsError rotate.*, lock.*, key.*, lease.*; rotate.incomplete when envelopes could not move."""
    options.validate()
    with open_database(settings) as store:
        lock = install_lock.read(store)
        if lock is None:
            raise lock_missing(store)
        if registry.locked_kind(lock.provider) is not registry.configured(settings):
            raise rotate_across_providers(lock.provider, registry.configured(settings).NAME)
        registry.check_lock(settings, installed=lock.provider, since=lock.installed_at)
        since = rotations.read(store, options.name)
        over = _over(store, settings, options, since)  # 1
        if over is not None:
            return over
        seen = 0 if options.state == "cancelled" else seen_by(store, options, since)
        with opened_keys(settings, store, lock, workers=options.workers) as installation:  # 2
            if options.state == "cancelled":
                return _cancel(installation, options, check=check, warn=warn)
            return _rotate(installation, options, since, seen, check=check, warn=warn)


def _over(store: Store, settings: Settings, options: Options, since: Rotation | None) -> Result | None:
    """Return the result of a run that has nothing to do, None when keys are needed to go on."""
    if options.state == "cancelled":
        return None if _can_be_cancelled(since) else _ended_before(store, options, since)
    catalogue = Catalogue(settings.catalogue)
    found = nothing_left(store, catalogue, options, since)
    if found is None:
        return None
    return with_reissue_list(nothing_to_do(options, since, found), since, store, catalogue)


def _rotate(
    installation: Installation, options: Options, since: Rotation | None, seen: int, *, check: bool,
    warn: Callable[[str], None],
) -> Result:  # fmt: skip
    """since: the record as it was when this run began. seen: up to which lead it knows what was decided."""
    require_loaded(installation, options)
    if check:
        return _predicted(installation, options, since, warn)
    store, mine = installation.store, part_of(options, since, lease_s=LEASE_S)
    lease = lead_or_help(installation, options, mine)  # 3
    if lease is None:
        return out_of_time(rotations.read(store, options.name), options, mine, installation.provider.retries)
    with leases.kept(store, lease, lease_s=LEASE_S) as keeper:
        now, record = read_again(installation), rotations.read(store, options.name)  # 4
        ended = ended_meanwhile(now, options, since, record)
        if ended is not None and record is not None:
            result = ended_elsewhere(record, ended, options.prove_wraps, mine.share(installation.provider.retries))
            return with_reissue_list(result, record, store, installation.catalogue)
        require_not_taken_back(now, record, seen)
        return Beginning(now, options, mine, lease=lease, keeper=keeper, warn=warn).go(record)  # 5, 6


def _predicted(
    installation: Installation, options: Options, record: Rotation | None, warn: Callable[[str], None]
) -> Result:
    draft = draw(installation, options, record, batch_size=batch_size(options, LEASE_S))
    require_fleet(installation, options)
    there = draft.plan.at_target
    require_budget(installation, options.to_version, there=there, planned=draft.plan.total - there, warn=warn)
    return predicted(draft, options)


def _cancel(installation: Installation, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Take an unfinished rotation back: every envelope to the active version again, and the record says cancelled.

    It is a rotation to the active version. It takes the lead even when nothing is to be moved: a leader may be about
    to, and `Beginning` keeps one that sleeps from swapping. Raises OpsError rotate.cannot_cancel when its version is
    active already: then it can only go forward.
    """
    store, back = installation.store, _back(options, installation.keystore)
    since = rotations.read(store, back.name)
    if check:
        return _as_cancelled(options, _predicted(installation, back, since, warn))
    mine = part_of(back, since, lease_s=LEASE_S)
    try:
        lease = lead_or_help(installation, back, mine)
        if lease is None:
            done = out_of_time(rotations.read(store, back.name), back, mine, installation.provider.retries)
            return _as_cancelled(options, done, changed=done.changed)
        with leases.kept(store, lease, lease_s=LEASE_S) as keeper:
            return _led_back(installation, options, mine, lease=lease, keeper=keeper)
    except OpsError as failure:
        shown = failure.facts.get("rotation")
        if isinstance(shown, Mapping):  # of the rotation back; the operator knows the one that is taken back
            failure.facts = {**failure.facts, "rotation": {**shown, "id": options.name}}
        raise


def _led_back(installation: Installation, options: Options, mine: Mine, *, lease: Lease, keeper: Keeper) -> Result:
    store = installation.store
    now, record = read_again(installation), rotations.read(store, options.name)
    if not _can_be_cancelled(record):
        return _not_cancelled(options, record, rewrapped=mine.share(installation.provider.retries).rewrapped)
    back = _back(options, now.keystore)
    since = rotations.read(store, back.name)
    if since is not None and mine.earlier != Share() and rotations.another_led_since(store, since):
        raise fenced(options.name)  # between two slices somebody decided to go on with it after all
    done = Beginning(now, back, mine, lease=lease, keeper=keeper, warn=lambda _text: None).go(since)
    if rotation_of(done)["state"] == State.COMPLETE:
        keeper.require()
        if not rotations.cancel(store, options.name, lease.token):
            raise fenced(options.name)
    return _as_cancelled(options, done)


def _back(options: Options, keys: Keystore) -> Options:
    """Return what a cancellation asks for: a rotation to the version that is active. Raises rotate.cannot_cancel."""
    if keys.active is None or keys.active.version == options.to_version:
        raise OpsError(
            f'rotation "{options.name}" has swapped the active version already',
            code="rotate.cannot_cancel",
            hint="run it to its end, or rotate back with allow_downgrade",
        )
    return replace(
        options, to_version=keys.active.version, from_version=None, state="rotated", allow_downgrade=True,
        stop_before="none",
    )  # fmt: skip


def _can_be_cancelled(record: Rotation | None) -> bool:
    return record is not None and not record.state.ended


def _as_cancelled(options: Options, done: Result, *, changed: bool = True) -> Result:
    """Return the result of the rotation back as the one of the rotation that was taken back."""
    shown = rotation_of(done)
    ends = {State.COMPLETE: State.CANCELLED, State.SETTLING: State.SETTLING}
    state = ends.get(State(str(shown["state"])), State.REWRAPPING)
    rotation = {**shown, "id": options.name, "state": str(state)}
    return Result(changed=changed, values={"rotation": rotation}, before=done.before, after=done.after)


def _ended_before(store: Store, options: Options, record: Rotation | None) -> Result:
    """Return the result of a cancellation that finds nothing to cancel.

    The last slice of a run may find that: another host ended it. Then it tells what the run did before.
    """
    active = keystore.read(store).active
    back = rotations.read(store, rotation_id(active.version)) if active is not None and options.slice_of else None
    share = back.share(options.slice_of) if back is not None else Share()
    if record is None or record.state is not State.CANCELLED or back is None or back.plan is None or share == Share():
        return _not_cancelled(options, record)
    return _as_cancelled(options, ended_elsewhere(back, back.plan, options.prove_wraps, share))


def _not_cancelled(options: Options, record: Rotation | None, *, rewrapped: int = 0) -> Result:
    """Return the result of a cancellation that finds nothing to cancel, or nothing more after it had helped another."""
    shown = Outcome(
        name=options.name,
        state=record.state if record is not None else None,
        from_versions=(),
        to_version=options.to_version,
        compromised=False,
        rewrapped=rewrapped,
        remaining=0,
    ).as_result()
    return Result(changed=rewrapped > 0, values={"rotation": shown}, before={}, after={})
