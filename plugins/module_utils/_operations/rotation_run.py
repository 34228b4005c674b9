# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One holder's turn at a rotation: from the first batch through the swap to the last slow writer.

PRIVATE to the collection. `rotate.py` judges and plans; here is what writes. Every write is a compare-and-set, or is
guarded by the lease's token, so a holder that slept past its lease writes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from .._domain import exposure, rewrap_plan
from .._domain.catalogue import Catalogue
from .._domain.errors import OpsError
from .._domain.fleet_gate import judge_current
from .._domain.layout import Layout
from .._domain.result import Result
from .._store import fleet, journal, keystore, leases, records, rotations
from .._store.connection import Store
from .._store.keystore import Active
from .._store.leases import Lease
from . import survey as surveys
from .installation import Installation, key_facts, make_canary
from .rewrap import Resealer, Rewrapper
from .sealing import Failure, Sealing
from .survey import Survey

LEASE_S = 30
SETTLE_POLL_S = 1.0
QUIET_PASSES = 2  # passes that must find nothing before the version may be swapped
FAILURES_LISTED = 1000
REISSUE_LISTED = 1000
CALLS_PER_ENVELOPE = 3  # unwrap, wrap, and the unwrap that proves the wrap


@dataclass(frozen=True, slots=True)
class RotationPlan:
    """What a run does. facts: from_versions and to_version as they are recorded. The rest as in rotate.Options."""

    to_version: int
    facts: dict[str, Any]
    batch_size: int
    max_seconds: int
    settle_timeout: int
    compromised: bool = False
    hsm_share: int = 0


@dataclass(slots=True)
class Progress:
    rewrapped: int = 0
    conflicts: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)
    timed_out: bool = False


class RotationRun:
    """One holder's turn at a rotation, from the first batch to as far as it comes."""

    def __init__(self, installation: Installation, plan: RotationPlan, lease: Lease, layout: Layout) -> None:
        self._installation = installation
        self._store = installation.store
        self._plan = plan
        self._to_version = plan.to_version
        self._name = rotations.rotation_id(plan.to_version)
        self._lease = lease
        sealing = Sealing(installation.provider, layout)
        mover = Resealer if plan.compromised else Rewrapper
        self._rewrapper = mover(self._store, sealing, installation.catalogue, self._to_version)
        self._progress = Progress()
        self._wraps_per_document = 1
        self._behind: tuple[tuple[str, str], ...] = ()
        self._deadline = time.monotonic() + plan.max_seconds if plan.max_seconds else None

    def go(self, before: dict[str, Any]) -> Result:
        """Return what was done. Raises OpsError rotate.incomplete, rotate.swap_lost, rotate.fenced, lease.lost."""
        active = self._registered()
        rotations.begin(self._store, self._name, self._plan.facts, self._lease.token)
        self._drain(quiet_passes=QUIET_PASSES)
        settled = False
        if self._moved_all:
            self._swap(active)
            settled = self._settle()
        state = "rewrapping" if not self._moved_all else "complete" if settled else "settling"
        found = surveys.take(self._store, self._installation.catalogue)
        remaining = sum(count for version, count in found.by_version.items() if version != self._to_version)
        result = result_of(self._name, state, self._plan.facts, self._progress, remaining=remaining)
        if self._plan.compromised and state == "complete":
            # WHY before the record says complete: a run killed in between is then taken up again and marks them.
            for version in self._plan.facts["from_versions"]:
                keystore.set_state(self._store, version, expected="deactivated", state="compromised")
        self._record({"state": state, "remaining": remaining, "failures": result["failures"]})
        rewrapped = self._progress.rewrapped
        journal.append(self._store, "kek_rotate", {"id": self._name, "state": state, "rewrapped": rewrapped})
        if self._progress.failures:
            raise _incomplete(result, self._progress)
        if self._behind:
            raise _not_settled(result, self._behind)
        if self._plan.compromised and state == "complete":
            result = {**result, **reissue_list(self._store, self._installation.catalogue)}
        now = keystore.read(self._store).active
        after = {"active": now.version if now else self._to_version, "envelopes": by_version(found)}
        return Result(changed=True, values={"rotation": result}, before=before, after=after)

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

    def _swap(self, active: Active) -> None:
        if active.version != self._to_version:
            self._record({"state": "swapping"})
            if keystore.swap_active(self._store, expected=active, to_version=self._to_version) is None:
                raise OpsError(
                    "the active version was changed by another run",
                    code="rotate.swap_lost",
                    hint="look at kek_info, then run it again",
                    retryable=True,
                )
        keystore.repair_states(self._store)

    def _settle(self) -> bool:
        """Re-wrap what slow writers still seal under the old version until every live process writes with the new one.

        Returns whether they all do; False when the time is over, and the next run goes on from here.
        """
        self._record({"state": "settling"})
        deadline = time.monotonic() + self._plan.settle_timeout
        if self._deadline is not None:
            deadline = min(deadline, self._deadline)
        while self._moved_all:
            verdict = judge_current(fleet.read(self._store)["processes"], self._to_version)
            self._drain(quiet_passes=1)
            if verdict.ready:
                return True
            if time.monotonic() >= deadline:
                self._behind = verdict.behind
                return False
            time.sleep(SETTLE_POLL_S)
        return False

    def _drain(self, *, quiet_passes: int) -> None:
        """Pass over every catalogued collection until `quiet_passes` passes in a row move nothing."""
        quiet = 0
        while quiet < quiet_passes and not self._progress.timed_out:
            quiet = 0 if self._pass() else quiet + 1

    def _pass(self) -> int:
        """Return how many envelopes moved or were contended in one pass."""
        catalogue, moved = self._installation.catalogue, 0
        for collection in catalogue.collections():
            self._wraps_per_document = max(1, len(catalogue.fields(collection)))
            query = rewrap_plan.selection(catalogue.fields(collection), self._to_version)
            for batch in records.batches(records.stream(self._store, collection, query), self._plan.batch_size):
                if self._deadline is not None and time.monotonic() >= self._deadline:
                    self._progress.timed_out = True
                    return moved
                leases.renew(self._store, self._lease, lease_s=LEASE_S)
                keystore.spend(self._store, self._to_version, len(batch) * self._wraps_per_document)
                began = time.monotonic()
                tally = self._rewrapper.move(collection, batch)
                self._leave_the_rest(tally.rewrapped, began)
                moved += tally.rewrapped + tally.conflicts
                self._progress.rewrapped += tally.rewrapped
                self._progress.conflicts += tally.conflicts
                self._progress.failures.update({failure.place: failure for failure in tally.failures})
                self._record({"conflicts": self._progress.conflicts}, rewrapped=tally.rewrapped)
        return moved

    def _leave_the_rest(self, envelopes: int, began: float) -> None:
        """Pause so that no more than `hsm_share` calls a second go to the HSM: production shares it."""
        if self._plan.hsm_share:
            time.sleep(max(0.0, envelopes * CALLS_PER_ENVELOPE / self._plan.hsm_share - (time.monotonic() - began)))

    def _record(self, assign: dict[str, Any], *, rewrapped: int = 0) -> None:
        if not rotations.record(self._store, self._name, self._lease.token, assign, rewrapped=rewrapped):
            raise OpsError(
                f'rotation "{self._name}" was taken up by another run',
                code="rotate.fenced",
                hint="that run goes on; watch it with kek_info",
                retryable=True,
            )


