# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_rotate: every envelope re-wrapped under a new KEK version of the same provider, then that version active.

PRIVATE to the collection. States (kept in `kek_rotations`, each move a guarded write under the lease's token):
 rewrapping  batches by compare-and-set until two passes over every collection find nothing more
 swapping    nothing is left under another version; the active version is changed by one compare-and-set
 complete    row states follow, the tail that writers sealed meanwhile is re-wrapped
Kill it anywhere and run it again: it finds what is left by looking at the records, not by remembering.
Fleet gate, settling and removal come with the rotation issue.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._domain import rewrap_plan
from .._domain.errors import OpsError
from .._domain.layout import Layout
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.texts import rotate_across_providers
from .._keys import registry
from .._store import install_lock, journal, keystore, leases, records, rotations
from .._store.keystore import Active
from .._store.leases import Lease
from . import survey as surveys
from .installation import (
    Installation,
    key_facts,
    lock_missing,
    make_canary,
    open_database,
    opened_keys,
)
from .rewrap import Rewrapper
from .sealing import Failure, Sealing, detect_layout
from .survey import Survey

LEASE_NAME = "kek-rotate"
LEASE_S = 30
QUIET_PASSES = 2  # passes that must find nothing before the version may be swapped
FAILURES_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Options:
    """from_version: None means every other version. batch_size: documents. max_seconds: 0 for no limit."""

    to_version: int
    from_version: int | None = None
    batch_size: int = 500
    max_seconds: int = 0


@dataclass(slots=True)
class _Progress:
    rewrapped: int = 0
    conflicts: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)
    timed_out: bool = False


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Rotate. Raises OpsError rotate.*, lock.*, key.*, lease.*; rotate.incomplete when envelopes could not move."""
    _judge_options(options)
    with open_database(settings) as store:
        lock = install_lock.read(store)
        if lock is None:
            raise lock_missing(store)
        if lock.provider in registry.KNOWN and settings.require_provider() != lock.provider:
            raise rotate_across_providers(lock.provider, settings.require_provider())
        registry.check_lock(settings, installed=lock.provider, since=lock.installed_at)
        with opened_keys(settings, store, lock) as installation:
            return _rotate(installation, options, check=check)


def _judge_options(options: Options) -> None:
    if options.to_version < 1 or options.batch_size < 1 or options.max_seconds < 0:
        raise OpsError(
            f"to_version {options.to_version}, batch_size {options.batch_size}, max_seconds {options.max_seconds}",
            code="rotate.options",
            hint="versions and batch_size are whole numbers from 1, max_seconds from 0",
        )
    if options.from_version == options.to_version:
        raise OpsError(
            f"from_version and to_version are both {options.to_version}",
            code="rotate.same_version",
            hint="leave from_version out to move every other version",
        )


def _rotate(installation: Installation, options: Options, *, check: bool) -> Result:
    active, found = _preflight(installation, options)
    to_version = options.to_version
    name = rotations.rotation_id(to_version)
    moving = {version: count for version, count in found.by_version.items() if version != to_version}
    before = {"active": active.version, "envelopes": _by_version(found)}
    facts = {"from_versions": sorted(moving) or [options.from_version or active.version], "to_version": to_version}
    standing = rotations.read(installation.store, name)
    settled = active.version == to_version and not moving and not found.anomalies
    if settled and (standing is None or standing.get("state") == "complete"):
        values = {"rotation": _result(name, "complete", facts, _Progress(), remaining=0)}
        return Result(changed=False, values=values, before=before, after=before)
    if check:
        progress = _Progress(rewrapped=sum(moving.values()))
        after = {"active": to_version, "envelopes": {str(to_version): found.total}}
        values = {"rotation": _result(name, "complete", facts, progress, remaining=0)}
        return Result(changed=True, values=values, before=before, after=after)
    with leases.holding(installation.store, LEASE_NAME, lease_s=LEASE_S, wait_s=LEASE_S + 5) as lease:
        return _Run(installation, options, facts, lease, detect_layout(installation.provider, found.sample)).go(before)


def _preflight(installation: Installation, options: Options) -> tuple[Active, Survey]:
    """Return the active version and the survey. Raises OpsError before anything is written."""
    keys, loaded = installation.keystore, installation.provider.versions()
    found = surveys.take(installation.store, installation.catalogue)
    found.require_catalogued()
    if options.to_version not in loaded:
        raise OpsError(
            f"KEK version {options.to_version} is not loaded; loaded: {list(loaded)}",
            code="rotate.target_not_loaded",
            hint="env: add its line to secrets.env on every host and restart; pkcs11: run kek_pkcs11_init for it",
        )
    active = keys.active or Active(max(found.by_version, default=min(loaded)), 0)
    if options.to_version < active.version:
        raise OpsError(
            f"version {options.to_version} is lower than the active version {active.version}",
            code="rotate.downgrade",
            hint="rotate to a newer version",
        )
    others = sorted(set(found.by_version) - {options.to_version, options.from_version})
    if options.from_version is not None and others:
        raise OpsError(
            f"envelopes also name KEK version(s) {others}, besides {options.from_version} and {options.to_version}",
            code="rotate.other_versions",
            hint="leave from_version out: every other version moves in one run",
        )
    return active, found


class _Run:
    """One holder's turn at a rotation, from the first batch to as far as it comes."""

    def __init__(
        self, installation: Installation, options: Options, facts: dict[str, Any], lease: Lease, layout: Layout
    ) -> None:
        self._installation = installation
        self._store = installation.store
        self._options = options
        self._to_version = options.to_version
        self._name = rotations.rotation_id(options.to_version)
        self._facts = facts
        self._lease = lease
        sealing = Sealing(installation.provider, layout)
        self._rewrapper = Rewrapper(self._store, sealing, installation.catalogue, self._to_version)
        self._progress = _Progress()
        self._deadline = time.monotonic() + options.max_seconds if options.max_seconds else None

    def go(self, before: dict[str, Any]) -> Result:
        """Return what was done. Raises OpsError rotate.incomplete, rotate.swap_lost, rotate.fenced, lease.lost."""
        active = self._registered()
        rotations.begin(self._store, self._name, self._facts, self._lease.token)
        self._drain(quiet_passes=QUIET_PASSES)
        if self._moved_all:
            self._swap(active)
            self._drain(quiet_passes=1)
        state = "complete" if self._moved_all else "rewrapping"
        found = surveys.take(self._store, self._installation.catalogue)
        remaining = sum(count for version, count in found.by_version.items() if version != self._to_version)
        result = _result(self._name, state, self._facts, self._progress, remaining=remaining)
        self._record({"state": state, "remaining": remaining, "failures": result["failures"]})
        rewrapped = self._progress.rewrapped
        journal.append(self._store, "kek_rotate", {"id": self._name, "state": state, "rewrapped": rewrapped})
        if self._progress.failures:
            raise _incomplete(result, self._progress)
        now = keystore.read(self._store).active
        after = {"active": now.version if now else self._to_version, "envelopes": _by_version(found)}
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
        return keys.active or keystore.initialise_active(self._store, int(self._facts["from_versions"][0]))

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

    def _drain(self, *, quiet_passes: int) -> None:
        """Pass over every catalogued collection until `quiet_passes` passes in a row move nothing."""
        quiet = 0
        while quiet < quiet_passes and not self._progress.timed_out:
            quiet = 0 if self._pass() else quiet + 1

    def _pass(self) -> int:
        """Return how many envelopes moved or were contended in one pass."""
        catalogue, moved = self._installation.catalogue, 0
        for collection in catalogue.collections():
            query = rewrap_plan.selection(catalogue.fields(collection), self._to_version)
            for batch in records.batches(records.stream(self._store, collection, query), self._options.batch_size):
                if self._deadline is not None and time.monotonic() >= self._deadline:
                    self._progress.timed_out = True
                    return moved
                leases.renew(self._store, self._lease, lease_s=LEASE_S)
                tally = self._rewrapper.move(collection, batch)
                moved += tally.rewrapped + tally.conflicts
                self._progress.rewrapped += tally.rewrapped
                self._progress.conflicts += tally.conflicts
                self._progress.failures.update({failure.place: failure for failure in tally.failures})
                self._record({"conflicts": self._progress.conflicts}, rewrapped=tally.rewrapped)
        return moved

    def _record(self, assign: dict[str, Any], *, rewrapped: int = 0) -> None:
        if not rotations.record(self._store, self._name, self._lease.token, assign, rewrapped=rewrapped):
            raise OpsError(
                f'rotation "{self._name}" was taken up by another run',
                code="rotate.fenced",
                hint="that run goes on; watch it with kek_info",
                retryable=True,
            )


def _incomplete(result: dict[str, Any], progress: _Progress) -> OpsError:
    first = next(iter(progress.failures.values()))
    return OpsError(
        f"{len(progress.failures)} envelope(s) could not be re-wrapped, {progress.rewrapped} were; the first: "
        f"{first.place}: {first.reason}",
        code="rotate.incomplete",
        hint="repair or restore the listed records and run it again; the active version was not changed",
        rotation=result,
        changed=progress.rewrapped > 0,
    )


def _by_version(found: Survey) -> dict[str, int]:
    return {str(version): count for version, count in sorted(found.by_version.items())}


def _result(name: str, state: str, facts: dict[str, Any], progress: _Progress, *, remaining: int) -> dict[str, Any]:
    return {
        "id": name,
        "state": state,
        **facts,
        "rewrapped": progress.rewrapped,
        "remaining": remaining,
        "conflicts": progress.conflicts,
        "failures": [failure.as_result() for failure in progress.failures.values()][:FAILURES_LISTED],
    }
