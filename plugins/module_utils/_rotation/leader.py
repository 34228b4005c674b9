# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One leader's turn at a rotation: from the ranges it lays through the swap to the last slow writer.

`plan.py` plans; here is what only the leader does. Each move from state to state is guarded by the
lease's token, each record by compare-and-set under a claim, so a leader that slept past its lease writes nothing.
"""

from __future__ import annotations

import time
from typing import Any

from .._domain.fleet_gate import judge_current
from .._domain.range_cuts import Range
from .._domain.result import Result
from .._installation import survey as surveys
from .._installation.canaries import key_facts, make_canary
from .._installation.installation import Installation
from .._installation.sealing import Failure
from .._installation.survey import Survey
from .._store import heartbeats, journal, keystore, ranges, rotations
from .._store.keystore import Active
from .._store.lease_renewal import Keeper
from .._store.leases import Lease
from .outcome import by_version, fenced, incomplete, not_settled, reissue_list, result_of, swap_lost
from .shared_work import RotationPlan, SharedWork

POLL_S = 1.0
RANGES_POLL_S = 0.2
# Passes before the swap. WHY bounded: writers seal under the old version until it is swapped, so a busy database never
# comes to rest before; what they leave is drained while the rotation settles.
PASSES_AT_MOST = 4


class RotationRun:
    """One leader's turn at a rotation, from the first range to as far as it comes."""

    def __init__(
        self, installation: Installation, plan: RotationPlan, work: SharedWork, *, lease: Lease, keeper: Keeper
    ) -> None:
        self._installation = installation
        self._store = installation.store
        self._plan = plan
        self._to_version = plan.to_version
        self._work = work
        self._progress = work.progress
        self._token = lease.token
        self._guard = keeper.require
        self._state = "rewrapping"
        self._behind: tuple[tuple[str, str], ...] = ()

    def go(self, laid: list[Range], before: dict[str, Any]) -> Result:
        """Return what was done. Raises OpsError rotate.incomplete, not_settled, swap_lost, fenced, lease.lost.

        laid: ranges that cover what was found under other versions.
        """
        name, active = self._plan.name, self._registered()
        ranges.end_others(self._store, name)
        planned = sum(part.envelopes for part in laid)
        if not rotations.begin(self._store, name, self._plan.facts, self._token, planned=planned):
            raise fenced(name)
        self._guard()
        ranges.lay(self._store, name, self._token, laid)
        self._rewrap()
        found = self._verified() if self._moved_all else None
        settled = False
        if found is not None and self._moved_all:
            self._swap(active)
            settled = self._settle()
        if not settled or found is None:
            found = surveys.take(self._store, self._installation.catalogue)
        return self._ended(found, before, settled=settled)

    @property
    def _moved_all(self) -> bool:
        return not self._progress.timed_out and not self._progress.failures

    def _registered(self) -> Active:
        """Make sure the keystore has a row for the target and an active version; return that version.

        For pkcs11 the row is pkcs11-init's; for env it is made here, where the KEK is loaded and proven.
        """
        provider, keys = self._installation.provider, self._installation.keystore
        if self._to_version not in keys.rows:
            keystore.insert_row(
                self._store,
                version=self._to_version,
                provider=provider.name,
                state="pre-activation",
                canary=make_canary(provider, self._to_version),
                key=key_facts(provider, self._to_version),
                created_by="kek-rotate",
            )
        return keys.active or keystore.initialise_active(self._store, int(self._plan.facts["from_versions"][0]))

    def _rewrap(self) -> None:
        """Work off the ranges together with whoever helps; what could not move is tried once more."""
        while True:
            self._guard()
            self._work.work_off(self._token)
            if self._work.over():
                return
            if not ranges.unfinished(self._store, self._plan.name, self._token):
                break
            time.sleep(RANGES_POLL_S)
        if self._progress.failures:
            self._pass()

    def _verified(self) -> Survey | None:
        """Survey everything, with a pass while something is under another version; None when it cannot all move."""
        for _number in range(PASSES_AT_MOST):
            found = self._verify()
            if not self._moved_all or set(found.by_version) <= {self._to_version}:
                return found
            self._enter("rewrapping")
            self._pass()
            if not self._moved_all:
                return None
        return self._verify()

    def _pass(self) -> int:
        """Return how many envelopes moved or were contended in one pass over every catalogued collection.

        Failures are those of the last whole pass: what could not move before is met again, and may move now.
        """
        moved, failures = 0, dict(self._progress.failures)
        self._progress.failures.clear()
        for collection in self._installation.catalogue.collections():
            if self._work.over():
                break
            moved += self._work.sweep(collection, self._guard)
        if self._work.over():
            self._progress.failures = {**failures, **self._progress.failures}
        self._work.say()
        return moved

    def _verify(self) -> Survey:
        """Return a survey of everything; what it finds damaged is a failure of this rotation (T18).

        Raises OpsError catalogue.outside for an envelope that came meanwhile and stands where nobody listed one (T4).
        """
        self._enter("verifying")
        found = surveys.take(self._store, self._installation.catalogue)
        found.require_catalogued()
        for anomaly in found.anomalies:
            failure = Failure(anomaly["place"], anomaly["code"], anomaly["reason"])
            self._progress.failures.setdefault(failure.place, failure)
        return found

    def _swap(self, active: Active) -> None:
        self._enter("swapping")
        if active.version != self._to_version:
            self._guard()
            if keystore.swap_active(self._store, expected=active, to_version=self._to_version) is None:
                raise swap_lost()
        keystore.repair_states(self._store)

    def _settle(self) -> bool:
        """Re-wrap what slow writers still seal under the old version until every live process writes with the new one.

        Returns whether they all do and nothing is left; False when the time is over: the next run goes on from here.
        """
        self._enter("settling")
        deadline = time.monotonic() + self._plan.settle_timeout
        while self._moved_all:
            self._guard()
            # WHY before the pass: what a process sealed before it followed is in the database by then, and is found.
            verdict = judge_current(heartbeats.read(self._store)["processes"], self._to_version)
            moved = self._pass()
            if verdict.ready and not moved and self._moved_all:
                return True
            if self._work.over():
                return False
            if time.monotonic() >= deadline:
                self._behind = verdict.behind or (("a process without heartbeat", "seals with another version"),)
                return False
            if not verdict.ready:
                time.sleep(POLL_S)
        return False

    def _ended(self, found: Survey, before: dict[str, Any], *, settled: bool) -> Result:
        """Record how far it came and return it, or raise what is in the way."""
        store, to_version = self._store, self._to_version
        swapped = self._state in ("swapping", "settling")
        if self._state == "verifying":
            self._enter("rewrapping")
        state = "complete" if settled else "settling" if swapped else "rewrapping"
        remaining = 0 if settled else sum(n for version, n in found.by_version.items() if version != to_version)
        result = result_of(self._plan.name, state, dict(self._plan.facts), self._progress, remaining=remaining)
        result.update(self._work.account())
        if self._plan.facts["compromised"] and settled:
            # WHY before the record says complete: a run killed in between is then taken up again and marks them.
            for version in self._plan.facts["from_versions"]:
                keystore.set_state(store, version, expected="deactivated", state="compromised")
        stopped = {"remaining": remaining, "failures": result["failures"]}
        if not rotations.stop(store, self._plan.name, self._token, **stopped):
            raise fenced(self._plan.name)
        if settled:
            self._enter("complete")
            ranges.clear(store, self._plan.name)
        facts = {"id": self._plan.name, "state": state, "rewrapped": self._progress.rewrapped}
        journal.append(store, "kek_rotate", facts)
        if self._progress.failures:
            raise incomplete(result, self._progress, swapped=swapped)
        if self._behind:
            raise not_settled(result, self._behind)
        if self._plan.facts["compromised"] and settled:
            result = {**result, **reissue_list(store, self._installation.catalogue)}
        now = keystore.read(store).active
        envelopes = {str(to_version): found.total} if settled else by_version(found)
        after = {"active": now.version if now else to_version, "envelopes": envelopes}
        return Result(changed=True, values={"rotation": result}, before=before, after=after)

    def _enter(self, state: str) -> None:
        if not rotations.advance(self._store, self._plan.name, self._token, leaves=self._state, enters=state):
            raise fenced(self._plan.name)
        self._state = state
