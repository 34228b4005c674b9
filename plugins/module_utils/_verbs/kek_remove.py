# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_remove: retire a KEK version that nothing uses, so that nothing can use it again.

1. Refuse by what is known: confirmation, active version, rotation, live processes, grace.
2. Read the database: no envelope is under the version, and each opens without it.
3. Put up the fence: the server refuses writes of the version from now on.
4. Read the database again: what a sleeping writer had under way either is found or was refused. This is the proof.
5. Mark the keystore row as removed.
6. As an act of its own, with the check value typed: destroy the HSM key. Only now is it "destroyed" (ADR-0019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from .._domain.catalogue import Found
from .._domain.envelope import Envelope
from .._domain.envelope_layout import Layout
from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .._domain.listing import SHOWN, listed
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.values import JsonObject
from .._installation import key_material
from .._installation import survey as surveys
from .._installation.every_envelope import EveryEnvelope
from .._installation.installation import Installation, open_installation
from .._installation.layout_detection import Sample, note_layout, remembered_layout
from .._installation.survey import Survey
from .._keys.provider import Provider
from .._rotation.leadership import LEASE_NAME, LEASE_S
from .._store import dump, heartbeats, journal, keystore, leases, removed_version_validator, rotations
from .._store.keystore import KeyRow, KeyState


@dataclass(frozen=True, slots=True)
class Options:
    """grace: seconds that must have passed since the rotation away from it. backups: folders made by db_backup.

    destroy_key: also destroy the HSM key; check_value: its check value, typed by whoever means it.
    """

    version: int
    grace: int = 86_400
    backups: tuple[str, ...] = ()
    destroy_key: bool = False
    check_value: str | None = None


@dataclass(frozen=True, slots=True)
class _Facts:
    """A version as the diff shows it. in_hsm: None where nobody asked about its key."""

    version: int
    state: str
    removed: bool
    in_hsm: bool | None

    def as_result(self) -> JsonObject:
        shown: JsonObject = {"version": self.version, "state": self.state, "removed": self.removed}
        return shown if self.in_hsm is None else {**shown, "key": "in the HSM" if self.in_hsm else "none"}


@dataclass(frozen=True, slots=True)
class _Removal:
    """What is removed, and what that changes. fields: collection -> sealed fields, for the fence."""

    installation: Installation
    options: Options
    fields: dict[str, tuple[str, ...]]
    before: _Facts
    after: _Facts
    needed_by: list[str]
    warn: Callable[[str], None]

    @property
    def removes(self) -> bool:
        return not self.before.removed

    @property
    def destroys(self) -> bool:
        return bool(self.before.in_hsm)

    @property
    def changes(self) -> bool:
        return self.before != self.after

    def result(self) -> Result:
        removed: JsonObject = {
            "version": self.after.version,
            "state": self.after.state,
            "key_destroyed": self.destroys,
            "needed_by_backups": self.needed_by,
        }
        before, after = self.before.as_result(), self.after.as_result()
        return Result(changed=self.changes, values={"removed": removed}, before=before, after=after)


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Remove. Raises OpsError remove.*, lease.held while a rotation runs, and what opening an installation raises."""
    with open_installation(settings) as installation:
        removal = _planned(installation, options, warn)
        layout = None
        if removal.removes:
            _require_out_of_use(installation, options)  # 1
            layout = _require_unused(removal, None)  # 2
        if check or not removal.changes:
            return removal.result()
        with leases.holding(installation.store, LEASE_NAME, lease_s=LEASE_S):
            if removal.removes:
                _remove(removal, layout)
            if removal.after.state == KeyState.DESTROYED:
                _destroy(removal)
            facts = {"version": options.version, "key_destroyed": removal.destroys, "state": removal.after.state}
            journal.append(installation.store, "kek_remove", facts)
        return removal.result()


def _planned(installation: Installation, options: Options, warn: Callable[[str], None]) -> _Removal:
    """Return what is to be done.

    Raises OpsError remove.unknown_version, .no_key_to_destroy, .fingerprint, .no_backup, .key_not_found.
    """
    version, row = options.version, installation.keystore.rows.get(options.version)
    if row is None:
        raise _refused("unknown_version", f"the keystore has no KEK version {version}", "see kek_info")
    _require_confirmed(options, row, installation.provider)
    needed_by = _backups_with(options)
    for folder in needed_by:
        warn(f"backup {folder} needs KEK version {version}: without its key it cannot be read")
    fields = {name: installation.catalogue.fields(name) for name in installation.catalogue.collections()}
    in_hsm = key_material.in_hsm(installation, version) if options.destroy_key else None
    removed = row.removed and removed_version_validator.holds(installation.store, fields, version)
    gone = options.destroy_key or key_material.is_nowhere(installation, version)
    before = _Facts(version, row.state, removed, in_hsm)
    state = KeyState.DESTROYED if gone else keystore.kept_state(row.state)
    after = _Facts(version, state, True, None if in_hsm is None else False)
    return _Removal(installation, options, fields, before, after, needed_by, warn)


def _require_confirmed(options: Options, row: KeyRow, provider: Provider) -> None:
    if not options.destroy_key:
        return
    if provider.key_admin is None:
        raise _refused(
            "no_key_to_destroy",
            f'provider "{provider.name}" has no key in an HSM',
            f"delete the line of V{options.version} from secrets.env on every host, restart, and run it again without "
            "destroy_key",
        )
    if not options.check_value or options.check_value != row.key.get("check_value"):
        raise _refused(
            "fingerprint",
            "destroy_key needs the key's check value as `check_value`, and it is not the one that was given",
            "read it from kek_info (versions, key.check_value), and type it",
        )


def _require_out_of_use(installation: Installation, options: Options) -> None:
    """Raises OpsError remove.active, .rotation_running, .in_use_by_process, .too_soon."""
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
            f"live processes write with version {version}: {listed(using)}",
            "they follow within a heartbeat (30 s); restart those that do not",
        )
    over = latest.updated_at + timedelta(seconds=options.grace) if latest is not None and latest.updated_at else None
    if options.grace and (over is None or installation.store.server_time() < over):
        raise _refused(
            "too_soon",
            f"the grace period of {options.grace} s since the rotation ends {rfc3339(over)}",
            "wait, so that the backups of that time can still be read; or set `grace: 0`",
        )


def _require_unused(removal: _Removal, known: Layout | None) -> Layout | None:
    """Read the whole database once; return the layout, None where there is no envelope.

    known: the layout of an earlier reading. Raises OpsError remove.in_use, remove.unreadable, layout.undetected.
    """
    version = removal.options.version
    found, places, opener = _read(removal, known)
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
    opener.finish()
    if opener.failed:
        raise _refused(
            "unreadable",
            f"{opener.failed} envelope(s) do not open, the first: "
            f"{opener.failures[0].place}: {opener.failures[0].reason}",
            "they may need the version that is to be removed: repair or remove them first",
        )
    return opener.layout


def _read(removal: _Removal, known: Layout | None) -> tuple[Survey, list[str], EveryEnvelope]:
    """Return what every collection holds, the first places under the version, and the opener of all envelopes.

    Each is opened under the version its tag names: a lying tag would hide one that needs the removed key (T5).
    """
    installation, places = removal.installation, list[str]()

    def choose(sample: Sample) -> Layout:
        return known or remembered_layout(
            installation.store, installation.provider, sample, warn=removal.warn, note=False
        )

    def each(found: Found, envelope: Envelope) -> None:
        if envelope.kek_version == removal.options.version and len(places) < SHOWN:
            places.append(found.place)
        opener.add(found, envelope)

    opener = EveryEnvelope(installation.provider, choose)
    return surveys.take(installation.store, installation.catalogue, each=each), places, opener


def _remove(removal: _Removal, layout: Layout | None) -> None:
    """Fence, read again, mark. Called with the rotations' lease, so nothing can make the version active any more.

    layout: None where the first reading met no envelope.
    INVARIANT: active version and row are read again before the fence goes up, because a fence around the active version
    would stop all writes.
    """
    store, version, state = removal.installation.store, removal.options.version, removal.before.state
    fresh = keystore.read(store)
    row = fresh.rows.get(version)
    if fresh.active is None or fresh.active.version == version or row is None or row.state != state:
        raise _moved(version)
    _require_out_of_use(replace(removal.installation, keystore=fresh), removal.options)  # another run may have led
    removed_version_validator.raise_around(store, removal.fields, version)  # 3
    layout = _require_unused(removal, layout)  # 4: what was written meanwhile may lie about its version too (T6)
    if not keystore.mark_removed(store, version, expected=state):  # 5
        raise _moved(version)
    if layout is not None:
        note_layout(store, layout)


def _destroy(removal: _Removal) -> None:
    """Destroy the HSM key if it is there, then say so in the row. A crash in between is finished by the next run."""
    installation, version = removal.installation, removal.options.version
    if removal.destroys:
        journal.append(installation.store, key_material.VERB, key_material.begins(version))
        key_material.destroy(installation, version, str(removal.options.check_value))  # 6
    state = keystore.kept_state(removal.before.state)
    if state == KeyState.DESTROYED:  # by release 0.1
        return
    if not keystore.set_state(installation.store, version, expected=state, state=KeyState.DESTROYED):
        raise _moved(version)


def _backups_with(options: Options) -> list[str]:
    """Return the backup folders whose envelopes need the version. Raises OpsError remove.no_backup."""
    needed = []
    for folder in options.backups:
        manifest = dump.read_manifest(Path(folder))
        if manifest is None:
            raise _refused("no_backup", f"{folder} is not a backup that db_backup made", "correct `backups`")
        if options.version in manifest["kek_versions"]:
            needed.append(folder)
    return needed


def _moved(version: int) -> OpsError:
    return _refused(
        "moved",
        f"KEK version {version} changed its state while it was being removed",
        "look at kek_info, then run it again",
    )


def _refused(code: str, found: str, hint: str) -> OpsError:
    return OpsError(found, code=f"remove.{code}", hint=hint)
