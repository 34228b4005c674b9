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
from pathlib import Path

from .._domain.catalogue import Found
from .._domain.envelope import Envelope
from .._domain.envelope_layout import Layout
from .._domain.errors import OpsError
from .._domain.listing import SHOWN
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.values import JsonObject
from .._dumps import backup_manifest
from .._installation import key_material
from .._installation import survey as surveys
from .._installation.every_envelope import EveryEnvelope
from .._installation.installation import Installation, open_installation
from .._installation.layout_detection import Sample, note_layout, remembered_layout
from .._installation.survey import Survey
from .._installation.version_in_use import require_out_of_use
from .._rotation.leadership import LEASE_NAME, LEASE_S
from .._store import journal, keystore, leases, removed_version_validator
from .._store.keystore import KeyState


@dataclass(frozen=True, slots=True)
class Options:
    """grace: seconds that must have passed since the rotation away from it. backups: folders made by db_backup.

    destroy_key: also destroy the HSM key; check_value: its check value, or the tag of its canary where the token shows
    none, typed by whoever means it.
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
        removal = _planned(installation, options, settings.service_uid, warn)
        layout = None
        if removal.removes:
            require_out_of_use(installation, options.version, grace=options.grace)  # 1
            layout = _require_unused(removal, None)  # 2
        if check or not removal.changes:
            return removal.result()
        lease = leases.acquire(installation.store, LEASE_NAME, lease_s=LEASE_S)
        with leases.kept(installation.store, lease, lease_s=LEASE_S) as keeper:
            if removal.removes:
                _remove(removal, layout, keeper.require)
            if removal.after.state == KeyState.DESTROYED:
                _destroy(removal, keeper.require)
            facts = {"version": options.version, "key_destroyed": removal.destroys, "state": removal.after.state}
            journal.append(installation.store, "kek_remove", facts, no_envelopes=installation.catalogue.no_envelopes)
        return removal.result()


def _planned(
    installation: Installation, options: Options, service_uid: int | None, warn: Callable[[str], None]
) -> _Removal:
    """Return what is to be done.

    Raises OpsError remove.unknown_version, .no_key_to_destroy, .fingerprint, .no_backup, .key_not_found.
    """
    version, row = options.version, installation.keystore.rows.get(options.version)
    if row is None:
        raise OpsError(
            f"the keystore has no KEK version {version}",
            code="remove.unknown_version",
            hint="see kek_info",
        )
    _require_confirmed(installation, options)
    needed_by = _backups_with(options, service_uid)
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


def _require_confirmed(installation: Installation, options: Options) -> None:
    if not options.destroy_key:
        return
    if installation.provider.key_admin is None:
        raise OpsError(
            f'provider "{installation.provider.name}" has no key in an HSM',
            code="remove.no_key_to_destroy",
            hint=f"delete the line of V{options.version} from secrets.env on every host, restart, and run it again "
            "without destroy_key",
        )
    noted = installation.keystore.rows[options.version].key
    if not noted.get("check_value") and key_material.was_begun(installation, options.version):
        return  # by an earlier run, which was told which key
    name, value = key_material.tells(installation, options.version)
    if not options.check_value or options.check_value != value:
        shown = "" if noted.get(name) else f"; the token shows no check value, and this key's canary tag is {value}"
        raise OpsError(
            f"destroy_key needs the key's {name.replace('_', ' ')} as `check_value`, and it is not the one that was "
            f"given{shown}",
            code="remove.fingerprint",
            hint=f"read it from kek_info (versions, key.{name}), and type it",
        )


def _require_unused(removal: _Removal, known: Layout | None) -> Layout | None:
    """Read the whole database once; return the layout, None where there is no envelope.

    known: the layout of an earlier reading. Raises OpsError remove.in_use, remove.unreadable, layout.undetected.
    """
    version = removal.options.version
    found, places, opener = _read(removal, known)
    if found.by_version[version]:
        raise OpsError(
            f"{found.by_version[version]} envelope(s) are under version {version}: {', '.join(places)}",
            code="remove.in_use",
            hint="rotate again, with from_version left out; add fields outside the catalogue by `catalogue`",
        )
    if found.anomalies:
        raise OpsError(
            f"{len(found.anomalies)} damaged envelope(s) may be under version {version}, the first: "
            f"{found.anomalies[0]['place']}: {found.anomalies[0]['reason']}",
            code="remove.unreadable",
            hint="repair or remove them; kek_info lists them",
        )
    opener.finish()
    if opener.failed:
        raise OpsError(
            f"{opener.failed} envelope(s) do not open, the first: "
            f"{opener.failures[0].place}: {opener.failures[0].reason}",
            code="remove.unreadable",
            hint="they may need the version that is to be removed: repair or remove them first",
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


def _remove(removal: _Removal, layout: Layout | None, require: Callable[[], None]) -> None:
    """Fence, read again, mark. Called with the rotations' lease, so nothing can make the version active any more.

    layout: None where the first reading met no envelope. require: raises lease.lost where the lease may be another's.
    INVARIANT: active version and row are read again before the fence goes up, because a fence around the active version
    would stop all writes.
    """
    store, version, state = removal.installation.store, removal.options.version, removal.before.state
    fresh = keystore.read(store)
    row = fresh.rows.get(version)
    if fresh.active is None or fresh.active.version == version or row is None or row.state != state:
        raise _moved(version)
    require_out_of_use(  # another run may have led
        replace(removal.installation, keystore=fresh), version, grace=removal.options.grace
    )
    require()
    removed_version_validator.raise_around(store, removal.fields, version)  # 3
    layout = _require_unused(removal, layout)  # 4: what was written meanwhile may lie about its version too (T6)
    require()
    if not keystore.mark_removed(store, version, expected=state):  # 5
        raise _moved(version)
    if layout is not None:
        note_layout(store, layout)


def _destroy(removal: _Removal, require: Callable[[], None]) -> None:
    """Destroy the HSM key if it is there, then say so in the row. A crash in between is finished by the next run."""
    installation, version = removal.installation, removal.options.version
    if removal.destroys:
        require()
        journal.append(installation.store, key_material.VERB, key_material.begins(version))
        key_material.destroy(installation, version, str(removal.options.check_value))  # 6
    state = keystore.kept_state(removal.before.state)
    if state == KeyState.DESTROYED:  # by release 0.1
        return
    if not keystore.set_state(installation.store, version, expected=state, state=KeyState.DESTROYED):
        raise _moved(version)


def _backups_with(options: Options, service_uid: int | None) -> list[str]:
    """Return the backup folders whose envelopes need the version. Raises OpsError remove.no_backup, file.*."""
    needed = []
    for folder in options.backups:
        manifest = backup_manifest.read(Path(folder), service_uid=service_uid)
        if manifest is None:
            raise OpsError(
                f"{folder} is not a backup that db_backup made",
                code="remove.no_backup",
                hint="correct `backups`",
            )
        if options.version in manifest["kek_versions"]:
            needed.append(folder)
    return needed


def _moved(version: int) -> OpsError:
    return OpsError(
        f"KEK version {version} changed its state while it was being removed",
        code="remove.moved",
        hint="look at kek_info, then run it again",
    )
