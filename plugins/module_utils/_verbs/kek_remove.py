# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_remove: retire a KEK version that nothing uses, so that nothing can use it again.

Order: refusals by what is known -> every envelope opened without this version -> fence (the server refuses writes of
it) -> scanned and opened again -> row destroyed -> and, as an act of its own with the check value typed, the HSM key.
The scan after the fence is the proof: whatever a sleeping writer had under way either is found or was refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from .._domain.catalogue import Found
from .._domain.envelope import Envelope
from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .._domain.result import Result
from .._domain.settings import Settings
from .._installation import survey as surveys
from .._installation.installation import Installation, open_installation, references
from .._installation.layout_detection import detect_layout
from .._installation.sealing import Failure, Sealing
from .._keys.provider import Provider
from .._rotation.leadership import LEASE_NAME, LEASE_S
from .._store import heartbeats, journal, keystore, leases, removed_version_validator, rotations

REMOVED = "destroyed"  # NIST SP 800-57 part 1, section 7: key states
PLACES_LISTED = 10
OPEN_BATCH = 500  # envelopes opened at a time


@dataclass(frozen=True, slots=True)
class Options:
    """grace: seconds that must have passed since the rotation away from it. backups: folders made by db_backup.

    destroy_key: also destroy the HSM key; fingerprint: its check value, typed by whoever means it.
    """

    version: int
    grace: int = 86_400
    backups: tuple[str, ...] = ()
    destroy_key: bool = False
    fingerprint: str | None = None


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Remove. Raises OpsError remove.*, lease.held while a rotation runs, and what opening an installation raises."""
    with open_installation(settings) as installation:
        row = installation.keystore.rows.get(options.version)
        if row is None:
            raise _refused("unknown_version", f"the keystore has no KEK version {options.version}", "see kek_info")
        _judge_confirmation(options, row.key, installation.provider)
        needed_by = _backups_with(options)
        for folder in needed_by:
            warn(f"backup {folder} needs KEK version {options.version}: without its key it cannot be read")
        fields = {name: installation.catalogue.fields(name) for name in installation.catalogue.collections()}
        done = row.state == REMOVED and removed_version_validator.stands(installation.store, fields, options.version)
        if not done:
            _judge_use(installation, options)
            _require_unused(installation, options.version)
            _require_readable(installation)
        before = {"version": options.version, "state": row.state}
        has_key = options.destroy_key and _key_stands(installation, options.version)
        if check or (done and not has_key):
            return _result(
                options.version, row.state if done else REMOVED, needed_by, has_key, before, not done or has_key
            )
        with leases.holding(installation.store, LEASE_NAME, lease_s=LEASE_S):
            if not done:
                _remove(installation, options.version, row.state, fields)
            if has_key:
                _destroy_key(installation, options)
            facts = {"version": options.version, "key_destroyed": has_key}
            journal.append(installation.store, "kek_remove", facts)
        return _result(options.version, REMOVED, needed_by, has_key, before, True)


def _judge_confirmation(options: Options, key: Any, provider: Provider) -> None:
    if not options.destroy_key:
        return
    if provider.key_admin is None:
        raise _refused(
            "no_key_to_destroy",
            f'provider "{provider.name}" has no key in an HSM',
            f"delete the line of V{options.version} from secrets.env on every host and restart",
        )
    if not options.fingerprint or options.fingerprint != key.get("check_value"):
        raise _refused(
            "fingerprint",
            "destroy_key needs the key's check value as `fingerprint`, and it is not the one that was given",
            "read it from kek_info (versions, key.check_value), and type it",
        )


def _judge_use(installation: Installation, options: Options) -> None:
    version, active = options.version, installation.keystore.active
    if active is None or active.version == version:
        raise _refused("active", f"KEK version {version} is active", "rotate to a newer version first")
    latest = rotations.latest(installation.store)
    if latest is not None and not latest.state.ended:
        raise _refused(
            "rotation_running",
            f'rotation "{latest.name}" is {latest.state}, expected complete',
            f"run kek_rotate with to_version {latest.to_version} to its end",
        )
    using = [process.id for process in heartbeats.read(installation.store).live if process.current_version == version]
    if using:
        raise _refused(
            "in_use_by_process",
            f"live processes write with version {version}: {', '.join(using)}",
            "they follow within a heartbeat (30 s); restart those that do not",
        )
    over = latest.updated_at + timedelta(seconds=options.grace) if latest is not None and latest.updated_at else None
    if options.grace and (over is None or installation.store.server_time() < over):
        raise _refused(
            "too_soon",
            f"the grace period of {options.grace} s since the rotation ends {rfc3339(over)}",
            "wait, so that the backups of that time can still be read; or set `grace: 0`",
        )


def _require_unused(installation: Installation, version: int) -> None:
    """Raises OpsError remove.in_use, remove.unreadable after a scan of every collection, catalogued or not."""
    places: list[str] = []

    def each(found: Found, envelope: Envelope) -> None:
        if envelope.kek_version == version and len(places) < PLACES_LISTED:
            places.append(found.place)

    found = surveys.take(installation.store, installation.catalogue, each=each)
    if found.by_version[version]:
        raise _refused(
            "in_use",
            f"{found.by_version[version]} envelope(s) are under version {version}: {', '.join(places)}",
            "rotate again, with from_version left out; add fields outside the catalogue by `catalogue`",
        )
    if found.anomalies:
        raise _refused(
            "unreadable",
            f"{len(found.anomalies)} damaged envelope(s) may be under version {version}, the first: "
            f"{found.anomalies[0]['place']}: {found.anomalies[0]['reason']}",
            "repair or remove them; kek_info lists them",
        )


def _require_readable(installation: Installation) -> None:
    """Open every envelope under the version its tag names: a lying tag would hide one that needs the removed key (T5).

    Raises OpsError remove.unreadable.
    """
    sample = surveys.take(installation.store, installation.catalogue).sample
    sealing = Sealing(installation.provider, detect_layout(installation.provider, sample))
    failures: list[Failure] = []
    pending: list[tuple[Found, Envelope]] = []

    def flush() -> None:
        failures.extend(outcome for outcome in sealing.open_all(pending) if isinstance(outcome, Failure))
        pending.clear()

    def each(found: Found, envelope: Envelope) -> None:
        pending.append((found, envelope))
        if len(pending) >= OPEN_BATCH:
            flush()

    surveys.take(installation.store, installation.catalogue, each=each)
    flush()
    if failures:
        raise _refused(
            "unreadable",
            f"{len(failures)} envelope(s) do not open, the first: {failures[0].place}: {failures[0].reason}",
            "they may need the version that is to be removed: repair or remove them first",
        )


def _remove(installation: Installation, version: int, state: str, fields: dict[str, tuple[str, ...]]) -> None:
    """Fence, scan, mark. Called with the rotations' lease, so nothing can make the version active any more.

    INVARIANT: judged again before the fence goes up, for a fence around the active version would stop all writes.
    """
    fresh = keystore.read(installation.store)
    row = fresh.rows.get(version)
    if fresh.active is None or fresh.active.version == version or row is None or row.state != state:
        raise _moved(version)
    removed_version_validator.raise_around(installation.store, fields, version)
    _require_unused(installation, version)
    _require_readable(installation)  # again: what was written since the first time may lie about its version (T6)
    if not keystore.set_state(installation.store, version, expected=state, state=REMOVED):
        raise _moved(version)


def _moved(version: int) -> OpsError:
    return _refused(
        "moved",
        f"KEK version {version} changed its state while it was being removed",
        "look at kek_info, then run it again",
    )


def _key_stands(installation: Installation, version: int) -> bool:
    admin = installation.provider.key_admin
    if admin is None:
        return False
    located = references(installation.lock, installation.keystore, removed=True)[version]
    return admin.find_key(located.label, located.key_id).by_id > 0


def _destroy_key(installation: Installation, options: Options) -> None:
    located = references(installation.lock, installation.keystore, removed=True)[options.version]
    if installation.provider.key_admin is not None:
        installation.provider.key_admin.destroy_key(located.label, located.key_id, str(options.fingerprint))


def _backups_with(options: Options) -> list[str]:
    """Return the backup folders whose envelopes need the version. Raises OpsError remove.no_backup."""
    needed = []
    for folder in options.backups:
        try:
            manifest = json.loads((Path(folder) / "backup.json").read_text("utf-8"))
            versions = manifest["kek_versions"]
        except (OSError, ValueError, KeyError, TypeError):
            raise _refused("no_backup", f"{folder} is no backup made by db_backup", "correct `backups`") from None
        if options.version in versions:
            needed.append(folder)
    return needed


def _result(
    version: int, state: str, needed_by: list[str], key_destroyed: bool, before: dict[str, Any], changed: bool
) -> Result:
    removed = {"version": version, "state": state, "key_destroyed": key_destroyed, "needed_by_backups": needed_by}
    after = {"version": version, "state": state}
    return Result(changed=changed, values={"removed": removed}, before=before, after=after)


def _refused(code: str, found: str, hint: str) -> OpsError:
    return OpsError(found, code=f"remove.{code}", hint=hint)
