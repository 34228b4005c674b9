# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a leader does in each state of a rotation, from the first range to the last slow writer.

`_domain/rotation_states.py` lists the states, the legal moves, and why each state exists.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from .._domain.fleet_gate import who_writes_with
from .._domain.result import Result
from .._domain.rotation import Plan, Rotation
from .._domain.rotation_states import PASSES_AT_MOST, State
from .._domain.values import JsonObject
from .._installation import survey as surveys
from .._installation.installation import Installation
from .._installation.sealing import Failure
from .._installation.survey import Survey
from .._store import changes, heartbeats, journal, keystore, ranges, records, rotations
from .._store.changes import Since
from .._store.keystore import Active
from .._store.lease_renewal import Keeper
from .._store.leases import Lease
from .options import Options
from .outcome import (
    FAILURES_LISTED,
    Outcome,
    failures_of,
    fenced,
    incomplete,
    not_settled,
    swap_lost,
    with_reissue_list,
)
from .shared_work import Mine, SharedWork

POLL_S = 1.0
RANGES_POLL_S = 0.2


class Leader:
    """A leader's way through the states. active: version and epoch as read under the lease."""

    def __init__(
        self, installation: Installation, plan: Plan, mine: Mine, *, lease: Lease, keeper: Keeper, active: Active,
        options: Options,
    ) -> None:  # fmt: skip
        self._installation = installation
        self._store = installation.store
        self._plan = plan
        self._mine = mine
        self._progress = mine.progress
        self._work = SharedWork(installation, plan, mine)
        self._token = lease.token
        self._guard = keeper.require
        self._active = active
        self._options = options
        self._state = State.REWRAPPING
        self._rounds = 0
        self._swept: list[str] = []
        self._passed = False
        self._total = plan.total
        self._behind: tuple[tuple[str, str], ...] = ()
        self._all_moved_at: Since | None = None  # before the survey that found nothing left to move

    def go(self, state: State, record: Rotation | None) -> Result:
        """Return what was done, from this state on. record: the record of a rotation that is taken up.

        Raises OpsError rotate.incomplete, not_settled, swap_lost, fenced, catalogue.outside, lease.lost.
        """
        self._state = state
        if record is not None:
            self._total = record.total
            self._rounds = 0 if record.state is State.READY else record.rounds
        if record is not None and record.state is State.REWRAPPING:
            self._swept = list(record.swept)
            self._progress.failures = {**failures_of(record), **self._progress.failures}
        phases: Mapping[State, Callable[[], bool]] = {
            State.REWRAPPING: self._rewrap,
            State.VERIFYING: self._verify,
            State.SWAPPING: self._swap,
            State.SETTLING: self._settle,
        }
        self._mine.deadline.start()
        while self._state in phases and phases[self._state]():
            pass
        return self._ended()

    # Each phase returns whether the next one follows at once: it has entered its state then.

    def _rewrap(self) -> bool:
        """Work off the ranges together with whoever helps; then pass over what they left."""
        shared = ranges.unfinished(self._store, self._plan) > 0
        if shared and not self._ranges_worked_off():
            return False
        if self._progress.failures or not shared:
            self._pass()
            if not self._passed or self._progress.failures:
                return False
        self._enter(State.VERIFYING)
        return not self._mine.over()

    def _ranges_worked_off(self) -> bool:
        while True:
            self._guard()
            self._work.work_off()
            if not ranges.unfinished(self._store, self._plan):
                return True
            if self._mine.deadline.over():
                return False  # of what is left, the rest is in other hands
            time.sleep(RANGES_POLL_S)

    def _verify(self) -> bool:
        """Look at everything once more; what is damaged is a failure of this rotation (T18).

        Raises OpsError catalogue.outside for an envelope that came meanwhile and is where nobody listed one (T4).
        """
        since = changes.begin(self._store)
        with self._mine.deadline.paused():
            found = self._surveyed()
        found.require_catalogued()
        for anomaly in found.anomalies:
            failure = Failure(anomaly["place"], anomaly["code"], anomaly["reason"])
            self._progress.failures.setdefault(failure.place, failure)
        to_version = self._plan.to_version
        left = {version: count for version, count in found.by_version.items() if version != to_version}
        self._plan = replace(self._plan, from_versions=tuple(sorted({*self._plan.from_versions, *left} - {to_version})))
        self._total = found.total
        counted = sum(left.values())
        self._all_moved_at = None if left else since
        if not rotations.verified(self._store, self._plan, self._token, total=found.total, left=counted):
            raise fenced(self._plan.name)
        # WHY not by the number alone: what a whole pass of this turn left came after it, and can move.
        enough = self._rounds >= PASSES_AT_MOST and self._passed
        if self._progress.failures or (left and not enough):
            self._rounds += 1
            self._enter(State.REWRAPPING)
            return not self._progress.failures
        stops = self._options.stops_before_swap and self._active.version != to_version
        self._enter(State.READY if stops else State.SWAPPING)
        return True

    def _surveyed(self) -> Survey:
        """Return the survey of everything; of bare collections only what changed (ADR-0028)."""
        plan, store, catalogue = self._plan, self._store, self._installation.catalogue
        others = [name for name in records.data_collections(store) if name not in plan.bare]
        since = Since.of(plan.since)
        told = changes.changed_since(store, since, apart_from=others) if since is not None and plan.bare else None
        if told is None:
            return surveys.take(store, catalogue)
        return surveys.take_again(store, catalogue, plan.bare, told)

    def _swap(self) -> bool:
        if self._active.version != self._plan.to_version:
            self._guard()
            swapped = keystore.swap_active(self._store, expected=self._active, to_version=self._plan.to_version)
            if swapped is None:
                raise swap_lost()
            self._active = swapped
        keystore.repair_states(self._store)
        self._enter(State.SETTLING)
        return True

    def _settle(self) -> bool:
        """Re-wrap what slow writers still seal under the old version until every live process writes with the new one.

        The time to settle counts from when the run first came here, over all its slices.
        """
        until = time.monotonic() + self._options.settle_timeout - self._settling_for_s()
        while True:
            self._guard()
            # WHY before the pass: what a process sealed before it followed is in the database by then, and is found.
            verdict = who_writes_with(heartbeats.read(self._store).processes, self._plan.to_version)
            self._swept.clear()  # WHY: a part that was swept before the look at the fleet proves nothing after it
            moved = 0 if self._is_untouched() else self._pass()
            if self._progress.failures or self._mine.over():
                return False
            if verdict.ready and not moved:
                self._complete()
                return False
            if time.monotonic() >= until:
                self._behind = verdict.behind or (("a process without heartbeat", "seals with another version"),)
                return False
            if self._mine.deadline.over():
                return False
            if not verdict.ready:
                time.sleep(POLL_S)

    def _is_untouched(self) -> bool:
        """Return whether no record that may hold envelopes changed since a survey found all of them moved (ADR-0028).

        A pass would find nothing then. Where the server cannot tell the answer is False.
        """
        if self._all_moved_at is None:
            return False
        plain = set(records.data_collections(self._store)) - set(self._installation.catalogue.collections())
        return changes.changed_since(self._store, self._all_moved_at, apart_from=plain) == {}

    def _settling_for_s(self) -> float:
        since = rotations.settling_since(self._store, self._plan.name, self._mine.run)
        return (self._store.server_time() - since).total_seconds()

    def _complete(self) -> None:
        if self._plan.compromised:
            # WHY before the record says complete: a run killed in between is then taken up again and marks them.
            for version in self._plan.from_versions:
                keystore.set_state(self._store, version, expected="deactivated", state="compromised")
        self._enter(State.COMPLETE)
        ranges.clear(self._store, self._plan)

    def _pass(self) -> int:
        """Return how many envelopes moved or were contended in one pass over every catalogued collection.

        One that the time cuts short goes on where it stopped, in the next slice. Failures of a collection are those of
        its last sweep: what could not move before is met again, and may move now.
        """
        moved, self._passed = 0, False
        for collection in self._installation.catalogue.collections():
            if collection in self._swept:
                continue
            if self._mine.over():
                return moved
            before = self._forgotten_failures(collection)
            moved += self._work.sweep(collection, self._guard)
            if self._progress.timed_out:
                self._progress.failures = {**before, **self._progress.failures}
                return moved
            self._swept.append(collection)
        self._swept.clear()
        self._passed = True
        self._work.say()
        return moved

    def _forgotten_failures(self, collection: str) -> dict[str, Failure]:
        """Take the failures of a collection out of the progress, and return them."""
        failures, mine = self._progress.failures, f"{collection}/"
        return {place: failures.pop(place) for place in list(failures) if place.startswith(mine)}

    def _ended(self) -> Result:
        """Record how far it came and return it, or raise what is in the way."""
        name, shown = self._plan.name, self._state.shown
        self._work.say()
        failures = [failure.as_result() for failure in self._progress.failures.values()][:FAILURES_LISTED]
        record = rotations.stop(self._store, name, self._token, failures=failures, swept=self._swept)
        if record is None:
            raise fenced(name)
        remaining = 0 if self._state is State.COMPLETE else record.remaining
        outcome = Outcome.of_plan(
            self._plan, shown, remaining, self._mine.share(self._installation.provider.retries),
            failures=self._progress.failures.values(), prove_wraps=self._mine.proof.mode,
        )  # fmt: skip
        facts = {"id": name, "state": str(shown), "rewrapped": outcome.rewrapped}
        journal.append(self._store, "kek_rotate", facts, no_envelopes=self._installation.catalogue.no_envelopes)
        if self._progress.failures:
            raise incomplete(outcome, swapped=shown is State.SETTLING)
        if self._behind:
            raise not_settled(outcome, self._behind)
        after = self._plan.after(self._active.version, remaining, self._total)
        values: JsonObject = {"rotation": outcome.as_result()}
        result = Result(changed=True, values=values, before=self._plan.before, after=after)
        return with_reissue_list(result, record, self._store, self._installation.catalogue)

    def _enter(self, state: State) -> None:
        if not rotations.advance(self._store, self._plan.name, self._token, leaves=self._state, enters=state):
            raise fenced(self._plan.name)
        self._state = state
