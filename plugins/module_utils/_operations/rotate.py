# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_rotate: every envelope re-wrapped under a new KEK version of the same provider, then that version active.

PRIVATE to the collection. States (kept in `kek_rotations`, each move a guarded write under the lease's token):
 rewrapping  batches by compare-and-set until two passes over every collection find nothing more
 swapping    nothing is left under another version; the active version is changed by one compare-and-set
 settling    row states follow; the tail that slow writers seal is re-wrapped until every live process writes anew
 complete    nobody writes with another version any more
Kill it anywhere and run it again: it finds what is left by looking at the records, not by remembering.
Before the first of them every live process must have the target loaded (the fleet gate).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .._domain import gcm_budget
from .._domain.errors import OpsError
from .._domain.fleet_gate import refusal
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.texts import rotate_across_providers
from .._keys import registry
from .._store import install_lock, leases, rotations
from .._store.keystore import Active
from . import survey as surveys
from .installation import Installation, lock_missing, open_database, opened_keys
from .rotation_run import CALLS_PER_ENVELOPE, LEASE_S, Progress, RotationPlan, RotationRun, by_version, result_of
from .sealing import detect_layout
from .survey import Survey
from .verify import judged

LEASE_NAME = "kek-rotate"


@dataclass(frozen=True, slots=True)
class Options:
    """from_version: None means every other version. batch_size: documents. max_seconds: 0 for no limit.

    settle_timeout: seconds to wait after the swap until every live process writes with the new version.
    compromised: re-seal under new data keys and list what must be reissued. hsm_share: HSM calls a second at most, 0
    for no limit. workers: processes that talk to the HSM.
    state: "rotated", or "cancelled" to take an unfinished rotation back to the active version.
    """

    to_version: int
    from_version: int | None = None
    batch_size: int = 500
    max_seconds: int = 0
    allow_empty_fleet: bool = False
    settle_timeout: int = 90
    allow_downgrade: bool = False
    state: str = "rotated"
    compromised: bool = False
    hsm_share: int = 0
    workers: int = 1


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
        with opened_keys(settings, store, lock, workers=options.workers) as installation:
            if options.state == "cancelled":
                return _cancel(installation, options, check=check)
            return _rotate(installation, options, check=check, warn=warn)


def _judge_options(options: Options) -> None:
    counts = {"to_version": options.to_version, "batch_size": options.batch_size, "workers": options.workers}
    limits = {"max_seconds": options.max_seconds, "hsm_share": options.hsm_share}
    if min(counts.values()) < 1 or min(limits.values()) < 0:
        raise OpsError(
            ", ".join(f"{name} is {value}" for name, value in {**counts, **limits}.items()),
            code="rotate.options",
            hint="versions, batch_size and workers are whole numbers from 1, max_seconds and hsm_share from 0",
        )
    if options.from_version == options.to_version:
        raise OpsError(
            f"from_version and to_version are both {options.to_version}",
            code="rotate.same_version",
            hint="leave from_version out to move every other version",
        )


def _cancel(installation: Installation, options: Options, *, check: bool) -> Result:
    """Take an unfinished rotation back: every envelope to the active version again, and the record says cancelled.

    Raises OpsError rotate.cannot_cancel when its version is active already: then it can only go forward.
    """
    store, active = installation.store, installation.keystore.active
    name = rotations.rotation_id(options.to_version)
    standing = rotations.read(store, name)
    if standing is None or standing.get("state") in ("cancelled", "complete"):
        return _unchanged(name, str((standing or {}).get("state") or "none"), options)
    if active is None or active.version == options.to_version:
        raise OpsError(
            f'rotation "{name}" has swapped the active version already',
            code="rotate.cannot_cancel",
            hint="run it to its end, or rotate back with allow_downgrade",
        )
    back = replace(options, to_version=active.version, from_version=None, state="rotated", allow_downgrade=True)
    done = _rotate(installation, back, check=check, warn=lambda _text: None)
    state = "cancelled" if done.values["rotation"]["state"] == "complete" else "rewrapping"
    if not check and state == "cancelled":
        rotations.cancel(store, name)
    rotation = {**done.values["rotation"], "id": name, "state": state}
    return Result(changed=True, values={"rotation": rotation}, before=done.before, after=done.after)


def _unchanged(name: str, state: str, options: Options) -> Result:
    facts = {"from_versions": [], "to_version": options.to_version, "compromised": False}
    return Result(
        changed=False, values={"rotation": result_of(name, state, facts, Progress(), remaining=0)}, before={}, after={}
    )


def _rotate(installation: Installation, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    active, found = _preflight(installation, options)
    to_version = options.to_version
    name = rotations.rotation_id(to_version)
    moving = {version: count for version, count in found.by_version.items() if version != to_version}
    before = {"active": active.version, "envelopes": by_version(found)}
    standing = rotations.read(installation.store, name)
    unfinished = standing if standing is not None and standing.get("state") not in ("complete", "cancelled") else {}
    # WHY also those of the earlier run: it emptied versions that the survey cannot see any more.
    sources = {*moving, *(unfinished.get("from_versions") or [])} - {to_version}
    compromised = _judge_compromise(options, standing or {}, unfinished, found)
    facts = {
        "from_versions": sorted(sources) or [options.from_version or active.version],
        "to_version": to_version,
        "compromised": compromised,
    }
    settled = active.version == to_version and not moving and not found.anomalies
    if settled and (standing is None or standing.get("state") == "complete"):
        values = {"rotation": result_of(name, "complete", facts, Progress(), remaining=0)}
        return Result(changed=False, values=values, before=before, after=before)
    _gate(installation, options)
    _judge_budget(installation, found, to_version, warn)
    if check:
        progress = Progress(rewrapped=sum(moving.values()))
        after = {"active": to_version, "envelopes": {str(to_version): found.total}}
        values = {"rotation": result_of(name, "complete", facts, progress, remaining=0)}
        return Result(changed=True, values=values, before=before, after=after)
    with leases.holding(installation.store, LEASE_NAME, lease_s=LEASE_S, wait_s=LEASE_S + 5) as lease:
        limits = (_batch_size(options), options.max_seconds, options.settle_timeout)
        plan = RotationPlan(to_version, facts, *limits, compromised, options.hsm_share)
        return RotationRun(installation, plan, lease, detect_layout(installation.provider, found.sample)).go(before)


def _judge_compromise(
    options: Options, standing: Mapping[str, Any], unfinished: Mapping[str, Any], found: Survey
) -> bool:
    """Return whether this run re-seals: asked for, or begun so by an earlier run that was not finished.

    Raises OpsError rotate.not_resealed when envelopes stand under the target with the data keys they always had: a
    re-wrap protects nobody whose KEK was copied, and calling it done would be a false success.
    """
    if unfinished.get("compromised"):
        return True
    if options.compromised and not standing.get("compromised") and found.by_version[options.to_version]:
        raise OpsError(
            f"{found.by_version[options.to_version]} envelope(s) are under KEK version {options.to_version} and "
            "were not re-sealed: they may keep the data keys that the compromised KEK protected",
            code="rotate.not_resealed",
            hint="make a new KEK version and rotate to that one with `compromised: true`",
        )
    return options.compromised


def _batch_size(options: Options) -> int:
    """Return documents a batch, few enough that the pause of a small HSM share is over long before the lease."""
    if not options.hsm_share:
        return options.batch_size
    return max(1, min(options.batch_size, options.hsm_share * LEASE_S // (3 * CALLS_PER_ENVELOPE)))


def _judge_budget(installation: Installation, found: Survey, to_version: int, warn: Callable[[str], None]) -> None:
    """Raises OpsError budget.exhausted (T12: the larger of what was counted and what is found)."""
    row = installation.keystore.rows.get(to_version)
    used = gcm_budget.spent(row.invocations if row else 0, found.by_version[to_version])
    warning = gcm_budget.judge(to_version, used, found.total - found.by_version[to_version])
    if warning:
        warn(warning)


def _gate(installation: Installation, options: Options) -> None:
    """Raises OpsError fleet.* unless every live process has the target loaded: a reader without it would go blind."""
    refused = refusal(judged(installation, options.to_version), allow_empty_fleet=options.allow_empty_fleet)
    if refused is not None:
        raise refused


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
    if options.to_version < active.version and not options.allow_downgrade:
        raise OpsError(
            f"version {options.to_version} is lower than the active version {active.version}",
            code="rotate.downgrade",
            hint="rotate to a newer version, or set `allow_downgrade: true`",
        )
    others = sorted(set(found.by_version) - {options.to_version, options.from_version})
    if options.from_version is not None and others:
        raise OpsError(
            f"envelopes also name KEK version(s) {others}, besides {options.from_version} and {options.to_version}",
            code="rotate.other_versions",
            hint="leave from_version out: every other version moves in one run",
        )
    return active, found
