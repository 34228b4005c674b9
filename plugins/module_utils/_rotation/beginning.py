# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a leader begins: it takes up the plan of an unfinished rotation, or surveys the database and writes one.

Everything that decides is read under the lease. Each write is guarded by the lease's token, so a leader that slept past
its lease writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .._domain.result import Result
from .._domain.rotation import Plan, Rotation
from .._domain.rotation_states import State
from .._installation.canaries import key_facts, make_canary
from .._installation.installation import Installation
from .._installation.layout_detection import remembered_layout
from .._store import changes, keystore, ranges, rotations
from .._store.keystore import Active
from .._store.lease_renewal import Keeper
from .._store.leases import Lease
from .leader import Leader
from .options import Options
from .outcome import fenced, swap_lost
from .plan import draw, fits, require_budget, require_fleet, require_no_downgrade, require_only_source
from .shared_work import Mine


class Beginning:
    """How a leader begins. installation: as read under the lease. warn: shows a warning to the operator."""

    def __init__(
        self, installation: Installation, options: Options, mine: Mine, *, lease: Lease, keeper: Keeper,
        warn: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._installation = installation
        self._store = installation.store
        self._options = options
        self._mine = mine
        self._lease = lease
        self._keeper = keeper
        self._warn = warn

    def go(self, record: Rotation | None) -> Result:
        """Return what was done. record: the rotation's record, as read under the lease.

        Raises OpsError rotate.*, fleet.*, catalogue.outside, budget.exhausted before anything is written, and what
        `Leader.go` raises.
        """
        state = self._goes_on_in(record)
        active = self._fenced()  # WHY before the rest: what is written then makes the record say another state
        if record is None or record.plan is None or state is None:
            return self._led(self._planned(record), active, State.REWRAPPING)
        return self._led(self._taken_up(record, record.plan, state), active, state, record)

    def _led(self, plan: Plan, active: Active | None, state: State, record: Rotation | None = None) -> Result:
        return Leader(
            self._installation, plan, self._mine, lease=self._lease, keeper=self._keeper,
            active=active or keystore.initialise_active(self._store, plan.active), options=self._options,
        ).go(state, record)  # fmt: skip

    def _goes_on_in(self, record: Rotation | None) -> State | None:
        """Return the state in which a rotation is taken up, None when a new plan has to be made."""
        active = self._installation.keystore.active
        if record is None or record.plan is None or active is None:
            return None
        if record.state.ended or not fits(record.plan, self._installation, self._options):
            return None
        if rotations.another_led_since(self._store, record):
            return None  # what it moved, back or on, is in no counter of this one
        swapped = active.version == record.to_version
        return {
            State.REWRAPPING: State.REWRAPPING,
            State.VERIFYING: State.VERIFYING,
            State.READY: State.REWRAPPING,
            State.SWAPPING: State.SWAPPING if swapped else State.VERIFYING,
            State.SETTLING: State.SETTLING if swapped else None,
        }.get(record.state)

    def _taken_up(self, record: Rotation, plan: Plan, enters: State) -> Plan:
        """Become the leader of a plan that is there. Raises OpsError rotate.downgrade, other_versions, fleet.*."""
        active = self._installation.keystore.active
        if active is not None:
            require_no_downgrade(self._options, active)
        require_only_source(self._options, set(plan.from_versions))
        require_fleet(self._installation, self._options)
        self._require_budget(there=plan.at_target + record.moved, planned=record.remaining)
        ranges.end_others(self._store, plan)
        self._keeper.require()
        if not rotations.take_up(self._store, plan.name, self._lease.token, leaves=record.state, enters=enters):
            raise fenced(plan.name)
        return plan

    def _planned(self, record: Rotation | None) -> Plan:
        """Survey the database, and write the plan with its ranges."""
        # WHY before the survey: who still follows another plan must not move anything that was counted already.
        ranges.end_others(self._store, None)
        since = changes.begin(self._store)
        draft = draw(self._installation, self._options, record, batch_size=self._mine.pace.batch_size)
        require_fleet(self._installation, self._options)
        self._require_budget(there=draft.plan.at_target, planned=draft.plan.total - draft.plan.at_target)
        layout = remembered_layout(self._store, self._installation.provider, draft.sample, warn=self._warn)
        plan = replace(draft.plan, layout=layout.name, number=self._lease.token, since=since)
        self._registered()
        fresh = record is None or record.state.ended
        if not rotations.begin(self._store, plan, self._lease.token, fresh=fresh):
            raise fenced(plan.name)
        self._keeper.require()
        ranges.lay(self._store, plan, draft.ranges)
        moved = rotations.advance(
            self._store, plan.name, self._lease.token, leaves=State.PLANNING, enters=State.REWRAPPING
        )
        if not moved:
            raise fenced(plan.name)
        return plan

    def _require_budget(self, *, there: int, planned: int) -> None:
        require_budget(self._installation, self._options.to_version, there=there, planned=planned, warn=self._warn)

    def _registered(self) -> None:
        """Make sure the keystore has a row for the target.

        For pkcs11 the row is pkcs11-init's; for env it is made here, where the KEK is loaded and proven.
        """
        provider, to_version = self._installation.provider, self._options.to_version
        if to_version not in self._installation.keystore.rows:
            keystore.insert_row(
                self._store,
                version=to_version,
                provider=provider.name,
                state="pre-activation",
                canary=make_canary(provider, to_version),
                key=key_facts(provider, to_version),
                created_by="kek-rotate",
            )

    def _fenced(self) -> Active | None:
        """Return version and epoch, out of reach of a leader that was paused before its swap; None where there is none.

        WHY a swap to the version that is active: it moves the epoch on. Whoever sleeps there expects the old one, and
        does not swap when it wakes up: not this rotation, which may be meant to stop before it, and not another one.
        """
        active = self._installation.keystore.active
        if active is None or not rotations.is_any_swapping(self._store, besides=active.version):
            return active
        self._keeper.require()
        moved_on = keystore.swap_active(self._store, expected=active, to_version=active.version)
        if moved_on is None:
            raise swap_lost()
        return moved_on