def _not_settled(result: dict[str, Any], behind: tuple[tuple[str, str], ...]) -> OpsError:
    listed = "; ".join(f"{process} {reason}" for process, reason in behind[:10])
    return OpsError(
        f"the version is active but {len(behind)} live process(es) still write with another: {listed}",
        code="rotate.not_settled",
        hint="run it again when they have followed (a heartbeat is 30 s), or restart them",
        retryable=True,
        rotation=result,
        changed=True,
    )


def _incomplete(result: dict[str, Any], progress: Progress) -> OpsError:
    first = next(iter(progress.failures.values()))
    return OpsError(
        f"{len(progress.failures)} envelope(s) could not be re-wrapped, {progress.rewrapped} were; the first: "
        f"{first.place}: {first.reason}",
        code="rotate.incomplete",
        hint="repair or restore the listed records and run it again; the active version was not changed",
        rotation=result,
        changed=progress.rewrapped > 0,
    )


def reissue_list(store: Store, catalogue: Catalogue) -> dict[str, Any]:
    """Return {reissue, reissue_total}: every secret that was under a compromised KEK, most exposed and oldest first."""
    places: list[tuple[int, str, str, str]] = []
    total = 0
    for collection in sorted(catalogue.collections(), key=exposure.rank):
        mine = []
        for document in records.stream(store, collection):
            since = str(document.get("created_at") or "")
            mine += [(since, found.place) for found in catalogue.envelopes(collection, document)]
        total += len(mine)
        room = REISSUE_LISTED - len(places)
        action = exposure.action(collection)
        places += [(exposure.rank(collection), since, place, action) for since, place in sorted(mine)[:room]]
    return {
        "reissue": [{"place": place, "action": act} for _rank, _since, place, act in places],
        "reissue_total": total,
    }


def by_version(found: Survey) -> dict[str, int]:
    """Return KEK version -> envelopes, as the diff shows it."""
    return {str(version): count for version, count in sorted(found.by_version.items())}


def result_of(name: str, state: str, facts: dict[str, Any], progress: Progress, *, remaining: int) -> dict[str, Any]:
    """Return a rotation as modules show it."""
    return {
        "id": name,
        "state": state,
        **facts,
        "rewrapped": progress.rewrapped,
        "remaining": remaining,
        "conflicts": progress.conflicts,
        "failures": [failure.as_result() for failure in progress.failures.values()][:FAILURES_LISTED],
    }
